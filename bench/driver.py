"""The driver: sends octets that were built before the clock started, and only counts completions in what comes back.

So the server is what is measured: the driver takes a few per cent of a core in nearly all rows. `Wire` is one blocking
connection; `swarm` runs many at once over one epoll. A refusal where success is expected ends the scenario.
"""

import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

__all__ = ["Refused", "Session", "Wire", "a_line", "delivery", "idle_pop3", "need", "replies", "swarm"]

CHUNK = 1 << 20
Step = tuple[bytes, Callable[[bytearray], bool]]
Session = Generator[Step, bytes, None]


class Refused(Exception):
    """The server said no."""


class Wire:
    """A blocking socket that counts end marks in a reused buffer without keeping the data."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 300)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(CHUNK + 16)
        self.view = memoryview(self.buffer)
        self.tail = b""

    def count(self, mark: bytes, want: int, end: bytes = b"\r\n", keep: bytearray | None = None, before: bytes = b"\r\n") -> int:
        """Read until `mark` was seen `want` times and the data ends with `end`; the octets read. `before` is what the
        mark may lean on at the very start (a line's end, where the mark begins with one)."""
        over = len(mark) - 1  # octets carried over between two reads
        self.buffer[:over] = (b"\0" * over + before)[-over:] if over and mark.startswith(b"\r\n") else b"\0" * over
        seen = total = 0
        while True:
            got = self.sock.recv_into(self.view[over : over + CHUNK])
            if not got:
                raise EOFError(f"connection closed after {seen} of {want}")
            total += got
            if keep is not None:
                keep += self.view[over : over + got]
            last = over + got
            seen += self.buffer.count(mark, 0, last)
            if seen >= want and self.buffer.endswith(end, 0, last):
                self.tail = bytes(self.view[max(0, last - 4096) : last])
                return total
            self.buffer[:over] = self.buffer[last - over : last]

    def line(self) -> bytes:
        keep = bytearray()
        self.count(b"\n", 1, b"\n", keep)
        return bytes(keep)

    def close(self) -> None:
        self.sock.close()


def need(answer: bytes, what: bytes) -> None:
    if what not in answer:
        raise Refused(answer[-200:].decode("latin1"))


FINAL = re.compile(rb"^\d\d\d(?: [^\n]*)?\n", re.M)


def replies(count: int) -> Callable[[bytearray], bool]:
    """Done when so many SMTP replies have come."""
    return lambda answer: len(FINAL.findall(answer)) >= count


def a_line(answer: bytearray) -> bool:
    return answer.endswith(b"\n")


def delivery(hello: bytes, recipient: str, message: bytes, times: int) -> Session:
    """SMTP or LMTP: one message a transaction, envelope pipelined, connection kept. No two messages are alike.

    A server that keeps equal ones only once would otherwise be measured at something else."""
    yield b"", replies(1)
    yield hello + b" bench.example\r\n", replies(1)
    envelope = b"MAIL FROM:<s@example.com>\r\nRCPT TO:<%s>\r\nDATA\r\n" % recipient.encode()
    data = message.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    for number in range(times):
        need((yield envelope, replies(3)), b"\n354")
        need((yield b"X-Number: %s\r\n%s" % (f"{time.time_ns()}.{number}".encode(), data), replies(1)), b"250")


def deliveries(hello: bytes, recipient: str, messages: Iterable[bytes]) -> Session:
    """Different messages to one recipient."""
    yield b"", replies(1)
    yield hello + b" bench.example\r\n", replies(1)
    envelope = b"MAIL FROM:<s@example.com>\r\nRCPT TO:<%s>\r\nDATA\r\n" % recipient.encode()
    for message in messages:
        need((yield envelope, replies(3)), b"\n354")
        need((yield message.replace(b"\r\n.", b"\r\n..") + b".\r\n", replies(1)), b"250")


def idle_pop3(login: str) -> Session:
    """Logged in, and then silent."""
    need((yield b"", a_line), b"+OK")
    for line in (b"USER " + login.encode(), b"PASS pass", b"STAT"):
        need((yield line + b"\r\n", a_line), b"+OK")


def swarm(port: int, sessions: Iterable[Session]) -> None:
    """Run the sessions to their end, each on a connection of its own."""
    poll, live = select.epoll(), {}
    for session in sessions:
        sock = socket.create_connection(("127.0.0.1", port), 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        live[sock.fileno()] = _Entry(sock, session)
        poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
    while live:
        for fd, event in poll.poll(120):
            entry = live[fd]
            if event & ~select.EPOLLOUT and not entry.receive():
                poll.unregister(fd)
                live.pop(fd).sock.close()
            elif entry.out:
                entry.out = entry.out[entry.sock.send(entry.out) :]
                poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if entry.out else 0))
            else:
                poll.modify(fd, select.EPOLLIN)


class _Entry:
    """One connection of a swarm."""

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.sock, self.session, self.answer = sock, session, bytearray()
        first, self.done = next(session)
        self.out = memoryview(first)

    def receive(self) -> bool:
        """Take what came; False at the session's end."""
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"closed: {bytes(self.answer[-200:])!r}")
        self.answer += data
        if self.out or not self.done(self.answer):
            return True
        try:
            answer, self.answer = bytes(self.answer), bytearray()
            following, self.done = self.session.send(answer)
            self.out = memoryview(following)
        except StopIteration:
            return False
        return True


def hold(port: int, logins: list[str], context: ssl.SSLContext | None = None) -> list[Any]:
    """One logged-in POP3 connection a login, one after the other, all left open (the sockets)."""
    held: list[Any] = []
    for login in logins:
        sock = socket.create_connection(("127.0.0.1", port), 60)
        if context:
            sock = context.wrap_socket(sock, server_hostname="localhost")
        session, answer = idle_pop3(login), b""
        line, done = next(session)
        try:
            while True:
                sock.sendall(line) if line else None
                answer = sock.recv(4096)
                while not done(bytearray(answer)):
                    answer += sock.recv(4096)
                line, done = session.send(answer)
        except StopIteration:
            held.append(sock)
    return held
