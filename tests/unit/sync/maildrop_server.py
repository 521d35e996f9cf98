"""A POP3 server of a few lines that keeps a maildrop in memory and lies in the ways that servers do (A-96)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

__all__ = ["Maildrop", "Session", "serving"]

T = TypeVar("T")


@dataclass
class Session:
    """How the server is in one session. `uidls`: stable, none, missing (every other), twice, numbers, renamed (other ones than
    before), quirky (other ones in every session), swapped (between neighbours)."""

    uidls: str = "stable"
    list_off: int = 0  # what LIST adds to every size
    cut_after: int | None = None  # octets of output, then the connection is gone
    cut_at_quit: bool = False  # removed, and never said so
    forgets: bool = False  # QUIT is answered +OK, and nothing is removed
    refuses_quit: bool = False
    without: frozenset[bytes] = frozenset()  # of PIPELINING, TOP, UTF8
    garbled: bytes = b""  # in place of the answer to this many-th RETR: no end of its own
    shorter: frozenset[int] = frozenset()  # messages that are cut short, and ended as if whole, when first asked for
    fickle: frozenset[int] = frozenset()  # messages that are cut short otherwise every time
    endless: bool = False


@dataclass
class Maildrop:
    """Messages by an identity of their own; what a device sees of them depends on the session."""

    messages: dict[int, bytes] = field(default_factory=dict)
    next_id: int = 1
    sessions: list[Session] = field(default_factory=list)  # the last one stays
    heard: list[bytes] = field(default_factory=list)
    retrieved: list[int] = field(default_factory=list)  # identities, as often as they were asked for
    lost: bool = False  # something was deleted before the device had it durable; set by who watches
    durable: Callable[[bytes], bool] = lambda _octets: True
    logins: int = 0
    is_in_use: bool = False

    def put(self, octets: bytes) -> None:
        self.messages[self.next_id] = octets
        self.next_id += 1

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = self.sessions.pop(0) if len(self.sessions) > 1 else self.sessions[0] if self.sessions else Session()
        self.logins += 1
        try:
            await _Talk(self, kind, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class _Talk:
    def __init__(self, drop: Maildrop, kind: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.drop, self.kind, self.reader, self.writer = drop, kind, reader, writer
        self.numbers = dict(enumerate(drop.messages, 1))
        self.marked: set[int] = set()
        self.left = kind.cut_after
        self.asked: set[int] = set()

    def say(self, octets: bytes) -> None:
        if self.left is not None:
            octets = octets[: self.left]
            self.left -= len(octets)
        self.writer.write(octets)
        if self.left == 0:
            self.writer.close()
            raise ConnectionError("cut")

    async def run(self) -> None:
        self.say(b"+OK ready\r\n")
        while line := await self.reader.readline():
            self.drop.heard.append(line.rstrip())
            word, *rest = line.upper().split()
            number = int(rest[0]) if rest and rest[0].isdigit() else 0
            match word:
                case b"CAPA":
                    known = [name for name in (b"PIPELINING", b"TOP", b"UIDL", b"UTF8", b"USER") if name not in self.kind.without]
                    self.say(b"+OK\r\n" + b"".join(name + b"\r\n" for name in known) + b".\r\n")
                case b"LIST":
                    sizes = {n: max(len(self.drop.messages[i]) + self.kind.list_off, 0) for n, i in self.numbers.items()}
                    self.say(b"+OK\r\n" + b"".join(b"%d %d\r\n" % pair for pair in sizes.items()) + b".\r\n")
                case b"UIDL" if self.kind.uidls == "none":
                    self.say(b"-ERR what?\r\n")
                case b"UIDL":
                    self.say(b"+OK\r\n" + b"".join(self.uidl(n, i) for n, i in self.numbers.items()) + b".\r\n")
                case b"STAT":
                    self.say(b"+OK %d %d\r\n" % (len(self.numbers), sum(map(len, self.drop.messages.values()))))
                case b"RETR":
                    self.retr(number)
                case b"TOP":
                    header = self.drop.messages[self.numbers[number]].partition(b"\r\n\r\n")[0]
                    self.say(b"+OK\r\n" + stuffed(header + b"\r\n\r\n") + b".\r\n")
                case b"DELE":
                    self.drop.lost |= not self.drop.durable(self.drop.messages[self.numbers[number]])
                    self.marked.add(self.numbers[number])
                    self.say(b"+OK\r\n")
                case b"QUIT":
                    self.quit()
                    return
                case b"PASS" if rest != [b"SESAME"]:
                    self.say(b"-ERR [AUTH] no\r\n")
                case b"PASS" if self.drop.is_in_use:
                    self.say(b"-ERR [IN-USE] locked\r\n")
                case _:
                    self.say(b"+OK\r\n")

    def uidl(self, number: int, identity: int) -> bytes:
        match self.kind.uidls:
            case "missing" if identity % 2:
                return b"%d\r\n" % number
            case "twice":
                return b"%d same%d\r\n" % (number, identity // 2)
            case "numbers":
                return b"%d %d\r\n" % (number, number)
            case "renamed":
                return b"%d other%d\r\n" % (number, identity)
            case "quirky":
                return b"%d s%d-%d\r\n" % (number, self.drop.logins, identity)
            case "swapped":
                return b"%d uid%d\r\n" % (number, identity ^ 1)
        return b"%d uid%d\r\n" % (number, identity)

    def retr(self, number: int) -> None:
        identity = self.numbers[number]
        octets = self.drop.messages[identity]
        self.drop.retrieved.append(identity)
        if self.kind.garbled:
            self.say(self.kind.garbled)
            return
        if identity in self.kind.shorter and identity not in self.asked:
            octets = octets[: len(octets) // 2].rpartition(b"\r\n")[0] + b"\r\n"
        if identity in self.kind.fickle:
            octets = octets[: 20 + len(self.drop.retrieved)] + b"\r\n"
        self.asked.add(identity)
        self.say(b"+OK\r\n" + stuffed(octets))
        while self.kind.endless:
            self.say(b"x" * 60_000 + b"\r\n")
            if self.writer.transport.is_closing():
                raise ConnectionError
            if self.writer.transport.get_write_buffer_size() > 20_000_000:
                return
        self.say(b".\r\n")

    def quit(self) -> None:
        if self.kind.refuses_quit:
            self.say(b"-ERR some deleted messages not removed\r\n")
            return
        if not self.kind.forgets:
            for identity in self.marked:
                del self.drop.messages[identity]
        if self.kind.cut_at_quit:
            raise ConnectionError("cut")
        self.say(b"+OK bye\r\n")


def stuffed(octets: bytes) -> bytes:
    """Behind every LF: to most servers a line is what ends there."""
    return (b"\n" + octets).replace(b"\n.", b"\n..")[1:] + (b"" if not octets or octets.endswith(b"\r\n") else b"\r\n")


async def serving(drop: Maildrop, work: Callable[[int], Awaitable[T]]) -> T:
    """`work` with the port."""
    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    async with server:
        async with asyncio.timeout(60):
            return await work(server.sockets[0].getsockname()[1])
