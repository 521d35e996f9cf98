"""Message octets inside a multi-line reply: dot-stuffing and its inverse, over pieces of any cut (RFC 1939 section 3).

A dot is stuffed behind every LF and removed behind every LF, but only CR LF "." CR LF ends a body: a message with bare
LFs comes out as it is, whoever reads it, and can never end its reply early. A body that does not end in CRLF gets one:
the protocol has no way to say otherwise.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from postwren.protocols.pop3.reply import TERMINATOR

__all__ = ["Unstuffer", "ending", "stuff", "stuff_pieces"]

END_OF_BODY: Final = b"\r\n.\r\n"


def ending(tail: bytes) -> bytes:
    """What ends a body whose last octets are `tail` (b"" for an empty one)."""
    return TERMINATOR if tail.endswith(b"\r\n") or not tail else END_OF_BODY


def stuff(body: bytes) -> bytes:
    """A whole body stuffed, without its end."""
    stuffed = body.replace(b"\n.", b"\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def stuff_pieces(pieces: Iterable[bytes], has_dot_line: bool) -> Iterator[bytes]:
    """A body in pieces, stuffed where it must be, and its end. An error of `pieces` comes through: the end is not sent."""
    tail = b""
    for piece in pieces:
        if not piece:
            continue
        if has_dot_line:
            stuffed = piece.replace(b"\n.", b"\n..")
            yield b"." + stuffed if piece.startswith(b".") and (not tail or tail.endswith(b"\n")) else stuffed
        else:
            yield piece
        tail = (tail + piece[-2:])[-2:]
    yield ending(tail)


class Unstuffer:
    """Takes octets from the wire, gives the body's octets, and notices its end. Cost is linear; a few octets are held."""

    __slots__ = ("_held", "_unsaid", "rest")

    def __init__(self) -> None:
        self._held = b"\r\n"  # the status line's: a dot may follow it
        self._unsaid = 2  # octets of `_held` that are not the body's
        self.rest: bytes | None = None
        """What came behind the end; None until the end was seen."""

    def feed(self, data: bytes) -> bytes:
        """The next octets of the body."""
        window = self._held + data
        end = window.find(END_OF_BODY)
        if end >= 0:
            self.rest = window[end + len(END_OF_BODY) :]
            cut = end + 2
        else:
            # Hold back what may belong to an end or to a stuffed dot that is still on its way.
            cut = max(len(window) - len(END_OF_BODY) + 1, 0)
            if window[max(cut - 1, 0) : cut] == b"\n":
                cut -= 1
            elif window[max(cut - 2, 0) : cut] == b"\n.":
                cut -= 2
        body = window[:cut].replace(b"\n..", b"\n.")
        self._held = window[cut:] if end < 0 else b""
        skip = min(self._unsaid, len(body))
        self._unsaid -= skip
        return body[skip:] if skip else body
