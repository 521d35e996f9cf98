"""Header fields by offset (RFC 5322 section 2.2 and section 4.5; RFC 6532: values may be UTF-8).

A header ends at the first empty line, or at the end of its octets. Lines end in CRLF or LF. A line that is no field
is passed over, except as the first line: then there is no header and everything is body (a MIME part whose author
forgot the empty line). Only the first `Limits.header_block` octets and `Limits.header_fields` fields are looked at, and
of a field the first `Limits.header_field` octets.
"""

import re
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import NamedTuple, Protocol

from postwren.message.limits import DEFAULT_LIMITS, Limits
from postwren.message.octets import Octets, cut

__all__ = [
    "Field",
    "FirstFields",
    "Header",
    "begins_like_header",
    "empty_line",
    "find_empty_line",
    "parse_header",
    "read_header",
    "unfold",
]

# Possessive quantifiers: a line without a colon is looked at once.
_FIELD = re.compile(rb"^([!-9;-~\x80-\xff]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?", re.MULTILINE)
_FIRST_LINE = re.compile(rb"[!-9;-~\x80-\xff]++[ \t]*+:|>?From |[ \t]")
_EMPTY_LINE = re.compile(rb"\r?\n")
_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n")


class Field(NamedTuple):
    """One field; offsets are into the octets that were parsed."""

    name: bytes  # in lower case
    start: int
    value: int  # behind the colon
    end: int  # before the line end


class FirstFields(Protocol):
    """A header, as far as of each field the first is wanted."""

    def first(self, name: bytes) -> bytes | None:
        """The value of the first field of this name (in lower case), unfolded; None where there is none."""


_new = tuple.__new__  # a third of the cost of calling the class: every field of every message comes by here


class Header:
    """The fields of one header, in order."""

    __slots__ = ("_block", "_first", "_limit", "body_start", "end", "fields", "start")

    def __init__(self, block: bytes, start: int, end: int, body_start: int, limits: Limits) -> None:
        self._block = block
        self._limit = limits.header_field
        self.start = start
        self.end = end  # before the empty line
        self.body_start = body_start
        self.fields: list[Field] = []
        self._first: dict[bytes, Field] = {}
        add, first = self.fields.append, self._first
        for match in islice(_FIELD.finditer(block), limits.header_fields):
            name = match[1].lower()
            value_start, value_end = match.span(2)
            field = _new(Field, (name, start + match.start(), start + value_start, start + value_end))
            add(field)
            if name not in first:
                first[name] = field

    def __contains__(self, name: bytes) -> bool:
        return name in self._first

    def names(self) -> AbstractSet[bytes]:
        """The names of its fields, in lower case."""
        return self._first.keys()

    def first(self, name: bytes) -> bytes | None:
        """The value of the first field of this name (in lower case), unfolded; None where there is none."""
        field = self._first.get(name)
        return None if field is None else self.value(field)

    def every(self, name: bytes) -> list[bytes]:
        """The values of all fields of this name, unfolded."""
        return [self.value(field) for field in self.fields if field.name == name]

    def value(self, field: Field) -> bytes:
        """A field's value, unfolded and stripped."""
        start = field.value - self.start
        return unfold(self._block[start : min(field.end - self.start, start + self._limit)])


def unfold(value: bytes) -> bytes:
    """Take the line ends out (RFC 5322 section 2.2.3) and the white space off both sides."""
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    return value.strip()


def begins_like_header(octets: Octets, start: int, end: int) -> bool:
    """Whether the line at `start` can be the first of a header (an mbox separator counts as one)."""
    return _FIRST_LINE.match(octets, start, end) is not None


def empty_line(octets: Octets, start: int, end: int) -> int | None:
    """The end of the empty line at `start`; None where that line is not empty."""
    match = _EMPTY_LINE.match(octets, start, end)
    return match.end() if match else None


def find_empty_line(octets: Octets, start: int, end: int) -> tuple[int, int] | None:
    """Start and end of the first empty line that follows another line of the range."""
    if isinstance(octets, bytes):  # many times quicker than the expression; the second search ends where the first has found
        found = octets.find(b"\n\r\n", start, end)
        bare = octets.find(b"\n\n", start, end if found < 0 else found + 1)
        if bare >= 0:
            return bare + 1, bare + 2
        return (found + 1, found + 3) if found >= 0 else None
    match = _END.search(octets, start, end)
    return (match.start() + 1, match.end()) if match else None


def parse_header(octets: Octets, start: int, end: int, body_start: int, limits: Limits = DEFAULT_LIMITS) -> Header:
    """The fields between `start` and `end`, where these are known."""
    return Header(cut(octets, start, min(end, start + limits.header_block)), start, end, body_start, limits)


def read_header(octets: Octets, start: int = 0, end: int | None = None, limits: Limits = DEFAULT_LIMITS) -> Header:
    """The header at the beginning of a message."""
    stop = len(octets) if end is None else end
    body = empty_line(octets, start, stop)
    if body is not None:
        return parse_header(octets, start, start, body, limits)
    if not begins_like_header(octets, start, stop):
        return parse_header(octets, start, start, start, limits)
    header_end, body_start = find_empty_line(octets, start, stop) or (stop, stop)
    return parse_header(octets, start, header_end, body_start, limits)
