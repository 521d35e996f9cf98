"""Renders what IMAP asks of messages (`message.digest`) behind their acknowledgement, ADR 0003.

    digester = Digester(store, now)
    task = asyncio.create_task(digester.run())         in idle moments, in small slices
    rows = await digester.ensure(account_id, ids)      at once, where some are missing
    await digester.columns(account_id, ids, names)     at once, for a FETCH: of the header alone where that is enough

A message that trips over something (octets that are not what was stored) has no row; who needs it reads the body and sees why.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from postwren.mailstore.digests import DigestRow, row_of
from postwren.mailstore.errors import BodyCorrupt, MailstoreError, MessageGone
from postwren.mailstore.model import BodyRef, Change, ChangeKind, Email
from postwren.mailstore.neighbours import WINDOW, read_header_columns, read_neighbours
from postwren.mailstore.port import Reader, Store
from postwren.mailstore.queue import QUEUE_LOGIN
from postwren.message.digest import digest
from postwren.message.glance import HEADER_COLUMNS
from postwren.terms import AccountId, EmailId

__all__ = ["Digester", "Limits", "render"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at a time."""

    slice_messages: int = 64  # rendered behind deliveries before the next look at whether somebody delivers
    slice_seconds: float = 0.02  # likewise
    part_messages: int = 16  # of them that are read together
    batch_messages: int = 200  # rendered for a FETCH before others may read
    batch_headers: int = 500  # of which the headers are looked at, likewise
    batch_octets: int = 4 << 20
    idle_seconds: float = 0.05  # without a commit: an idle moment
    quiet_seconds: float = 0.2  # the same for what has more time
    pause_seconds: float = 0.002  # between two slices
    breath_seconds: float = 0.0001  # now and then within a slice: whoever waits for the interpreter has it then


def render(store: Store, emails: Sequence[Email], breathe: Callable[[], None] = lambda: None) -> list[DigestRow]:
    """The rows of these emails, in no particular order; inside `Store.read`. `breathe` is called before each."""
    rows = []
    for position, octets in read_neighbours(store, [email.body for email in emails]):
        breathe()
        email = emails[position]
        if octets is not None:
            rows.append(row_of(email, digest(octets)))
        elif email.body.size > WINDOW and _is_whole(store, email.body):
            with store.mapped_body(email.body) as mapped:
                rows.append(row_of(email, digest(mapped)))
    return rows


def _is_whole(store: Store, ref: BodyRef) -> bool:
    try:
        for _ in store.body_pieces(ref):
            pass
    except (BodyCorrupt, MessageGone):
        return False
    return True


class Digester:
    """One a process. `now` is a clock of seconds that never goes back."""

    def __init__(self, store: Store, now: Callable[[], float], limits: Limits | None = None) -> None:
        self._store = store
        self._now = now
        self._limits = limits or Limits()
        self._waiting: dict[AccountId, None] = {}  # in this order
        self._reached: dict[AccountId, EmailId] = {}  # what is below has a row, or cannot have one
        self._has_work = asyncio.Event()
        self._last_commit = now()
        self._next_breath = 0.0

    # -- for a FETCH

    async def columns(
        self, account_id: AccountId, email_ids: Sequence[int], names: tuple[str, ...]
    ) -> dict[EmailId, tuple[Any, ...]]:
        """These columns of those of these emails that have no row. What is made of the header is read without rendering the rest,
        which is left to `run`; `header` may hold more than the usual fields then."""
        missing: Sequence[int] = self._store.digests.missing(account_id, email_ids)
        found: dict[EmailId, tuple[Any, ...]] = {}
        if HEADER_COLUMNS.issuperset(names):
            for start in range(0, len(missing), self._limits.batch_headers):
                batch = missing[start : start + self._limits.batch_headers]
                found |= await self._store.read(
                    lambda reader, batch=batch: read_header_columns(self._store, reader.emails_of(account_id, batch), names)  # type: ignore[misc]
                )
            missing = [email_id for email_id in missing if email_id not in found]
        places = [DigestRow._fields.index(name) for name in names]
        for email_id, row in (await self.ensure(account_id, missing)).items():
            found[email_id] = tuple([row[place] for place in places])
        return found

    async def ensure(self, account_id: AccountId, email_ids: Sequence[int]) -> dict[EmailId, DigestRow]:
        """Render those of these emails that have no row, and return their rows, also where the volume takes nothing. An email
        that is gone or cannot be read is not among them."""
        missing = self._store.digests.missing(account_id, email_ids)
        rendered: dict[EmailId, DigestRow] = {}
        for start in range(0, len(missing), self._limits.batch_messages):
            batch = missing[start : start + self._limits.batch_messages]
            rows = await self._store.read(lambda reader, batch=batch: self._render(reader, account_id, batch))  # type: ignore[misc]
            rendered |= {row.email_id: row for row in rows}
        return rendered

    def _render(self, reader: Reader, account_id: AccountId, email_ids: Sequence[int]) -> list[DigestRow]:
        done: list[DigestRow] = []
        for emails in self._by_octets(reader.emails_of(account_id, email_ids)):
            rows = render(self._store, emails)
            self._store.digests.put(rows)
            done += rows
        return done

    def _by_octets(self, emails: Sequence[Email], most: int = 1 << 20) -> Iterator[list[Email]]:
        part: list[Email] = []
        octets = 0
        for email in emails:
            if len(part) == most or (part and octets + email.body.size > self._limits.batch_octets):
                yield part
                part, octets = [], 0
            part.append(email)
            octets += email.body.size
        if part:
            yield part

    # -- behind deliveries

    async def run(self) -> None:
        """Until it is cancelled: what is there without a row, then what arrives."""
        subscription = self._store.observe(self._note)
        try:
            for account in await self._store.read(lambda reader: list(reader.accounts())):
                self._wait_for(account.account_id)
            while True:
                await self._has_work.wait()
                await self._idle_moment()
                started = self._now()
                busy = await self._slice()
                # as long as others had the processor meanwhile, half of the time at most: in an idle process next to nothing
                others = max(self._now() - started - busy, 0.0)
                await asyncio.sleep(self._limits.pause_seconds + min(others, busy))
        finally:
            subscription.cancel()

    def is_busy(self) -> bool:
        """A commit came a moment ago, or there is something to render: what has more time waits (the text index)."""
        return self._has_work.is_set() or self._now() < self._last_commit + self._limits.quiet_seconds

    def _note(self, changes: Sequence[Change]) -> None:
        self._last_commit = self._now()
        for change in changes:
            if change.kind is ChangeKind.APPENDED and change.account_id not in self._waiting:
                self._wait_for(change.account_id)

    def _wait_for(self, account_id: AccountId) -> None:
        self._waiting[account_id] = None
        self._has_work.set()

    async def _idle_moment(self) -> None:
        left = self._last_commit + self._limits.idle_seconds - self._now()
        while left > 0:
            await asyncio.sleep(left)
            left = self._last_commit + self._limits.idle_seconds - self._now()

    async def _slice(self) -> float:
        """Some messages of the account that waits longest; returns the seconds of the processor that it took."""
        account_id = next(iter(self._waiting))
        del self._waiting[account_id]  # what comes while we read puts it back
        first = self._reached.get(account_id, EmailId(1))
        try:
            reached, is_done, seconds = await self._store.read(lambda reader: self._render_from(reader, account_id, first))
        except MailstoreError:
            reached, is_done, seconds = first, True, 0.0
        self._reached[account_id] = reached
        if not is_done:
            self._wait_for(account_id)  # behind the others
        elif not self._waiting:
            self._has_work.clear()
        return seconds

    def _render_from(self, reader: Reader, account_id: AccountId, first: EmailId) -> tuple[EmailId, bool, float]:
        started = time.thread_time()
        reached, is_done = self._render_some(reader, account_id, first)
        return reached, is_done, time.thread_time() - started

    def _render_some(self, reader: Reader, account_id: AccountId, first: EmailId) -> tuple[EmailId, bool]:
        """Render a few from this id on; where to go on, and whether that was all."""
        account = reader.account(account_id)
        if account is None or account.login == QUEUE_LOGIN or first >= account.next_email_id:
            return first, True
        limits = self._limits
        end = min(account.next_email_id, EmailId(first + 50 * limits.slice_messages))
        missing = self._store.digests.missing(account_id, range(first, end))
        some = missing[: limits.slice_messages]
        if len(some) < len(missing):
            end = EmailId(some[-1] + 1)
        rows: list[DigestRow] = []
        until, commit = self._now() + limits.slice_seconds, self._last_commit
        for part in self._by_octets(reader.emails_of(account_id, some), limits.part_messages):
            if rows and (self._now() >= until or self._last_commit != commit):
                end = part[0].email_id
                break
            rows += render(self._store, part, self._breathe)
        if not self._store.digests.put(rows):
            return first, True  # a full volume: what comes later brings it back here
        return end, end >= account.next_email_id

    def _breathe(self) -> None:
        """Before each message. Who waits for the interpreter would have it after 5 ms else: twice in a NOOP."""
        if self._now() >= self._next_breath:
            time.sleep(self._limits.breath_seconds)
            self._next_breath = self._now() + 20 * self._limits.breath_seconds
