"""Lines and literals are cut here before any grammar: this file knows `{n}`, `{n+}`, `~{n}` and nothing else (RFC 9051 section
4.3, RFC 7888, RFC 3516 section 4.4).

What must stay true: after whatever was received, both sides agree whether the next octet belongs to a literal (A-40). An
announcement counts wherever it ends a line, in a quoted string or behind nonsense too, and however long its number is: the sender
is going to send these octets.

The text of a command is its fragments joined as they were on the wire, with one CRLF behind each announcement; the octets of a
literal that streams are left out. So a parser finds each literal by its own number."""

from dataclasses import dataclass
from typing import Final

from postwren.wire.buffer import TOO_LONG, ReceiveBuffer, TooLong

__all__ = ["HUGE", "FragmentReader", "LiteralAnnounced", "announced"]

HUGE: Final = 1 << 64
"""Stands for every size that has more digits than a 64-bit number."""
_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class LiteralAnnounced:
    """`is_synchronizing`: the sender waits for `+`; `is_binary`: literal8, NUL allowed."""

    size: int
    is_synchronizing: bool
    is_binary: bool = False


def announced(line: bytes) -> LiteralAnnounced | None:
    """The literal that follows a line (without its CRLF): `["~"] "{" number64 ["+"] "}"` at its end."""
    if line[-1:] != b"}":
        return None
    start = line.rfind(b"{")
    is_synchronizing = line[-2:-1] != b"+"
    digits = line[start + 1 : -1 if is_synchronizing else -2]
    if start < 0 or not digits.isdigit():
        return None
    size = int(digits) if len(digits) <= _DIGITS else HUGE
    return LiteralAnnounced(size, is_synchronizing, line[start - 1 : start] == b"~")


class FragmentReader:
    """The receive buffer of both cores: lines, and literals that are gathered or handed on as they come."""

    __slots__ = ("_gathered", "_left", "buffer")

    def __init__(self) -> None:
        self.buffer = ReceiveBuffer()
        self._left = 0
        self._gathered: list[bytes] = []

    @property
    def left(self) -> int:
        """Octets of the literal that have not come yet."""
        return self._left

    def line(self, limit: int) -> bytes | TooLong | None:
        """A line without its end, as `ReceiveBuffer.line`. A missing CR is forgiven: nothing in IMAP hangs on it."""
        line = self.buffer.line(limit + 1)
        if line is None or line is TOO_LONG:
            return line
        if line[-1:] == b"\r":
            return line[:-1]
        return line if len(line) <= limit else TOO_LONG

    def next_line(self, limit: int) -> bytes | None:
        """Look at the line that `line` would cut; None where there is no whole one within the limit."""
        line = self.buffer.next_line(limit + 1)
        if line is None or line[-1:] == b"\r":
            return line and line[:-1]
        return line if len(line) <= limit else None

    def begin_literal(self, size: int) -> None:
        """The next `size` octets are a literal: `gather`, or `take` until `left` is 0."""
        self._left = size
        self._gathered = []

    def take(self) -> bytes:
        """The octets of the literal that are there; b"" where none are."""
        data = self.buffer.take(self._left)
        self._left -= len(data)
        return data

    def gather(self) -> bytes | None:
        """The whole literal, or None until it is there. Linear whatever the cut."""
        if data := self.take():
            self._gathered.append(data)
        if self._left:
            return None
        gathered, self._gathered = self._gathered, []
        return gathered[0] if len(gathered) == 1 else b"".join(gathered)

    def clear(self) -> None:
        """Forget everything that was received."""
        self.buffer.clear()
        self.begin_literal(0)
