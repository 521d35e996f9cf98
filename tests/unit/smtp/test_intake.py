"""What stands in front of a message, known when its header ends or when all of it has come (`delivery.intake`)."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.scripts.stage_smtp import OpenStore, kept
from tests.unit.smtp.test_smtp_session import Scene, play

from postwren.delivery.envelope import Envelope
from postwren.delivery.inbound import deliver_all
from postwren.delivery.intake import Keep
from postwren.delivery.trace import Origin
from postwren.protocols.smtp.reply import Reply

HEADER = b"Subject: one\r\nTo: two\r\n"
NO = Reply(550, "5.7.1", "No")


class Scripted:
    """Says what a test wrote down: first when the header has ended, then at the end."""

    def __init__(self, *says: Keep | Reply | None) -> None:
        self.says: Iterator[Keep | Reply | None] = iter(says)
        self.block = b""
        self.fed = b""
        self.is_dropped = False
        self.may_end = asyncio.Event()
        self.may_end.set()

    def __call__(self, _envelope: Envelope, _origin: Origin) -> "Scripted":
        return self

    def header(self, block: bytes) -> Keep | Reply | None:
        self.block = block
        return next(self.says)

    def feed(self, data: bytes) -> None:
        self.fed += data

    async def end(self) -> Keep | Reply:
        await self.may_end.wait()
        said = next(self.says)
        assert said is not None
        return said

    def drop(self) -> None:
        self.is_dropped = True


async def send(scene: Scene, message: bytes, cut: int) -> bytes:
    await scene.begin()
    said = b""
    for start in range(0, len(message), cut):
        said += await scene.say(message[start : start + cut], settled=False)
    for _ in range(9):
        await asyncio.sleep(0)
        scene.store.let_through()
    await scene.link.settled()
    return said + scene.link.take()


FRONT = Keep(b"Top: a\r\n", deliver_all)
CHANGED = Keep(b"Top: a\r\n", deliver_all, b"Subject: other\r\n")


@pytest.mark.parametrize("cut", [1, 7, 100_000])
@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize(
    ("said", "front"), [(FRONT, b"Top: a\r\n" + HEADER), (CHANGED, b"Top: a\r\nSubject: other\r\n")], ids=["kept", "changed"]
)
@pytest.mark.parametrize("body", [b"", b"\r\nText\r\n", b"\r\n"], ids=["none", "text", "empty"])
def test_what_is_said_stands_in_front(
    open_each_store: OpenStore, cut: int, is_late: bool, said: Keep, front: bytes, body: bytes
) -> None:
    treat = Scripted(*([None, said] if is_late else [said]))

    async def story(scene: Scene) -> None:
        assert await send(scene, HEADER + body + b".\r\n", cut) == b"250 2.0.0 Message kept\r\n"
        assert kept(scene.store.store, "ann@example.org") == kept(scene.store.store, "bob@example.org") == [front + body]
        assert treat.block == HEADER
        assert treat.fed == (HEADER + body if is_late else b"")

    play(open_each_store, story, treat=treat)


def test_a_message_beyond_memory_whose_front_comes_last_is_whole(open_each_store: OpenStore) -> None:
    body = b"\r\n" + b"x" * 98 * 8_000 + b"\r\n"
    treat = Scripted(None, CHANGED)

    async def story(scene: Scene) -> None:
        assert await send(scene, HEADER + body + b".\r\n", 1 << 17) == b"250 2.0.0 Message kept\r\n"
        assert kept(scene.store.store, "ann@example.org") == [b"Top: a\r\nSubject: other\r\n" + body]
        assert not treat.is_dropped

    play(open_each_store, story, treat=treat)


@pytest.mark.parametrize("says", [[NO], [None, NO]], ids=["at the header", "at the end"])
def test_what_is_refused_is_answered_at_the_end_and_leaves_nothing(open_each_store: OpenStore, says: list[Reply | None]) -> None:
    treat = Scripted(*says)

    async def story(scene: Scene) -> None:
        assert await send(scene, HEADER + b"\r\nText\r\n.\r\n", 5) == b"550 5.7.1 No\r\n"
        assert scene.store.open == set()
        assert scene.kept() == [0, 0]
        assert treat.is_dropped

    play(open_each_store, story, treat=treat)


def test_d05_a_peer_that_leaves_while_its_message_is_judged_leaves_nothing(open_each_store: OpenStore) -> None:
    """D-05."""
    treat = Scripted(None, FRONT)
    treat.may_end.clear()

    async def story(scene: Scene) -> None:
        await scene.begin()
        await scene.say(HEADER + b"\r\n.\r\n", settled=False)
        scene.link.drop()
        assert scene.store.open == set()
        treat.may_end.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert scene.store.waiting == []
        assert len(asyncio.all_tasks()) == 1  # nobody waits for a store that was asked nothing
        assert treat.is_dropped

    play(open_each_store, story, treat=treat)


def test_no_space_while_a_message_is_judged_is_told(open_each_store: OpenStore) -> None:
    """D-04."""
    treat = Scripted(None, FRONT)

    async def story(scene: Scene) -> None:
        await scene.begin()
        scene.store.full_after = 0
        await scene.say(HEADER + b"\r\nx\r\n", settled=False)
        assert (await scene.say(b"y\r\n.\r\n")).startswith(b"452 4.3.1 ")
        assert treat.is_dropped

    play(open_each_store, story, treat=treat)
