"""SEARCH, SORT and ESEARCH (RFC 9051 section 7.3.4, RFC 3501 section 7.2.5, RFC 4466, 4731, 5256, 5267, 6203, 7162, 7377,
9394)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Reader
from postwren.protocols.imap.value import Ranges, format_mailbox, format_quoted, format_ranges

__all__ = [
    "Esearch",
    "PartialResult",
    "SearchResult",
    "format_esearch",
    "format_search",
    "format_search_pieces",
    "parse_esearch",
    "parse_search",
]

NUMBERS_A_PIECE: Final = 4096


@dataclass(frozen=True, slots=True)
class SearchResult:
    """SEARCH, or SORT with `is_sort`; numbers in their order. `modseq`: RFC 7162 section 3.1.5."""

    numbers: Sequence[int]
    modseq: int | None = None
    is_sort: bool = False


@dataclass(frozen=True, slots=True)
class PartialResult:
    """PARTIAL: what was asked for (negative: from the end), and what lies there in order; None is NIL."""

    first: int
    last: int
    numbers: Ranges | None


@dataclass(frozen=True, slots=True)
class Esearch:
    """None: the item is absent. `all` and the like keep the order of a SORT. `adds` and `removes` are (position, numbers) of
    ADDTO and REMOVEFROM (RFC 5267 section 4.3). `mailbox` and `uidvalidity` are of RFC 7377."""

    tag: str | None = None
    is_uid: bool = False
    min: int | None = None
    max: int | None = None
    count: int | None = None
    all: Ranges | None = None
    partial: PartialResult | None = None
    modseq: int | None = None
    adds: tuple[tuple[int, Ranges], ...] = ()
    removes: tuple[tuple[int, Ranges], ...] = ()
    relevancy: tuple[int, ...] | None = None
    mailbox: str | None = None
    uidvalidity: int | None = None


def format_search(response: SearchResult, is_utf8: bool) -> bytes:  # noqa: ARG001
    """obsolete-search-response, sort-data; search-sort-mod-seq stands only behind numbers"""
    line = " ".join(("* SORT" if response.is_sort else "* SEARCH", *map(str, response.numbers))).encode()
    if response.modseq is not None and response.numbers:
        return b"%b (MODSEQ %d)\r\n" % (line, response.modseq)
    return line + b"\r\n"


def format_search_pieces(response: SearchResult) -> Iterator[bytes]:
    """The same in pieces: of a large mailbox it is one line of megabytes."""
    yield b"* SORT" if response.is_sort else b"* SEARCH"
    for start in range(0, len(response.numbers), NUMBERS_A_PIECE):
        yield (" " + " ".join(map(str, response.numbers[start : start + NUMBERS_A_PIECE]))).encode()
    if response.modseq is not None and response.numbers:
        yield b" (MODSEQ %d)" % response.modseq
    yield b"\r\n"


def format_esearch(response: Esearch, is_utf8: bool) -> bytes:
    """esearch-response"""
    pieces = [b"* ESEARCH"]
    correlators = _correlators(response, is_utf8)
    if correlators:
        pieces.append(b"(%b)" % b" ".join(correlators))
    if response.is_uid:
        pieces.append(b"UID")
    for name, number in ((b"MIN", response.min), (b"MAX", response.max), (b"COUNT", response.count)):
        if number is not None:
            pieces.append(b"%b %d" % (name, number))
    if response.all:
        pieces.append(b"ALL " + format_ranges(response.all))
    if response.partial is not None:
        pieces.append(_partial(response.partial))
    pieces += [_update(b"ADDTO", response.adds)] if response.adds else []
    pieces += [_update(b"REMOVEFROM", response.removes)] if response.removes else []
    if response.relevancy is not None:
        pieces.append(b"RELEVANCY (%b)" % " ".join(map(str, response.relevancy)).encode())
    if response.modseq is not None:
        pieces.append(b"MODSEQ %d" % response.modseq)
    return b" ".join(pieces) + b"\r\n"


def _correlators(response: Esearch, is_utf8: bool) -> list[bytes]:
    """one-correlator (RFC 7377 section 4)"""
    pieces = []
    if response.tag is not None:
        pieces.append(b"TAG " + format_quoted(response.tag))
    if response.mailbox is not None:
        pieces.append(b"MAILBOX " + format_mailbox(response.mailbox, is_utf8))
    if response.uidvalidity is not None:
        pieces.append(b"UIDVALIDITY %d" % response.uidvalidity)
    return pieces


def _partial(partial: PartialResult) -> bytes:
    """ret-data-partial (RFC 9394 section 4)"""
    numbers = format_ranges(partial.numbers) if partial.numbers else b"NIL"
    return b"PARTIAL (%d:%d %b)" % (partial.first, partial.last, numbers)


def _update(name: bytes, changes: tuple[tuple[int, Ranges], ...]) -> bytes:
    """ret-data-addto, ret-data-removefrom (RFC 5267 section 5)"""
    return b"%b (%b)" % (name, b" ".join([b"%d %b" % (at, format_ranges(numbers)) for at, numbers in changes]))


def parse_search(reader: Reader, *, is_sort: bool) -> SearchResult:
    """obsolete-search-response, sort-data, behind the word"""
    numbers = reader.numbers()
    if reader.is_ended():
        return SearchResult(numbers, None, is_sort)
    reader.space()
    if reader.is_ended() and not reader.is_strict:
        return SearchResult(numbers, None, is_sort)
    reader.expect(b"(")
    if reader.keyword() != b"MODSEQ":
        raise Unparsable
    reader.space()
    modseq = reader.number64()
    reader.expect(b")")
    return SearchResult(numbers, modseq, is_sort)


_PARTIAL: Final = re.compile(rb"\((-?[0-9]{1,10}):(-?[0-9]{1,10}) ")


def parse_esearch(reader: Reader) -> Esearch:
    """esearch-response, behind the word. Items that we do not know are left out."""
    found: dict[str, Any] = {}
    if reader.skip(b" ("):
        _parse_correlators(reader, found)
    while not reader.is_ended():
        reader.space()
        if reader.is_ended():
            break
        name = reader.keyword()
        if name == b"UID":
            found["is_uid"] = True
            continue
        reader.space()
        _parse_item(reader, name, found)
    return Esearch(**found)


def _parse_correlators(reader: Reader, found: dict[str, Any]) -> None:
    while True:
        match reader.keyword():
            case b"TAG":
                reader.space()
                found["tag"] = reader.atext()
            case b"MAILBOX":
                reader.space()
                found["mailbox"] = reader.mailbox()
            case b"UIDVALIDITY":
                reader.space()
                found["uidvalidity"] = reader.number()
            case _:
                raise Unparsable
        if reader.skip(b")"):
            return
        reader.space()


def _parse_item(reader: Reader, name: bytes, found: dict[str, Any]) -> None:
    """search-return-data"""
    match name:
        case b"MIN" | b"MAX" | b"COUNT":
            found[name.decode().lower()] = reader.number()
        case b"MODSEQ":
            found["modseq"] = reader.number64()
        case b"ALL":
            found["all"] = reader.ranges()
        case b"PARTIAL":
            found["partial"] = _parse_partial(reader)
        case b"ADDTO" | b"REMOVEFROM":
            key = "adds" if name == b"ADDTO" else "removes"
            found[key] = found.get(key, ()) + reader.parenthesized(lambda: _parse_change(reader))
        case b"RELEVANCY":
            found["relevancy"] = reader.parenthesized(reader.number, may_be_empty=True)
        case _:
            if reader.is_strict:
                raise Unparsable
            reader.tree()


def _parse_partial(reader: Reader) -> PartialResult:
    match = reader.match(_PARTIAL)
    numbers = None if reader.nil() else reader.ranges()
    reader.expect(b")")
    return PartialResult(int(match[1]), int(match[2]), numbers)


def _parse_change(reader: Reader) -> tuple[int, Ranges]:
    position = reader.number()
    reader.space()
    return position, reader.ranges()
