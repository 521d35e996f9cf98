"""A-21 over a real link: what a peer may only send after a reply that it has not seen yet drops it, also when the reply takes
long."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.scripts.stage_smtp import CREDENTIALS, NOW, kept
from tests.unit.transport.transport_echo import Caller, Clock, until

from postwren.delivery.envelope import Envelope
from postwren.delivery.trace import Origin
from postwren.mailstore.service.accounts import create_account
from postwren.protocols.smtp import reply as say
from postwren.protocols.smtp.reply import Reply
from postwren.server.smtp.session import SmtpSession
from postwren.server.smtp.settings import SmtpSettings
from postwren.storage.memory import MemoryStore
from postwren.terms import Address
from postwren.transport.deadline import Watch
from postwren.transport.link import LinkConfig
from postwren.transport.listener import Listener


class Stage:
    """A listener whose sessions think about every recipient until they are let go on."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()
        self.listener = Listener(LinkConfig(Watch(Clock())), self._session)

    def _session(self) -> SmtpSession:
        return SmtpSession(SmtpSettings("mx.example.org"), self.store, None, lambda: NOW, door=self._door)

    async def _door(self, envelope: Envelope, origin: Origin, address: Address) -> Reply | None:
        self.asked.set()
        await self.gate.wait()
        return None

    async def call(self) -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.listener.ports[0]))
        await caller.line()
        caller.send(b"EHLO c\r\n")
        while not (await caller.line()).startswith(b"250 "):
            pass
        return caller


def play(work: Callable[[Stage, Caller], Any]) -> None:
    async def run() -> None:
        stage = Stage()
        await stage.store.perform(create_account("ann@example.org", CREDENTIALS, NOW))
        await stage.listener.start([("127.0.0.1", 0)])
        caller = await stage.call()
        await work(stage, caller)
        await caller.close()
        await stage.listener.close(0)
        stage.store.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("group", "early"),
    [(b"DATA\r\n", b"Subject: x\r\n\r\nx\r\n.\r\n"), (b"EHLO c\r\n", b"MAIL FROM:<a@example.net>\r\n")],
)
def test_a21_what_comes_while_a_recipient_is_thought_about_drops(group: bytes, early: bytes) -> None:
    async def work(stage: Stage, caller: Caller) -> None:
        caller.send(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<ann@example.org>\r\n" + group)
        await stage.asked.wait()
        (link,) = stage.listener.links
        caller.send(early)
        await until(lambda: link.has_heard)
        stage.gate.set()
        assert await caller.rest() == say.SENDER_OK.format() + say.RECIPIENT_OK.format() + say.PIPELINED.format()
        assert kept(stage.store, "ann@example.org") == []

    play(work)


def test_a21_a_group_that_ends_where_it_must_is_answered_however_long_that_takes() -> None:
    async def work(stage: Stage, caller: Caller) -> None:
        caller.send(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n")
        await stage.asked.wait()
        stage.gate.set()
        assert [(await caller.line())[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        caller.send(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
        assert [(await caller.line())[:3] for _ in range(2)] == [b"250", b"221"]
        assert len(kept(stage.store, "ann@example.org")) == 1

    play(work)
