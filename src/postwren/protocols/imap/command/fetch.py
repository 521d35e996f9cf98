"""FETCH (RFC 9051 section 6.4.5, RFC 3516, 7162, 8474, 8514, 8970, 9394)."""

import enum
from dataclasses import dataclass
from typing import TypeAlias

from postwren.protocols.imap.numset import NumSet

__all__ = ["Binary", "BinarySize", "Fetch", "FetchItem", "Item", "Partial", "Preview", "Section", "SectionText"]

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
    """`partial`: RFC 9394, (first, last), negative from the end. `vanished`: RFC 7162 section 3.2.6."""

    is_uid: bool
    numbers: NumSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: tuple[int, int] | None = None
