"""The IMAP dialogues on a real socket of our own server: what holds in memory holds behind `serve`, its link and its log."""

import asyncio
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from bench.lab.mail import Pop3, Sender
from tests.cli.program import Server, postwren
from tests.interop.imap_dovecot import SocketWire
from tests.scripts.imap_stage import CASES, LOGIN, PASSWORD, name_of, play_case

from postwren.testing.script import cut_whole

pytestmark = pytest.mark.real

ALONE: Final = [
    case
    for case in CASES
    if not {words[0] for words in case.stage} & {"account", "tls", "far", "as"}
    and not any(words[:2] == ["not", "postwren"] or words[0] == "requires" for words in case.stage)
    and not re.search(r"AGFubk|YW5uQ|\"ann\" \"example.org\"", repr(case.steps))
]
"""These have one account, and name it in the open: it has another name here."""
PLAYED: Final = ALONE[::2]
NAMES: Final = [f"a{a}{b}@example.org" for a, b in itertools.product("bcdefghijkmnopqrstuvwxyz0123456789", repeat=2)]


class Ours:
    """Implements `imap_stage.World`."""

    name = "postwren"

    def __init__(self, server: Server, login: str) -> None:
        self.server = server
        self.login = login
        self.wires: list[SocketWire] = []

    async def account(self, login: str, quota: int) -> None:
        assert (login, quota) == (LOGIN, 0)

    async def connect(self, scene: set[str]) -> SocketWire:
        wire = await RenamedWire.open(self.server.port(43))
        assert isinstance(wire, RenamedWire)
        wire.name = self.login.encode()
        self.wires.append(wire)
        return wire

    async def deliver(self, login: str, message: bytes) -> None:
        def send() -> None:
            with Sender(self.server.port(24), b"LHLO") as sender:
                assert sender.send(message, self.login)[0].startswith(b"250")

        await asyncio.to_thread(send)

    async def remove_by_pop3(self, login: str, number: int) -> None:
        def remove() -> None:
            pop = Pop3(self.server.port(10), self.login, PASSWORD)
            pop.delete([number])
            pop.quit()

        await asyncio.to_thread(remove)


class RenamedWire(SocketWire):
    """The dialogue's account under another name of the same length, on both ways."""

    name = b""

    async def send(self, pieces: Iterator[bytes]) -> None:
        await super().send(iter([b"".join(pieces).replace(LOGIN.encode(), self.name)]))

    async def hear(self, expected: bool) -> bytes:
        return (await super().hear(expected)).replace(self.name, LOGIN.encode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("dialogues")
    config = folder / "postwren.toml"
    config.write_text("[imap]\ncompress = true\n")
    accounts = "".join(f"{NAMES[number]}\t{PASSWORD}\n" for number in range(len(PLAYED)))
    postwren("account", "add", "--from", "-", data=folder / "data", text=accounts)
    with Server(folder / "data", "--config", str(config)) as running:
        yield running


@pytest.mark.parametrize("number", range(len(PLAYED)), ids=[name_of(case) for case in PLAYED])
def test_dialogue(server: Server, number: int) -> None:
    async def story() -> None:
        world = Ours(server, NAMES[number])
        try:
            await play_case(world, PLAYED[number], cut_whole)
        finally:
            for wire in world.wires:
                wire.writer.close()

    asyncio.run(story())
