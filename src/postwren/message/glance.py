"""A header of which a few fields are wanted, found by one expression instead of parsed line by line (`header`).

    fields = glance(octets, frozenset({b"date"}))     fields.first(b"date")
    values = header_columns(octets, ("sent_date", "base_subject"))

What is ordinary takes a few microseconds; of what is not (a header beyond `MOST` octets, no header at all) the general parser is
asked, and the answer is the same: a line that begins with a field's name is that field, as continuations begin with white space.
"""

import functools
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from postwren.message.address import parse_addresses
from postwren.message.date import parse_date
from postwren.message.digest import address_key
from postwren.message.encodedword import decode_words
from postwren.message.header import FirstFields, begins_like_header, empty_line, read_header, unfold
from postwren.message.octets import Octets
from postwren.message.references import message_id, references
from postwren.message.structure import format_envelope
from postwren.message.subject import base_subject
from postwren.message.usual import usual_fields

__all__ = ["HEADER_COLUMNS", "MOST", "Glance", "fields_of", "glance", "header_block", "header_columns"]

MOST: Final = 16 << 10
"""Octets of a header that is looked at so: of so many no field is cut and none is one too many (`limits`)."""
_NAME: Final = re.compile(rb"[!-9;-~]+")


class Glance:
    """Some fields of a header: `Header.first` for the names that were asked for."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._values = values  # by name in lower case

    def first(self, name: bytes) -> bytes | None:
        """The value of the first field of this name (in lower case), unfolded; None where there is none."""
        value = self._values.get(name)
        return None if value is None else unfold(value)


def header_block(octets: Octets) -> bytes | None:
    """The header of an ordinary message, without the empty line; None where `read_header` must be asked."""
    if not isinstance(octets, bytes):
        return None
    end = octets.find(b"\n\r\n", 0, MOST)
    bare = octets.find(b"\n\n", 0, MOST if end < 0 else end + 1)
    end = bare if bare >= 0 else end
    if end < 0 or empty_line(octets, 0, 2) is not None or not begins_like_header(octets, 0, end):
        return None
    return octets[: end + 1]


def glance(octets: Octets, names: frozenset[bytes]) -> FirstFields:
    """These fields (names in lower case) of a message."""
    block = header_block(octets)
    return read_header(octets) if block is None else _glance(block, names)


def _glance(block: bytes, names: frozenset[bytes]) -> Glance:
    values: dict[bytes, bytes] = {}
    for name, value in _finder(names)(b"\n" + block):
        values.setdefault(name.lower(), value)
    return Glance(values)


def fields_of(block: bytes, names: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """All fields of these names (of ASCII, in lower case) in what `header_block` returns: name in upper case, value unfolded."""
    return [(name.upper(), unfold(value)) for name, value in _finder(names)(b"\n" + block)]


@functools.lru_cache(maxsize=64)
def _finder(names: frozenset[bytes]) -> Callable[[bytes], list[tuple[bytes, bytes]]]:
    if not all(map(_NAME.fullmatch, names)):
        raise ValueError("no name of a field")
    # It begins with an octet for which the search skips whole lines (`usual._selector`).
    wanted = b"|".join(map(re.escape, sorted(names)))
    return re.compile(rb"\n(%b)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)" % wanted, re.IGNORECASE).findall


# -- columns of a digest


def header_columns(octets: Octets, names: tuple[str, ...]) -> tuple[Any, ...]:
    """What the columns of these names (of `HEADER_COLUMNS`) hold in the digest of the message; `header` may hold more fields than
    the usual ones, in their order among them (`usual.select_fields` finds the same)."""
    wanted, steps, places = _plan(names)
    block = header_block(octets)
    if block is None:
        header = read_header(octets)
        found = [step(header) for step in steps]
        found.append((usual_fields(octets, header) if "header" in names else None,))
    else:
        fields = _glance(block, wanted)
        found = [step(fields) for step in steps]
        found.append((block,))
    return tuple([found[step][place] for step, place in places])


def _date(fields: FirstFields) -> tuple[Any, ...]:
    date = parse_date(fields.first(b"date") or b"")
    return (None, 0) if date is None else (date.epoch, date.offset)


def _subject(fields: FirstFields) -> tuple[Any, ...]:
    text = decode_words(fields.first(b"subject") or b"")
    base = base_subject(text)
    return text, base.text, base.is_reply


def _address(name: bytes) -> "_Step":
    def step(fields: FirstFields) -> tuple[Any, ...]:
        value = fields.first(name)
        return address_key(parse_addresses(value) if value else [])

    return step


def _own_id(fields: FirstFields) -> tuple[Any, ...]:
    found = message_id(fields)
    return (None if found is None else found.decode("utf-8", "replace"),)


def _references(fields: FirstFields) -> tuple[Any, ...]:
    return (b"\n".join(references(fields)).decode("utf-8", "replace"),)


_Step: TypeAlias = Callable[[FirstFields], tuple[Any, ...]]
_STEPS: Final[tuple[tuple[tuple[str, ...], bytes, _Step], ...]] = (
    (("sent_date", "sent_offset"), b"date", _date),
    (("subject", "base_subject", "is_reply"), b"subject", _subject),
    (("from_mailbox", "from_display"), b"from", _address(b"from")),
    (("to_mailbox", "to_display"), b"to", _address(b"to")),
    (("cc_mailbox", "cc_display"), b"cc", _address(b"cc")),
    (("message_id",), b"message-id", _own_id),
    (("references",), b"references in-reply-to", _references),
    (
        ("envelope",),
        b"date subject from sender reply-to to cc bcc in-reply-to message-id",
        lambda fields: (format_envelope(fields),),
    ),
)
"""Columns, the fields that they are made of, and how."""
HEADER_COLUMNS: Final = frozenset(["header", *(name for columns, _, _ in _STEPS for name in columns)])


@functools.lru_cache(maxsize=64)
def _plan(names: tuple[str, ...]) -> tuple[frozenset[bytes], list[_Step], list[tuple[int, int]]]:
    """Fields, steps, and for each of the columns which step's which value it is."""
    used = [step for step in _STEPS if set(step[0]) & set(names)]
    columns = [*(columns for columns, _, _ in used), ("header",)]
    places = [next((at, each.index(name)) for at, each in enumerate(columns) if name in each) for name in names]
    return frozenset(b" ".join([fields for _, fields, _ in used]).split()), [step for _, _, step in used], places
