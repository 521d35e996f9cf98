"""LIST, LSUB, STATUS (RFC 9051 sections 7.3.1 and 7.3.4, RFC 3501 section 7.2.3, RFC 5258, 5819, 8474)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.response.value import format_mailbox, format_quoted

__all__ = ["ListEntry", "MailboxStatus", "StatusValue", "format_list", "format_status"]


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
        items.append(b'"OLDNAME" (%b)' % format_mailbox(response.old_name, is_utf8))
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
