"""FETCH and UIDFETCH (RFC 9051 section 7.5.2, RFC 3516, 7162, 8474, 8514, 8970, 9586).

`Fetched` is what a client reads and what tests write. A server renders what it is asked for in bulk; its small answers, changes
of flags, are `format_fetch_flags`."""

import contextlib
import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from postwren.protocols.imap import quirk
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Reader, Streamed
from postwren.protocols.imap.response.body import BodyStructure, body_of, format_body
from postwren.protocols.imap.response.envelope import Envelope, envelope_of, format_envelope
from postwren.protocols.imap.response.shape import check_body, check_envelope
from postwren.protocols.imap.value import format_date_time, format_flags, format_octets, format_string

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
    "parse_fetched",
    "uid_of_head",
]


class Nil(enum.Enum):
    """The type of `NIL`."""

    NIL = "NIL"


NIL: Final = Nil.NIL
"""The server said NIL, where None means that it said nothing."""


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


_NAME: Final = re.compile(rb'([A-Za-z0-9.\-_]+)(?:\[((?:[^\]"\r\n\x00]|"[^"\r\n\x00]*")*+)\])?(?:<([0-9]{1,19})>)?')
_LABEL_QUOTES: Final = re.compile(r'"([^"\\ ]*)"')


def parse_fetched(reader: Reader, number: int, *, is_uidfetch: bool) -> Fetched:
    """msg-att, behind the word. Items that we do not know are left out."""
    found: dict[str, Any] = {"uid": number} if is_uidfetch else {}
    _parse_items(reader, found)
    return Fetched(number, is_uidfetch, **found)


def _parse_items(reader: Reader, found: dict[str, Any]) -> None:
    reader.space()
    reader.expect(b"(")
    depth = 0
    is_first = True
    while True:
        if reader.skip(b")"):
            if not depth:
                return
            depth -= 1
            continue
        if not is_first or not reader.is_strict:
            reader.space()
        is_first = False
        if not reader.is_strict:
            if reader.is_ended():
                return  # a literal that was longer than announced took the parenthesis with it
            if reader.skip(quirk.AROUND_ITEM):
                depth += 1
                continue
            if reader.is_at(b")"):
                continue
        match = reader.match(_NAME)
        reader.space()
        _parse_item(reader, match, found)


_HEAD: Final = re.compile(rb"\*[ \t]+([0-9]{1,10})[ \t]+(UID)?FETCH", re.IGNORECASE)


def uid_of_head(text: bytes, streamed: Mapping[int, int]) -> int | None:
    """The UID in a FETCH whose end has not come yet; read by the grammar, so that a message's text cannot pretend to be one."""
    match = _HEAD.match(text)
    if match is None:
        return None
    if match[2]:
        return int(match[1])
    found: dict[str, Any] = {}
    with contextlib.suppress(Unparsable, UnicodeDecodeError, OverflowError):
        _parse_items(Reader(text, match.end(), streamed=streamed), found)
    uid: int | None = found.get("uid")
    return uid


def _parse_item(reader: Reader, match: "re.Match[bytes]", found: dict[str, Any]) -> None:
    name = match[1].upper()
    if match[2] is None:
        plain = _PLAIN.get(name)
        if plain is not None:
            found[plain[0]] = plain[1](reader)
        elif name in _WHOLE:
            section = SectionData("", _parse_octets(reader), None, name.decode())
            found["sections"] = (*found.get("sections", ()), section)
        elif reader.is_strict:
            raise Unparsable
        else:
            reader.tree()
        return
    origin = None if match[3] is None else int(match[3])
    if name == b"BODY":
        label = _LABEL_QUOTES.sub(r"\1", match[2].decode("ascii", "replace")).upper()
        found["sections"] = (*found.get("sections", ()), SectionData(label, _parse_octets(reader), origin))
    elif name == b"BINARY":
        found["binaries"] = (*found.get("binaries", ()), BinaryData(_parts_of(match[2]), _parse_octets(reader), origin))
    elif name == b"BINARY.SIZE":
        sizes = found.get("binary_sizes", ())
        found["binary_sizes"] = (*sizes, BinarySizeData(_parts_of(match[2]), reader.number64()))
    else:
        raise Unparsable


def _parts_of(octets: bytes) -> tuple[int, ...]:
    """section-part"""
    numbers = octets.split(b".") if octets else []
    if not all(number.isdigit() and len(number) < 10 for number in numbers):
        raise Unparsable
    return tuple(map(int, numbers))


def _parse_octets(reader: Reader) -> Octets:
    octets = reader.octets()
    return NIL if octets is None else octets


def _parse_modseq(reader: Reader) -> int:
    """fetch-mod-resp (RFC 7162 section 7)"""
    reader.expect(b"(")
    modseq = reader.number64()
    reader.expect(b")")
    return modseq


def _parse_id(reader: Reader) -> str | Literal[Nil.NIL]:
    """ "(" objectid ")" / nil (RFC 8474 section 7)"""
    match reader.tree(has_atoms=True):
        case [bytes() as object_id]:
            return object_id.decode("ascii", "replace")
        case [int() as digits]:
            return str(digits)
        case None:
            return NIL
    raise Unparsable


def _parse_email_id(reader: Reader) -> str | None:
    email_id = _parse_id(reader)
    return None if email_id is NIL else email_id


def _parse_savedate(reader: Reader) -> int | Literal[Nil.NIL]:
    """date-time / nil (RFC 8514 section 5)"""
    return NIL if reader.nil() else reader.date_time()


def _parse_preview(reader: Reader) -> str | Literal[Nil.NIL]:
    """nstring (RFC 8970 section 6)"""
    preview = reader.ntext()
    return NIL if preview is None else preview


def _parse_envelope(reader: Reader) -> Envelope:
    tree = reader.tree()
    if reader.is_strict:
        check_envelope(tree)
    return envelope_of(tree)


def _parse_body(reader: Reader) -> BodyStructure:
    tree = reader.tree()
    if reader.is_strict:
        check_body(tree)
    return body_of(tree)


_WHOLE: Final = frozenset({b"RFC822", b"RFC822.HEADER", b"RFC822.TEXT"})
_PLAIN: Final[dict[bytes, tuple[str, Callable[[Reader], Any]]]] = {
    b"UID": ("uid", Reader.number),
    b"FLAGS": ("flags", Reader.flag_list),
    b"MODSEQ": ("modseq", _parse_modseq),
    b"INTERNALDATE": ("internaldate", Reader.date_time),
    b"RFC822.SIZE": ("size", Reader.size),
    b"ENVELOPE": ("envelope", _parse_envelope),
    b"BODY": ("body", _parse_body),
    b"BODYSTRUCTURE": ("bodystructure", _parse_body),
    b"EMAILID": ("email_id", _parse_email_id),
    b"THREADID": ("thread_id", _parse_id),
    b"SAVEDATE": ("savedate", _parse_savedate),
    b"PREVIEW": ("preview", _parse_preview),
}
