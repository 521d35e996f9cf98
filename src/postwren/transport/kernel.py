"""What a link asks of the kernel about its socket, beyond reading and writing; where the system cannot, nothing happens."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios

__all__ = ["acknowledge", "unsent"]


def unsent(transport: asyncio.Transport) -> int:
    """Octets in the kernel's send buffer; 0 where the system does not tell."""
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except (OSError, ValueError):  # closed meanwhile
        return 0


def acknowledge(transport: asyncio.Transport) -> None:
    """Half a command came. A peer that gathers small writes (RFC 896) holds the rest back until the kernel acknowledges these,
    which it puts off (40 ms) for an answer to go along; there is none yet."""
    sock = transport.get_extra_info("socket")
    if sys.platform == "linux" and sock is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # closed meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
