"""Who listens to which account's changes."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from postwren.mailstore.model import Change
from postwren.terms import AccountId

__all__ = ["Feed", "FeedSubscription"]

Receive: TypeAlias = Callable[[Sequence[Change]], None]


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


class Feed:
    """Subscribers by account."""

    __slots__ = ("_by_account",)

    def __init__(self) -> None:
        self._by_account: dict[AccountId | None, list[FeedSubscription]] = {}  # None: all of them

    def subscribe(self, account_id: AccountId | None, receive: Receive) -> FeedSubscription:
        """Call `receive` for every later publication."""
        subscription = FeedSubscription(self, account_id, receive)
        self._by_account.setdefault(account_id, []).append(subscription)
        return subscription

    def forget(self, account_id: AccountId | None, subscription: FeedSubscription) -> None:
        """Drop a subscription; harmless when it is gone."""
        listening = self._by_account.get(account_id, [])
        if subscription in listening:
            listening.remove(subscription)
            if not listening:
                del self._by_account[account_id]

    def publish(self, changes: Sequence[Change], loop: asyncio.AbstractEventLoop) -> None:
        """Hand one commit's changes to those who listen; a subscriber that raises does not hurt its neighbours."""
        by_account: dict[AccountId, list[Change]] = {}
        for change in changes:
            by_account.setdefault(change.account_id, []).append(change)
        for account_id, mine in by_account.items():
            for subscription in (*self._by_account.get(account_id, ()), *self._by_account.get(None, ())):
                if subscription.receive is None:  # cancelled by a neighbour just now
                    continue
                try:
                    subscription.receive(mine)
                except Exception as error:
                    loop.call_exception_handler({"message": "a change subscriber raised", "exception": error})
