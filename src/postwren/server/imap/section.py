"""What `BODY[...]` and `BINARY[...]` name inside of a message (RFC 9051 sections 6.4.5 and 6.4.5.1, RFC 3516).

    message = MessageOctets(octets)                bytes, or a mapped file
    message.section(section)                       (start, end) in its octets, or octets put together; None: no such part

A message is parsed once, and only as far as somebody asks: the header alone does for most.
"""

from typing import Final, TypeAlias

from postwren.message.decode import decode_body
from postwren.message.header import Header, begins_like_header, empty_line, find_empty_line, parse_header, read_header
from postwren.message.octets import Octets, cut
from postwren.message.part import Part, parse_parts
from postwren.protocols.imap.command.fetch import Partial, Section, SectionText

__all__ = ["Found", "MessageOctets", "UnknownEncoding", "narrowed", "without_nul"]

Found: TypeAlias = tuple[int, int] | bytes | None
KNOWN: Final = frozenset((b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"))
PREFIX: Final = b"\r\n"


class UnknownEncoding(Exception):
    """A Content-Transfer-Encoding that nobody can undo (RFC 3516 section 4.3)."""


class MessageOctets:
    """See the module."""

    __slots__ = ("_children", "_header", "_parts", "octets")

    def __init__(self, octets: Octets) -> None:
        self.octets = octets
        self._header: Header | None = None
        self._parts: list[Part] | None = None
        self._children: dict[int, list[int]] = {}

    # -- BODY

    def section(self, section: Section) -> Found:
        """Where it is; None where there is no such part."""
        if not section.parts:
            return self._of_message(section)
        row, is_message = self._find(section.parts)
        if row is None:
            return None
        part = self.parts[row]
        match section.text:
            case None:
                return part.body_start, part.body_end
            case SectionText.MIME:
                return part.header_start, part.body_start
            case _ if not part.is_message or is_message:
                return None  # HEADER and TEXT are of messages only
            case _:
                inner = self.parts[row + 1]
                return self._of(section, inner.header_start, inner.header_end, inner.body_start, inner.body_end)

    def _of_message(self, section: Section) -> Found:
        if section.text is None:
            return 0, len(self.octets)
        if section.text in (SectionText.HEADER, SectionText.TEXT):  # where it ends, without its fields
            octets, end = self.octets, len(self.octets)
            body = empty_line(octets, 0, end)
            if body is None:
                body = (find_empty_line(octets, 0, end) or (end, end))[1] if begins_like_header(octets, 0, end) else 0
            return (0, body) if section.text is SectionText.HEADER else (body, end)
        header = self.header
        return self._of(section, header.start, header.end, header.body_start, len(self.octets))

    def _of(self, section: Section, start: int, end: int, body_start: int, body_end: int) -> Found:
        match section.text:
            case SectionText.HEADER:
                return start, body_start
            case SectionText.TEXT:
                return body_start, body_end
            case _:
                header = parse_header(self.octets, start, end, body_start)
                return self._fields(header, frozenset(section.fields), section.text is SectionText.HEADER_FIELDS)

    def _fields(self, header: Header, names: frozenset[bytes], is_wanted: bool) -> bytes:
        """Whole fields as they stand there, and the empty line (which HEADER.FIELDS always ends with)."""
        pieces = []
        for field in header.fields:
            if (field.name in names) is is_wanted:
                octets = cut(self.octets, field.start, min(field.end + 1, max(header.end, field.end)))
                pieces.append(octets if octets.endswith(b"\n") else octets + b"\r\n")
        pieces.append(b"\r\n")
        return b"".join(pieces)

    # -- BINARY

    def binary(self, numbers: tuple[int, ...]) -> Found:
        """The decoded octets of a part; UnknownEncoding where that cannot be done."""
        if not numbers:
            return 0, len(self.octets)
        row, _ = self._find(numbers)
        if row is None:
            return None
        part = self.parts[row]
        if part.encoding not in KNOWN:
            raise UnknownEncoding
        if part.is_multipart or part.encoding not in (b"base64", b"quoted-printable"):
            return part.body_start, part.body_end
        return decode_body(self.octets, part.body_start, part.body_end, part.encoding)

    # -- parts

    @property
    def header(self) -> Header:
        """The message's."""
        if self._header is None:
            self._header = read_header(self.octets)
        return self._header

    @property
    def parts(self) -> list[Part]:
        """The rows of the MIME tree."""
        if self._parts is None:
            self._parts = parse_parts(self.octets, self.header)
            for row, part in enumerate(self._parts):
                self._children.setdefault(part.parent, []).append(row)
        return self._parts

    def _find(self, numbers: tuple[int, ...]) -> tuple[int | None, bool]:
        """The row that these numbers name, and whether that is a message of one part under its number 1 (section 6.4.5.1)."""
        parts = self.parts
        row, is_message = 0, True  # a message has parts; a part of a multipart only where it is one itself, or a message
        for number in numbers:
            if not is_message and parts[row].is_message:
                row, is_message = row + 1, True
            if parts[row].is_multipart:
                children = self._children[row]
                if number > len(children):
                    return None, False
                row, is_message = children[number - 1], False
            elif is_message and number == 1:
                is_message = False
            else:
                return None, False
        return row, is_message


def without_nul(octets: bytes) -> bytes:
    """As a literal can carry them (RFC 9051 section 4.3). 0x80 for NUL keeps sizes and offsets what they are, and is text of no
    charset; the octets themselves are had by BINARY."""
    return octets.replace(b"\0", b"\x80") if b"\0" in octets else octets


def narrowed(found: tuple[int, int], partial: Partial | None) -> tuple[int, int]:
    """A range cut as `<offset.count>` asks."""
    if partial is None:
        return found
    start = min(found[0] + partial[0], found[1])
    return start, min(start + partial[1], found[1])
