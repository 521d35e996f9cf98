"""What SEARCH looks at in a message (RFC 9051 section 6.4.4), decoded and folded: the scan and the index both read this.

    header   the message's own fields     FIELD lines, see below
    mime     fields of its MIME parts     the same (TEXT looks at them, BODY does not)
    body     the text of its parts        text/*, message/* that is not embedded, and fields of embedded messages

Encoded words, transfer encodings and charsets are undone; HTML stays as it is written. Every field is MARK NAME ": " VALUE, every
text begins with MARK: an octet that is no UTF-8, so that no search string reaches from one text into the next.
"""

import codecs
import enum
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from postwren.message.charmap import DECODERS
from postwren.message.charset import codec_name, decode_text
from postwren.message.decode import decode_body, decoded_pieces
from postwren.message.encodedword import decode_words
from postwren.message.fold import fold, fold_ascii
from postwren.message.header import Header, parse_header, read_header
from postwren.message.limits import DEFAULT_LIMITS, Limits
from postwren.message.octets import Octets
from postwren.message.parameter import find_parameter
from postwren.message.part import Part, parse_parts

__all__ = ["MARK", "NO_TEXT", "Needle", "Place", "SearchText", "folded_body", "folded_header", "holds", "search_text"]

MARK: Final = b"\xff"
_WHOLE: Final = 1 << 20
"""Encoded octets up to which a part is decoded in one go; longer ones go piece by piece."""
_PIECES: Final = 16
_LONGEST_LINE: Final = 1 << 18  # octets
_ASCII: Final = (bytes(range(128)), b'\x1b$B$"\x1b(B', b"\x1b$)C\x0e0!", b"~{0!~}", b"+AOQ-")


class SearchText(NamedTuple):
    """Folded (`message.fold`)."""

    header: bytes
    mime: bytes
    body: bytes


NO_TEXT: Final = SearchText(b"", b"", b"")


class Place(enum.Enum):
    """Where a text is looked for."""

    FIELD = "field"
    BODY = "body"
    ANYWHERE = "anywhere"


class Needle(NamedTuple):
    """A text that is looked for; `text` and `field` are folded. An empty text is in every message and in every field."""

    place: Place
    text: bytes
    field: bytes = b""


def holds(found: SearchText, needle: Needle) -> bool:
    """Whether a message with these texts is found."""
    text = needle.text
    match needle.place:
        case Place.FIELD:
            return _find_in_field(found.header, needle.field, text)
        case Place.BODY:
            return text in found.body
        case Place.ANYWHERE:
            return text in found.body or text in found.header or text in found.mime


def search_text(octets: Octets, limits: Limits = DEFAULT_LIMITS) -> SearchText:
    """All of it. Never raises; costs a small multiple of the octets."""
    header = read_header(octets, 0, None, limits)
    parts = parse_parts(octets, header, limits)
    mime = [line for part in parts[1:] if not _is_embedded(parts, part) for line in _part_fields(octets, part, limits)]
    return SearchText(folded_header(header, limits), b"".join(mime), folded_body(octets, parts, limits))


def folded_header(header: Header, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The fields of a header."""
    return b"".join(_fields(header, limits))


def folded_body(octets: Octets, parts: list[Part], limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The texts of a message's parts."""
    return b"".join(_texts(octets, parts, limits))


def _find_in_field(header: bytes, name: bytes, text: bytes) -> bool:
    """RFC 9051 section 6.4.4, HEADER."""
    start = MARK + name + b":"
    at = header.find(start)
    while at >= 0:
        value = at + len(start)
        end = header.find(MARK, value)
        end = len(header) if end < 0 else end
        if header.find(text, value, end) >= 0:
            return True
        at = header.find(start, end)
    return False


def _fields(header: Header, limits: Limits) -> Iterator[bytes]:
    for field in header.fields:
        value = header.value(field)
        # A name is ASCII (RFC 5322 section 3.6.8); one that is not is never the same as one that is, whatever it folds to.
        if b"=?" not in value and value.isascii() and field.name.isascii():
            yield b"\xff%b: %b" % (field.name.upper(), value.upper())
        else:
            yield b"\xff%b: %b" % (fold(field.name.decode("ascii", "replace")), fold(decode_words(value, limits)))


def _part_fields(octets: Octets, part: Part, limits: Limits) -> Iterator[bytes]:
    return _fields(parse_header(octets, part.header_start, part.header_end, part.body_start, limits), limits)


def _is_embedded(parts: list[Part], part: Part) -> bool:
    """Whether its fields are those of a message inside of the message."""
    return part.parent >= 0 and parts[part.parent].is_message


def _texts(octets: Octets, parts: list[Part], limits: Limits) -> Iterator[bytes]:
    for part in parts:
        if _is_embedded(parts, part):
            yield from _part_fields(octets, part, limits)
        if not part.children and part.type.maintype in (b"text", b"message"):
            yield MARK
            yield from _leaf(octets, part)


def _leaf(octets: Octets, part: Part) -> Iterator[bytes]:
    """The text of one part."""
    label = (find_parameter(part.type.parameters, b"charset") or b"utf-8").decode("ascii", "replace")
    codec = codec_name(label) or "utf_8"
    start, end = part.body_start, part.body_end
    if end - start > _WHOLE:
        yield from (_long_leaf_by_line if codec in DECODERS else _long_leaf)(octets, part, codec)
        return
    data = decode_body(octets, start, end, part.encoding)
    if data.isascii() and _extends_ascii(codec):
        yield fold_ascii(data)
    else:
        yield fold(decode_text(data, codec))


def _long_leaf(octets: Octets, part: Part, codec: str) -> Iterator[bytes]:
    """The same, with never more than a megabyte of it as `str`."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    waiting: list[bytes] = []
    for piece in decoded_pieces(octets, part.body_start, part.body_end, part.encoding):
        waiting.append(piece)
        if len(waiting) == _PIECES:
            yield _decoded(decoder, b"".join(waiting), False)
            waiting.clear()
    yield _decoded(decoder, b"".join(waiting), True)


def _long_leaf_by_line(octets: Octets, part: Part, codec: str) -> Iterator[bytes]:
    """The same for `charmap`, where nothing lasts beyond a line; one that is too long is cut where it must be."""
    rest = b""
    for piece in decoded_pieces(octets, part.body_start, part.body_end, part.encoding):
        rest += piece
        end = rest.rfind(b"\n") + 1
        if end:
            yield fold(decode_text(rest[:end], codec))
            rest = rest[end:]
        elif len(rest) > _LONGEST_LINE:
            yield fold(decode_text(rest, codec))
            rest = b""
    yield fold(decode_text(rest, codec))


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, is_last: bool) -> bytes:
    try:
        return fold(decoder.decode(data, is_last))
    except UnicodeError:  # UTF-16 and -32 without their mark can refuse, whatever is asked of them
        decoder.reset()
        return fold(data.decode("utf-8", "replace"))


@cache  # the names are those of a closed table
def _extends_ascii(codec: str) -> bool:
    """Whether ASCII octets are their own characters: not so in UTF-7, UTF-16, ISO-2022, HZ, EBCDIC, VISCII."""
    if codec in DECODERS:
        return False
    try:
        return all(probe.decode(codec) == probe.decode("ascii") for probe in _ASCII)
    except UnicodeError:
        return False
