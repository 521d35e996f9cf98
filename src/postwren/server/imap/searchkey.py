"""Search keys of the wire as conditions of the mailstore: sequence numbers become UIDs, names of things what they name."""

from collections.abc import Callable
from typing import Final, assert_never

from postwren.mailstore import query as q
from postwren.protocols.imap.command import search as wire
from postwren.protocols.imap.command.searchkey import parse_keys
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.flag import RECENT
from postwren.protocols.imap.numset import SAVED, NumSet
from postwren.protocols.imap.primitive import Scanner
from postwren.server.imap.objectid import email_of
from postwren.server.imap.selected import Selected
from postwren.terms import AccountId, ModSeq

__all__ = ["NoSuchMessage", "UndefinedFilter", "is_of_columns", "is_without_seqnums", "query_of"]

MOST_FILTERS: Final = 16
NOTHING: Final = q.Or(())
_RELATIONS: Final = {"<": q.Relation.BEFORE, "=": q.Relation.ON, ">=": q.Relation.SINCE}
_DATES: Final = {
    wire.DateWhich.INTERNAL: q.DayOf.INTERNAL,
    wire.DateWhich.SENT: q.DayOf.SENT,
    wire.DateWhich.SAVED: q.DayOf.SAVED,
}


class NoSuchMessage(Exception):
    """A sequence number that does not exist."""


class UndefinedFilter(Exception):
    """FILTER with a name that nobody gave (RFC 5466); the text is the name."""


def query_of(
    key: wire.SearchKey, account_id: AccountId, selected: Selected | None, now: int, filters: "Callable[[str], bytes | None]"
) -> q.Query:
    """The condition; of what is not selected no number is known, and `$` is empty. No recursion: keys are a peer's. `filters`
    gives what a name stands for (RFC 5466)."""
    waiting: list[tuple[wire.SearchKey, bool]] = [(key, False)]
    made: list[q.Query] = []
    named = 0
    while waiting:
        node, is_open = waiting.pop()
        while isinstance(node, wire.FilterKey):
            named += 1
            node = _filter(node.name, filters if named <= MOST_FILTERS else _none)
        parts = _parts(node)
        if parts and not is_open:
            waiting.append((node, True))
            waiting += [(part, False) for part in reversed(parts)]
            continue
        inner = made[len(made) - len(parts) :]
        del made[len(made) - len(parts) :]
        made.append(_made_of(node, inner) if parts else _leaf(node, account_id, selected, now))
    return made[0]


def _none(_: str) -> bytes | None:
    return None


def _filter(name: str, filters: "Callable[[str], bytes | None]") -> wire.SearchKey:
    """RFC 5466 section 3.1: a filter may name others; where they go on for ever, one of them is not defined."""
    text = filters(name)
    if text is None:
        raise UndefinedFilter(name)
    try:
        scanner = Scanner(text, is_utf8=True)
        key = parse_keys(scanner, "UTF-8")
        scanner.end()
    except Unparsable:
        raise UndefinedFilter(name) from None
    return key


def _parts(key: wire.SearchKey) -> tuple[wire.SearchKey, ...]:
    match key:
        case wire.And(keys):
            return keys
        case wire.Or(left, right):
            return left, right
        case wire.Not(inner) | wire.FuzzyKey(inner):
            return (inner,)
        case _:
            return ()


def _made_of(key: wire.SearchKey, inner: list[q.Query]) -> q.Query:
    match key:
        case wire.Or():
            return q.Or(tuple(inner))
        case wire.Not():
            return q.Not(inner[0])
        case wire.FuzzyKey():
            return q.Fuzzy(inner[0])
        case _:
            return q.And(tuple(inner))


def _leaf(key: wire.SearchKey, account_id: AccountId, selected: Selected | None, now: int) -> q.Query:
    match key:
        case wire.NumberKey(numbers, is_uid):
            return _numbers(numbers, is_uid, selected)
        case wire.FlagKey(flag, is_set):
            # \Recent is nobody's: RFC 9051 has none, and RFC 3501 lets a server say so
            found = NOTHING if flag == RECENT else q.HasFlag(flag)
            return found if is_set else q.Not(found)
        case wire.DateKey(which, relation, day):
            return q.Day(_DATES[which], _RELATIONS[relation], day)
        case wire.WithinKey(is_younger, seconds):
            return q.Younger(seconds, now) if is_younger else q.Older(seconds, now)
        case wire.SizeKey(is_larger, size):
            return q.Larger(size) if is_larger else q.Smaller(size)
        case wire.HeaderKey(field, text):
            return q.Header(field, text)
        case wire.TextKey(is_body, text):
            return q.Body(text) if is_body else q.Text(text)
        case wire.ModSeqKey(modseq):
            return q.ModSeqFrom(ModSeq(modseq))
        case wire.EmailIdKey(text):
            email_id = email_of(text, account_id)
            return NOTHING if email_id is None else q.EmailIs(email_id)
        case wire.ThreadIdKey(text):
            return q.ThreadIs(text)
        case wire.SaveDateSupportedKey():
            return q.SaveDateSupported()
        case wire.FilterKey():
            raise AssertionError(key)
        case wire.And():
            return q.ALL
        case wire.Or() | wire.Not() | wire.FuzzyKey():
            raise AssertionError(key)
        case _:
            assert_never(key)


def _numbers(numbers: NumSet, is_uid: bool, selected: Selected | None) -> q.Query:
    if selected is None:
        raise NoSuchMessage
    ranges = selected.resolve(numbers, is_uid)
    if ranges is None:
        raise NoSuchMessage
    return q.Uids(ranges)


def is_without_seqnums(key: wire.SearchKey) -> bool:
    """Whether it names no sequence number (RFC 9586 section 3.1); `$` is none."""
    waiting = [key]
    while waiting:
        node = waiting.pop()
        if isinstance(node, wire.NumberKey) and not node.is_uid and node.numbers is not SAVED:
            return False
        waiting += _parts(node)
    return True


def is_of_columns(query: q.Query) -> bool:
    """Whether the columns answer it: no message is looked at."""
    for node in q.nodes(query):
        match node:
            case q.Header() | q.Body() | q.Text() | q.ThreadIs() | q.Day(of=q.DayOf.SENT):
                return False
            case _:
                pass
    return True
