"""The driver's own floor: the rows again, with a bare process as server that parses nothing and sends what it was told to.

What a real server gets in a row can come near this figure and not beyond it, so a ratio to a peer says something only where the
floor is far above both. A row of the floor drives with the same code as the row whose name it bears.
"""

import os
import socket
from collections.abc import Callable

from bench import corpus
from bench.driver import Wire
from bench.imap import MARK, TAG
from bench.measure import Row, Rows, Target

__all__ = ["floor_rows"]

Serve = Callable[[socket.socket], None]
LINES = {
    "noop": (b"NOOP", b"%s OK NOOP done\r\n"),
    "store": (b"STORE 1000 +FLAGS (\\Flagged)", b"* 1000 FETCH (FLAGS (\\Flagged))\r\n%s OK STORE done\r\n"),
}


def canned(answer: bytes, end: bytes = b"\n") -> Serve:
    """Sends the answer as often as `end` stands in what came."""

    def serve(sock: socket.socket) -> None:
        while came := sock.recv(65536):
            sock.sendall(answer * came.count(end))

    return serve


def long(part: bytes, parts: int, last: bytes) -> Serve:
    """Sends many parts and a last line for each line that comes."""

    def serve(sock: socket.socket) -> None:
        while sock.recv(65536):
            for _ in range(parts):
                sock.sendall(part)
            sock.sendall(last)

    return serve


def taking(size: int, answer: bytes) -> Serve:
    """Answers once for each `size` octets."""

    def serve(sock: socket.socket) -> None:
        buffer, left = bytearray(1 << 20), size
        while got := sock.recv_into(buffer):
            left -= got
            while left <= 0:
                sock.sendall(answer)
                left += size

    return serve


class Bare:
    """A process that serves one connection at a time on a port of its own, until it is ended."""

    def __init__(self, serve: Serve) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                while True:
                    sock, _ = listening.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with sock:
                        serve(sock)
            finally:
                os._exit(1)
        listening.close()

    def end(self) -> None:
        os.kill(self.pid, 15)
        os.waitpid(self.pid, 0)


def floor_rows(rows: Rows, scale: float) -> None:
    times, size = int(5_000 * scale) + 100, 100_000
    message = corpus.Corpus(14).sized(15_000)
    for name, (command, answer) in LINES.items():
        line, answer = TAG + b"1 " + command + b"\r\n", answer % (TAG + b"1")
        _row(rows, f"floor.{name}.single", times, canned(answer), _asking(line, 1, times))
        _row(rows, f"floor.{name}.pipelined", times * 50, canned(answer), _asking(line, 50, times))
    mail = b"+OK\r\n" + message.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    _row(rows, "floor.pop3.retr.single", times, canned(mail), lambda wire: _retrieve(wire, times))
    fetched = b"* 1000 FETCH (BODY[] {%d}\r\n%s)\r\n" % (len(message), message)
    body = long(fetched * 32, times // 32, TAG + b"1 OK FETCH done\r\n")
    _row(rows, "floor.fetch.body", times // 32 * 32, body, _asking(TAG + b"1 FETCH 1:* BODY.PEEK[]\r\n", 1, 1))
    done = TAG + b"1 OK APPEND done\r\n"
    _row(rows, "floor.append.100k", times, taking(size, done), _asking(b"x" * (size - 2) + b"\r\n", 1, times))


def _row(rows: Rows, name: str, count: int, serve: Serve, drive: Callable[[Wire], None]) -> None:
    """`count` completions by one connection, timed as every row is."""
    if rows.only and name not in rows.only:
        return
    bare = Bare(serve)
    try:
        target = Target("bare process", lambda: [bare.pid])
        rows.measure(Row(name, "/s"), [target], lambda _, wire: drive(wire), count, lambda _: Wire(bare.port))
    finally:
        bare.end()


def _asking(line: bytes, width: int, times: int) -> Callable[[Wire], None]:
    blob = line * width

    def ask(wire: Wire) -> None:
        for _ in range(times):
            wire.sock.sendall(blob)
            wire.count(MARK, width)

    return ask


def _retrieve(wire: Wire, times: int) -> None:
    for number in range(1, times + 1):
        wire.sock.sendall(b"RETR %d\r\n" % number)
        wire.count(b"\r\n.\r\n", 1, b"\r\n.\r\n", before=b"")
