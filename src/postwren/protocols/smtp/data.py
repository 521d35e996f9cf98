r"""The octets of a message on the wire: the DATA reader, the line end check, the DATA writer (RFC 5321 4.5.2, 2.3.8).

Only CRLF ends a line and only CRLF.CRLF ends the data, however it is cut. A bare CR, a bare LF or a NUL never ends
anything: the reader notes the fault, goes on to the true end and hands out nothing more, so that what hides behind a
false end is never taken for commands (A-20). Everything is a search or a count over a whole buffer.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from postwren.wire.errors import LocalProtocolError

__all__ = ["DataReader", "LineEndCheck", "stuff"]

_END: Final = b"\r\n.\r\n"
# What may be the beginning of a line end with a dot is held back, longest first.
_HELD_BACK: Final = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
_ORDINARY: Final = bytes(octet for octet in range(256) if octet not in b"\0\r\n")


class LineEndCheck:
    """Whether octets, however cut, have CR and LF only together and no NUL."""

    __slots__ = ("_after_cr", "is_clean")

    def __init__(self) -> None:
        self._after_cr = False
        self.is_clean = True

    def feed(self, data: bytes) -> bool:
        """Take the next octets (not b""); whether all is clean so far."""
        completes = self._after_cr and data[0] == 10  # the pair that was cut
        is_broken = self._after_cr and not completes
        self._after_cr = data[-1] == 13
        paired = 2 * data.count(b"\r\n") + completes + self._after_cr
        if is_broken or len(data.translate(None, _ORDINARY)) != paired:
            self.is_clean = False
        return self.is_clean

    def end(self) -> bool:
        """No more octets: whether all was clean."""
        return self.is_clean and not self._after_cr


class DataReader:
    """Reads from the answer 354 to the end of data. It begins as if a CRLF stood before: the first line may be the end."""

    __slots__ = ("_check", "_held", "_skip")

    def __init__(self) -> None:
        self._held = b"\r\n"
        self._skip = 2  # octets of _held that are not the message's
        self._check = LineEndCheck()

    @property
    def is_clean(self) -> bool:
        """No bare CR, bare LF or NUL so far."""
        return self._check.is_clean

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """(octets of the message, None), or (octets, what follows the end of data). After a fault the octets are b""."""
        data = self._held + data
        dot = data.find(b"\r\n.")  # mostly the first dot at the beginning of a line is the end
        is_stuffed = dot >= 0 and not data.startswith(_END, dot)
        end = data.find(_END, dot) if is_stuffed else dot
        rest: bytes | None = None
        if end >= 0:
            rest = data[end + 5 :]
            octets = data[: end + 2]
        else:
            self._held = next((held for held in _HELD_BACK if data.endswith(held)), b"")
            octets = data[: len(data) - len(self._held)]
        # `octets` begins and ends at no CRLF's middle: a CR at its end is bare, and one that may be whole is held back.
        if not octets:
            return b"", rest
        if not self._check.feed(octets) or octets[-1] == 13:
            self._check.is_clean = False
            return b"", rest
        if is_stuffed:
            octets = octets.replace(b"\r\n.", b"\r\n")
        if self._skip:
            octets = octets[self._skip :]
            self._skip = 0
        return octets, rest


def stuff(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A message for DATA: dots doubled, the end of data behind it, a last CRLF added where it lacks. Raises
    LocalProtocolError before the first octet that would break the rule on line ends (A-20, the sender's side)."""
    check = LineEndCheck()
    held = b""  # a CR whose LF is still to come
    last = b"\r\n"  # the last two octets sent
    for piece in pieces:
        piece = held + piece
        held = b"\r" if piece.endswith(b"\r") else b""
        piece = piece[: len(piece) - len(held)]
        if not piece:
            continue
        if not check.feed(piece):
            raise LocalProtocolError("a bare CR, a bare LF or a NUL in the message")
        joined = last + piece
        yield joined.replace(b"\r\n.", b"\r\n..")[2:]
        last = joined[-2:]
    if held:
        raise LocalProtocolError("a bare CR at the end of the message")
    yield b".\r\n" if last == b"\r\n" else b"\r\n.\r\n"
