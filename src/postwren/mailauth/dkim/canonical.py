"""Canonical forms (RFC 6376 section 3.4): what survives a relay that adds white space.

Bodies come in pieces of any size and are hashed as they come: of what may yet vanish (white space before a line end, empty lines
before the end) only the amount is kept, so neither a message of a gigabyte nor one of nothing but line ends takes memory.
Lines end in CRLF; other CR and LF are ordinary octets of the body.
"""

import enum
import hashlib
import re
from typing import Final

from postwren.message.header import Field, Header

__all__ = ["BodyHash", "Canonical", "FieldStack", "canonical_field", "raw_field"]

_FOLD: Final = re.compile(rb"\r?\n")
_WHITE: Final = re.compile(rb"[ \t]++")
_EMPTY_LINES: Final = b"\r\n" * 4096
_SLICE: Final = 1 << 18  # octets of a piece that are worked on at once: so much is copied a few times


class Canonical(enum.Enum):
    """The two ways; the value is the word of c=."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def raw_field(block: bytes, field: Field) -> bytes:
    """A field of a header as it stands there, with CRLF for every line end and one at its end."""
    raw = block[field.start : field.end].removesuffix(b"\r") + b"\r\n"
    return _FOLD.sub(b"\r\n", raw) if raw.count(b"\n") > 1 else raw


def canonical_field(raw: bytes, way: Canonical) -> bytes:
    """Section 3.4.1 and section 3.4.2, with CRLF at its end."""
    if way is Canonical.SIMPLE:
        return raw
    name, _, value = raw.partition(b":")
    return name.strip(b" \t").lower() + b":" + _WHITE.sub(b" ", _FOLD.sub(b"", value)).strip(b" ") + b"\r\n"


class FieldStack:
    """The fields of a header by name, in both forms (each made when first asked for)."""

    __slots__ = ("_block", "_fields", "_made")

    def __init__(self, block: bytes, header: Header) -> None:
        self._block = block
        self._fields: dict[bytes, list[Field]] = {}
        self._made: dict[tuple[Field, Canonical], bytes] = {}
        for field in header.fields:
            self._fields.setdefault(field.name, []).append(field)

    def every(self, name: bytes) -> list[Field]:
        """From the top."""
        return self._fields.get(name, [])

    def raw(self, field: Field) -> bytes:
        """As it stands there."""
        return raw_field(self._block, field)

    def canonical(self, field: Field, way: Canonical) -> bytes:
        """In this form."""
        key = (field, way)
        if key not in self._made:
            self._made[key] = canonical_field(self.raw(field), way)
        return self._made[key]

    def select(self, names: list[bytes], way: Canonical) -> list[bytes]:
        """Section 5.4.2: every name takes the lowest field of that name that is left; where none is left, nothing."""
        taken: dict[bytes, int] = {}
        found = []
        for name in names:
            fields = self._fields.get(name, ())
            taken[name] = at = taken.get(name, 0) + 1
            if at <= len(fields):
                found.append(self.canonical(fields[-at], way))
        return found


class BodyHash:
    """SHA-256 over a body that comes in pieces (section 3.4.3 and section 3.4.4)."""

    __slots__ = ("_carry", "_empty_lines", "_hash", "_way", "size")

    def __init__(self, way: Canonical = Canonical.RELAXED) -> None:
        self._way = way
        self._hash = hashlib.sha256()
        self._carry = b""  # octets whose fate the next ones decide: a space, a CR, or both
        self._empty_lines = 0  # line ends that are hashed when something follows
        self.size = 0  # octets hashed: at the end, the length of the canonical body

    def feed(self, data: bytes) -> None:
        """The next octets of the body."""
        for at in range(0, len(data), _SLICE):
            self._take(data[at : at + _SLICE] if len(data) > _SLICE else data)

    def _take(self, data: bytes) -> None:
        if self._carry:
            data = self._carry + data
        if self._way is Canonical.RELAXED:
            if b"\t" in data:
                data = data.replace(b"\t", b" ")
            while b"  " in data:  # at most 18 times a slice, and many times quicker than an expression
                data = data.replace(b"  ", b" ")
            if b" \r\n" in data:
                data = data.replace(b" \r\n", b"\r\n")
        end = len(data)
        if data.endswith(b"\r"):
            end -= 1
        if self._way is Canonical.RELAXED and data.endswith(b" ", 0, end):
            end -= 1
        self._carry = data[end:]
        start_of_lines = _trailing_lines(data, end)
        if start_of_lines:
            self._flush()
            self._update(data[:start_of_lines])
        self._empty_lines += (end - start_of_lines) // 2

    def _flush(self) -> None:
        """What follows is not empty: the line ends before it count."""
        octets, self._empty_lines = 2 * self._empty_lines, 0
        while octets:
            piece = _EMPTY_LINES[:octets]
            self._update(piece)
            octets -= len(piece)

    def _update(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> bytes:
        """The body has ended: its hash."""
        rest = self._carry.removesuffix(b" ")  # white space at the end of the last line
        if rest:
            self._flush()
            self._update(rest)
            self._update(b"\r\n")
        elif self.size or self._way is Canonical.SIMPLE:  # an empty body is one line end when simple, and nothing when relaxed
            self._update(b"\r\n")
        self._carry, self._empty_lines = b"", 0
        return self._hash.digest()


def _trailing_lines(data: bytes, end: int) -> int:
    """Where the line ends begin that are all there is before `end`. In whole searches, for there may be millions."""
    if not data.endswith(b"\r\n", 0, end):
        return end
    start = len(data[:end].rstrip(b"\r\n"))
    start = max(start, data.rfind(b"\r\r", start, end) + 1, data.rfind(b"\n\n", start, end) + 1)
    return start + (data[start] == 0x0A)
