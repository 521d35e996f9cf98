"""The MIME tree of a message as a flat list of rows with byte offsets (RFC 2045, RFC 2046); nothing of a body is copied.

Rows stand in the order in which the parts begin, parents before children; row 0 is the message. A message/rfc822 row has one
child: the message in its body. Every octet is looked at a fixed number of times, however deep the nesting: one pass over the
lines that begin with two hyphens, each looked up among the open boundaries; empty lines are searched between those only.

A part that cannot be divided is a leaf: application/octet-stream beyond a cap of `Limits`, text/plain where a multipart
names no boundary or its boundary never comes. The first of two equal fields counts.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from postwren.message.header import Header, begins_like_header, empty_line, find_empty_line, parse_header, read_header
from postwren.message.limits import DEFAULT_LIMITS, Limits
from postwren.message.octets import Octets, count_lines, cut, find
from postwren.message.parameter import ContentType, Parameter, find_parameter, parse_content_type

__all__ = ["Part", "parse_parts"]

_ENCODING: Final = re.compile(rb"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f-\xff]+")
_ENCODINGS: Final = frozenset({b"7bit", b"8bit", b"base64", b"quoted-printable"})  # as nearly everybody writes them
_CONTENT_FIELDS: Final = frozenset(
    b"content-" + name for name in (b"id", b"description", b"md5", b"disposition", b"language", b"location")
)
_NO_FIELDS: Final[dict[bytes, bytes]] = {}
_TEXT: Final = ContentType(b"text", b"plain", ())
_US_ASCII: Final = ContentType(b"text", b"plain", (Parameter(b"charset", b"us-ascii", False),))
_RFC822: Final = ContentType(b"message", b"rfc822", ())
_UNKNOWN: Final = ContentType(b"application", b"octet-stream", ())


@dataclass(slots=True)
class Part:
    """One row. Header: [header_start, body_start), its fields end at header_end. Body: [body_start, body_end)."""

    parent: int  # -1 for the message itself
    depth: int
    header_start: int
    header_end: int
    body_start: int
    body_end: int
    type: ContentType = _TEXT
    encoding: bytes = b"7bit"  # Content-Transfer-Encoding in lower case
    fields: dict[bytes, bytes] = field(default_factory=dict)  # the other Content- fields that IMAP asks for, unfolded
    children: int = 0
    lines: int = 0  # line feeds of the body: of text and of embedded messages only

    @property
    def is_multipart(self) -> bool:
        return self.children > 0 and self.type.maintype == b"multipart"

    @property
    def is_message(self) -> bool:
        """A message is embedded in it."""
        return self.children > 0 and self.type.maintype == b"message"


def parse_parts(octets: Octets, header: Header | None = None, limits: Limits = DEFAULT_LIMITS) -> list[Part]:
    """The rows of a message; `header` where `read_header` has read it already."""
    end = len(octets)
    scanner = _Scanner(octets, end, limits)
    scanner.scan(header or read_header(octets, 0, end, limits))
    for part in scanner.parts:
        if part.type.maintype == b"multipart" and not part.children:
            part.type = _US_ASCII
    _fill_lines(octets, scanner.parts)
    return scanner.parts


def _encoding(value: bytes | None) -> bytes:
    if value is None:
        return b"7bit"
    if value in _ENCODINGS:
        return value
    match = _ENCODING.search(value or b"7bit")
    return match[0].lower() if match else b"7bit"


def _fill_lines(octets: Octets, parts: list[Part]) -> None:
    """Ranges nest: each stretch between two ends is counted once."""
    counted = [part for part in parts if part.type.maintype == b"text" or part.is_message]
    if len(counted) == 1:
        counted[0].lines = count_lines(octets, counted[0].body_start, counted[0].body_end)
        return
    before: dict[int, int] = {}
    total = last = 0
    for offset in sorted({offset for part in counted for offset in (part.body_start, part.body_end)}):
        total += count_lines(octets, last, offset)
        before[offset] = total
        last = offset
    for part in counted:
        part.lines = before[part.body_end] - before[part.body_start]


@dataclass(slots=True)
class _Frame:
    """An open part: its boundary while it counts, and the frame that the same boundary stood for before."""

    row: int
    boundary: bytes | None = None
    shadowed: int | None = None


@dataclass(frozen=True, slots=True)
class _Delimiter:
    level: int  # in the stack
    is_close: bool
    line_end: int


class _Scanner:
    """One pass over a message."""

    __slots__ = ("_boundaries", "_candidate", "_end", "_limits", "_octets", "_stack", "parts")

    def __init__(self, octets: Octets, end: int, limits: Limits) -> None:
        self._octets = octets
        self._end = end
        self._limits = limits
        self._stack: list[_Frame] = []
        self._boundaries: dict[bytes, int] = {}
        self._candidate = -1  # the last line found that begins with "--"
        self.parts: list[Part] = []

    def scan(self, header: Header) -> None:
        at = self._open(header)
        while self._boundaries:
            at = self._next_candidate(at)
            if at >= self._end:
                break
            delimiter = self._delimiter(at)
            if delimiter is None:
                at += 2
                continue
            self._close_above(delimiter.level, at)
            at = delimiter.line_end
            if delimiter.is_close:
                self._forget_boundary(self._stack[delimiter.level])
            elif len(self.parts) == self._limits.parts - 1:
                self._open_last(at)
                break
            else:
                at = self._open(self._header_at(at))
        self._close_all()

    def _open(self, header: Header) -> int:
        """Add the part with this header, and the messages nested in it; where the search goes on."""
        while True:
            row = self._add(header)
            part = self.parts[row]
            is_full = part.depth >= self._limits.depth or len(self.parts) >= self._limits.parts
            if part.type.maintype == b"multipart":
                self._open_multipart(part, is_full)
                return part.body_start
            if part.type.maintype != b"message" or part.type.subtype not in (b"rfc822", b"global"):
                return part.body_start
            if is_full:
                part.type = _UNKNOWN
                return part.body_start
            header = self._header_at(part.body_start)

    def _open_multipart(self, part: Part, is_full: bool) -> None:
        boundary = (find_parameter(part.type.parameters, b"boundary") or b"").rstrip()
        if not boundary:
            part.type = _US_ASCII
        elif is_full or len(boundary) > self._limits.boundary:
            part.type = _UNKNOWN
        else:
            frame = self._stack[-1]
            frame.boundary = boundary
            frame.shadowed = self._boundaries.get(boundary)
            self._boundaries[boundary] = len(self._stack) - 1

    def _open_last(self, start: int) -> None:
        """The cap of parts is reached: the rest of the message is one leaf."""
        self._add(parse_header(self._octets, start, start, start, self._limits))
        self.parts[-1].type = _UNKNOWN

    def _add(self, header: Header) -> int:
        parent = self._stack[-1].row if self._stack else -1
        is_in_digest = parent >= 0 and self.parts[parent].type[:2] == (b"multipart", b"digest")
        if parent >= 0:
            self.parts[parent].children += 1
        row = len(self.parts)
        value = header.first(b"content-type")
        default = _RFC822 if is_in_digest and value is None else _US_ASCII
        content_type = default if value is None else parse_content_type(value) or default
        part = Part(
            parent=parent,
            depth=len(self._stack),
            header_start=header.start,
            header_end=header.end,
            body_start=header.body_start,
            body_end=self._end,
            type=content_type,
            encoding=_encoding(header.first(b"content-transfer-encoding")),
            fields={name: header.first(name) or b"" for name in header.names() & _CONTENT_FIELDS} or _NO_FIELDS,
        )
        self.parts.append(part)
        self._stack.append(_Frame(row))
        return row

    def _header_at(self, start: int) -> Header:
        header_end, body_start = self._split(start)
        return parse_header(self._octets, start, header_end, body_start, self._limits)

    def _split(self, start: int) -> tuple[int, int]:
        """End of the header and start of the body of the part at `start`; a delimiter of an open multipart ends both."""
        octets, end = self._octets, self._end
        body = empty_line(octets, start, end)
        if body is not None:
            return start, body
        if not begins_like_header(octets, start, end):
            return start, start
        at = start
        while True:
            stop = self._next_candidate(at) if self._boundaries else end
            found = find_empty_line(octets, at, stop)
            if found:
                return found
            if stop == end or self._delimiter(stop):
                return stop, stop
            at = stop + 2

    def _next_candidate(self, at: int) -> int:
        """The first line from `at` on that begins with "--"; the end of the message where there is none."""
        if self._candidate < at:
            found = find(self._octets, b"\n--", max(at - 1, 0), self._end)
            self._candidate = self._end if found < 0 else found + 1
            if at == 0 and cut(self._octets, 0, 2) == b"--":
                self._candidate = 0
        return self._candidate

    def _delimiter(self, at: int) -> _Delimiter | None:
        """What the line at `at` divides. The whole line must be the boundary: one may begin like another."""
        window = cut(self._octets, at + 2, min(at + 2 + 2 * self._limits.boundary, self._end))
        line, newline, _ = window.partition(b"\n")
        if not newline and at + 2 + len(window) < self._end:
            return None
        line_end = at + 2 + len(line) + len(newline)
        line = line.rstrip(b" \t\r")
        level = self._boundaries.get(line)
        if level is not None:
            return _Delimiter(level, False, line_end)
        if line.endswith(b"--") and (level := self._boundaries.get(line[:-2])) is not None:
            return _Delimiter(level, True, line_end)
        return None

    def _close_above(self, level: int, line_start: int) -> None:
        """End the parts inside of the multipart at `level`; the line end before a delimiter belongs to it."""
        if len(self._stack) == level + 1:
            return
        end = line_start - 1
        if end > 0 and cut(self._octets, end - 1, end) == b"\r":
            end -= 1
        while len(self._stack) > level + 1:
            part = self.parts[self._stack[-1].row]
            part.body_end = max(part.body_start, end)
            self._pop()

    def _close_all(self) -> None:
        while self._stack:
            self._pop()

    def _pop(self) -> None:
        frame = self._stack.pop()
        self._forget_boundary(frame)

    def _forget_boundary(self, frame: _Frame) -> None:
        if frame.boundary is None:
            return
        if frame.shadowed is None:
            del self._boundaries[frame.boundary]
        else:
            self._boundaries[frame.boundary] = frame.shadowed
        frame.boundary = None
