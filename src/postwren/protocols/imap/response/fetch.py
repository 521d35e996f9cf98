"""FETCH and UIDFETCH (RFC 9051 section 7.5.2, RFC 3516, 7162, 8474, 8514, 8970, 9586).

`Fetched` is what a client reads and what tests write. A server renders what it is asked for in bulk; its small answers, changes
of flags, are `format_fetch_flags`."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from postwren.protocols.imap.response.body import BodyStructure, format_body
from postwren.protocols.imap.response.envelope import Envelope, format_envelope
from postwren.protocols.imap.response.value import format_date_time, format_flags, format_octets, format_string

__all__ = [
    "NIL",
    "BinaryData",
    "BinarySizeData",
    "Fetched",
    "Nil",
    "SectionData",
    "Streamed",
    "format_fetch_flags",
    "format_fetched",
]


class Nil(enum.Enum):
    """The type of `NIL`."""

    NIL = "NIL"


NIL: Final = Nil.NIL
"""The server said NIL, where None means that it said nothing."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """The octets came before, as events of the client; here is how many they were."""

    size: int


Octets: TypeAlias = bytes | Streamed | Literal[Nil.NIL]


@dataclass(frozen=True, slots=True)
class SectionData:
    """`BODY[label]<origin>`; `label` in capitals, without quotes. RFC822, RFC822.HEADER and RFC822.TEXT come as such with
    `name`."""

    label: str
    octets: Octets
    origin: int | None = None
    name: str = "BODY"


@dataclass(frozen=True, slots=True)
class BinaryData:
    """`BINARY[parts]<origin>`."""

    parts: tuple[int, ...]
    octets: Octets
    origin: int | None = None


@dataclass(frozen=True, slots=True)
class BinarySizeData:
    """`BINARY.SIZE[parts]`."""

    parts: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was said of one message; None: nothing. `number` is its sequence number, or in UIDFETCH (`is_uidfetch`) its UID,
    which is also in `uid`. `internaldate` and `savedate` are seconds since 1970."""

    number: int
    is_uidfetch: bool = False
    uid: int | None = None
    flags: tuple[str, ...] | None = None
    modseq: int | None = None
    internaldate: int | None = None
    size: int | None = None
    envelope: Envelope | None = None
    body: BodyStructure | None = None
    bodystructure: BodyStructure | None = None
    email_id: str | None = None
    thread_id: str | Literal[Nil.NIL] | None = None
    savedate: int | Literal[Nil.NIL] | None = None
    preview: str | Literal[Nil.NIL] | None = None
    sections: tuple[SectionData, ...] = ()
    binaries: tuple[BinaryData, ...] = ()
    binary_sizes: tuple[BinarySizeData, ...] = ()


def format_fetch_flags(
    number: int, uid: int | None, flags: Iterable[str], modseq: int | None, *, is_uidonly: bool = False
) -> bytes:
    """One line that tells a message's flags. With `is_uidonly`, `number` is the UID (RFC 9586 section 3.3)."""
    name = b"UIDFETCH" if is_uidonly else b"FETCH"
    with_uid = b"" if uid is None or is_uidonly else b"UID %d " % uid
    with_modseq = b"" if modseq is None else b" MODSEQ (%d)" % modseq
    return b"* %d %b (%bFLAGS %b%b)\r\n" % (number, name, with_uid, format_flags(flags), with_modseq)


def format_fetched(response: Fetched, is_utf8: bool) -> bytes:
    """message-data: nz-number SP "FETCH" SP msg-att"""
    items = [*_numbers(response), *_ids(response, is_utf8), *_texts(response)]
    return b"* %d %b (%b)\r\n" % (response.number, b"UIDFETCH" if response.is_uidfetch else b"FETCH", b" ".join(items))


def _numbers(response: Fetched) -> list[bytes]:
    items = []
    if response.uid is not None and not response.is_uidfetch:
        items.append(b"UID %d" % response.uid)
    if response.flags is not None:
        items.append(b"FLAGS " + format_flags(response.flags))
    if response.modseq is not None:
        items.append(b"MODSEQ (%d)" % response.modseq)
    if response.internaldate is not None:
        items.append(b"INTERNALDATE " + format_date_time(response.internaldate))
    if response.size is not None:
        items.append(b"RFC822.SIZE %d" % response.size)
    items += [b"BINARY.SIZE[%b] %d" % (_parts(item.parts), item.size) for item in response.binary_sizes]
    return items


def _ids(response: Fetched, is_utf8: bool) -> list[bytes]:
    items = []
    if response.email_id is not None:
        items.append(b"EMAILID (%b)" % response.email_id.encode())
    if response.thread_id is not None:
        items.append(b"THREADID " + (b"NIL" if response.thread_id is NIL else b"(%b)" % response.thread_id.encode()))
    if response.savedate is not None:
        items.append(b"SAVEDATE " + (b"NIL" if response.savedate is NIL else format_date_time(response.savedate)))
    if response.preview is not None:
        items.append(b"PREVIEW " + format_string(None if response.preview is NIL else response.preview, is_utf8))
    return items


def _texts(response: Fetched) -> list[bytes]:
    items = []
    if response.envelope is not None:
        items.append(b"ENVELOPE " + format_envelope(response.envelope))
    if response.body is not None:
        items.append(b"BODY " + format_body(response.body))
    if response.bodystructure is not None:
        items.append(b"BODYSTRUCTURE " + format_body(response.bodystructure))
    for section in response.sections:
        name = section.name.encode() if section.name != "BODY" else b"BODY[%b]" % section.label.encode("ascii", "replace")
        items.append(name + _origin(section.origin) + b" " + _octets(section.octets))
    for binary in response.binaries:
        items.append(b"BINARY[%b]%b %b" % (_parts(binary.parts), _origin(binary.origin), _octets(binary.octets)))
    return items


def _parts(parts: tuple[int, ...]) -> bytes:
    return ".".join(map(str, parts)).encode()


def _origin(origin: int | None) -> bytes:
    return b"" if origin is None else b"<%d>" % origin


def _octets(octets: Octets) -> bytes:
    match octets:
        case bytes():
            return format_octets(octets)
        case Streamed():
            raise ValueError("octets that went by cannot be written")
        case Nil.NIL:
            return b"NIL"
