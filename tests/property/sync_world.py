"""A server of ours and devices that copy an account of it, all in one process over real sockets, with a line that can be cut."""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from tests.scripts.imap_world import ImapWorld
from tests.scripts.pop3_world import cheap_credentials

from postwren.client.conversation import ConnectionEnded, Security, ServerFailed
from postwren.client.imap import ImapClient
from postwren.mailstore.invariant import check
from postwren.mailstore.model import Account, Mailbox
from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.append import NewMessage, append
from postwren.mailstore.service.copymove import copy, move
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.flags import FlagAction, change_flags
from postwren.mailstore.service.mailboxes import create_mailbox, delete_mailbox, rename_mailbox
from postwren.server.imap import TABLE, ImapSession
from postwren.storage.memory import MemoryStore
from postwren.sync.imap import Options, Outcome, synchronise
from postwren.sync.look import Abilities
from postwren.sync.remote import Remote
from postwren.sync.report import Event
from postwren.sync.settings import Choices
from postwren.terms import AccountId
from postwren.transport.deadline import Watch
from postwren.transport.link import LinkConfig
from postwren.transport.listener import Listener
from postwren.wire.secret import Secret

LOGIN, PASSWORD = "ann@example.org", "secret"
NOW = 1_700_000_000
T = TypeVar("T")
Content = dict[str, Counter[tuple[bytes, frozenset[str], int]]]
FALLBACKS = {
    "all": Abilities(True, True, True, True, True, True, True),
    "condstore": Abilities(True, False, True, True, False, True, True),
    "plain": Abilities(False, False, False, False, False, False, False),
}


def letter(number: int, size: int = 40) -> bytes:
    header = b"From: ann@example.org\r\nMessage-ID: <%d@example.org>\r\nSubject: letter %d\r\n\r\n" % (number, number)
    return header + b"x" * size + b"\r\n"


class Side:
    """An account in a store: the server's, or a device's copy."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.account: Account

    async def begin(self) -> "Side":
        self.account = await self.store.perform(create_account(LOGIN, cheap_credentials(PASSWORD), NOW))
        return self

    @property
    def account_id(self) -> AccountId:
        return self.account.account_id

    def mailbox(self, name: str) -> Mailbox:
        found = self.store.reader.mailbox_by_name(self.account_id, name)
        assert found is not None, name
        return found

    async def add(self, name: str, *messages: bytes, flags: Iterable[str] = (), date: int = NOW) -> list[int]:
        bodies = []
        for message in messages:
            writer = self.store.new_body()
            writer.write(message)
            bodies.append(writer.finish())
        new = [NewMessage(body, date, frozenset(flags)) for body in bodies]
        unit = append(self.account_id, self.mailbox(name).mailbox_id, new, NOW)
        return list((await self.store.perform(unit, bodies)).uids)

    async def flag(self, name: str, uid: int, *flags: str, action: FlagAction = FlagAction.ADD) -> None:
        unit = change_flags(self.account_id, self.mailbox(name).mailbox_id, [(uid, uid)], action, flags)
        await self.store.perform(unit)

    async def delete(self, name: str, *uids: int) -> None:
        ranges = [(uid, uid) for uid in sorted(uids)]
        await self.store.perform(expunge(self.account_id, self.mailbox(name).mailbox_id, ranges, NOW, only_deleted=False))

    async def move(self, name: str, uids: Iterable[int], destination: str) -> None:
        ids = self.mailbox(name).mailbox_id, self.mailbox(destination).mailbox_id
        await self.store.perform(move(self.account_id, ids[0], [(uid, uid) for uid in sorted(uids)], ids[1], NOW))

    async def copy(self, name: str, uid: int, destination: str) -> None:
        ids = self.mailbox(name).mailbox_id, self.mailbox(destination).mailbox_id
        await self.store.perform(copy(self.account_id, ids[0], [(uid, uid)], ids[1], NOW))

    async def create(self, name: str) -> None:
        await self.store.perform(create_mailbox(self.account_id, name, NOW))

    async def rename(self, name: str, new: str) -> None:
        await self.store.perform(rename_mailbox(self.account_id, self.mailbox(name).mailbox_id, new, NOW))

    async def remove(self, name: str) -> None:
        await self.store.perform(delete_mailbox(self.account_id, self.mailbox(name).mailbox_id, NOW))

    def uids(self, name: str) -> list[int]:
        return [entry.uid for entry in self.store.reader.entries(self.account_id, self.mailbox(name).mailbox_id)]

    def content(self) -> Content:
        """Everything that a person would see, by mailbox."""
        reader, account_id = self.store.reader, self.account_id
        found: Content = {}
        for mailbox in reader.mailboxes(account_id):
            rows: Counter[tuple[bytes, frozenset[str], int]] = Counter()
            for entry in reader.entries(account_id, mailbox.mailbox_id):
                email = reader.email(account_id, entry.email_id)
                assert email is not None
                flags = reader.flagset(account_id, entry.flagset_id)
                rows[self.store.read_body(email.body), flags, entry.internaldate] += 1
            found[mailbox.name] = rows
        return found

    def sound(self) -> None:
        assert list(check(self.store.reader, self.store.body_pieces)) == []


class Line:
    """A proxy that counts, cuts after so many octets from the server, and hides capabilities."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.budget: int | None = None
        self.hidden: tuple[bytes, ...] = ()
        self.is_frozen = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.turns = self.sent = self.received = 0
        self._is_sending = False
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, there_writer}
        ways = [self._pump(reader, there_writer, True), self._pump(there_reader, writer, False)]
        for way in ways:
            task = asyncio.get_running_loop().create_task(way)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_ours: bool) -> None:
        try:
            while data := await reader.read(65_536):
                if is_ours:
                    self.turns += not self._is_sending
                    self.sent += len(data)
                else:
                    self.received += len(data)
                    for name in self.hidden:
                        data = data.replace(b" " + name, b" X" + name[1:])
                    if self.budget is not None:
                        data, self.budget = data[: self.budget], max(self.budget - len(data), 0)
                self._is_sending = is_ours
                if self.is_frozen:
                    continue
                writer.write(data)
                await writer.drain()
                if self.budget == 0:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    def drop(self) -> None:
        """The network fails for all that are connected."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self.is_frozen = False

    def count(self) -> tuple[int, int, int]:
        """(round trips, octets sent, octets received) since the last time."""
        counted = self.turns, self.sent, self.received
        self.turns = self.sent = self.received = 0
        self._is_sending = False
        return counted


class World:
    """The server, its line, and devices."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.server = Side(MemoryStore())
        self.line: Line
        self.port = 0
        self._spool = tempfile.TemporaryDirectory()

    async def begin(self) -> None:
        await self.server.begin()
        world = ImapWorld(self.server.store)
        self._listener = Listener(LinkConfig(Watch()), lambda: ImapSession(world.service, TABLE))
        await self._listener.start([("127.0.0.1", 0)])
        self.line = Line(self._listener.ports[0])
        self.port = await self.line.start()

    async def end(self) -> None:
        self.line.close()
        await self._listener.close(0)
        self._spool.cleanup()

    async def device(self, store: Store | None = None) -> Side:
        return await Side(store or MemoryStore()).begin()

    async def synchronise(
        self, device: Side, abilities: Abilities | None = None, told: list[Event] | None = None, **choices: bool
    ) -> Outcome:
        """One run of a device."""
        async with ImapClient("127.0.0.1", self.port, security=Security.NONE) as client:
            await client.login(LOGIN, Secret(PASSWORD))
            remote = await Remote.enter(client)
            if abilities is not None:
                remote.abilities = abilities
            self.line.count()
            tell = (lambda event: None) if told is None else told.append
            options = Options(LOGIN, lambda: NOW, Path(self._spool.name), tell, choices=Choices(**choices))
            return await synchronise(device.store, device.account_id, remote, options)

    async def synchronise_until_done(self, device: Side, cut: Callable[[], int], abilities: Abilities | None = None) -> int:
        """Runs over a line that is cut, until one comes to its end; how many were cut."""
        for cuts in range(1000):
            self.line.budget = cut()
            try:
                await self.synchronise(device, abilities)
            except (ConnectionEnded, ServerFailed, ConnectionError):
                continue
            finally:
                self.line.budget = None
            return cuts
        raise AssertionError("it never comes to an end")


def in_world(story: Callable[[World], Awaitable[T]], seed: int = 0) -> T:
    """Tell a story in a world of its own."""

    async def tell() -> T:
        world = World(seed)
        await world.begin()
        try:
            async with asyncio.timeout(120):
                return await story(world)
        finally:
            await world.end()

    return asyncio.run(tell())
