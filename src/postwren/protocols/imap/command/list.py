"""LIST, LSUB, STATUS (RFC 9051 sections 6.3.9 and 6.3.11, RFC 5258, 5819, 6154, 8440, 9590; LSUB: RFC 3501 section 6.3.9)."""

import enum
from dataclasses import dataclass
from typing import Final

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.writer import Writer

__all__ = [
    "List",
    "ListReturn",
    "ListSelect",
    "Lsub",
    "Status",
    "StatusItem",
    "format_list",
    "format_lsub",
    "format_status",
    "parse_list",
    "parse_lsub",
    "parse_status",
]


class ListSelect(enum.Enum):
    """Selection options."""

    SUBSCRIBED = "SUBSCRIBED"
    REMOTE = "REMOTE"
    RECURSIVEMATCH = "RECURSIVEMATCH"
    SPECIAL_USE = "SPECIAL-USE"


class StatusItem(enum.Enum):
    """RFC 9051 section 6.3.11; RFC 3501 (RECENT), 7162 (HIGHESTMODSEQ), 8474 (MAILBOXID), 7889 (APPENDLIMIT), 9208
    (DELETED-STORAGE)."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    DELETED = "DELETED"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    MAILBOXID = "MAILBOXID"
    APPENDLIMIT = "APPENDLIMIT"
    DELETED_STORAGE = "DELETED-STORAGE"


@dataclass(frozen=True, slots=True)
class ListReturn:
    """Return options. `metadata` are entries of RFC 9590; `status` is None where STATUS is not asked for."""

    subscribed: bool = False
    children: bool = False
    special_use: bool = False
    my_rights: bool = False
    status: tuple[StatusItem, ...] | None = None
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class List:
    """`is_extended`: any option or a list of patterns was written. `returned` is None where RETURN is absent."""

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[ListSelect] = frozenset()
    returned: ListReturn | None = None
    is_extended: bool = False


@dataclass(frozen=True, slots=True)
class Lsub:
    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Status:
    mailbox: str
    items: tuple[StatusItem, ...]


_SELECTIONS: Final = {option.value.encode(): option for option in ListSelect}
_STATUS_ITEMS: Final = {item.value.encode(): item for item in StatusItem}
_FLAGGED_RETURNS: Final = (b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE", b"MYRIGHTS")


def parse_list(scanner: Scanner) -> List:
    """`list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`."""
    scanner.space()
    selection: frozenset[ListSelect] = frozenset()
    is_extended = scanner.is_at(b"(")
    if is_extended:
        selection = frozenset(scanner.parenthesized(lambda: scanner.choice(_SELECTIONS), may_be_empty=True))
        # RFC 9051 section 6.3.9.1: RECURSIVEMATCH goes with an option that selects
        if ListSelect.RECURSIVEMATCH in selection and not selection & {ListSelect.SUBSCRIBED, ListSelect.SPECIAL_USE}:
            raise Unparsable
        scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    if scanner.is_at(b"("):
        is_extended = True
        patterns = scanner.parenthesized(scanner.list_mailbox)
    else:
        patterns = (scanner.list_mailbox(),)
    if scanner.is_ended():
        return List(reference, patterns, selection, None, is_extended)
    scanner.space()
    if scanner.keyword() != b"RETURN":
        raise Unparsable
    scanner.space()
    return List(reference, patterns, selection, _parse_returns(scanner), is_extended=True)


def _parse_returns(scanner: Scanner) -> ListReturn:
    """`list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")"`."""
    found: set[bytes] = set()
    status: list[StatusItem] = []
    metadata: list[str] = []

    def read() -> None:
        option = scanner.keyword()
        if option == b"STATUS":  # RFC 5819
            scanner.space()
            status.extend(_parse_status_items(scanner))
        elif option == b"METADATA":  # RFC 9590
            scanner.space()
            metadata.extend(scanner.parenthesized(scanner.text_string))
        elif option not in _FLAGGED_RETURNS:
            raise Unparsable
        found.add(option)

    scanner.parenthesized(read, may_be_empty=True)
    subscribed, children, special_use, my_rights = (option in found for option in _FLAGGED_RETURNS)
    asked = tuple(status) if b"STATUS" in found else None
    return ListReturn(subscribed, children, special_use, my_rights, asked, tuple(metadata))


def _parse_status_items(scanner: Scanner) -> tuple[StatusItem, ...]:
    return scanner.parenthesized(lambda: scanner.choice(_STATUS_ITEMS))


def format_list(writer: Writer, command: List) -> None:
    writer.put(b"LIST ")
    has_list = len(command.patterns) != 1
    if command.selection or (command.is_extended and command.returned is None and not has_list):
        writer.listed(sorted(option.value for option in command.selection), writer.word)
        writer.put(b" ")
    writer.mailbox(command.reference)
    writer.put(b" ")
    if has_list:
        writer.listed(command.patterns, writer.list_mailbox)
    else:
        writer.list_mailbox(command.patterns[0])
    if command.returned is not None:
        writer.put(b" RETURN ")
        _format_returns(writer, command.returned)


def _format_returns(writer: Writer, returned: ListReturn) -> None:
    flags = (returned.subscribed, returned.children, returned.special_use, returned.my_rights)
    options = [option for option, is_asked in zip(_FLAGGED_RETURNS, flags, strict=True) if is_asked]
    if returned.status is not None:
        options.append(b"STATUS")
    if returned.metadata:
        options.append(b"METADATA")

    def write(option: bytes) -> None:
        writer.put(option)
        if option == b"STATUS":
            writer.put(b" ")
            _format_status_items(writer, returned.status or ())
        elif option == b"METADATA":
            writer.put(b" ")
            writer.listed(returned.metadata, writer.text)

    writer.listed(options, write)


def _format_status_items(writer: Writer, items: tuple[StatusItem, ...]) -> None:
    writer.listed([item.value for item in items], writer.word)


def parse_lsub(scanner: Scanner) -> Lsub:
    """`lsub = "LSUB" SP mailbox SP list-mailbox` (RFC 3501 section 9)."""
    scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    return Lsub(reference, scanner.list_mailbox())


def format_lsub(writer: Writer, command: Lsub) -> None:
    writer.put(b"LSUB ")
    writer.mailbox(command.reference)
    writer.put(b" ")
    writer.list_mailbox(command.pattern)


def parse_status(scanner: Scanner) -> Status:
    """`status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`."""
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    return Status(mailbox, _parse_status_items(scanner))


def format_status(writer: Writer, command: Status) -> None:
    writer.put(b"STATUS ")
    writer.mailbox(command.mailbox)
    writer.put(b" ")
    _format_status_items(writer, command.items)
