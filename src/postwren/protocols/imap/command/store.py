"""STORE, COPY, MOVE, UID EXPUNGE (RFC 9051 sections 6.4.6 to 6.4.9, RFC 4315, 6851, 7162 section 3.1.3)."""

import enum
from dataclasses import dataclass
from typing import Final

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.numset import NumSet
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.writer import Writer

__all__ = [
    "Copy",
    "Move",
    "Store",
    "StoreAction",
    "UidExpunge",
    "format_copy",
    "format_move",
    "format_store",
    "format_uid_expunge",
    "parse_copy",
    "parse_move",
    "parse_store",
    "parse_uid_expunge",
]


class StoreAction(enum.Enum):
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"
    REPLACE = "FLAGS"


@dataclass(frozen=True, slots=True)
class Store:
    is_uid: bool
    numbers: NumSet
    action: StoreAction
    flags: tuple[str, ...]
    is_silent: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    is_uid: bool
    numbers: NumSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class Move:
    is_uid: bool
    numbers: NumSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class UidExpunge:
    """RFC 4315 section 2.1."""

    numbers: NumSet


_ACTIONS: Final[dict[bytes, tuple[StoreAction, bool]]] = {
    action.value.encode() + silent: (action, bool(silent)) for action in StoreAction for silent in (b"", b".SILENT")
}


def parse_store(scanner: Scanner, *, is_uid: bool = False) -> Store:
    """`store = "STORE" SP sequence-set [SP store-modifiers] SP store-att-flags`, with
    `store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))` and the one modifier
    `"UNCHANGEDSINCE" SP mod-sequence-valzer` (RFC 7162 section 7)."""
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    unchanged_since = None
    if scanner.skip(b"("):
        if scanner.keyword() != b"UNCHANGEDSINCE":
            raise Unparsable
        scanner.space()
        unchanged_since = scanner.number64()
        scanner.expect(b") ")
    action, is_silent = scanner.choice(_ACTIONS)
    scanner.space()
    flags = scanner.flag_list() if scanner.is_at(b"(") else scanner.bare_flags()
    return Store(is_uid, numbers, action, flags, is_silent, unchanged_since)


def format_store(writer: Writer, command: Store) -> None:
    writer.put(b"UID STORE " if command.is_uid else b"STORE ")
    writer.numbers(command.numbers)
    if command.unchanged_since is not None:
        writer.put(b" (UNCHANGEDSINCE %d)" % command.unchanged_since)
    writer.put(b" ", command.action.value.encode(), b".SILENT " if command.is_silent else b" ")
    writer.flag_list(command.flags)


def _parse_transfer(scanner: Scanner) -> tuple[NumSet, str]:
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    return numbers, scanner.mailbox()


def parse_copy(scanner: Scanner, *, is_uid: bool = False) -> Copy:
    """`copy = "COPY" SP sequence-set SP mailbox`."""
    return Copy(is_uid, *_parse_transfer(scanner))


def parse_move(scanner: Scanner, *, is_uid: bool = False) -> Move:
    """`move = "MOVE" SP sequence-set SP mailbox`."""
    return Move(is_uid, *_parse_transfer(scanner))


def _format_transfer(writer: Writer, keyword: bytes, command: Copy | Move) -> None:
    writer.put(b"UID " if command.is_uid else b"", keyword)
    writer.numbers(command.numbers)
    writer.put(b" ")
    writer.mailbox(command.mailbox)


def format_copy(writer: Writer, command: Copy) -> None:
    _format_transfer(writer, b"COPY ", command)


def format_move(writer: Writer, command: Move) -> None:
    _format_transfer(writer, b"MOVE ", command)


def parse_uid_expunge(scanner: Scanner) -> UidExpunge:
    """`uid-expunge = "UID" SP "EXPUNGE" SP sequence-set`."""
    scanner.space()
    return UidExpunge(scanner.sequence_set())


def format_uid_expunge(writer: Writer, command: UidExpunge) -> None:
    writer.put(b"UID EXPUNGE ")
    writer.numbers(command.numbers)
