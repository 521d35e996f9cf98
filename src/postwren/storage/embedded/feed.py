"""Who listens to which account, and what they were told already.

Changes reach the feed twice: from this process's writer in commit order, and, when another process wrote, from the index.
Each account's last ModSeq that was published keeps anything from being told twice or out of order, and, as ModSeqs have no
gaps, shows when another process's changes came between: those are read from the index first.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from postwren.mailstore.model import Change
from postwren.terms import AccountId, ModSeq

__all__ = ["Feed", "FeedSubscription"]

Receive: TypeAlias = Callable[[Sequence[Change]], None]
ReadAbove: TypeAlias = Callable[[AccountId, ModSeq], Sequence[Change]]


class FeedSubscription:
    """One subscriber."""

    __slots__ = ("_account_id", "_feed", "receive")

    def __init__(self, feed: "Feed", account_id: AccountId | None, receive: Receive) -> None:
        self._feed = feed
        self._account_id = account_id
        self.receive: Receive | None = receive

    def cancel(self) -> None:
        """No more calls after this returns."""
        self.receive = None
        self._feed.forget(self._account_id, self)


class Listened:
    """An account that someone listens to."""

    __slots__ = ("seen", "subscriptions")

    def __init__(self, seen: ModSeq) -> None:
        self.seen = seen
        self.subscriptions: list[FeedSubscription] = []


class Feed:
    """Subscribers by account; on the loop's thread."""

    __slots__ = ("_by_account", "_loop", "_observers", "_read_above")

    def __init__(self, loop: asyncio.AbstractEventLoop, read_above: ReadAbove) -> None:
        self._loop = loop
        self._read_above = read_above
        self._by_account: dict[AccountId, Listened] = {}
        self._observers: tuple[FeedSubscription, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._by_account)

    def seen(self) -> dict[AccountId, ModSeq]:
        """What the listeners know, by account."""
        return {account_id: listened.seen for account_id, listened in self._by_account.items()}

    def subscribe(self, account_id: AccountId, receive: Receive, now: ModSeq) -> FeedSubscription:
        """Call `receive` for what comes after ModSeq `now`."""
        subscription = FeedSubscription(self, account_id, receive)
        listened = self._by_account.get(account_id)
        if listened is None:
            listened = self._by_account[account_id] = Listened(now)
        listened.subscriptions.append(subscription)
        return subscription

    def observe(self, receive: Receive) -> FeedSubscription:
        """Call `receive` for whatever is published."""
        observer = FeedSubscription(self, None, receive)
        self._observers = (*self._observers, observer)
        return observer

    def forget(self, account_id: AccountId | None, subscription: FeedSubscription) -> None:
        """Drop a subscription; harmless when it is gone."""
        if account_id is None:
            self._observers = tuple([each for each in self._observers if each is not subscription])
            return
        listened = self._by_account.get(account_id)
        if listened is not None and subscription in listened.subscriptions:
            listened.subscriptions.remove(subscription)
            if not listened.subscriptions:
                del self._by_account[account_id]

    def publish(self, changes: Sequence[Change]) -> None:
        """Hand one commit's changes to those who listen."""
        for observer in self._observers:
            self._tell(observer, changes)
        if not self._by_account:
            return
        if len({change.account_id for change in changes}) == 1:
            self._publish_account(changes[0].account_id, changes)
            return
        by_account: dict[AccountId, list[Change]] = {}
        for change in changes:
            by_account.setdefault(change.account_id, []).append(change)
        for account_id, mine in by_account.items():
            self._publish_account(account_id, mine)

    def _publish_account(self, account_id: AccountId, changes: Sequence[Change]) -> None:
        listened = self._by_account.get(account_id)
        if listened is None:
            return
        news = [change for change in changes if change.modseq > listened.seen]
        if not news:
            return
        if news[0].modseq > listened.seen + 1:
            news = list(self._read_above(account_id, listened.seen)) or news
        listened.seen = max(change.modseq for change in news)
        for subscription in tuple(listened.subscriptions):
            self._tell(subscription, news)

    def _tell(self, subscription: FeedSubscription, changes: Sequence[Change]) -> None:
        if subscription.receive is None:  # cancelled by a neighbour just now
            return
        try:
            subscription.receive(changes)
        except Exception as error:
            self._loop.call_exception_handler({"message": "a change subscriber raised", "exception": error})
