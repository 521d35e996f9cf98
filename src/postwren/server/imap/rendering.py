"""FETCH responses in bulk: an item is a piece of a format and the values that go into it, and a batch of lines is one `%`.

    layout = Layout.of(items, ...)
    layout.render(batch)      -> octets of as many lines as the batch has messages

No object a message: values are slices of the snapshot's columns, columns of digests, texts that are shared. Bodies are columns of
octets; large messages go their own way (`large.py`).
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

from postwren.mailstore.service.keys import thread_id
from postwren.mailstore.snapshot import Snapshot
from postwren.message.octets import cut
from postwren.message.sevenbit import seven_bit
from postwren.message.usual import USUAL_FIELDS, select_fields
from postwren.protocols.imap.command.fetch import Binary, BinarySize, FetchItem, Item, Partial, Preview, Section, SectionText
from postwren.protocols.imap.value import format_string
from postwren.server.imap.fieldtext import FieldTexts
from postwren.server.imap.flagtext import FlagTexts
from postwren.server.imap.objectid import email_id
from postwren.server.imap.section import Found, MessageOctets, narrowed, without_nul
from postwren.terms import AccountId

__all__ = ["Batch", "BodiesNeeded", "Cell", "Layout", "is_from_body", "layout_of"]

FEW: Final = 16  # items; longer lists are made anew

Values: TypeAlias = Sequence[Any] | Iterable[Any]
Digested: TypeAlias = Callable[[Sequence[int], Sequence[str]], list[tuple[Any, ...] | None]]
"""(email ids, names of columns) -> rows of `Store.digests`."""


class BodiesNeeded(Exception):
    """Of one of these messages the usual fields are too many to be kept: they must be read (`usual.MOST`)."""


class Batch:
    """Some messages of a mailbox. `rows` are positions in the snapshot; a `range` where they are neighbours."""

    __slots__ = ("bodies", "digested", "fields", "numbers", "rows", "snapshot", "texts")

    def __init__(
        self,
        snapshot: Snapshot,
        rows: Sequence[int],
        numbers: Sequence[int],
        texts: FlagTexts,
        fields: FieldTexts,
        digested: Digested,
    ) -> None:
        self.snapshot = snapshot
        self.rows = rows
        self.numbers = numbers  # that lines begin with
        self.texts = texts
        self.fields = fields
        self.digested = digested
        self.bodies: Sequence[MessageOctets] = ()  # of all of them, where a column asks for octets

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, column: "array[int]") -> Sequence[int]:
        """These messages' values of a column."""
        rows = self.rows
        if isinstance(rows, range):
            return column[rows.start : rows.stop]
        return [column[row] for row in rows]

    def digest(self, *names: str) -> list[tuple[Any, ...]]:
        """Columns of digests; whoever makes the batch has seen to it that they are there."""
        return self.digest_of(self.pick(self.snapshot.email_ids), *names)

    def digest_of(self, email_ids: Sequence[int], *names: str) -> list[tuple[Any, ...]]:
        """`digest` of some of them."""
        return [row for row in self.digested(email_ids, names) if row is not None]


class Cell(NamedTuple):
    """One item: what stands in the line, and the columns for its places. `names` are the columns of digests that it reads."""

    format: bytes
    values: Callable[[Batch], tuple[Values, ...]]
    names: tuple[str, ...] = ()
    needs_body: bool = False
    # Of a section, for a message that is too large to be a value:
    name: bytes = b""
    locate: Callable[[MessageOctets], Found] | None = None
    partial: Partial | None = None


class Layout:
    """The items of one command."""

    __slots__ = ("cells", "head", "line", "names", "needs_body")

    def __init__(self, cells: Sequence[Cell], *, is_uidonly: bool) -> None:
        self.cells = cells
        self.head = b"* %d UIDFETCH (" if is_uidonly else b"* %d FETCH ("
        self.line = self.head + b" ".join([cell.format for cell in cells]) + b")\r\n"
        self.names = tuple(dict.fromkeys(name for cell in cells for name in cell.names))
        self.needs_body = any(cell.needs_body for cell in cells)

    def render(self, batch: Batch) -> bytes:
        """All lines of a batch."""
        columns: list[Values] = [batch.numbers]
        for cell in self.cells:
            columns += cell.values(batch)
        return (self.line * len(batch)) % tuple(chain.from_iterable(zip(*columns, strict=True)))


def layout_of(items: tuple[FetchItem, ...], account_id: AccountId, *, is_utf8: bool, is_uidonly: bool) -> Layout:
    """The layout of these items. A client asks for the same few again and again."""
    make = _known_layout if len(items) <= FEW else _layout
    return make(items, account_id, is_utf8, is_uidonly)


def _layout(items: tuple[FetchItem, ...], account_id: AccountId, is_utf8: bool, is_uidonly: bool) -> Layout:
    return Layout([cell_of(item, account_id, is_utf8=is_utf8) for item in items], is_uidonly=is_uidonly)


_known_layout: Final = lru_cache(maxsize=128)(_layout)


def cell_of(item: FetchItem, account_id: AccountId, *, is_utf8: bool) -> Cell:
    """The cell of an item."""
    match item:
        case Item():
            return _plain(item, account_id, is_utf8=is_utf8)
        case Preview():
            return Cell(
                b"PREVIEW %b", lambda batch: ([format_string(row[0], is_utf8) for row in batch.digest("preview")],), ("preview",)
            )
        case Section() if _is_usual(item):
            return _usual(item)
        case Section():
            return _section(b"BODY[" + item.label + b"]", item)
        case Binary():
            return _binary(item)
        case BinarySize(numbers):
            return Cell(
                b"BINARY.SIZE[%b] %%d" % _dotted(numbers),
                lambda batch: ([_size(body.binary(numbers)) for body in batch.bodies],),
                needs_body=True,
            )


def is_from_body(item: FetchItem) -> bool:
    """Whether reading it sets \\Seen (RFC 9051 section 6.4.5)."""
    match item:
        case Section(is_peek=is_peek) | Binary(is_peek=is_peek):
            return not is_peek
        case Item.RFC822 | Item.RFC822_TEXT:
            return True
        case _:
            return False


def _plain(item: Item, account_id: AccountId, *, is_utf8: bool) -> Cell:
    match item:
        case Item.FLAGS:
            return Cell(b"FLAGS %b", lambda batch: (map(batch.texts.__getitem__, batch.pick(batch.snapshot.flagset_ids)),))
        case Item.UID:
            return Cell(b"UID %d", lambda batch: (batch.pick(batch.snapshot.uids),))
        case Item.INTERNALDATE:
            return Cell(b'INTERNALDATE "%b %b:%02d +0000"', lambda batch: _dates(batch.pick(batch.snapshot.internaldates)))
        case Item.SAVEDATE:
            return Cell(b'SAVEDATE "%b %b:%02d +0000"', lambda batch: _dates(batch.pick(batch.snapshot.savedates)))
        case Item.RFC822_SIZE:
            return Cell(b"RFC822.SIZE %d", lambda batch: (batch.pick(batch.snapshot.sizes),))
        case Item.MODSEQ:
            return Cell(b"MODSEQ (%d)", lambda batch: (batch.pick(batch.snapshot.modseqs),))
        case Item.EMAILID:
            prefix = email_id(account_id, 0)[:-1].encode()
            return Cell(b"EMAILID (%b%%d)" % prefix, lambda batch: (batch.pick(batch.snapshot.email_ids),))
        case Item.THREADID:
            names = ("message_id", "references")
            return Cell(b"THREADID %b", lambda batch: ([_thread_id(*row) for row in batch.digest(*names)],), names)
        case Item.ENVELOPE | Item.BODY | Item.BODYSTRUCTURE:
            name = item.value.lower()
            of_digest = _rendered if is_utf8 else _rendered_in_ascii
            return Cell(item.value.encode() + b" %b", lambda batch: (of_digest(batch, name),), (name,))
        case Item.RFC822:
            return _section(b"RFC822", Section())
        case Item.RFC822_HEADER:
            return _section(b"RFC822.HEADER", Section(text=SectionText.HEADER))
        case Item.RFC822_TEXT:
            return _section(b"RFC822.TEXT", Section(text=SectionText.TEXT))


def _rendered(batch: Batch, name: str) -> list[bytes]:
    return [row[0] for row in batch.digest(name)]


def _rendered_in_ascii(batch: Batch, name: str) -> list[bytes]:
    """RFC 6855 section 3. Nearly all are ASCII as they stand, which is known at the cost of a look."""
    values = _rendered(batch, name)
    return values if all(map(bytes.isascii, values)) else [*map(seven_bit, values)]


# -- dates


@lru_cache(maxsize=4096)
def _day(day: int) -> bytes:
    """date-day-fixed "-" date-month "-" date-year"""
    at = datetime.fromtimestamp(day * 86_400, UTC)
    return b"%2d-%b-%04d" % (at.day, _MONTHS[at.month - 1], at.year)


_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MINUTES: Final = [b"%02d:%02d" % divmod(minute, 60) for minute in range(1440)]
_FIRST, _LAST = -62_135_596_800, 253_402_300_799  # years of four digits


def _dates(seconds: Sequence[int]) -> tuple[Values, ...]:
    """Days, minutes and seconds of UTC as three columns."""
    bounded = [min(max(second, _FIRST), _LAST) for second in seconds]
    return (
        [_day(second // 86_400) for second in bounded],
        [_MINUTES[second % 86_400 // 60] for second in bounded],
        [second % 60 for second in bounded],
    )


def _thread_id(message_id: str | None, references: str) -> bytes:
    """RFC 8474 section 5.2"""
    found = thread_id(message_id, references.split("\n") if references else ())
    return b"NIL" if found is None else b"(%b)" % found.encode()


# -- sections


def _is_usual(section: Section) -> bool:
    return (
        section.text is SectionText.HEADER_FIELDS
        and not section.parts
        and section.partial is None
        and USUAL_FIELDS.issuperset(section.fields)
    )


def _usual(section: Section) -> Cell:
    """Of fields that are kept beside the message; where a message has too many of them, it is read."""
    names = frozenset(section.fields)

    def values(batch: Batch) -> tuple[Values, ...]:
        def pick(email_ids: Sequence[int]) -> list[bytes] | None:
            headers = [row[0] for row in batch.digest_of(email_ids, "header")]
            return None if None in headers else [without_nul(select_fields(header, names)) for header in headers]

        snapshot = batch.snapshot
        octets = batch.fields.of(snapshot.account_id, names, batch.pick(snapshot.email_ids), pick)
        if octets is None:
            if not batch.bodies:
                raise BodiesNeeded
            return _octets(batch, section)
        return map(len, octets), octets

    name = b"BODY[" + section.label + b"]"
    return Cell(_escaped(name) + b" {%d}\r\n%b", values, ("header",), name=name, locate=lambda body: body.section(section))


def _section(name: bytes, section: Section) -> Cell:
    partial = section.partial
    name += b"" if partial is None else b"<%d>" % partial[0]

    def locate(body: MessageOctets) -> Found:
        return body.section(section)

    if not section.parts:  # always there
        line = _escaped(name) + b" {%d}\r\n%b"
        return Cell(line, lambda batch: _octets(batch, section), needs_body=True, name=name, locate=locate, partial=partial)

    def values(batch: Batch) -> tuple[Values, ...]:
        return ([_nstring(_bytes(body, body.section(section), partial)) for body in batch.bodies],)

    return Cell(_escaped(name) + b" %b", values, needs_body=True, name=name, locate=locate, partial=partial)


def _octets(batch: Batch, section: Section) -> tuple[Values, ...]:
    octets = [without_nul(_bytes(body, body.section(section), section.partial) or b"") for body in batch.bodies]
    return map(len, octets), octets


def _bytes(body: MessageOctets, found: Found, partial: Partial | None) -> bytes | None:
    if found is None:
        return None
    if isinstance(found, bytes):
        return found if partial is None else found[partial[0] : partial[0] + partial[1]]
    start, end = narrowed(found, partial)
    return (
        body.octets if start == 0 and end == len(body.octets) and isinstance(body.octets, bytes) else cut(body.octets, start, end)
    )


def _nstring(octets: bytes | None) -> bytes:
    return b"NIL" if octets is None else b"{%d}\r\n%b" % (len(octets), without_nul(octets))


def _binary(item: Binary) -> Cell:
    origin = b"" if item.partial is None else b"<%d>" % item.partial[0]
    return Cell(
        b"BINARY[%b]%b %%b" % (_dotted(item.parts), origin),
        lambda batch: ([_literal8(_bytes(body, body.binary(item.parts), item.partial)) for body in batch.bodies],),
        needs_body=True,
    )


def _literal8(octets: bytes | None) -> bytes:
    """RFC 3516 section 4.4: literal8 where NUL is among the octets"""
    if octets is None:
        return b"NIL"
    return b"%b{%d}\r\n%b" % (b"~" if b"\0" in octets else b"", len(octets), octets)


def _size(found: Found) -> int:
    if found is None:
        return 0
    return len(found) if isinstance(found, bytes) else found[1] - found[0]


def _dotted(numbers: tuple[int, ...]) -> bytes:
    return ".".join(map(str, numbers)).encode()


def _escaped(octets: bytes) -> bytes:
    """What a client wrote, in a format: its per cent signs stand for themselves."""
    return octets.replace(b"%", b"%%")
