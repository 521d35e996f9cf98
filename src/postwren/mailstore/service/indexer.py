"""Fills the text index behind deliveries, a few messages at a time, in moments in which there is nothing else to do.

    indexer = Indexer(store, index, is_busy)
    await indexer.compare()              before anybody searches: is this the index of this store?
    await indexer.run()                  for ever: follows all accounts
    await indexer.catch_up(account_id)   now, to the end (tests, commands)

A search never waits for it: what is not indexed yet is read. The index itself tells how far it came (`TextIndex.progress`), so it
goes on where it was; emails that are gone are dropped now and then. A failing or full volume stops it for a while, no more.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final

from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.model import Change, ChangeKind, Email
from postwren.mailstore.port import Reader, Store, TextIndex
from postwren.mailstore.queue import QUEUE_LOGIN
from postwren.mailstore.service.keys import read_email
from postwren.message.searchtext import NO_TEXT, SearchText, search_text
from postwren.terms import AccountId, EmailId

__all__ = ["Indexer", "Pace"]

EMAILS_A_BATCH: Final = 20
SECONDS_A_BATCH: Final = 0.02
SWEPT_AT_ONCE: Final = 5_000
BREATH: Final = 0.0001


class Pace:
    """Seconds. Tests make them short."""

    look = 5.0  # between two looks at all accounts; who got mail is looked at when nobody is busy
    wait = 0.2  # while others are busy
    rest = 2.0  # times what a batch took: so it has a third of one processor at most
    sweep = 86_400.0  # between two sweeps
    trouble = 300.0  # after a failure


class Indexer:
    """One for a store. `is_busy` tells whether deliveries are under way (or were a moment ago)."""

    def __init__(
        self,
        store: Store,
        index: TextIndex,
        is_busy: Callable[[], bool] = lambda: False,
        pace: type[Pace] = Pace,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._index = index
        self._is_busy = is_busy
        self._pace = pace
        self._now = now
        self._news: dict[AccountId, None] = {}  # in this order
        self._has_news = asyncio.Event()
        self._is_behind = True  # others may have to be indexed too

    async def compare(self) -> list[AccountId]:
        """Drop what was filled from another store, or from this one before a backup was put back; returns whose it was."""
        progress = await asyncio.to_thread(self._index.progress)
        foreign = await self._store.read(lambda reader: [each for each in progress if _is_foreign(reader, each, progress[each])])
        for account_id in foreign:
            await asyncio.to_thread(self._index.forget, account_id)
        return foreign

    async def run(self) -> None:
        """Until it is cancelled."""
        swept = self._now()
        subscription = self._store.observe(self._note)
        try:
            while True:
                try:
                    await self._look()
                    if self._now() - swept >= self._pace.sweep:
                        swept = self._now()
                        await self.sweep()
                except MailstoreError:
                    self._is_behind = True
                    await asyncio.sleep(self._pace.trouble)
                    continue
                with suppress(TimeoutError):  # `wait_for` may swallow a cancellation that comes with the news
                    async with asyncio.timeout(self._pace.look):
                        await self._has_news.wait()
        finally:
            subscription.cancel()

    def _note(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind is ChangeKind.APPENDED:
                self._news[change.account_id] = None
                self._has_news.set()

    async def _look(self) -> None:
        """Index what came since the last look."""
        accounts = await self._behind() if self._is_behind or not self._news else [*self._news]
        self._has_news.clear()
        self._news.clear()
        self._is_behind = False
        for account_id in accounts:
            while await self._in_an_idle_moment(account_id):
                pass

    async def _behind(self) -> list[AccountId]:
        progress = await asyncio.to_thread(self._index.progress)

        def unit(reader: Reader) -> list[AccountId]:
            accounts = reader.accounts()
            return [each.account_id for each in accounts if each.next_email_id - 1 > progress.get(each.account_id, (0,))[0]]

        return await self._store.read(unit)

    async def _in_an_idle_moment(self, account_id: AccountId) -> bool:
        while self._is_busy():  # noqa: ASYNC110 (what would set an event works on a hot path; this looks five times a second)
            await asyncio.sleep(self._pace.wait)
        started = self._now()
        more = await self.step(account_id)
        await asyncio.sleep((self._now() - started) * self._pace.rest)
        return more

    async def catch_up(self, account_id: AccountId) -> None:
        """Index an account to its end."""
        while await self.step(account_id):
            pass

    async def step(self, account_id: AccountId) -> bool:
        """One batch; whether there may be more."""
        after = await asyncio.to_thread(self._index.indexed_up_to, account_id)
        emails, texts = await self._store.read(lambda reader: self._read(reader, account_id, after))
        if not emails:
            return False
        last = emails[-1].email_id, emails[-1].content_id
        await asyncio.to_thread(self._index.put, account_id, texts, last)
        return True

    def _read(
        self, reader: Reader, account_id: AccountId, after: EmailId
    ) -> tuple[list[Email], list[tuple[EmailId, SearchText | None]]]:
        until = self._now() + SECONDS_A_BATCH
        emails: list[Email] = []
        account = reader.account(account_id)
        if account is None or account.login == QUEUE_LOGIN:  # nobody searches there
            return [], []
        texts: list[tuple[EmailId, SearchText | None]] = []
        for email in islice(reader.emails(account_id, after), EMAILS_A_BATCH):
            emails.append(email)
            texts.append((email.email_id, self._text(reader, email)))
            time.sleep(BREATH)  # who waits for the interpreter has it now, not after 5 ms
            if self._now() >= until:
                break
        return emails, texts

    def _text(self, reader: Reader, email: Email) -> SearchText | None:
        octets = read_email(reader, self._store.read_body, email.account_id, email.email_id)
        return NO_TEXT if octets is None else search_text(octets)

    # -- what is gone

    async def sweep(self) -> int:
        """Drop emails and accounts that are gone; returns how many emails."""
        swept = 0
        for account_id in await asyncio.to_thread(self._index.progress):
            ids = await asyncio.to_thread(self._index.emails, account_id)
            for start in range(0, len(ids), SWEPT_AT_ONCE):
                gone = await self._store.read(partial(_gone, account_id, ids[start : start + SWEPT_AT_ONCE]))
                await asyncio.to_thread(self._index.forget, account_id, gone)
                swept += len(gone)
            if await self._store.read(partial(_is_gone, account_id)):
                await asyncio.to_thread(self._index.forget, account_id)
        return swept


def _is_foreign(reader: Reader, account_id: AccountId, last: tuple[EmailId, bytes]) -> bool:
    email_id, content_id = last
    account, email = reader.account(account_id), reader.email(account_id, email_id)
    return account is None or email_id >= account.next_email_id or (email is not None and email.content_id != content_id)


def _is_gone(account_id: AccountId, reader: Reader) -> bool:
    return reader.account(account_id) is None


def _gone(account_id: AccountId, email_ids: Sequence[EmailId], reader: Reader) -> list[EmailId]:
    first, last = email_ids[0], email_ids[-1]
    there: set[EmailId] = set()
    for email in reader.emails(account_id, first - 1):
        if email.email_id > last:
            break
        there.add(email.email_id)
    return [each for each in email_ids if each not in there]
