"""SEARCH (RFC 9051 section 6.4.4) over the columns of a mailbox: UIDs in, UIDs out.

    uids = await search(store, Sources(...), account_id, columns, query, limit)

What columns can say is asked first, then dates that were sent and threads, then headers, then texts; each condition sees only
the messages that are left when its turn comes. Nothing recurses over the query. The work is cut into slices: each is one
`Store.read`, so that other readers come in between, and the loop is never held (A-43).
"""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol, TypeAlias

from postwren.mailstore import query as q
from postwren.mailstore.errors import SearchTooLong, TextIndexFailed
from postwren.mailstore.model import Entry
from postwren.mailstore.port import Reader, Store, TextIndex, UidRanges
from postwren.mailstore.service.keys import MOST_OCTETS, Keys, KeySource, ReadBody, read_email
from postwren.message.fold import fold
from postwren.message.header import read_header
from postwren.message.part import parse_parts
from postwren.message.searchtext import NO_TEXT, Needle, Place, SearchText, folded_body, folded_header, holds, search_text
from postwren.terms import AccountId, EmailId, FlagSetId, Uid

__all__ = ["Columns", "Search", "Sources", "columns_of", "search"]

DAY: Final = 86_400
BATCH: Final = 4_096
"""Emails that the index is asked for, or keys are read of, in one go."""
SCANNED_AT_ONCE: Final = 16
HEADER_OCTETS: Final = (16 << 10, 1 << 20, MOST_OCTETS)
"""Of a message whose header alone is wanted: as much as holds most, then more."""
SLICE: Final = 0.04
"""Seconds of one slice."""


class Columns(Protocol):
    """A mailbox as parallel columns, ascending by UID (`mailstore.snapshot`)."""

    @property
    def uids(self) -> Sequence[int]: ...
    @property
    def email_ids(self) -> Sequence[int]: ...
    @property
    def flagset_ids(self) -> Sequence[int]: ...
    @property
    def modseqs(self) -> Sequence[int]: ...
    @property
    def internaldates(self) -> Sequence[int]: ...
    @property
    def savedates(self) -> Sequence[int]: ...
    @property
    def sizes(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class EntryColumns:
    """`Columns` made of entries."""

    uids: Sequence[int]
    email_ids: Sequence[int]
    flagset_ids: Sequence[int]
    modseqs: Sequence[int]
    internaldates: Sequence[int]
    savedates: Sequence[int]
    sizes: Sequence[int]


def columns_of(entries: Sequence[Entry]) -> EntryColumns:
    """For what is not a selected mailbox."""
    return EntryColumns(
        [entry.uid for entry in entries],
        [entry.email_id for entry in entries],
        [entry.flagset_id for entry in entries],
        [entry.modseq for entry in entries],
        [entry.internaldate for entry in entries],
        [entry.savedate for entry in entries],
        [entry.size for entry in entries],
    )


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a search looks beyond the columns. Without an index, messages are read."""

    keys: KeySource
    read_body: ReadBody
    index: TextIndex | None = None


async def search(
    store: Store,
    sources: Sources,
    account_id: AccountId,
    columns: Columns,
    query: q.Query,
    *,
    seconds: float = 30.0,
    is_unwanted: Callable[[], bool] = lambda: False,
    now: Callable[[], float] = time.monotonic,
) -> list[Uid]:
    """The UIDs that match, ascending. QueryTooBig at once; SearchTooLong when `seconds` are over, or when `is_unwanted` (called
    from another thread) says that nobody waits any more. Cancelling the wait ends it within a slice."""
    work = Search(sources, account_id, columns, query)
    end = now() + seconds

    def slice_(reader: Reader) -> bool:
        until = min(now() + SLICE, end)
        return work.run(reader, lambda: now() >= until or is_unwanted())

    while not await store.read(slice_):
        if now() >= end or is_unwanted():
            raise SearchTooLong
    return work.uids()


_Steps: TypeAlias = Generator[None, None, list[int]]
"""Work that pauses, and the rows that it finds."""


@dataclass(slots=True)
class _Frame:
    """A condition whose parts are judged one after another."""

    query: q.Query
    parts: list[q.Query]  # the dearest first: they are taken from the end
    left: list[int]  # And: rows that are true so far. Or: not yet true. Not: those of which its part is not true
    found: set[int] = field(default_factory=set)  # Or: true


class Search:
    """One search in slices."""

    def __init__(self, sources: Sources, account_id: AccountId, columns: Columns, query: q.Query) -> None:
        q.check_bounds(query)
        self._sources = sources
        self._account_id = account_id
        self._columns = columns
        self._costs = _costs(query)
        self._texts = _Texts(sources, account_id, query)
        self._flags: dict[int, frozenset[str]] = {}
        self._rows: list[int] = []
        self._reader: Reader | None = None
        self._steps = self._evaluate(query)
        self.is_done = False

    def run(self, reader: Reader, is_time_up: Callable[[], bool]) -> bool:
        """Go on until it is done (True) or time is up; the reader is used during the call only."""
        self._reader = self._texts.reader = reader
        for _ in self._steps:
            if is_time_up():
                return False
        self.is_done = True
        return True

    def uids(self) -> list[Uid]:
        """The answer, once it is done."""
        uids = self._columns.uids
        return [Uid(uids[row]) for row in self._rows]

    def rows(self) -> list[int]:
        """The same as positions in the columns."""
        return self._rows

    # -- the tree

    def _evaluate(self, query: q.Query) -> Iterator[None]:
        stack: list[_Frame] = []
        now, rows = query, list(range(len(self._columns.uids)))
        while True:
            parts = q.parts_of(now)
            if rows and (parts or isinstance(now, q.And | q.Or)):
                stack.append(_Frame(now, sorted(parts, key=self._cost, reverse=True), rows))
            else:
                rows = (yield from self._leaf(now, rows)) if rows else []
                yield
                if stack:
                    _take(stack[-1], rows)
            while stack and not (stack[-1].parts and stack[-1].left):
                rows = _result(stack.pop())
                if stack:
                    _take(stack[-1], rows)
            if not stack:
                self._rows = rows
                return
            now, rows = stack[-1].parts.pop(), stack[-1].left

    def _cost(self, query: q.Query) -> int:
        return self._costs[id(query)]

    def _leaf(self, query: q.Query, rows: list[int]) -> _Steps:
        match query:
            case q.Header() | q.Body() | q.Text():
                email_ids = self._columns.email_ids
                found = yield from self._texts.holding(_needle(query), sorted({EmailId(email_ids[row]) for row in rows}))
                return [row for row in rows if email_ids[row] in found]
            case q.Day(of=q.DayOf.SENT) | q.ThreadIs():
                return (yield from self._keys_leaf(query, rows))
            case _:
                return self._column_leaf(query, rows)

    def _keys_leaf(self, query: q.Query, rows: list[int]) -> _Steps:
        found: list[int] = []
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            assert self._reader is not None
            email_ids = [EmailId(self._columns.email_ids[row]) for row in some]
            keys = self._sources.keys.keys(self._reader, self._account_id, email_ids)
            found += [row for row, each in zip(some, keys, strict=True) if _is_key(query, each)]
            yield
        return found

    def _column_leaf(self, query: q.Query, rows: list[int]) -> list[int]:
        columns = self._columns
        match query:
            case q.Uids(ranges):
                return _in_ranges(columns.uids, ranges, rows)
            case q.HasFlag(flag):
                having = self._sets_with(flag.lower(), set(columns.flagset_ids))
                return [row for row in rows if columns.flagset_ids[row] in having]
            case q.Larger(size):
                return [row for row in rows if columns.sizes[row] > size]
            case q.Smaller(size):
                return [row for row in rows if columns.sizes[row] < size]
            case q.ModSeqFrom(modseq):
                return [row for row in rows if columns.modseqs[row] >= modseq]
            case q.EmailIs(email_id):
                return [row for row in rows if columns.email_ids[row] == email_id]
            case q.Younger(seconds, now):
                return [row for row in rows if columns.internaldates[row] >= now - seconds]
            case q.Older(seconds, now):
                return [row for row in rows if columns.internaldates[row] <= now - seconds]
            case q.Day(of, relation, day):
                dates = columns.savedates if of is q.DayOf.SAVED else columns.internaldates
                first, last = _seconds_of(relation, day)
                return [row for row in rows if first <= dates[row] < last]
            case q.SaveDateSupported():
                return rows
            case _:
                raise AssertionError(query)

    def _sets_with(self, flag: str, flagset_ids: set[int]) -> set[int]:
        assert self._reader is not None
        for number in flagset_ids - self._flags.keys():
            flags = self._reader.flagset(self._account_id, FlagSetId(number))
            self._flags[number] = frozenset(each.lower() for each in flags)
        return {number for number in flagset_ids if flag in self._flags[number]}


class _Texts:
    """The texts of messages, for all needles of one query: out of the index where it has them, else read, once each."""

    def __init__(self, sources: Sources, account_id: AccountId, query: q.Query) -> None:
        self._sources = sources
        self._account_id = account_id
        needles = [_needle(node) for node in q.nodes(query) if isinstance(node, q.Header | q.Body | q.Text)]
        self._needles = list(dict.fromkeys(needles))
        self._is_header_enough = all(needle.place is Place.FIELD for needle in needles)
        self._is_body_enough = all(needle.place is Place.BODY for needle in needles)
        self._read: dict[EmailId, int] = {}  # of messages that were read: a bit a needle
        self.reader: Reader | None = None

    def holding(self, needle: Needle, email_ids: list[EmailId]) -> "Generator[None, None, set[EmailId]]":
        """Those of the ascending ids whose messages hold the needle."""
        if needle.place is not Place.FIELD and not needle.text:
            return set(email_ids)
        found: set[EmailId] = set()
        unread = email_ids
        if self._sources.index is not None:
            with suppress(TextIndexFailed):  # then all of them are read
                unread = yield from self._ask(self._sources.index, needle, email_ids, found)
        bit = 1 << self._needles.index(needle)
        for start in range(0, len(unread), SCANNED_AT_ONCE):
            some = unread[start : start + SCANNED_AT_ONCE]
            found.update([each for each in some if self._held(each) & bit])
            yield
        return found

    def _ask(
        self, index: TextIndex, needle: Needle, email_ids: list[EmailId], found: set[EmailId]
    ) -> "Generator[None, None, list[EmailId]]":
        """Put what the index finds into `found`; what it does not know of is returned."""
        indexed = email_ids[: bisect_right(email_ids, index.indexed_up_to(self._account_id))]
        too_long = index.too_long(self._account_id)
        known = [each for each in indexed if each not in too_long] if too_long else indexed
        for start in range(0, len(known), BATCH):
            found |= index.find(self._account_id, needle, known[start : start + BATCH])
            yield
        return [each for each in indexed if each in too_long] + email_ids[len(indexed) :]

    def _held(self, email_id: EmailId) -> int:
        held = self._read.get(email_id)
        if held is None:
            texts = self._texts_of(email_id)
            held = sum(1 << bit for bit, needle in enumerate(self._needles) if holds(texts, needle))
            self._read[email_id] = held
        return held

    def _texts_of(self, email_id: EmailId) -> SearchText:
        assert self.reader is not None
        if self._is_header_enough:
            return self._header_of(self.reader, email_id)
        octets = read_email(self.reader, self._sources.read_body, self._account_id, email_id)
        if octets is None:
            return NO_TEXT
        if self._is_body_enough:
            return SearchText(b"", b"", folded_body(octets, parse_parts(octets)))
        return search_text(octets)

    def _header_of(self, reader: Reader, email_id: EmailId) -> SearchText:
        for length in HEADER_OCTETS:
            octets = read_email(reader, self._sources.read_body, self._account_id, email_id, length)
            if octets is None:
                return NO_TEXT
            header = read_header(octets)
            if len(octets) < length or header.end < len(octets):
                break
        return SearchText(folded_header(header), b"", b"")


def _needle(query: q.Header | q.Body | q.Text) -> Needle:
    match query:
        case q.Header(name, text):
            return Needle(Place.FIELD, fold(text), fold(name))
        case q.Body(text):
            return Needle(Place.BODY, fold(text))
        case q.Text(text):
            return Needle(Place.ANYWHERE, fold(text))


def _costs(query: q.Query) -> dict[int, int]:
    """By `id` of a condition: what it looks at."""
    costs: dict[int, int] = {}
    for node in reversed(list(q.nodes(query))):  # what it is made of comes before it
        match node:
            case q.Body() | q.Text():
                cost = 3
            case q.Header():
                cost = 2
            case q.Day(of=q.DayOf.SENT) | q.ThreadIs():
                cost = 1
            case _:
                cost = max([costs[id(part)] for part in q.parts_of(node)], default=0)
        costs[id(node)] = cost
    return costs


def _take(frame: _Frame, rows: list[int]) -> None:
    """One part of it is true of these rows."""
    match frame.query:
        case q.Or():
            frame.found.update(rows)
            frame.left = [row for row in frame.left if row not in frame.found]
        case q.Not():
            true = set(rows)
            frame.left = [row for row in frame.left if row not in true]
        case _:
            frame.left = rows


def _result(frame: _Frame) -> list[int]:
    return sorted(frame.found) if isinstance(frame.query, q.Or) else frame.left


def _is_key(query: q.Query, keys: Keys) -> bool:
    match query:
        case q.ThreadIs(thread_id):
            return keys.thread_id == thread_id
        case q.Day(_, relation, day):
            first, last = _seconds_of(relation, day)
            return keys.sent is not None and first <= keys.sent + keys.sent_offset * 60 < last
        case _:
            raise AssertionError(query)


def _seconds_of(relation: q.Relation, day: int) -> tuple[float, float]:
    """From, and before."""
    match relation:
        case q.Relation.BEFORE:
            return -inf, day * DAY
        case q.Relation.ON:
            return day * DAY, (day + 1) * DAY
        case q.Relation.SINCE:
            return day * DAY, inf


def _in_ranges(uids: Sequence[int], ranges: UidRanges, rows: list[int]) -> list[int]:
    found: list[int] = []
    for lo, hi in ranges:
        first = bisect_left(rows, bisect_left(uids, lo))
        found += rows[first : bisect_left(rows, bisect_right(uids, hi))]
    return found
