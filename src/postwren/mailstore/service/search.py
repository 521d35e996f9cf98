"""The evaluation of a query over the columns of a mailbox (RFC 9051 section 6.4.4).

What columns can say is asked first, then dates that were sent and threads, then headers, then texts; each condition sees only
the messages that are left when its turn comes. Nothing recurses over the query. The work pauses between its steps
(`service/find.py` cuts it into slices).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, TypeAlias

from postwren.mailstore import query as q
from postwren.mailstore.port import Reader, UidRanges
from postwren.mailstore.service.keys import Key, Keys
from postwren.mailstore.service.textsearch import Texts, needle_of
from postwren.terms import AccountId, EmailId, FlagSetId

__all__ = ["FixedColumns", "Search"]

DAY: Final = 86_400
KEYS_AT_ONCE: Final = 4_096


@dataclass(frozen=True, slots=True)
class FixedColumns:
    """A mailbox as parallel columns, ascending by UID, which nobody changes; those that are not asked for may be empty."""

    uids: Sequence[int]
    email_ids: Sequence[int] = ()
    flagset_ids: Sequence[int] = ()
    modseqs: Sequence[int] = ()
    internaldates: Sequence[int] = ()
    savedates: Sequence[int] = ()
    sizes: Sequence[int] = ()


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

    def __init__(self, account_id: AccountId, columns: FixedColumns, query: q.Query, keys: Keys, texts: Texts) -> None:
        self._account_id = account_id
        self._keys = keys
        self._columns = columns
        self._costs = _costs(query)
        self._texts = texts
        self._flags: dict[int, frozenset[str]] = {}
        self._reader: Reader | None = None
        self._steps = self._evaluate(query)
        self.rows: list[int] = []
        """Positions in the columns, ascending: the answer, once `run` said True."""

    def run(self, reader: Reader, is_time_up: Callable[[], bool]) -> bool:
        """Go on until it is done (True) or time is up; the reader is used during the call only."""
        self._reader = self._texts.reader = reader
        return all(not is_time_up() for _ in self._steps)

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
                self.rows = rows
                return
            now, rows = stack[-1].parts.pop(), stack[-1].left

    def _cost(self, query: q.Query) -> int:
        return self._costs[id(query)]

    def _leaf(self, query: q.Query, rows: list[int]) -> _Steps:
        match query:
            case q.Header() | q.Body() | q.Text():
                email_ids = self._columns.email_ids
                found = yield from self._texts.holding(needle_of(query), sorted({EmailId(email_ids[row]) for row in rows}))
                return [row for row in rows if email_ids[row] in found]
            case q.Day(of=q.DayOf.SENT) | q.ThreadIs():
                return (yield from self._keys_leaf(query, rows))
            case _:
                return self._column_leaf(query, rows)

    def _keys_leaf(self, query: q.Query, rows: list[int]) -> _Steps:
        found: list[int] = []
        for start in range(0, len(rows), KEYS_AT_ONCE):
            some = rows[start : start + KEYS_AT_ONCE]
            assert self._reader is not None
            email_ids = [self._columns.email_ids[row] for row in some]
            key = Key.THREAD_ID if isinstance(query, q.ThreadIs) else Key.SENT_THERE
            values = self._keys.column(self._reader, self._account_id, email_ids, key)
            found += [row for row, value in zip(some, values, strict=True) if _is_key(query, value)]
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


def _is_key(query: q.Query, value: Any) -> bool:
    match query:
        case q.ThreadIs(thread_id):
            return bool(value == thread_id)
        case q.Day(_, relation, day):
            first, last = _seconds_of(relation, day)
            return value is not None and first <= value < last
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
