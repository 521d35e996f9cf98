"""What the tests of outbound share: a host that does what a test wrote down, a queue in memory, an engine between them."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from postwren.delivery.attempt import Fate, Outcome
from postwren.exchange.connection import Letter, Ours
from postwren.exchange.limits import OutboundLimits
from postwren.exchange.outbound import Outbound
from postwren.exchange.road import RoadMap, Roads
from postwren.mailstore.invariant import check
from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient
from postwren.mailstore.service.queue import change_recipients, enqueue
from postwren.storage.memory import MemoryStore
from postwren.terms import AccountId, Uid
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress, Kind, Mx, Record

OCTETS = b"Subject: hello\r\n\r\n.a dot\r\nand more\r\n"
CLOSE, SILENCE = b"(close)", b"(silence)"
USUAL = ("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


def a_message(**fields: Any) -> QueuedMessage:
    return QueuedMessage(Uid(0), "ann@a.example", AccountId(0), 0, "", "", "8BITMIME", False, False, b"")._replace(**fields)


def a_recipient(number: int = 1, address: str = "bob@b.example", **fields: Any) -> QueuedRecipient:
    domain = address.rpartition("@")[2]
    row = QueuedRecipient(Uid(0), number, address, domain, "", "", DeliveryState.WAITING, 0, 0, 10**6, False, "")
    return row._replace(**fields)


def a_letter(octets: bytes = OCTETS, **fields: Any) -> Letter:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(octets), 65536):
            yield octets[start : start + 65536]

    return Letter(a_message(**fields), len(octets), pieces, octets.partition(b"\r\n\r\n")[0].isascii)


@dataclass
class Host:
    """Answers by the first word of a command, by `says` before the usual; END is the end of a message. `rcpt` answers by address.
    A word may have several answers, for one connection after the other; CLOSE and SILENCE do what they say."""

    extensions: Sequence[str] = USUAL
    says: Mapping[str, bytes | Sequence[bytes]] = field(default_factory=dict)
    rcpt: Mapping[str, bytes] = field(default_factory=dict)
    context: ssl.SSLContext | None = None
    heard: list[bytes] = field(default_factory=list)  # every line that is no message's
    messages: list[tuple[bytes, list[bytes], bytes]] = field(default_factory=list)
    connections: int = 0
    standing: int = 0
    most_standing: int = 0
    most: int = 1000  # connections at once
    delay: float = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.standing += 1
        self.most_standing = max(self.most_standing, self.standing)
        try:
            await self._talk(reader, writer, self.connections - 1)
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.standing -= 1
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if self.standing > self.most:
            writer.write(b"421 4.7.0 too many\r\n")
            return
        mail = b""
        rcpts: list[bytes] = []
        if not await self._say(writer, "GREETING", b"220 host\r\n", number):
            return
        while line := await reader.readline():
            self.heard.append(line)
            word = line.split()[0].upper().decode()
            usual = b"250 2.0.0 ok\r\n"
            if word == "EHLO":
                usual = "".join(f"250-{line}\r\n" for line in ("host", *self.extensions)).encode() + b"250 HELP\r\n"
            elif word == "MAIL":
                mail, rcpts = line, []
            elif word == "RCPT":
                usual = self.rcpt.get(line.partition(b"<")[2].partition(b">")[0].decode(), usual)
                rcpts += [line] if usual.startswith(b"2") else []
            elif word == "DATA":
                usual = b"354 go\r\n" if rcpts else b"503 5.5.1 no recipients\r\n"
            elif word == "BDAT":
                await reader.readexactly(int(line.split()[1]))
            elif word == "STARTTLS":
                usual = b"220 go\r\n"
            elif word == "QUIT":
                usual = b"221 bye\r\n"
            if word == "RCPT" and not mail:
                usual, rcpts = b"503 5.5.1 no sender\r\n", []
            said = await self._say(writer, word, usual, number)
            if word == "MAIL" and not said.startswith(b"2"):
                mail = b""
            if word == "QUIT" or not said:
                return
            if word == "STARTTLS" and said.startswith(b"220") and self.context is not None:
                await writer.drain()
                await writer.start_tls(self.context)
            if word == "DATA" and said.startswith(b"354"):
                body = b""
                while not (body == b".\r\n" or body.endswith(b"\r\n.\r\n")):
                    body += await reader.readuntil(b"\r\n")
                if self.delay:
                    await asyncio.sleep(self.delay)
                said = await self._say(writer, "END", b"250 2.0.0 queued\r\n", number)
                if not said:
                    return
                if said.startswith(b"250"):
                    self.messages.append((mail, rcpts, body[:-3]))

    async def _say(self, writer: asyncio.StreamWriter, word: str, usual: bytes, number: int) -> bytes:
        says = self.says.get(word, usual)
        said = says if isinstance(says, bytes) else says[min(number, len(says) - 1)]
        if said == SILENCE:
            await asyncio.sleep(3600)
        if said == CLOSE:
            return b""
        writer.write(said)
        await writer.drain()
        return said


class Deaf(Host):
    """Lets a message begin, and never reads it."""

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(b"220 host\r\n")
        for reply in (b"250 host\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(reply)
        await asyncio.sleep(3600)


@contextlib.asynccontextmanager
async def listening(host: Host, limit: int = 1 << 21, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(host.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, limit=limit, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # the transports' own last steps
            await asyncio.sleep(0)


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(bounded())


class Exchange:
    """A queue in memory, hosts by name of their domain, and the engine. `mx.DOMAIN` is on this machine."""

    def __init__(self, ports: Mapping[str, int], limits: OutboundLimits | None = None, **records: Sequence[Record]) -> None:
        self.store = MemoryStore()
        self.now = 1000
        self.outcomes: list[tuple[Uid, Outcome]] = []
        self.refuses: list[BaseException] = []  # what conclude raises before it works again
        self.may_conclude = asyncio.Event()
        self.may_conclude.set()
        known: dict[tuple[str, Kind], Sequence[Record]] = {}
        for domain in ports:
            known[domain, "MX"] = [Mx(10, f"mx.{domain}")]
            known[f"mx.{domain}", "A"] = [HostAddress("127.0.0.1")]
        self.resolver = ScriptedResolver(known)
        limits = limits or OutboundLimits(quit=0.5, idle=0.2)
        self.road_map = RoadMap(frozenset(("mx.a.example",)), {f"mx.{domain}": port for domain, port in ports.items()})
        self.roads = Roads(self.resolver, Ours("mx.a.example", limits=limits), self.road_map, draw=lambda: 0.5)
        self.engine = Outbound(self.store, self.roads, self.conclude, lambda: self.now, lambda: 0.5, limits=limits)
        self._told = asyncio.Event()

    async def conclude(self, uid: Uid, outcomes: Sequence[Outcome], known: object = None) -> None:
        """What `delivery.queue` does, without reports: who waits is due in 600 seconds."""
        await self.may_conclude.wait()
        if self.refuses:
            raise self.refuses.pop()
        rows = {row.number: row for row in self.store.reader.queued_recipients(uid)}
        waits = [rows[each.number] for each in outcomes if each.verdict.fate is Fate.DEFERRED]
        put = [row._replace(next_attempt=self.now + 600, attempts=row.attempts + 1) for row in waits]
        gone = [(uid, each.number) for each in outcomes if each.verdict.fate is not Fate.DEFERRED]
        await self.store.perform(lambda tx: change_recipients(tx, put, gone))
        self.outcomes += [(uid, outcome) for outcome in outcomes]
        self._told.set()

    async def queue(self, *addresses: str, message: QueuedMessage | None = None, octets: bytes = OCTETS, **fields: Any) -> Uid:
        writer = self.store.new_body()
        writer.write(octets)
        body = writer.finish()
        rows = [
            a_recipient(number, address, **{"next_attempt": self.now, **fields})
            for number, address in enumerate(addresses or ("bob@b.example",), 1)
        ]
        return await self.store.perform(lambda tx: enqueue(tx, message or a_message(), rows, body, 1), [body])

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._told.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self._told.wait()

    def fates(self) -> list[Fate]:
        return [outcome.verdict.fate for _, outcome in self.outcomes]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Exchange"]:
        task = asyncio.get_running_loop().create_task(self.engine.run())
        try:
            yield self
        finally:
            await self.engine.close(2)
            await task
            assert [str(wrong) for wrong in check(self.store.reader)] == []
            self.store.close()
