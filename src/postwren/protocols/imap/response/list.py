"""LIST, LSUB, STATUS (RFC 9051 sections 7.3.1 and 7.3.4, RFC 3501 section 7.2.3, RFC 5258, 5819, 8474)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.protocols.imap import quirk
from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Reader, Tree
from postwren.protocols.imap.value import format_mailbox, format_quoted

__all__ = ["ListEntry", "MailboxStatus", "StatusValue", "format_list", "format_status", "parse_list", "parse_status"]


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A mailbox. `attributes` as they were written (`\\HasChildren`); `delimiter` None: no hierarchy. `child_info`: selection
    options that a child matches (RFC 5258 section 3.5), empty where the item is absent. `is_lsub`: LSUB said it."""

    mailbox: str
    delimiter: str | None = "/"
    attributes: tuple[str, ...] = ()
    child_info: tuple[str, ...] = ()
    old_name: str | None = None
    is_lsub: bool = False


StatusValue: TypeAlias = int | str | None
"""A number, MAILBOXID's text, or NIL (APPENDLIMIT: no limit is known)."""


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """STATUS: items in their order."""

    mailbox: str
    items: tuple[tuple[StatusItem, StatusValue], ...]


def format_list(response: ListEntry, is_utf8: bool) -> bytes:
    """mailbox-list, with its mbox-list-extended"""
    delimiter = b"NIL" if response.delimiter is None else format_quoted(response.delimiter)
    line = b"* %b (%b) %b %b" % (
        b"LSUB" if response.is_lsub else b"LIST",
        " ".join(response.attributes).encode("ascii", "replace"),
        delimiter,
        format_mailbox(response.mailbox, is_utf8),
    )
    extended = _extended(response, is_utf8)
    return b"%b (%b)\r\n" % (line, b" ".join(extended)) if extended else line + b"\r\n"


def _extended(response: ListEntry, is_utf8: bool) -> list[bytes]:
    """mbox-list-extended-item"""
    items: list[bytes] = []
    if response.child_info:
        items.append(b'"CHILDINFO" (%b)' % b" ".join(map(format_quoted, response.child_info)))
    if response.old_name is not None:
        name = format_mailbox(response.old_name, is_utf8)
        items.append(b'"OLDNAME" (%b)' % (b'"%b"' % name if name.isdigit() else name))  # bare digits are a number there
    return items


def format_status(response: MailboxStatus, is_utf8: bool) -> bytes:
    """mailbox-data: "STATUS" SP mailbox SP "(" [status-att-list] ")\""""
    return b"* STATUS %b (%b)\r\n" % (format_mailbox(response.mailbox, is_utf8), b" ".join(_items(response.items)))


def _items(items: Sequence[tuple[StatusItem, StatusValue]]) -> list[bytes]:
    """status-att-val"""
    return [b"%b %b" % (item.value.encode(), _value(value)) for item, value in items]


def _value(value: StatusValue) -> bytes:
    match value:
        case None:
            return b"NIL"
        case int():
            return b"%d" % value
        case str():  # RFC 8474 section 4.3
            return b"(%b)" % value.encode("ascii", "replace")


def parse_list(reader: Reader, *, is_lsub: bool) -> ListEntry:
    """mailbox-list, behind the word"""
    reader.space()
    attributes = reader.flag_list()
    reader.space()
    delimiter = reader.text_of(reader.nstring())
    if reader.is_strict and delimiter == "":
        raise Unparsable
    reader.space()
    name = _parse_name(reader)
    if reader.is_ended():
        return ListEntry(name, delimiter or None, attributes, is_lsub=is_lsub)
    reader.space()
    child_info, old_name = _parse_extended(reader, reader.list_of(has_atoms=True))
    return ListEntry(name, delimiter or None, attributes, child_info, old_name, is_lsub)


def _parse_name(reader: Reader) -> str:
    start = reader.position
    name = reader.mailbox()
    if (
        reader.is_strict
        or reader.is_ended()
        or quirk.LIST_EXTENDED.match(reader.text, reader.position)
        or reader.text[start : start + 1] in (b'"', b"{")
    ):
        return name
    reader.position = len(reader.text)
    return quirk.mailbox_name(quirk.unquoted_name(reader.text, start), reader.is_utf8)


def _parse_extended(reader: Reader, items: list[Tree]) -> tuple[tuple[str, ...], str | None]:
    """mbox-list-extended: those we know"""
    child_info: tuple[str, ...] = ()
    old_name: str | None = None
    for tag, value in zip(items[::2], items[1::2], strict=False):
        words = value if isinstance(value, list) else []
        octets = [b"%d" % word if isinstance(word, int) else word for word in words if isinstance(word, bytes | int)]
        match tag.upper() if isinstance(tag, bytes) else tag:
            case b"CHILDINFO":
                child_info = tuple([word.decode("ascii", "replace") for word in octets])
            case b"OLDNAME" if octets:
                old_name = quirk.mailbox_name(octets[0], reader.is_utf8)
            case _:
                pass
    return child_info, old_name


_ITEMS: Final = {item.value.encode(): item for item in StatusItem}


def parse_status(reader: Reader) -> MailboxStatus:
    """mailbox-data, behind the word. Items that we do not know are left out."""
    reader.space()
    name = reader.mailbox()
    reader.space()
    reader.expect(b"(")
    items: list[tuple[StatusItem, StatusValue]] = []
    while not reader.skip(b")"):
        if items or not reader.is_strict:
            reader.space()
        if reader.skip(b")"):
            break
        item = _ITEMS.get(reader.keyword())
        reader.space()
        value = _parse_value(reader)
        if item is not None:
            items.append((item, value))
    return MailboxStatus(name, tuple(items))


def _parse_value(reader: Reader) -> StatusValue:
    value = reader.tree(has_atoms=True)
    match value:
        case int() | None:
            return value
        case [bytes() as mailbox_id]:
            return mailbox_id.decode("ascii", "replace")
        case [int() as mailbox_id]:
            return str(mailbox_id)
    raise Unparsable
