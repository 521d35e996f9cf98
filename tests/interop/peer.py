"""A peer that need not behave: a socket from any loopback address, every octet as it is, all that comes back."""

import contextlib
import os
import re
import socket
import ssl
import struct
from typing import Final, Self

__all__ = ["ANSWER", "LEGITIMATE", "Peer", "insecure"]

ANSWER: Final = {
    "smtp": re.compile(rb"[2345]\d\d[ -][ -~]*\r\n"),
    "lmtp": re.compile(rb"[2345]\d\d[ -][ -~]*\r\n"),
    "submission": re.compile(rb"[2345]\d\d[ -][ -~]*\r\n"),
    "submissions": re.compile(rb"[2345]\d\d[ -][ -~]*\r\n"),
    "pop3": re.compile(rb"(\+OK|-ERR|\+)[ -~]*\r\n"),
    "pop3s": re.compile(rb"(\+OK|-ERR|\+)[ -~]*\r\n"),
    "imap": re.compile(rb"(\+ |(\*|[!-~]{1,255}) (OK|NO|BAD|BYE|CAPABILITY|ID) )[ -~]*\r\n"),
    "imaps": re.compile(rb"(\+ |(\*|[!-~]{1,255}) (OK|NO|BAD|BYE|CAPABILITY|ID) )[ -~]*\r\n"),
}
"""What a line of a server of this protocol looks like, listings and messages aside."""

LEGITIMATE: Final = "127.99.0.1"
"""Where the well-behaved client comes from: no network of the throttle is shared with 127.0.0.1."""


def insecure() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Peer:
    """One connection. Sending to a server that has closed is no error: what it answered counts."""

    def __init__(self, port: int, source: str = "127.0.0.1", *, is_tls: bool = False, timeout: float = 20) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_tls:
            self.secure()
        self._unread = bytearray()

    def secure(self) -> None:
        self.sock = insecure().wrap_socket(self.sock, server_hostname="localhost")

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self.sock.sendall(data)

    def say(self, line: bytes) -> bytes:
        """A command, and the last line of its reply."""
        self.send(line + b"\r\n")
        return self.reply()

    def line(self) -> bytes:
        while (end := self._unread.find(b"\n")) < 0:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(bytes(self._unread))
            self._unread += data
        line = bytes(self._unread[: end + 1])
        del self._unread[: end + 1]
        return line

    def octets(self, size: int) -> bytes:
        while len(self._unread) < size:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError(bytes(self._unread[:1000]))
            self._unread += data
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    def reply(self) -> bytes:
        """The last line of the next reply; a reply of POP3 has one."""
        while (line := self.line())[3:4] == b"-" and line[:3].isdigit():
            pass
        return line

    def listing(self) -> bytes:
        """The octets of a reply of several lines, behind its first one, up to the dot."""
        lines = []
        while (line := self.line()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def finish(self, *, half_close: bool = True) -> bytes:
        """Everything that comes until the server closes; `half_close` tells it that nothing more will come."""
        if half_close:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.sock.fileno())) as below:
                below.shutdown(socket.SHUT_WR)  # below TLS, which would otherwise not read on
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := self.sock.recv(65536):
                self._unread += data
        self.close()
        return bytes(self._unread)

    def reset(self) -> None:
        """Vanish with an RST."""
        with contextlib.suppress(OSError):  # closed already
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
