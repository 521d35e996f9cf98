"""SEARCH, SORT and THREAD of a mailbox (RFC 9051 section 6.4.4, RFC 5256): columns and a query in, UIDs out.

    finder = Finder(store, Keys(store.read_body, store.digests, store), index)
    found = await finder.search(account_id, snapshot, query)
    found = await finder.sort(account_id, snapshot, query, [(SortKey.SUBJECT, False), (SortKey.DATE, True)])
    forest, found = await finder.thread(account_id, snapshot, query, Algorithm.REFERENCES)

The work is cut into slices, each one `Store.read`: other readers come in between and the loop is never held (A-43). What is
looked at are copies of the columns, made before anything is awaited.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, cast

from postwren.mailstore import query as q
from postwren.mailstore.errors import SearchTooLong
from postwren.mailstore.model import Entry
from postwren.mailstore.port import Reader, Store, TextIndex
from postwren.mailstore.service.answers import Answers
from postwren.mailstore.service.keys import Key, Keys
from postwren.mailstore.service.search import FixedColumns, Search
from postwren.mailstore.service.sort import SortKey, keys_for, sort
from postwren.mailstore.service.textsearch import Texts
from postwren.mailstore.service.thread import Algorithm, Forest, thread
from postwren.terms import AccountId, ModSeq, Uid

__all__ = ["MANY", "Bounds", "Columns", "Finder", "Found", "columns_of"]

T = TypeVar("T")
SLICE: Final = 0.04
"""Seconds of one slice."""
KEYS_AT_ONCE: Final = 2_048
COLUMNS_AT_ONCE: Final = 16_384
"""Values that are picked in one step of the interpreter, which lets nobody else go on."""
MANY: Final = 20_000
"""Found messages that are kept as arrays."""
_OF_OTHER_COLUMNS: Final = frozenset[type[q.Query]](
    (q.And, q.Or, q.Not, q.Fuzzy, q.Uids, q.HasFlag, q.Larger, q.Smaller, q.Younger, q.Older, q.ModSeqFrom, q.SaveDateSupported)
)
"""Conditions that do not look at emails; a `Day` may."""
SMALL: Final = 200
"""Messages that are sorted or threaded on the loop: below this, a trip to another thread costs more."""


class Columns(Protocol):
    """A mailbox as parallel columns, ascending by UID (`mailstore.snapshot`); they may change once the loop goes on."""

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
class Bounds:
    """When to give up. `is_unwanted` says that nobody waits any more; it is called from another thread."""

    seconds: float = 30.0
    is_unwanted: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, as parallel columns, in the order asked for: of a search ascending by UID."""

    uids: Sequence[Uid]
    modseqs: Sequence[int]  # of a large mailbox: empty where the query does not ask of them
    internaldates: Sequence[int]  # for `sort.relevance`; the same

    @property
    def modseq(self) -> ModSeq | None:
        """The highest of what was found (RFC 7162 section 3.1.6)."""
        return ModSeq(max(self.modseqs)) if self.modseqs else None


class Finder:
    """One for a store. All methods raise QueryTooBig at once, and SearchTooLong when time is over or nobody waits; cancelling the
    wait ends the work within a slice."""

    def __init__(
        self, store: Store, keys: Keys, index: TextIndex | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._keys = keys
        self._index = index
        self._now = now
        self._answers = Answers()

    async def search(self, account_id: AccountId, columns: Columns, query: q.Query, bounds: Bounds | None = None) -> Found:
        """The messages that match."""
        fixed = _fixed(columns, query) if len(columns.uids) <= MANY else _fixed_of_many(columns, query)
        _, found = await self._find(account_id, fixed, query, self._pace(bounds))
        return found

    async def sort(
        self,
        account_id: AccountId,
        columns: Columns,
        query: q.Query,
        order: Sequence[tuple[SortKey, bool]],
        bounds: Bounds | None = None,
    ) -> Found:
        """The messages that match, sorted by these keys (each with whether it is reversed)."""
        fixed, pace = _fixed(columns, query), self._pace(bounds)
        question = (account_id, query, tuple(order))
        rows = self._answers.get(question, fixed)
        if rows is not None:
            return _found(fixed, rows)
        unsorted, _ = await self._find(account_id, fixed, query, pace)
        keys = {key: await self._column(account_id, fixed, unsorted, key, pace) for key in keys_for(order)}

        def in_order() -> list[int]:
            dates, sizes = _at(fixed.internaldates, unsorted), _at(fixed.sizes, unsorted)
            return _at(unsorted, sort(order, dates, sizes, keys.__getitem__))

        rows = in_order() if len(unsorted) < SMALL else await self._store.read(lambda _: in_order())
        self._answers.put(question, fixed, query, rows)
        return _found(fixed, rows)

    async def thread(
        self, account_id: AccountId, columns: Columns, query: q.Query, algorithm: Algorithm, bounds: Bounds | None = None
    ) -> tuple[Forest, Found]:
        """The messages that match, as threads of UIDs, and as `search` finds them."""
        fixed, pace = _fixed(columns, query), self._pace(bounds)
        rows, found = await self._find(account_id, fixed, query, pace)
        question = (account_id, query, algorithm)
        forest = self._answers.get(question, fixed)
        if forest is None:
            linked = await self._column(account_id, fixed, rows, Key.LINKED, pace)

            def threaded() -> Forest:
                return thread(found.uids, linked, found.internaldates, algorithm)

            forest = threaded() if len(rows) < SMALL else await self._store.read(lambda _: threaded())
            self._answers.put(question, fixed, query, forest)
        return forest, found

    async def _find(
        self, account_id: AccountId, fixed: FixedColumns, query: q.Query, pace: "_Pace"
    ) -> tuple[Sequence[int], Found]:
        if query == q.ALL:
            every = range(len(fixed.uids))
            return every, _found(fixed, every)
        rows = self._answers.get((account_id, query), fixed)
        if rows is not None:
            return rows, _found(fixed, rows)
        texts = Texts(self._store.read_body, self._index, account_id, query, self._store, self._store.digests)
        work = Search(account_id, fixed, query, self._keys, texts)

        def in_slice(reader: Reader) -> Found | None:
            return _found(fixed, work.rows) if work.run(reader, pace.slice()) else None

        while (found := await self._store.read(in_slice)) is None:
            pace.check()
        self._answers.put((account_id, query), fixed, query, work.rows)
        return work.rows, found

    async def _column(
        self, account_id: AccountId, fixed: FixedColumns, rows: Sequence[int], key: Key, pace: "_Pace"
    ) -> list[Any]:
        """A key of each of the rows."""
        values: list[Any] = []
        email_ids = _at(fixed.email_ids, rows)

        def in_slice(reader: Reader) -> None:
            is_over = pace.slice()
            while len(values) < len(email_ids) and not is_over():
                some = email_ids[len(values) : len(values) + KEYS_AT_ONCE]
                values.extend(self._keys.column(reader, account_id, some, key))

        while len(values) < len(email_ids):
            pace.check()
            await self._store.read(in_slice)
        return values

    def _pace(self, bounds: Bounds | None) -> "_Pace":
        return _Pace(bounds or Bounds(), self._now)


class _Pace:
    """How long one piece of work may go on."""

    def __init__(self, bounds: Bounds, now: Callable[[], float]) -> None:
        self._end = now() + bounds.seconds
        self._is_unwanted = bounds.is_unwanted
        self._now = now

    def slice(self) -> Callable[[], bool]:
        """Begin a slice; tells when it is over."""
        until = min(self._now() + SLICE, self._end)
        return lambda: self._now() >= until or self._is_unwanted()

    def check(self) -> None:
        """SearchTooLong."""
        if self._now() >= self._end or self._is_unwanted():
            raise SearchTooLong


def columns_of(entries: Sequence[Entry]) -> FixedColumns:
    """The columns of what is no selected mailbox."""
    return FixedColumns(
        [entry.uid for entry in entries],
        [entry.email_id for entry in entries],
        [entry.flagset_id for entry in entries],
        [entry.modseq for entry in entries],
        [entry.internaldate for entry in entries],
        [entry.savedate for entry in entries],
        [entry.size for entry in entries],
    )


def _fixed(columns: Columns, query: q.Query) -> FixedColumns:
    """Copies: of arrays 40 octets a message, as fast as memory is."""
    q.check_bounds(query)
    kinds = {type(node) for node in q.nodes(query)}
    return FixedColumns(
        columns.uids[:],
        columns.email_ids[:],
        columns.flagset_ids[:] if q.HasFlag in kinds else (),
        columns.modseqs[:],
        columns.internaldates[:],
        columns.savedates[:] if q.Day in kinds else (),
        columns.sizes[:],
    )


def _fixed_of_many(columns: Columns, query: q.Query) -> FixedColumns:
    """Only what this search asks of: copies of everything would hold the loop for 20 ms a million messages."""
    q.check_bounds(query)
    kinds = {type(node) for node in q.nodes(query)}
    return FixedColumns(
        columns.uids[:],
        () if kinds <= _OF_OTHER_COLUMNS else columns.email_ids[:],
        columns.flagset_ids[:] if q.HasFlag in kinds else (),
        columns.modseqs[:] if q.ModSeqFrom in kinds else (),
        columns.internaldates[:] if kinds & {q.Day, q.Younger, q.Older, q.Fuzzy} else (),
        columns.savedates[:] if q.Day in kinds else (),
        columns.sizes[:] if kinds & {q.Larger, q.Smaller} else (),
    )


def _found(fixed: FixedColumns, rows: Sequence[int]) -> Found:
    pick = _at if len(rows) <= MANY else _packed
    uids, modseqs, dates = [column and pick(column, rows) for column in (fixed.uids, fixed.modseqs, fixed.internaldates)]
    return Found(cast("Sequence[Uid]", uids), modseqs, dates)


def _packed(column: Sequence[int], rows: Sequence[int]) -> Sequence[int]:
    """The values at these positions, without an object for each of a million."""
    if not isinstance(column, array):
        return _at(column, rows)
    if isinstance(rows, range):
        return column[:]
    packed = array(column.typecode)
    for start in range(0, len(rows), COLUMNS_AT_ONCE):
        packed.extend(map(column.__getitem__, rows[start : start + COLUMNS_AT_ONCE]))
    return packed


def _at(column: Sequence[int], rows: Sequence[int]) -> list[int]:
    """The values at these positions."""
    if isinstance(rows, range):  # all of them
        return list(column)
    return [column[row] for row in rows]
