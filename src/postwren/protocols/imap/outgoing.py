"""What a client sends: commands one behind the other, each as far as the server lets it.

A command whose literal waits for the server's `+` holds up those behind it; a refusal ends it where it stands, and the next one
goes.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from postwren.protocols.imap.command import Command
from postwren.protocols.imap.writer import WAIT, MessageBody, Piece
from postwren.wire.core import Output
from postwren.wire.errors import LocalProtocolError

__all__ = ["Body", "Outgoing"]

Body: TypeAlias = bytes | Iterator[bytes]
"""The octets of a message literal, as many as were announced; an iterator is pulled while the server keeps up."""


@dataclass(slots=True)
class _Sending:
    tag: str
    command: Command
    pieces: deque[Piece]
    bodies: Sequence[Body]


class Outgoing:
    """See the module."""

    __slots__ = ("_out", "_sending", "_waits")

    def __init__(self) -> None:
        self._out: list[Output] = []
        self._sending: deque[_Sending] = deque()
        self._waits = False  # the first of these waits for +

    @property
    def waits(self) -> bool:
        """Whether the server's `+` is for a literal."""
        return self._waits

    def put(self, octets: bytes) -> None:
        """Octets outside of any command's own text: DONE, a response to a challenge."""
        self._out.append(octets)

    def add(self, tag: str, command: Command, pieces: list[Piece], bodies: Sequence[Body]) -> None:
        """A command, behind all others. LocalProtocolError where its messages and `bodies` differ in number."""
        if sum(isinstance(piece, MessageBody) for piece in pieces) != len(bodies):
            raise LocalProtocolError("a body for each message literal")
        self._sending.append(_Sending(tag, command, deque(pieces), bodies))
        self._advance()

    def proceed(self) -> None:
        """The server's `+` for the literal that waits."""
        self._waits = False
        self._advance()

    def answered(self, tag: str) -> None:
        """The command of this tag is over; what was not sent of it never will be."""
        if self._sending and self._sending[0].tag == tag:
            self._sending.popleft()
            self._waits = False
            self._advance()

    def _advance(self) -> None:
        while self._sending and not self._waits:
            sending = self._sending[0]
            if not sending.pieces:
                self._sending.popleft()
                continue
            piece = sending.pieces.popleft()
            if piece is WAIT:
                self._waits = True
            elif isinstance(piece, MessageBody):
                self._out.append(_checked(sending.bodies[piece.number], piece.size))
            else:
                self._out.append(piece)

    def clear(self) -> None:
        """Nothing more is sent."""
        self._sending.clear()
        self._waits = False

    def take(self) -> list[Output]:
        """What must be written now."""
        out, self._out = self._out, []
        return out


def _checked(body: Body, size: int) -> Output:
    """The announced octets and not one more or less: the server counts them."""
    if isinstance(body, bytes):
        if len(body) != size:
            raise LocalProtocolError("a message of another size than announced")
        return body
    return _counted(body, size)


def _counted(body: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = size
    for data in body:
        left -= len(data)
        if left < 0:
            break
        yield data
    if left:
        raise LocalProtocolError("a message of another size than announced")
