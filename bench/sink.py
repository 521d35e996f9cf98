"""Another host: takes mail by SMTP as fast as it can, keeps nothing, and counts.

It runs in a process of its own, which every server under measure gets its mail rid of to; `count` is read from shared memory.
With a certificate it offers STARTTLS. It syncs nothing: what is measured is the way to it.
"""

import multiprocessing
import re
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.lab.process import until

__all__ = ["Sink"]

_LINE = re.compile(rb"([^\r\n]*)\r\n")
_END = b"\r\n.\r\n"


class Sink:
    """`port` listens from the start. `certificate`: a file with key and chain."""

    def __init__(self, certificate: Path | None = None) -> None:
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = listening.getsockname()[1]
        context = multiprocessing.get_context("fork")
        self._count = context.Value("Q", 0, lock=False)
        self._process = context.Process(target=_serve, args=(listening, self._count, certificate), daemon=True)
        self._process.start()
        listening.close()

    @property
    def count(self) -> int:
        """Messages that were taken, since the start."""
        return int(self._count.value)

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Until so many were taken in all. Raises Unavailable."""
        until(lambda: self.count >= count, seconds, f"the other host has {count} messages (it has {self.count})", 0.001)

    def stop(self) -> None:
        self._process.kill()
        self._process.join()


@dataclass(slots=True)
class _Peer:
    """One connection; `is_data`: a message is coming."""

    sock: Any
    came: bytearray = field(default_factory=lambda: bytearray(b""))
    is_data: bool = False
    is_tls: bool = False


def _serve(listening: socket.socket, count: Any, certificate: Path | None) -> None:
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    poll, peers = select.epoll(), {}
    poll.register(listening.fileno(), select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == listening.fileno():
                sock, _ = listening.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peers[sock.fileno()] = _Peer(sock)
                poll.register(sock.fileno(), select.EPOLLIN)
                sock.sendall(b"220 sink.example ESMTP\r\n")
            elif not _receive(peers[fd], count, tls):
                poll.unregister(fd)
                peers.pop(fd).sock.close()


def _receive(peer: _Peer, count: Any, tls: ssl.SSLContext | None) -> bool:
    """False at the end of the connection."""
    try:
        data = peer.sock.recv(65536)
        while peer.is_tls and peer.sock.pending():
            data += peer.sock.recv(65536)
        if not data:
            return False
        peer.came += data
        return _answer(peer, count, tls)
    except OSError:  # ssl.SSLError is one
        return False


def _answer(peer: _Peer, count: Any, tls: ssl.SSLContext | None) -> bool:
    replies: list[bytes] = []
    while True:
        if peer.is_data:
            end = peer.came.find(_END)
            if end < 0:
                break
            del peer.came[: end + len(_END)]
            peer.is_data = False
            count.value += 1
            replies.append(b"250 2.0.0 taken\r\n")
            continue
        found = _LINE.match(peer.came)
        if found is None:
            break
        verb = found[1][:4].upper()
        del peer.came[: found.end()]
        if verb == b"STAR" and tls is not None:
            peer.sock.sendall(b"220 2.0.0 go on\r\n")
            peer.sock = tls.wrap_socket(peer.sock, server_side=True)
            peer.is_tls = True
            return True
        peer.is_data = verb == b"DATA"
        replies.append(_REPLIES.get(verb, _hello)(tls is not None and not peer.is_tls))
        if verb == b"QUIT":
            peer.sock.sendall(b"".join(replies))
            return False
    if replies:
        peer.sock.sendall(b"".join(replies))
    return True


def _hello(offers_tls: bool) -> bytes:
    offer = b"250-STARTTLS\r\n" if offers_tls else b""
    return b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n%s250 ENHANCEDSTATUSCODES\r\n" % offer


def _says(reply: bytes) -> Callable[[bool], bytes]:
    return lambda _: reply


_REPLIES = {
    b"MAIL": _says(b"250 2.1.0 yes\r\n"),
    b"RCPT": _says(b"250 2.1.5 yes\r\n"),
    b"DATA": _says(b"354 go on\r\n"),
    b"RSET": _says(b"250 2.0.0 yes\r\n"),
    b"NOOP": _says(b"250 2.0.0 yes\r\n"),
    b"QUIT": _says(b"221 2.0.0 bye\r\n"),
}
