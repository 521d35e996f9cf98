"""The way out: what the kernel takes at once goes past the transport; order and octets stay, whatever it takes."""

import socket
from typing import cast

import pytest

from postwren.transport.outflow import Outflow


class Transport:
    """Keeps what it is given; its socket is real."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.given = b""
        self.is_closed = False

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self._socket if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        return len(self.given)

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        self.given += data


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


def outflow_of(sock: socket.socket) -> tuple[Outflow, Transport]:
    transport = Transport(sock)
    return Outflow(cast("object", transport)), transport  # type: ignore[arg-type]


def test_what_the_kernel_does_not_take_is_the_transports_and_nothing_overtakes_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    outflow, transport = outflow_of(ours)
    data = bytes(range(256)) * 8192
    outflow.write_octets(data)
    assert 0 < len(transport.given) < len(data)
    outflow.write_octets(b"behind")
    ours.close()
    received = b""
    while piece := theirs.recv(1 << 20):
        received += piece
    theirs.close()
    assert received + transport.given == data + b"behind"


def test_an_error_and_a_transport_that_closes_are_left_to_the_transport(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    outflow, transport = outflow_of(ours)
    theirs.close()
    outflow.write_octets(b"nobody reads")
    assert transport.given == b"nobody reads"
    transport.given, transport.is_closed = b"", True  # from now on the descriptor may be another connection's
    outflow.write_octets(b"late")
    assert transport.given == b"late"
    ours.close()


def test_an_empty_piece_gives_others_their_turn(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    outflow, _ = outflow_of(ours)
    body = iter([b"one ", b"", b"", b"two ", b""])
    outflow.collect([body, b"three"])
    turns = 1
    while outflow.later is not None:
        outflow.pull()
        turns += 1
    outflow.flush()
    ours.close()
    assert (turns, theirs.recv(100)) == (4, b"one two three")
    theirs.close()
