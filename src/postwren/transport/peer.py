"""Who is at the other end of a transport."""

import asyncio
import socket

from postwren.transport.session import Peer

__all__ = ["peer_of"]


def peer_of(transport: asyncio.Transport) -> Peer:
    """Its address; of a Unix socket it is empty."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        return Peer(name[0], name[1])
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == socket.AF_UNIX:
        return Peer("", 0)
    return Peer("0.0.0.0", 0)  # noqa: S104 - gone before we asked; an empty address would count as local
