"""The evaluation of a query over the columns of a mailbox (RFC 9051 section 6.4.4).

What columns can say is asked first, then dates that were sent and threads, then headers, then texts; each condition sees only
the messages that are left when its turn comes. Nothing recurses over the query. The work pauses between its steps
(`service/find.py` cuts it into slices).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from math import inf
from operator import not_
from typing import Any, Final, TypeAlias

from postwren.mailstore import query as q
from postwren.mailstore.port import Reader, UidRanges
from postwren.mailstore.service.keys import Key, Keys
from postwren.mailstore.service.textsearch import Texts, needle_of
from postwren.terms import AccountId, EmailId, FlagSetId

__all__ = ["FixedColumns", "Search"]

DAY: Final = 86_400
KEYS_AT_ONCE: Final = 4_096
ROWS_AT_ONCE: Final = 16_384
"""Rows that are judged without a pause: a thread that does more in one step of the interpreter keeps the loop's waiting. Answers
that are longer are arrays, for a list or a set of a million numbers takes 40 MB and more."""


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


_Steps: TypeAlias = Generator[None, None, Sequence[int]]
"""Work that pauses, and the rows that it finds."""
_Test: TypeAlias = Callable[[int], bool]


@dataclass(slots=True)
class _Frame:
    """A condition whose parts are judged one after another."""

    query: q.Query
    parts: list[q.Query]  # the dearest first: they are taken from the end
    rows: Sequence[int]  # those that it is asked of
    left: Sequence[int]  # And: those that are true so far. Or: not yet true. Not: those of which its part is not true


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
        self.rows: Sequence[int] = []
        """Positions in the columns, ascending: the answer, once `run` said True."""

    def run(self, reader: Reader, is_time_up: Callable[[], bool]) -> bool:
        """Go on until it is done (True) or time is up; the reader is used during the call only."""
        self._reader = self._texts.reader = reader
        return all(not is_time_up() for _ in self._steps)

    # -- the tree

    def _evaluate(self, query: q.Query) -> Iterator[None]:
        stack: list[_Frame] = []
        now: q.Query = query
        rows: Sequence[int] = range(len(self._columns.uids))
        while True:
            parts = () if _is_negative(now) else q.parts_of(now)
            if rows and (parts or isinstance(now, q.And | q.Or)):
                stack.append(_Frame(now, sorted(parts, key=self._cost, reverse=True), rows, rows))
            else:
                rows = (yield from self._leaf(now, rows)) if rows else []
                yield
                if stack:
                    yield from _take(stack[-1], rows)
            while stack and not (stack[-1].parts and stack[-1].left):
                rows = yield from _result(stack.pop())
                if stack:
                    yield from _take(stack[-1], rows)
            if not stack:
                self.rows = rows
                return
            now, rows = stack[-1].parts.pop(), stack[-1].left

    def _cost(self, query: q.Query) -> int:
        return self._costs[id(query)]

    def _leaf(self, query: q.Query, rows: Sequence[int]) -> _Steps:
        match query:
            case q.Header() | q.Body() | q.Text():
                email_ids = self._columns.email_ids
                found = yield from self._texts.holding(needle_of(query), sorted({EmailId(email_ids[row]) for row in rows}))
                return [row for row in rows if email_ids[row] in found]
            case q.Day(of=q.DayOf.SENT) | q.ThreadIs():
                return (yield from self._keys_leaf(query, rows))
            case q.Uids(ranges):
                return _in_ranges(self._columns.uids, ranges, rows)
            case q.SaveDateSupported():
                return rows
            case q.Not(inner):
                return (yield from _judged(rows, *self._column_test(inner), is_negative=True))
            case _:
                return (yield from _judged(rows, *self._column_test(query), is_negative=False))

    def _keys_leaf(self, query: q.Query, rows: Sequence[int]) -> _Steps:
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

    def _column_test(self, query: q.Query) -> tuple[Sequence[int], _Test]:
        """The column that a condition asks of, and what it asks: built-in methods, which cost no frame a message."""
        columns = self._columns
        match query:
            case q.HasFlag(flag):
                return columns.flagset_ids, self._sets_with(flag.lower(), set(columns.flagset_ids)).__contains__
            case q.Larger(size):
                return columns.sizes, size.__lt__
            case q.Smaller(size):
                return columns.sizes, size.__gt__
            case q.ModSeqFrom(modseq):
                return columns.modseqs, modseq.__le__
            case q.EmailIs(email_id):
                return columns.email_ids, email_id.__eq__
            case q.Younger(seconds, now):
                return columns.internaldates, (now - seconds).__le__
            case q.Older(seconds, now):
                return columns.internaldates, (now - seconds).__ge__
            case q.Day(of, relation, day):
                first, last = _seconds_of(relation, day)
                dates = columns.savedates if of is q.DayOf.SAVED else columns.internaldates
                return dates, lambda date: first <= date < last
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


def _is_negative(query: q.Query) -> bool:
    """Whether it is the contrary of what one column says, which is judged as one condition."""
    if not isinstance(query, q.Not):
        return False
    match query.query:
        case q.Day(of=of):
            return of is not q.DayOf.SENT
        case inner:
            return isinstance(inner, q.HasFlag | q.Larger | q.Smaller | q.ModSeqFrom | q.EmailIs | q.Younger | q.Older)


def _judged(rows: Sequence[int], column: Sequence[int], test: _Test, *, is_negative: bool) -> _Steps:
    found = array("I")
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        values: Iterable[int] = column[some.start : some.stop] if isinstance(some, range) else map(column.__getitem__, some)
        hits: Iterable[bool] = map(test, values)
        right = compress(some, map(not_, hits) if is_negative else hits)
        if len(rows) <= ROWS_AT_ONCE:
            return [*right]
        found.extend(right)
        yield
    return found


def _without(rows: Sequence[int], gone: Sequence[int]) -> _Steps:
    """Both ascend, and what goes is among the rows."""
    if not gone:
        return rows
    left = array("I")
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        out = set(gone[bisect_left(gone, some[0]) : bisect_right(gone, some[-1])])
        if len(rows) <= ROWS_AT_ONCE:
            return [row for row in some if row not in out]
        left.extend([row for row in some if row not in out])
        yield
    return left


def _take(frame: _Frame, rows: Sequence[int]) -> Generator[None]:
    """One part of it is true of these rows."""
    frame.left = rows if isinstance(frame.query, q.And | q.Fuzzy) else (yield from _without(frame.left, rows))


def _result(frame: _Frame) -> _Steps:
    return (yield from _without(frame.rows, frame.left)) if isinstance(frame.query, q.Or) else frame.left


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


def _in_ranges(uids: Sequence[int], ranges: UidRanges, rows: Sequence[int]) -> Sequence[int]:
    found = array("I")
    for lo, hi in ranges:
        first = bisect_left(rows, bisect_left(uids, lo))
        found.extend(rows[first : bisect_left(rows, bisect_right(uids, hi))])
    return found if len(found) > ROWS_AT_ONCE else found.tolist()
