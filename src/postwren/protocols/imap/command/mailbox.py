"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 9051 sections 6.3.4 to 6.3.8, RFC 6154 section 5.3)."""

from dataclasses import dataclass

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.writer import Writer

__all__ = [
    "Create",
    "Delete",
    "Rename",
    "Subscribe",
    "Unsubscribe",
    "format_create",
    "format_delete",
    "format_rename",
    "format_subscribe",
    "format_unsubscribe",
    "parse_create",
    "parse_delete",
    "parse_rename",
    "parse_subscribe",
    "parse_unsubscribe",
]


@dataclass(frozen=True, slots=True)
class Create:
    """`special_use`: the attributes of USE as they were written (`\\Sent`). A trailing "/" of the name is kept."""

    mailbox: str
    special_use: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    mailbox: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    mailbox: str


def parse_create(scanner: Scanner) -> Create:
    """`create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]` (RFC 6154 section 6)."""
    scanner.space()
    mailbox = scanner.mailbox()
    if scanner.is_ended():
        return Create(mailbox)
    scanner.expect(b" (")
    if scanner.keyword() != b"USE":
        raise Unparsable
    scanner.space()
    special_use = scanner.flag_list()
    scanner.expect(b")")
    if not all(use.startswith("\\") for use in special_use):
        raise Unparsable
    return Create(mailbox, special_use)


def format_create(writer: Writer, command: Create) -> None:
    writer.put(b"CREATE ")
    writer.mailbox(command.mailbox)
    if command.special_use:
        writer.put(b" (USE ")
        writer.flag_list(command.special_use)
        writer.put(b")")


def _parse_one(scanner: Scanner) -> str:
    scanner.space()
    return scanner.mailbox()


def _format_one(writer: Writer, keyword: bytes, mailbox: str) -> None:
    writer.put(keyword)
    writer.mailbox(mailbox)


def parse_delete(scanner: Scanner) -> Delete:
    """`delete = "DELETE" SP mailbox`."""
    return Delete(_parse_one(scanner))


def format_delete(writer: Writer, command: Delete) -> None:
    _format_one(writer, b"DELETE ", command.mailbox)


def parse_subscribe(scanner: Scanner) -> Subscribe:
    """`subscribe = "SUBSCRIBE" SP mailbox`."""
    return Subscribe(_parse_one(scanner))


def format_subscribe(writer: Writer, command: Subscribe) -> None:
    _format_one(writer, b"SUBSCRIBE ", command.mailbox)


def parse_unsubscribe(scanner: Scanner) -> Unsubscribe:
    """`unsubscribe = "UNSUBSCRIBE" SP mailbox`."""
    return Unsubscribe(_parse_one(scanner))


def format_unsubscribe(writer: Writer, command: Unsubscribe) -> None:
    _format_one(writer, b"UNSUBSCRIBE ", command.mailbox)


def parse_rename(scanner: Scanner) -> Rename:
    """`rename = "RENAME" SP mailbox SP mailbox`."""
    old_name = _parse_one(scanner)
    return Rename(old_name, _parse_one(scanner))


def format_rename(writer: Writer, command: Rename) -> None:
    _format_one(writer, b"RENAME ", command.mailbox)
    _format_one(writer, b" ", command.new_name)
