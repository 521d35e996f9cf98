"""FETCH (RFC 9051 section 6.4.5, RFC 3516, 7162, 8474, 8514, 8970, 9394)."""

import enum
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.numset import NumSet
from postwren.protocols.imap.primitive import ASTRING_ATOM, Scanner
from postwren.protocols.imap.writer import Writer
from postwren.wire.errors import LocalProtocolError

__all__ = [
    "Binary",
    "BinarySize",
    "Fetch",
    "FetchItem",
    "Item",
    "Partial",
    "Preview",
    "Section",
    "SectionText",
    "format_fetch",
    "format_item",
    "parse_fetch",
    "parse_item",
    "parse_items",
    "parse_range",
    "section_label",
]

Partial: TypeAlias = tuple[int, int]
"""`<offset.count>`: the first octet and how many at most."""


class Item(enum.Enum):
    """Items without arguments. Macros are resolved by the parser."""

    FLAGS = "FLAGS"
    UID = "UID"
    INTERNALDATE = "INTERNALDATE"
    RFC822_SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"  # without extension data
    BODYSTRUCTURE = "BODYSTRUCTURE"
    MODSEQ = "MODSEQ"
    EMAILID = "EMAILID"
    THREADID = "THREADID"
    SAVEDATE = "SAVEDATE"
    RFC822 = "RFC822"  # these three are of RFC 3501 and set \Seen but for the header
    RFC822_HEADER = "RFC822.HEADER"
    RFC822_TEXT = "RFC822.TEXT"


class SectionText(enum.Enum):
    """section-text; HEADER and TEXT may also stand alone."""

    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """`BODY[...]<...>`. `label` is what the answer repeats between the brackets (field names as the client wrote them)."""

    parts: tuple[int, ...] = ()
    text: SectionText | None = None
    fields: tuple[bytes, ...] = ()  # in lower case
    partial: Partial | None = None
    is_peek: bool = False
    label: bytes = b""


@dataclass(frozen=True, slots=True)
class Binary:
    """`BINARY[...]<...>`."""

    parts: tuple[int, ...]
    partial: Partial | None = None
    is_peek: bool = False


@dataclass(frozen=True, slots=True)
class BinarySize:
    """`BINARY.SIZE[...]`."""

    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """RFC 8970."""

    is_lazy: bool = False


FetchItem: TypeAlias = Item | Section | Binary | BinarySize | Preview


@dataclass(frozen=True, slots=True)
class Fetch:
    """`partial`: RFC 9394, (first, last) as `parse_range` gives it. `vanished`: RFC 7162 section 3.2.6."""

    is_uid: bool
    numbers: NumSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: tuple[int, int] | None = None


_ITEMS: Final = {item.value.encode(): item for item in Item if item is not Item.BODY}
_MACROS: Final[dict[bytes, tuple[FetchItem, ...]]] = {
    b"FAST": (Item.FLAGS, Item.INTERNALDATE, Item.RFC822_SIZE),
    b"ALL": (Item.FLAGS, Item.INTERNALDATE, Item.RFC822_SIZE, Item.ENVELOPE),
    b"FULL": (Item.FLAGS, Item.INTERNALDATE, Item.RFC822_SIZE, Item.ENVELOPE, Item.BODY),
}
_SECTION_TEXTS: Final = {text.value.encode(): text for text in SectionText}
_WITH_FIELDS: Final = (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT)
_NAME: Final = re.compile(rb"[A-Za-z0-9.]+")
_PARTS: Final = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*+")
_PARTIAL: Final = re.compile(rb"<([0-9]{1,19})\.([1-9][0-9]{0,18})>")
_RANGE: Final = re.compile(rb"(-?)([1-9][0-9]{0,9}):(-?)([1-9][0-9]{0,9})")
_FIELD: Final = re.compile(rb"[!-9;-~]+")  # RFC 5322 section 2.2: what a header field can be called
_BARE: Final = re.compile(ASTRING_ATOM)


def parse_fetch(scanner: Scanner, *, is_uid: bool = False) -> Fetch:
    """`fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
    [SP fetch-modifiers]` (RFC 4466 section 2.3)."""
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    items = parse_items(scanner) if scanner.is_at(b"(") else _parse_single(scanner)
    if scanner.is_ended():
        return Fetch(is_uid, numbers, items)
    scanner.space()
    changed_since, vanished, partial = None, False, None
    for name, value in scanner.parenthesized(lambda: _parse_modifier(scanner)):
        if name == b"CHANGEDSINCE":
            changed_since = value[0]
        elif name == b"PARTIAL":
            partial = value
        else:
            vanished = True
    # RFC 7162 section 3.2.6: VANISHED only of UID FETCH with CHANGEDSINCE
    if vanished and (not is_uid or changed_since is None):
        raise Unparsable
    return Fetch(is_uid, numbers, items, changed_since, vanished, partial)


def _parse_modifier(scanner: Scanner) -> tuple[bytes, tuple[int, int]]:
    """`fetch-modifier = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range` (RFC 7162, 9394)."""
    name = scanner.keyword()
    if name == b"VANISHED":
        return name, (0, 0)
    scanner.space()
    if name == b"CHANGEDSINCE":
        return name, (scanner.number64(), 0)
    if name == b"PARTIAL":
        return name, parse_range(scanner)
    raise Unparsable


def parse_range(scanner: Scanner) -> tuple[int, int]:
    """`partial-range` of RFC 9394 section 4: (first, last) from the oldest, or both negative from the newest, where -1 is the
    newest; what is nearer to its end stands first."""
    sign, first, other_sign, last = scanner.match(_RANGE).groups()
    if sign != other_sign:
        raise Unparsable
    low, high = sorted((int(first), int(last)))
    return (-low, -high) if sign else (low, high)


def parse_items(scanner: Scanner) -> tuple[FetchItem, ...]:
    """`"(" fetch-att *(SP fetch-att) ")"`; NOTIFY takes them too."""
    return scanner.parenthesized(lambda: parse_item(scanner))


def _parse_single(scanner: Scanner) -> tuple[FetchItem, ...]:
    position = scanner.position
    macro = _MACROS.get(scanner.match(_NAME)[0].upper())
    if macro is not None:
        return macro
    scanner.position = position
    return (parse_item(scanner),)


def parse_item(scanner: Scanner) -> FetchItem:
    """`fetch-att` with its extensions."""
    name = scanner.match(_NAME)[0].upper()
    item = _ITEMS.get(name)
    if item is not None:
        return item
    if name == b"BODY" and not scanner.is_at(b"["):
        return Item.BODY
    if name in (b"BODY", b"BODY.PEEK"):
        return _parse_section(scanner, is_peek=name == b"BODY.PEEK")
    if name in (b"BINARY", b"BINARY.PEEK"):
        return Binary(_parse_binary_parts(scanner), _parse_partial(scanner), name == b"BINARY.PEEK")
    if name == b"BINARY.SIZE":
        return BinarySize(_parse_binary_parts(scanner))
    if name == b"PREVIEW":
        return _parse_preview(scanner)
    raise Unparsable


def _parse_preview(scanner: Scanner) -> Preview:
    """`"PREVIEW" [SP "(" "LAZY" ")"]` (RFC 8970 section 6). What else might stand behind it, fetch modifiers, is no part of
    it."""
    position = scanner.position
    if scanner.skip(b" (") and scanner.keyword() == b"LAZY" and scanner.skip(b")"):
        return Preview(is_lazy=True)
    scanner.position = position
    return Preview()


def _parse_partial(scanner: Scanner) -> Partial | None:
    """`partial = "<" number64 "." nz-number64 ">"`."""
    if not scanner.is_at(b"<"):
        return None
    offset, count = map(int, scanner.match(_PARTIAL).groups())
    if max(offset, count) >= 1 << 63:
        raise Unparsable
    return offset, count


def _parse_parts(scanner: Scanner) -> tuple[int, ...]:
    """`section-part = nz-number *("." nz-number)`."""
    parts = tuple(map(int, scanner.match(_PARTS)[0].split(b".")))
    scanner.count(len(parts))
    return parts


def _parse_binary_parts(scanner: Scanner) -> tuple[int, ...]:
    """`section-binary = "[" [section-part] "]"`."""
    scanner.expect(b"[")
    parts = () if scanner.is_at(b"]") else _parse_parts(scanner)
    scanner.expect(b"]")
    return parts


def _parse_section(scanner: Scanner, *, is_peek: bool) -> Section:
    """`section = "[" [section-spec] "]"`, with
    `section-spec = section-msgtext / (section-part ["." section-text])` and `section-text = section-msgtext / "MIME"`."""
    scanner.expect(b"[")
    parts: tuple[int, ...] = ()
    text: SectionText | None = None
    names: tuple[bytes, ...] = ()
    if scanner.is_digit():
        parts = _parse_parts(scanner)
    if not scanner.is_at(b"]"):
        if parts:
            scanner.expect(b".")
        text = _SECTION_TEXTS.get(scanner.match(_NAME)[0].upper())
        if text is None or (text is SectionText.MIME and not parts):
            raise Unparsable
        if text in _WITH_FIELDS:
            scanner.space()
            names = scanner.parenthesized(scanner.astring)
    scanner.expect(b"]")
    if not all(map(_FIELD.fullmatch, names)):
        raise Unparsable
    fields = tuple(name.lower() for name in names)
    return Section(parts, text, fields, _parse_partial(scanner), is_peek, section_label(parts, text, names))


def section_label(parts: tuple[int, ...], text: SectionText | None, fields: tuple[bytes, ...] = ()) -> bytes:
    """What stands between the brackets, in a command and in its answer."""
    words = [b"%d" % part for part in parts]
    if text is not None:
        words.append(text.value.encode())
    label = b".".join(words)
    return b"%b (%b)" % (label, b" ".join(map(_quote_field, fields))) if text in _WITH_FIELDS else label


def _quote_field(name: bytes) -> bytes:
    return name if _BARE.fullmatch(name) else b'"%b"' % name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def format_fetch(writer: Writer, command: Fetch) -> None:
    writer.put(b"UID FETCH " if command.is_uid else b"FETCH ")
    writer.numbers(command.numbers)
    writer.put(b" ")
    writer.listed(command.items, lambda item: format_item(writer, item))
    modifiers = []
    if command.changed_since is not None:
        modifiers.append(b"CHANGEDSINCE %d" % command.changed_since)
    if command.vanished:
        modifiers.append(b"VANISHED")
    if command.partial is not None:
        modifiers.append(b"PARTIAL %d:%d" % command.partial)
    if modifiers:
        writer.put(b" (", b" ".join(modifiers), b")")


def format_item(writer: Writer, item: FetchItem) -> None:
    """`fetch-att`."""
    match item:
        case Item():
            writer.put(item.value.encode())
        case Preview(is_lazy):
            writer.put(b"PREVIEW (LAZY)" if is_lazy else b"PREVIEW")
        case BinarySize(parts):
            writer.put(b"BINARY.SIZE[%b]" % section_label(parts, None))
        case Binary(parts, partial, is_peek):
            writer.put(b"BINARY.PEEK[" if is_peek else b"BINARY[", section_label(parts, None), b"]", _format_partial(partial))
        case Section(parts, text, fields, partial, is_peek, label):
            if not all(map(_FIELD.fullmatch, fields)):
                raise LocalProtocolError("not the name of a header field")
            plain = section_label(parts, text, fields)
            label = label if label.lower() == plain.lower() else plain
            writer.put(b"BODY.PEEK[" if is_peek else b"BODY[", label, b"]", _format_partial(partial))


def _format_partial(partial: Partial | None) -> bytes:
    return b"" if partial is None else b"<%d.%d>" % partial
