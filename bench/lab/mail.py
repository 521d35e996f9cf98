"""A raw SMTP/LMTP sender and a raw POP3 reader: every octet passes as it is, every final reply is kept.

Written for tests of servers: nothing is tidied, so that what a test compares is what was on the wire. `with_crlf` is the one
change that a text message from a file needs before it may be sent.
"""

import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Self

__all__ = ["Pop3", "Refused", "Sender", "original", "parts_of_trace", "with_crlf"]

TRACE = re.compile(rb"(?:(?:Return-Path|Received|Delivered-To|X-Original-To):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*\Z", re.I)


class Refused(Exception):
    """A negative reply; `code` is the SMTP code or 0 for POP3."""

    def __init__(self, line: bytes) -> None:
        super().__init__(line.decode("latin1").rstrip())
        self.code = int(line[:3]) if line[:3].isdigit() else 0


def with_crlf(octets: bytes) -> bytes:
    """Each LF that no CR precedes becomes CRLF, and the last line gets its end; a bare CR stays."""
    fixed = re.sub(rb"(?<!\r)\n", b"\r\n", octets)
    return fixed if fixed.endswith(b"\r\n") else fixed + b"\r\n"


def parts_of_trace(stored: bytes, sent: bytes) -> bytes | None:
    """The trace headers that were put above `sent`, or None when `stored` is not trace headers and then `sent`."""
    above = stored[: len(stored) - len(sent)]
    return above if stored.endswith(sent) and TRACE.match(above) else None


def original(stored: bytes, sent: list[bytes]) -> int | None:
    """Which of `sent` it is, below trace headers of any kind. The longest that fits, as a message may end like another."""
    fits = [place for place, message in enumerate(sent) if parts_of_trace(stored, message) is not None]
    return max(fits, key=lambda place: len(sent[place])) if fits else None


class _Lines:
    """A blocking socket and its unread octets."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = bytearray()

    def secure(self, context: ssl.SSLContext) -> None:
        assert not self.rest, "the server spoke before the handshake"
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    def line(self) -> bytes:
        while (end := self.rest.find(b"\n")) < 0:
            self._more()
        line = bytes(self.rest[: end + 1])
        del self.rest[: end + 1]
        return line

    def _more(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError(f"closed by the server after {bytes(self.rest[-200:])!r}")
        self.rest += data

    def multiline(self) -> bytes:
        """The octets up to the line of one dot, stuffing removed."""
        start = 0
        while not (self.rest.startswith(b".\r\n") or self.rest.find(b"\r\n.\r\n", start) >= 0):
            start = max(0, len(self.rest) - 4)
            self._more()
        if self.rest.startswith(b".\r\n"):
            del self.rest[:3]
            return b""
        end = self.rest.find(b"\r\n.\r\n", start) + 2
        body = bytes(self.rest[:end])
        del self.rest[: end + 3]
        body = body[1:] if body.startswith(b".") else body
        return body.replace(b"\r\n.", b"\r\n")

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Sender(_Lines):
    """SMTP, or LMTP with hello=b"LHLO"."""

    def __init__(self, port: int, hello: bytes = b"EHLO", timeout: float = 60) -> None:
        super().__init__(port, timeout)
        self.is_lmtp = hello == b"LHLO"
        try:
            self._expect(b"2")
            self.sock.sendall(hello + b" client.example.net\r\n")
            self._expect(b"2")
        except BaseException:
            self.close()
            raise

    def reply(self) -> bytes:
        """The last line of the next reply."""
        while True:
            line = self.line()
            if line[3:4] != b"-":
                return line

    def _expect(self, start: bytes) -> bytes:
        line = self.reply()
        if not line.startswith(start):
            raise Refused(line)
        return line

    def send(self, message: bytes, *recipients: str, reverse_path: str = "sender@example.com") -> list[bytes]:
        """One transaction; the final replies (one, or one a recipient with LMTP). Raises Refused for anything negative
        before them; the final replies themselves are returned as they are."""
        self.envelope(message, recipients, reverse_path)
        self.content(message)
        return [self.reply() for _ in (recipients if self.is_lmtp else [1])]

    def envelope(self, message: bytes, recipients: Iterable[str], reverse_path: str = "sender@example.com") -> None:
        """Up to the 354."""
        eight = b" BODY=8BITMIME" if not message.isascii() else b""
        self.sock.sendall(b"MAIL FROM:<%s>%s\r\n" % (reverse_path.encode(), eight))
        self._expect(b"2")
        for recipient in recipients:
            self.sock.sendall(b"RCPT TO:<%s>\r\n" % recipient.encode())
            self._expect(b"2")
        self.sock.sendall(b"DATA\r\n")
        self._expect(b"3")

    def content(self, message: bytes) -> None:
        """From the first octet to the dot; the replies are the caller's to read."""
        stuffed = (b"." if message.startswith(b".") else b"") + message.replace(b"\r\n.", b"\r\n..")
        self.sock.sendall(stuffed + b".\r\n")

    def reset(self) -> None:
        self.sock.sendall(b"RSET\r\n")
        self._expect(b"2")

    def quit(self) -> None:
        self.sock.sendall(b"QUIT\r\n")
        self._expect(b"2")
        self.close()


class Pop3(_Lines):
    """A logged-in session; `security` is "plain", "stls" or "tls"."""

    def __init__(
        self, port: int, login: str, password: str = "pass", security: str = "plain", context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(port)
        try:
            if security == "tls" and context:
                self.secure(context)
            self._ok()
            if security == "stls" and context:
                self.command(b"STLS")
                self.secure(context)
            self.command(b"USER " + login.encode())
            self.command(b"PASS " + password.encode())
        except BaseException:
            self.close()
            raise

    def _ok(self) -> bytes:
        line = self.line()
        if not line.startswith(b"+OK"):
            raise Refused(line)
        return line

    def command(self, text: bytes) -> bytes:
        self.sock.sendall(text + b"\r\n")
        return self._ok()

    def count(self) -> int:
        return int(self.command(b"STAT").split()[1])

    def uidl(self) -> dict[int, str]:
        self.command(b"UIDL")
        return {int(number): uid for number, uid in (line.split() for line in self.multiline().decode().splitlines())}

    def retrieve(self, number: int) -> bytes:
        self.command(b"RETR %d" % number)
        return self.multiline()

    def all(self, numbers: Iterable[int], pipeline: int = 50) -> Iterator[bytes]:
        """Many messages, `pipeline` commands at a time."""
        waiting = list(numbers)
        for start in range(0, len(waiting), pipeline):
            part = waiting[start : start + pipeline]
            self.sock.sendall(b"".join(b"RETR %d\r\n" % number for number in part))
            for _ in part:
                self._ok()
                yield self.multiline()

    def delete(self, numbers: Iterable[int], pipeline: int = 500) -> None:
        waiting = list(numbers)
        for start in range(0, len(waiting), pipeline):
            part = waiting[start : start + pipeline]
            self.sock.sendall(b"".join(b"DELE %d\r\n" % number for number in part))
            for _ in part:
                self._ok()

    def quit(self) -> None:
        self.command(b"QUIT")
        self.close()
