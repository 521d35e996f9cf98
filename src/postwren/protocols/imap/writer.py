"""The words of which commands are made, written; what `primitive.Scanner` reads.

What a `Writer` gives is a list of pieces, because a client may have to wait before a literal: octets to send, `WAIT` where the
server's `+` must come first, and `MessageBody` where the client sends a message that never is in memory as a whole."""

import enum
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, TypeAlias, TypeVar

from postwren.protocols.imap import mailboxname
from postwren.protocols.imap.flag import FLAG, format_flags
from postwren.protocols.imap.numset import NumSet, format_numset
from postwren.protocols.imap.primitive import ASTRING_ATOM, ATOM, MONTHS
from postwren.wire.errors import LocalProtocolError

__all__ = ["WAIT", "Literals", "MessageBody", "Piece", "Wait", "Writer", "format_date", "format_date_time"]

T = TypeVar("T")
_DAY: Final = 86_400


class Wait(enum.Enum):
    """The type of `WAIT`."""

    WAIT = "WAIT"


WAIT: Final = Wait.WAIT
"""Send what follows when the server's `+` has come; a tagged response instead ends the command."""


@dataclass(frozen=True, slots=True)
class MessageBody:
    """Here go `size` octets of the command's message literal `number`, counted from 0."""

    number: int
    size: int


Piece: TypeAlias = bytes | Literal[Wait.WAIT] | MessageBody


class Literals(enum.Enum):
    """Which literals the server takes without being asked (RFC 7888): none, those of 4096 octets at most, all."""

    SYNCHRONIZING = "SYNCHRONIZING"
    MINUS = "LITERAL-"
    PLUS = "LITERAL+"


_MINUS_LIMIT: Final = 4096
_QUOTED_LIMIT: Final = 1000  # octets: longer strings go as literals, for servers with short lines
_BARE: Final = re.compile(ASTRING_ATOM)
_QUOTABLE: Final = re.compile(rb"[^\x00\r\n]*")


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


class Writer:
    """Gathers the pieces of one command. LocalProtocolError for what has no form on the wire."""

    __slots__ = ("_octets", "_pieces", "is_utf8", "literals")

    def __init__(self, literals: Literals = Literals.SYNCHRONIZING, *, is_utf8: bool = False) -> None:
        self.literals = literals
        self.is_utf8 = is_utf8
        self._octets: list[bytes] = []
        self._pieces: list[Piece] = []

    def put(self, *octets: bytes) -> None:
        """Octets as they are."""
        self._octets += octets

    def word(self, word: str) -> None:
        """A keyword or an atom."""
        octets = word.encode("ascii", "replace")
        if not word.isascii() or not ATOM.fullmatch(octets):
            raise LocalProtocolError("not an atom")
        self._octets.append(octets)

    def listed(self, items: Iterable[T], write: Callable[[T], None]) -> None:
        """`"(" [item *(SP item)] ")"`."""
        self.put(b"(")
        self.spaced(items, write)
        self.put(b")")

    def spaced(self, items: Iterable[T], write: Callable[[T], None]) -> None:
        """`item *(SP item)`."""
        for place, item in enumerate(items):
            if place:
                self.put(b" ")
            write(item)

    def astring(self, octets: bytes) -> None:
        """The shortest form; NIL is quoted, since some servers read it as nothing."""
        if _BARE.fullmatch(octets) and octets.upper() != b"NIL":
            self.put(octets)
        else:
            self.string(octets)

    def text(self, text: str) -> None:
        """An astring in UTF-8."""
        self.astring(text.encode())

    def string(self, octets: bytes) -> None:
        """Quoted where it can be, else a literal."""
        if not self._is_quotable(octets):
            self.literal(octets)
        else:
            self.put(b'"', octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"'), b'"')

    def _is_quotable(self, octets: bytes) -> bool:
        if len(octets) > _QUOTED_LIMIT or not _QUOTABLE.fullmatch(octets):
            return False
        return octets.isascii() or (self.is_utf8 and _is_utf8(octets))

    def nstring(self, octets: bytes | None) -> None:
        """`nstring`."""
        if octets is None:
            self.put(b"NIL")
        else:
            self.string(octets)

    def literal(self, octets: bytes, *, is_binary: bool = False) -> None:
        """`{n}` and the octets, or `~{n}`."""
        if not is_binary and b"\0" in octets:
            raise LocalProtocolError("NUL in a literal")
        self._announce(len(octets), is_binary)
        self.put(octets)

    def message(self, body: MessageBody, *, is_binary: bool = False) -> None:
        """A literal that the client streams."""
        self._announce(body.size, is_binary)
        self._flush()
        self._pieces.append(body)

    def _announce(self, size: int, is_binary: bool) -> None:
        is_free = self.literals is Literals.PLUS or (self.literals is Literals.MINUS and size <= _MINUS_LIMIT)
        self.put(b"~" if is_binary else b"", b"{%d%b}\r\n" % (size, b"+" if is_free else b""))
        if not is_free:
            self._flush()
            self._pieces.append(WAIT)

    def mailbox(self, name: str) -> None:
        """`mailbox`."""
        self.astring(mailboxname.encode(name, is_utf8=self.is_utf8))

    def list_mailbox(self, pattern: str) -> None:
        """`list-mailbox`, always quoted: wildcards are no ASTRING-CHARs."""
        self.string(mailboxname.encode(pattern, is_utf8=self.is_utf8))

    def numbers(self, numbers: NumSet) -> None:
        """`sequence-set`."""
        self.put(format_numset(numbers))

    def flag_list(self, flags: Iterable[str]) -> None:
        """`flag-list`."""
        there = tuple(flags)
        if not all(FLAG.fullmatch(flag.encode("ascii")) for flag in there):
            raise LocalProtocolError("not a flag")
        self.put(format_flags(there))

    def _flush(self) -> None:
        if self._octets:
            self._pieces.append(b"".join(self._octets))
            self._octets = []

    def finish(self) -> list[Piece]:
        """The pieces, with the CRLF that ends the command."""
        self.put(b"\r\n")
        self._flush()
        return self._pieces


def format_date(day: int) -> bytes:
    """`date-text` of days since 1970-01-01."""
    there = date(1970, 1, 1) + timedelta(days=day)
    return f"{there.day}-{MONTHS[there.month - 1]}-{there.year:04}".encode()


def format_date_time(at: int) -> bytes:
    """`date-time` of seconds since 1970, in UTC."""
    days, rest = divmod(at, _DAY)
    there = date(1970, 1, 1) + timedelta(days=days)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f'"{there.day:2}-{MONTHS[there.month - 1]}-{there.year:04} {clock} +0000"'.encode()
