"""ACL, quota and metadata commands (RFC 4314, 9208, 5464)."""

import enum
import re
from dataclasses import dataclass
from typing import Final

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.writer import Writer

__all__ = [
    "DeleteAcl",
    "Depth",
    "GetAcl",
    "GetMetadata",
    "GetQuota",
    "GetQuotaRoot",
    "ListRights",
    "MyRights",
    "SetAcl",
    "SetMetadata",
    "SetQuota",
    "format_delete_acl",
    "format_get_acl",
    "format_get_metadata",
    "format_get_quota",
    "format_get_quota_root",
    "format_list_rights",
    "format_my_rights",
    "format_set_acl",
    "format_set_metadata",
    "format_set_quota",
    "parse_delete_acl",
    "parse_get_acl",
    "parse_get_metadata",
    "parse_get_quota",
    "parse_get_quota_root",
    "parse_list_rights",
    "parse_my_rights",
    "parse_set_acl",
    "parse_set_metadata",
    "parse_set_quota",
]


@dataclass(frozen=True, slots=True)
class SetAcl:
    """`change` is "", "+" or "-"."""

    mailbox: str
    identifier: str
    change: str
    rights: str


@dataclass(frozen=True, slots=True)
class DeleteAcl:
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl:
    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights:
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights:
    mailbox: str


@dataclass(frozen=True, slots=True)
class GetQuota:
    root: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota:
    """Resource names in capitals with their limits."""

    root: str
    limits: tuple[tuple[str, int], ...]


class Depth(enum.Enum):
    """RFC 5464 section 4.2.2."""

    ZERO = "0"
    ONE = "1"
    INFINITY = "infinity"


@dataclass(frozen=True, slots=True)
class GetMetadata:
    """An empty mailbox name is the server."""

    mailbox: str
    entries: tuple[str, ...]
    depth: Depth = Depth.ZERO
    max_size: int | None = None


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """A value of None removes the entry."""

    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]


_RIGHTS: Final = re.compile(r"([+-]?)([a-z0-9]*)")
_ENTRY: Final = re.compile(r"/[\x20-\x24\x26-\x29\x2b-\x7e]+")  # no wildcards: RFC 5464 section 3.2
_DEPTHS: Final = {depth.value.upper().encode(): depth for depth in Depth}


def _mailbox(scanner: Scanner) -> str:
    scanner.space()
    return scanner.mailbox()


def _text(scanner: Scanner) -> str:
    scanner.space()
    return scanner.text_string()


def parse_set_acl(scanner: Scanner) -> SetAcl:
    """`setacl = "SETACL" SP mailbox SP identifier SP mod-rights` (RFC 4314 section 4); a right is a letter in lower case or a
    digit."""
    mailbox, identifier = _mailbox(scanner), _text(scanner)
    match = _RIGHTS.fullmatch(_text(scanner))
    if match is None:
        raise Unparsable
    return SetAcl(mailbox, identifier, match[1], match[2])


def format_set_acl(writer: Writer, command: SetAcl) -> None:
    _format_mailbox(writer, b"SETACL ", command.mailbox)
    _format_text(writer, command.identifier)
    _format_text(writer, command.change + command.rights)


def parse_delete_acl(scanner: Scanner) -> DeleteAcl:
    """`deleteacl = "DELETEACL" SP mailbox SP identifier`."""
    return DeleteAcl(_mailbox(scanner), _text(scanner))


def format_delete_acl(writer: Writer, command: DeleteAcl) -> None:
    _format_mailbox(writer, b"DELETEACL ", command.mailbox)
    _format_text(writer, command.identifier)


def parse_get_acl(scanner: Scanner) -> GetAcl:
    """`getacl = "GETACL" SP mailbox`."""
    return GetAcl(_mailbox(scanner))


def format_get_acl(writer: Writer, command: GetAcl) -> None:
    _format_mailbox(writer, b"GETACL ", command.mailbox)


def parse_list_rights(scanner: Scanner) -> ListRights:
    """`listrights = "LISTRIGHTS" SP mailbox SP identifier`."""
    return ListRights(_mailbox(scanner), _text(scanner))


def format_list_rights(writer: Writer, command: ListRights) -> None:
    _format_mailbox(writer, b"LISTRIGHTS ", command.mailbox)
    _format_text(writer, command.identifier)


def parse_my_rights(scanner: Scanner) -> MyRights:
    """`myrights = "MYRIGHTS" SP mailbox`."""
    return MyRights(_mailbox(scanner))


def format_my_rights(writer: Writer, command: MyRights) -> None:
    _format_mailbox(writer, b"MYRIGHTS ", command.mailbox)


def parse_get_quota(scanner: Scanner) -> GetQuota:
    """`getquota = "GETQUOTA" SP quota-root-name` (RFC 9208 section 7)."""
    return GetQuota(_text(scanner))


def format_get_quota(writer: Writer, command: GetQuota) -> None:
    writer.put(b"GETQUOTA")
    _format_text(writer, command.root)


def parse_get_quota_root(scanner: Scanner) -> GetQuotaRoot:
    """`getquotaroot = "GETQUOTAROOT" SP mailbox`."""
    return GetQuotaRoot(_mailbox(scanner))


def format_get_quota_root(writer: Writer, command: GetQuotaRoot) -> None:
    _format_mailbox(writer, b"GETQUOTAROOT ", command.mailbox)


def parse_set_quota(scanner: Scanner) -> SetQuota:
    """`setquota = "SETQUOTA" SP quota-root-name SP setquota-list`, with `setquota-resource = resource-name SP resource-limit`."""
    root = _text(scanner)
    scanner.space()

    def read() -> tuple[str, int]:
        name = scanner.atom().decode("ascii").upper()
        scanner.space()
        return name, scanner.number64()

    return SetQuota(root, scanner.parenthesized(read, may_be_empty=True))


def format_set_quota(writer: Writer, command: SetQuota) -> None:
    writer.put(b"SETQUOTA")
    _format_text(writer, command.root)
    writer.put(b" ")

    def write(limit: tuple[str, int]) -> None:
        writer.word(limit[0])
        writer.put(b" %d" % limit[1])

    writer.listed(command.limits, write)


def _parse_entry(scanner: Scanner) -> str:
    """`entry = astring`: a path with slashes, without wildcards, in ASCII (RFC 5464 section 3.2)."""
    entry = scanner.text_string()
    if not _ENTRY.fullmatch(entry):
        raise Unparsable
    return entry


def parse_get_metadata(scanner: Scanner) -> GetMetadata:
    """`getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries` (RFC 5464 section 5)."""
    scanner.space()
    options = _parse_metadata_options(scanner) if scanner.is_at(b"(") else ()
    mailbox = scanner.mailbox()
    scanner.space()
    if scanner.text[scanner.position : scanner.position + 8].upper() in (b"(MAXSIZE", b"(DEPTH 0", b"(DEPTH 1", b"(DEPTH I"):
        options += _parse_metadata_options(scanner)  # as the examples have it (erratum 1868)
    depth = next((option for option in options if isinstance(option, Depth)), Depth.ZERO)
    max_size = next((option for option in options if isinstance(option, int)), None)
    if scanner.is_at(b"("):
        entries = scanner.parenthesized(lambda: _parse_entry(scanner))
    else:
        entries = (_parse_entry(scanner),)
    return GetMetadata(mailbox, entries, depth, max_size)


def _parse_metadata_options(scanner: Scanner) -> tuple[Depth | int, ...]:
    """`getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"`, and the space behind."""
    options = scanner.parenthesized(lambda: _parse_metadata_option(scanner))
    scanner.space()
    return options


def _parse_metadata_option(scanner: Scanner) -> Depth | int:
    """`maxsize-opt = "MAXSIZE" SP number`, `scope-opt = "DEPTH" SP ("0" / "1" / "infinity")`."""
    name = scanner.keyword()
    scanner.space()
    if name == b"MAXSIZE":
        return scanner.number()
    if name == b"DEPTH":
        return scanner.choice(_DEPTHS)
    raise Unparsable


def format_get_metadata(writer: Writer, command: GetMetadata) -> None:
    writer.put(b"GETMETADATA ")
    options = []
    if command.depth is not Depth.ZERO:
        options.append(b"DEPTH " + command.depth.value.encode())
    if command.max_size is not None:
        options.append(b"MAXSIZE %d" % command.max_size)
    if options:
        writer.put(b"(", b" ".join(options), b") ")
    writer.mailbox(command.mailbox)
    writer.put(b" ")
    writer.listed(command.entries, writer.text)


def parse_set_metadata(scanner: Scanner) -> SetMetadata:
    """`setmetadata = "SETMETADATA" SP mailbox SP entry-values`, with `value = nstring / literal8`."""
    mailbox = _mailbox(scanner)
    scanner.space()

    def read() -> tuple[str, bytes | None]:
        entry = _parse_entry(scanner)
        scanner.space()
        return entry, scanner.literal(is_binary=True) if scanner.is_at(b"~") else scanner.nstring()

    return SetMetadata(mailbox, scanner.parenthesized(read))


def format_set_metadata(writer: Writer, command: SetMetadata) -> None:
    _format_mailbox(writer, b"SETMETADATA ", command.mailbox)
    writer.put(b" ")

    def write(pair: tuple[str, bytes | None]) -> None:
        entry, value = pair
        writer.text(entry)
        writer.put(b" ")
        if value is not None and b"\0" in value:
            writer.literal(value, is_binary=True)
        else:
            writer.nstring(value)

    writer.listed(command.values, write)


def _format_mailbox(writer: Writer, keyword: bytes, mailbox: str) -> None:
    writer.put(keyword)
    writer.mailbox(mailbox)


def _format_text(writer: Writer, text: str) -> None:
    writer.put(b" ")
    writer.text(text)
