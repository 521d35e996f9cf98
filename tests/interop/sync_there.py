"""An account on a server of any kind, changed and read by a plain client of its own: what `Side` of sync_world is for a store."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tests.property.sync_world import Content, Side

from postwren.client.conversation import Security
from postwren.client.imap import ImapClient, Refused
from postwren.mailstore.service.flags import FlagAction
from postwren.protocols.imap.client import LiteralBegan
from postwren.protocols.imap.command import Create, Delete, Rename
from postwren.protocols.imap.command.fetch import Item, Section
from postwren.protocols.imap.command.store import StoreAction
from postwren.storage.memory import MemoryStore
from postwren.sync.imap import Options, Outcome, synchronise
from postwren.sync.look import Abilities
from postwren.sync.remote import Remote, local_name, remote_name
from postwren.sync.report import Event
from postwren.sync.settings import Choices
from postwren.terms import INBOX
from postwren.wire.secret import Secret

__all__ = ["There", "World"]

NOW = 1_700_000_000
ALL = ((1, (1 << 32) - 1),)
MADE_BY_THE_SERVER = ("\\recent",)


class There:
    """Mailboxes are named as the device names them."""

    def __init__(self, client: ImapClient) -> None:
        self._client = client
        self._delimiter: str | None = "/"

    async def begin(self) -> None:
        self._delimiter = next((entry.delimiter for entry in await self._client.mailboxes()), "/")

    def _name(self, name: str) -> str:
        return remote_name(name, self._delimiter)

    async def add(self, name: str, *messages: bytes, flags: Iterable[str] = (), date: int = NOW) -> list[int]:
        """Raises Refused where the server will not have one."""
        for message in messages:
            await self._client.append(self._name(name), message, tuple(flags), date)
        await self._client.select(self._name(name))
        return await self.uids(name)

    async def uids(self, name: str) -> list[int]:
        await self._client.select(self._name(name))
        return sorted(message.uid or 0 for message in await self._client.fetch(ALL, (Item.UID,)))

    async def flag(self, name: str, uid: int, *flags: str, action: FlagAction = FlagAction.ADD) -> None:
        await self._client.select(self._name(name))
        await self._client.store(((uid, uid),), StoreAction.ADD if action is FlagAction.ADD else StoreAction.REMOVE, flags)

    async def delete(self, name: str, *uids: int) -> None:
        await self._client.select(self._name(name))
        numbers = tuple((uid, uid) for uid in sorted(uids))
        await self._client.store(numbers, StoreAction.ADD, ("\\Deleted",))
        await self._client.expunge(numbers)

    async def move(self, name: str, uids: Iterable[int], destination: str) -> None:
        await self._client.select(self._name(name))
        await self._client.move(tuple((uid, uid) for uid in sorted(uids)), self._name(destination))

    async def create(self, name: str) -> None:
        await self._client.run(Create(self._name(name)))

    async def rename(self, name: str, new: str) -> None:
        await self._client.run(Rename(self._name(name), self._name(new)))

    async def remove(self, name: str) -> None:
        """Left first: some servers drop who has it selected."""
        await self._client.select(INBOX)
        await self._client.run(Delete(self._name(name)))

    async def content(self) -> Content:
        found: Content = {}
        for entry in await self._client.mailboxes():
            if {"\\noselect", "\\nonexistent"} & {attribute.lower() for attribute in entry.attributes}:
                continue
            rows: Counter[tuple[bytes, frozenset[str], int]] = Counter()
            await self._client.select(entry.mailbox, is_examine=True)
            large: dict[int, list[bytes]] = defaultdict(list)
            items = (Item.UID, Item.FLAGS, Item.INTERNALDATE, Section(is_peek=True))
            told = await self._client.fetch(ALL, items, partial(_sink, large))
            for message in told:
                octets = message.sections[0].octets
                whole = octets if isinstance(octets, bytes) else b"".join(large[message.uid or 0])
                flags = frozenset(flag for flag in message.flags or () if flag.lower() not in MADE_BY_THE_SERVER)
                rows[whole, flags, message.internaldate or 0] += 1
            found[local_name(entry.mailbox, entry.delimiter)] = rows
        return found


def _sink(large: dict[int, list[bytes]], began: LiteralBegan) -> Callable[[bytes], object]:
    return large[began.uid or 0].append


class World:
    """A login on a server, and devices that copy it."""

    def __init__(self, port: int, login: str, spool: Path) -> None:
        self._port = port
        self._login = login
        self._spool = spool
        self.server: There

    def connect(self) -> ImapClient:
        return ImapClient("127.0.0.1", self._port, security=Security.NONE)

    async def enter(self, client: ImapClient) -> None:
        await client.login(self._login, Secret("pass"))

    async def device(self) -> Side:
        return await Side(MemoryStore()).begin()

    async def synchronise(
        self, device: Side, abilities: Abilities | None = None, told: list[Event] | None = None, **choices: bool
    ) -> Outcome:
        """One run."""
        async with self.connect() as client:
            await self.enter(client)
            remote = await Remote.enter(client)
            if abilities is not None:
                remote.abilities = Abilities(*map(min, remote.abilities, abilities))
            tell = (lambda event: None) if told is None else told.append
            outcome = await synchronise(
                device.store,
                device.account_id,
                remote,
                Options(self._login, lambda: NOW, self._spool, tell, choices=Choices(**choices)),
            )
            await client.logout()
            return outcome

    async def accepted(self, name: str, messages: Iterable[bytes]) -> list[bytes]:
        """Those of the messages that the server takes."""
        taken = []
        for message in messages:
            try:
                await self.server.add(name, message)
            except Refused:
                continue
            taken.append(message)
        return taken
