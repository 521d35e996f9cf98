r"""IMAP responses as answers of a dialogue: what the standard leaves free does not matter, all else does (RFC 9051 section 7).

An answer is a response with its literals. Free are: the order of FETCH, STATUS and ESEARCH items, of METADATA and ID pairs,
of ACL entries and the letters of rights; the order of flags, capabilities and mailbox attributes; whether a string is quoted
or a literal; how a set of numbers is cut into ranges; upper and lower case in BODY and BODYSTRUCTURE and in item names. A
RECENT response and the \Recent flag are noise to a script that does not ask for them (RFC 9051 appendix E).

In a pattern a quoted text must be answered by a string; \r \n \t \" \\ and \xHH are escapes in it. A bare word may be
answered by an atom or, where it is no number, flag or NIL, by a string. `{}` as a word stands for any number of words; the
text behind a status response is `{}` or text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.testing.pattern import Grammar, Names, fill, matches_text, unescape

__all__ = ["IMAP"]

_LITERAL: Final = re.compile(rb"\{(\d+)\}\r\n")
_STATUS: Final = re.compile(rb"([^\s+]+) (OK|NO|BAD|BYE|PREAUTH)(?: (.*))?", re.DOTALL)
_STATUS_PATTERN: Final = re.compile(rb"([^\s+]+) (OK|NO|BAD|BYE|PREAUTH|\{[A-Z|]+\})(?: (.*))?", re.DOTALL)
_NUMBERED: Final = re.compile(rb"\* (\d+) (EXPUNGE|RECENT)")
_SET: Final = re.compile(rb"[\d:,]+")
_NO_STRING: Final = re.compile(rb"\d+|\\.*|NIL")
_LONGEST_SET: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Word:
    """An atom, or a string without its quotes; `is_binary` for a literal8."""

    data: bytes
    is_string: bool = False
    is_binary: bool = False


_Node: TypeAlias = "_Word | list[_Node]"
_Kept: TypeAlias = "dict[str, bytes] | None"
_ANY: Final = _Word(b"{}")


class _Malformed(ValueError):
    """Not the grammar of a response; the text says where."""


def _nodes(data: bytes, is_pattern: bool = False) -> list[_Node]:
    """The words and lists of a response; brackets keep a section together: BODY[HEADER.FIELDS (TO)]<0> is one word."""
    top: list[_Node] = []
    open_lists = [top]
    place = 0
    while place < len(data):
        match data[place : place + 1]:
            case b" ":
                place += 1
            case b"(":
                inner: list[_Node] = []
                open_lists[-1].append(inner)
                open_lists.append(inner)
                place += 1
            case b")":
                if len(open_lists) == 1:
                    raise _Malformed(f"a ) too many at {place}")
                open_lists.pop()
                place += 1
            case _:
                word, place = _word(data, place, is_pattern)
                open_lists[-1].append(word)
    if len(open_lists) > 1:
        raise _Malformed("a ( too many")
    return top


def _word(data: bytes, place: int, is_pattern: bool) -> tuple[_Word, int]:
    is_binary = data[place : place + 1] == b"~" and data[place + 1 : place + 2] in (b"{", b'"')
    place += is_binary
    if data[place : place + 1] == b'"':
        text, place = _quoted(data, place, is_pattern)
        return _Word(text, True, is_binary), place
    if found := _LITERAL.match(data, place):
        end = found.end() + int(found[1])
        return _Word(data[found.end() : end], True, is_binary), end
    return _atom(data, place)


def _quoted(data: bytes, place: int, is_pattern: bool) -> tuple[bytes, int]:
    found = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL).match(data, place)
    if found is None:
        raise _Malformed(f"an unfinished string at {place}")
    if is_pattern:
        return unescape(found[1].replace(b'\\"', b'"')), found.end()
    if re.search(rb"[\r\n\0]", found[1]):
        raise _Malformed(f"no quoted string at {place}")
    return re.sub(rb"\\(.)", rb"\1", found[1]), found.end()


def _atom(data: bytes, place: int) -> tuple[_Word, int]:
    """Up to a space or parenthesis outside brackets; quotes within brackets go (field names may be quoted)."""
    depth, start, text = 0, place, b""
    while place < len(data):
        char = data[place : place + 1]
        if depth == 0 and char in b' ()"':
            break
        depth += (char == b"[") - (char == b"]")
        text += b"" if char == b'"' else char
        place += 1
    if place == start or depth:
        raise _Malformed(f"no word at {start}")
    return _Word(text), place


# -- comparison


def _merge(kept: _Kept, more: _Kept) -> _Kept:
    return None if kept is None or more is None else kept | more


class _Comparison:
    """One comparison; names that are kept on the way are known to what comes after."""

    def __init__(self, names: Names, folds: bool = False) -> None:
        self.names = names
        self.folds = folds  # BODYSTRUCTURE: types, encodings and parameter names have no case

    def word(self, wanted: _Word, got: _Node) -> _Kept:
        if isinstance(got, list) or got.is_binary < wanted.is_binary or (wanted.is_string and not got.is_string):
            return None
        if got.is_string and not wanted.is_string and _NO_STRING.fullmatch(wanted.data):
            return None
        want, have = (wanted.data.lower(), got.data.lower()) if self.folds else (wanted.data, got.data)
        if not wanted.is_string and b"{" not in want and _numbers(want) is not None:
            return {} if _numbers(want) == _numbers(have) else None
        return matches_text(want, have, self.names)

    def node(self, wanted: _Node, got: _Node) -> _Kept:
        if wanted == _ANY:
            return {}
        if isinstance(wanted, list):
            return self.sequence(wanted, got) if isinstance(got, list) else None
        return self.word(wanted, got)

    def sequence(self, wanted: list[_Node], got: list[_Node]) -> _Kept:
        """In order; `{}` takes as few words as it can."""
        if not wanted:
            return None if got else {}
        if wanted[0] == _ANY:
            tries = (self.sequence(wanted[1:], got[skipped:]) for skipped in range(len(got) + 1))
            return next((kept for kept in tries if kept is not None), None)
        return _merge(self.node(wanted[0], got[0]), self.sequence(wanted[1:], got[1:])) if got else None

    def members(self, wanted: list[_Node], got: list[_Node]) -> _Kept:
        """In any order; `{}` allows others. Item names and flags have no case."""
        left = [node for node in got if not (_is(node, b"\\Recent") and not any(_is(want, b"\\Recent") for want in wanted))]
        kept: _Kept = {}
        for want in (node for node in wanted if node != _ANY):
            folded = _Comparison(self.names, True)
            found = next(((node, keeps) for node in left if (keeps := folded.node(want, node)) is not None), None)
            if found is None:
                return None
            left.remove(found[0])
            kept = _merge(kept, found[1])
        return kept if not left or _ANY in wanted else None

    def pairs(self, wanted: list[_Node], got: list[_Node], value: "Callable[[bytes], _Rule] | None" = None) -> _Kept:
        """Names and values, in any order of the names; `{}` allows others."""
        have, _ = _in_pairs(got)
        wanted_pairs, others = _in_pairs(wanted, True)
        kept: _Kept = {}
        for name, want in wanted_pairs:
            found = next((pair for pair in have if pair[0] == name), None)
            if found is None:
                return None
            have.remove(found)
            rule = value(name) if value else _Comparison.node
            kept = _merge(kept, rule(self, want, found[1]))
        return kept if not have or others else None


_Rule: TypeAlias = Callable[[_Comparison, _Node, _Node], _Kept]


def _is(node: _Node, word: bytes) -> bool:
    return isinstance(node, _Word) and node.data.lower() == word.lower()


def _in_pairs(nodes: list[_Node], is_pattern: bool = False) -> tuple[list[tuple[bytes, _Node]], bool]:
    """(name, value) pairs; whether `{}` stands in a pattern where a name would."""
    pairs: list[tuple[bytes, _Node]] = []
    others, name = False, None
    for node in nodes:
        if name is not None:
            pairs.append((name, node))
            name = None
        elif node == _ANY and is_pattern:
            others = True
        elif isinstance(node, list):
            raise _Malformed("a list for a name")
        else:
            name = node.data.upper()
    if name is not None:
        raise _Malformed("a name without a value")
    return pairs, others


def _numbers(data: bytes) -> list[int] | None:
    """A set of numbers, expanded; None where it is none, or a single number."""
    if not _SET.fullmatch(data) or (data.isdigit() and not data.startswith(b"0")):
        return [int(data)] if data.isdigit() else None
    numbers: list[int] = []
    for part in data.split(b","):
        low, colon, high = part.partition(b":")
        if not low.isdigit() or (colon and not high.isdigit()) or int(high or low) - int(low) > _LONGEST_SET:
            return None
        first, last = sorted((int(low), int(high or low)))
        numbers += range(first, last + 1)
    return numbers


def _set_value(comparison: _Comparison, wanted: _Node, got: _Node) -> _Kept:
    both = isinstance(wanted, list) and isinstance(got, list)
    return comparison.members(wanted, got) if both else comparison.node(wanted, got)  # type: ignore[arg-type]


def _structure(comparison: _Comparison, wanted: _Node, got: _Node) -> _Kept:
    return _Comparison(comparison.names, True).node(wanted, got)


def _rights(comparison: _Comparison, wanted: _Node, got: _Node) -> _Kept:
    if isinstance(wanted, list) or isinstance(got, list) or b"{" in wanted.data:
        return comparison.node(wanted, got)
    return {} if sorted(wanted.data) == sorted(got.data) else None


def _fetch_value(name: bytes) -> _Rule:
    return _set_value if name == b"FLAGS" else _structure if name in (b"BODY", b"BODYSTRUCTURE") else _Comparison.node


def _listed(comparison: _Comparison, wanted: list[_Node], got: list[_Node]) -> _Kept:
    """LIST (attributes) delimiter mailbox [(extended data)]."""
    attributes, extended = wanted[0], wanted[3:]
    if len(got) < 3 or not isinstance(got[0], list) or not isinstance(attributes, list):
        return None
    kept = _merge(comparison.members(attributes, got[0]), comparison.sequence(wanted[1:3], got[1:3]))
    if len(extended) == len(got[3:]) == 1 and extended[0] != _ANY:
        return _merge(kept, comparison.pairs(_as_list(extended[0]), _as_list(got[3])))
    return _merge(kept, comparison.sequence(extended, got[3:]))


def _as_list(node: _Node) -> list[_Node]:
    return node if isinstance(node, list) else [node]


def _esearch(comparison: _Comparison, wanted: list[_Node], got: list[_Node]) -> _Kept:
    """ESEARCH [(TAG "x")] [UID] items."""
    want_tag, want_uid, want_items = _esearch_parts(wanted)
    tag, uid, items = _esearch_parts(got)
    if want_uid != uid:
        return None
    return _merge(comparison.pairs(want_tag, tag), comparison.pairs(want_items, items))


def _esearch_parts(nodes: list[_Node]) -> tuple[list[_Node], bool, list[_Node]]:
    correlator = nodes[0] if nodes and isinstance(nodes[0], list) else None
    rest = nodes if correlator is None else nodes[1:]
    is_uid = bool(rest) and _is(rest[0], b"UID")
    return correlator or [], is_uid, rest[is_uid:]


def _access(comparison: _Comparison, wanted: list[_Node], got: list[_Node]) -> _Kept:
    """ACL mailbox (identifier rights)*."""
    return _merge(comparison.node(wanted[0], got[0]), comparison.pairs(wanted[1:], got[1:], lambda _: _rights))


def _untagged(comparison: _Comparison, wanted: list[_Node], got: list[_Node]) -> _Kept:
    """A response behind its `* `: a number or not, its name, the rest."""
    length = next((place + 1 for place, node in enumerate(wanted[:2]) if not _is_number(node)), 0)
    head = comparison.sequence(wanted[:length], got[:length])
    name = wanted[length - 1]
    if head is None or isinstance(name, list):
        return None
    return _merge(head, _data(comparison, name.data.upper(), wanted[length:], got[length:]))


def _is_number(node: _Node) -> bool:
    return isinstance(node, _Word) and (node.data.isdigit() or node.data.startswith(b"{"))


def _data(comparison: _Comparison, name: bytes, wanted: list[_Node], got: list[_Node]) -> _Kept:
    """What follows the name of an untagged response."""
    match name:
        case b"CAPABILITY" | b"ENABLED":
            return comparison.members(wanted, got)
        case b"FLAGS" | b"FETCH" if len(wanted) == len(got) == 1 and wanted[0] != _ANY:
            return _set_value(comparison, wanted[0], got[0]) if name == b"FLAGS" else _fetched(comparison, wanted[0], got[0])
        case b"LIST" | b"LSUB" if len(wanted) > 2:
            return _listed(comparison, wanted, got)
        case b"STATUS" | b"METADATA" if wanted and got and isinstance(got[-1], list) and isinstance(wanted[-1], list):
            head = comparison.sequence(wanted[:-1], got[:-1])
            return _merge(head, comparison.pairs(wanted[-1], got[-1]))
        case b"ID" if wanted and got and isinstance(got[0], list) and isinstance(wanted[0], list):
            return comparison.pairs(wanted[0], got[0])
        case b"ESEARCH":
            return _esearch(comparison, wanted, got)
        case b"ACL" if wanted and got:
            return _access(comparison, wanted, got)
        case b"MYRIGHTS" if len(wanted) == len(got) == 2:
            return _merge(comparison.node(wanted[0], got[0]), _rights(comparison, wanted[1], got[1]))
    return comparison.sequence(wanted, got)


def _fetched(comparison: _Comparison, wanted: _Node, got: _Node) -> _Kept:
    return comparison.pairs(wanted, got, _fetch_value) if isinstance(wanted, list) and isinstance(got, list) else None


def _code(comparison: _Comparison, pattern: bytes, answer: bytes) -> _Kept:
    """The inside of a response code; PERMANENTFLAGS and CAPABILITY are sets."""
    wanted, got = _nodes(pattern, True), _nodes(answer)
    if wanted and _is(wanted[0], b"CAPABILITY"):
        return _merge(comparison.node(wanted[0], got[0]), comparison.members(wanted[1:], got[1:]))
    if wanted and _is(wanted[0], b"PERMANENTFLAGS") and len(got) == len(wanted) == 2:
        return _merge(comparison.node(wanted[0], got[0]), _set_value(comparison, wanted[1], got[1]))
    return comparison.sequence(wanted, got)


def _split_code(rest: bytes) -> tuple[bytes | None, bytes]:
    """(inside of [...], text); brackets may nest in a code."""
    if not rest.startswith(b"["):
        return None, rest
    depth = 0
    for place in range(len(rest)):
        depth += (rest[place] == ord("[")) - (rest[place] == ord("]"))
        if depth == 0:
            return rest[1:place], rest[place + 1 :].removeprefix(b" ")
    raise _Malformed("an unfinished response code")


def _status(wanted: re.Match[bytes], got: re.Match[bytes], names: Names) -> _Kept:
    kept = _merge(matches_text(wanted[1], got[1], names), matches_text(wanted[2], got[2], names))
    if wanted[3] in (None, b"{}"):
        return kept
    (want_code, want_text), (code, text) = _split_code(wanted[3]), _split_code(got[3] or b"")
    if want_code is not None:
        kept = None if code is None else _merge(kept, _code(_Comparison(names), want_code, code))
    return _merge(kept, matches_text(want_text or b"{}", text, names))


class _Imap:
    """See the module's docstring."""

    def cut(self, heard: bytes) -> int:
        place = 0
        while (end := heard.find(b"\r\n", place)) >= 0:
            found = re.search(rb"\{(\d+)\}\Z", heard[place:end])
            if found is None or _STATUS.match(heard):
                return end
            place = end + 2 + int(found[1])
        return -1

    def match(self, pattern: bytes, answer: bytes, names: Names) -> dict[str, bytes] | None:
        pattern = fill(pattern, names)
        status = _STATUS_PATTERN.fullmatch(pattern)
        is_status = _STATUS.fullmatch(answer)
        try:
            if status or is_status:
                return _status(status, is_status, names) if status and is_status else None
            if pattern.startswith(b"* ") and answer.startswith(b"* "):
                return _untagged(_Comparison(names), _nodes(pattern[2:], True), _nodes(answer[2:]))
            return matches_text(pattern, answer, names)
        except _Malformed:
            return None

    def is_noise(self, answer: bytes) -> bool:
        found = _NUMBERED.fullmatch(answer)
        return found is not None and found[2] == b"RECENT"

    def goes_on(self, answer: bytes) -> bool:
        return answer.startswith(b"* ")

    def expunged(self, answer: bytes) -> int | None:
        found = _NUMBERED.fullmatch(answer)
        return int(found[1]) if found and found[2] == b"EXPUNGE" else None


IMAP: Final[Grammar] = _Imap()
