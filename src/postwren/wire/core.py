"""The contract of a core: one side of one protocol as a state machine over bytes.

A core never does I/O and never raises for what the peer did: the peer's faults come out as events with a reply
ready. It raises `LocalProtocolError` when its own user breaks the protocol.

    core.receive_data(data)                 bytes arrived; b"" is the end of the stream
    while (event := core.next_event()) is not NEED_DATA:
        ...                                 judge it, answer with core.send(...)
    for piece in core.data_to_send():       bytes, or an iterator of bytes for a body
        ...
"""

import enum
from collections.abc import Iterator
from typing import Final, Literal, Protocol, TypeAlias

__all__ = ["NEED_DATA", "Core", "NeedData", "Output", "Waiting"]


class NeedData(enum.Enum):
    """The type of `NEED_DATA`, which `Core.next_event` returns when it has nothing to tell."""

    NEED_DATA = "NEED_DATA"

    def __repr__(self) -> str:
        return self.value


NEED_DATA: Final = NeedData.NEED_DATA

Output: TypeAlias = bytes | Iterator[bytes]
"""What a core hands out: octets, or a body that is read piece by piece while the peer keeps up (at most one
piece, 64 kB to 1 MB, is in memory at a time); an empty piece gives others their turn. The order of outputs is the order on the
wire."""


class Waiting(enum.Enum):
    """What the core waits for, so that the link can set a deadline (timers are not the core's business)."""

    HANDSHAKE = "handshake"  # set by the link itself while TLS is negotiated
    LOGIN = "login"  # a command from a peer that has not authenticated, where one must
    COMMAND = "command"  # a command, or for a client a reply
    BULK = "bulk"  # message octets: a minimum data rate applies
    NOTHING = "nothing"  # our own side works: no deadline


class Core(Protocol):
    """One side of one connection. `ServerConnection` and `ClientConnection` of each protocol have this shape;
    their events and sendables are closed unions of frozen dataclasses of that protocol."""

    @property
    def waiting_for(self) -> Waiting:
        """What the peer owes us now."""

    def receive_data(self, data: bytes) -> None:
        """Take octets from the peer in any cut; b"" says that the peer closed its side."""

    def next_event(self) -> object | Literal[NeedData.NEED_DATA]:
        """The next thing that happened, or NEED_DATA. Never raises for the peer's faults."""

    def data_to_send(self) -> list[Output]:
        """Take what must be written now, in order; the list is the caller's."""
