"""What is deleted, and what never is: D-50 to D-53 of the session, on every store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from tests.conftest import OpenStore
from tests.scripts.pop3_world import Pop3World, say

from postwren.mailstore.errors import StoreFull
from postwren.mailstore.port import NewBody, Unit
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink

MESSAGE = b"Subject: %d\r\n\r\nbody\r\n"


def play(open_store: OpenStore, story: Callable[[Pop3World], Awaitable[None]], messages: int = 3) -> None:
    """Run a story over a store with messages, and check everything at its end."""

    async def whole() -> None:
        store = open_store()
        world = Pop3World(store)
        try:
            await world.account()
            for number in range(1, messages + 1):
                await world.message(MESSAGE % number)
            await story(world)
            world.end()
        finally:
            world.authenticator.close()
            store.close()

    asyncio.run(whole())


def hang_up(world: Pop3World, link: LoopbackLink) -> None:
    link.drop()


def close_the_stream(world: Pop3World, link: LoopbackLink) -> None:
    link.receive(b"")


def time_out(world: Pop3World, link: LoopbackLink) -> None:
    link.session.timed_out()
    link.drop()
    assert link.take() == b""  # RFC 1939 section 3: without a word


def break_down(world: Pop3World, link: LoopbackLink) -> None:
    link.session.failed(RuntimeError("a bug"))
    link.drop()
    assert link.take().startswith(b"-ERR [SYS/TEMP]")


def half_a_quit(world: Pop3World, link: LoopbackLink) -> None:
    link.receive(b"QUIT")
    link.receive(b"")


def quit_with_an_argument(world: Pop3World, link: LoopbackLink) -> None:
    link.receive(b"QUIT now\r\n")
    link.drop()


def give_way(world: Pop3World, link: LoopbackLink) -> None:
    world.service.locks._held[next(iter(world.service.locks._held))].want()
    world.clock.advance(60)
    link.receive(b"QUIT\r\n")


ENDS = [hang_up, close_the_stream, time_out, break_down, half_a_quit, quit_with_an_argument, give_way]


@pytest.mark.parametrize("end", ENDS)
def test_d50_nothing_is_deleted_without_quit(open_each_store: OpenStore, end: Callable[[Pop3World, LoopbackLink], None]) -> None:
    async def story(world: Pop3World) -> None:
        link = await world.logged_in()
        await say(link, "DELE 1", "DELE 3")
        end(world, link)
        await link.settled()
        assert link.is_closed
        assert world.uids() == [1, 2, 3]

    play(open_each_store, story)


def test_d50_quit_before_login_deletes_nothing(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        link = world.link()
        await say(link, "USER ann", "PASS wrong", "QUIT")
        assert world.uids() == [1, 2, 3]

    play(open_each_store, story)


def test_d50_quit_deletes_what_is_marked_and_nothing_else(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        link = await world.logged_in()
        assert await say(link, "DELE 2", "DELE 1", "RSET", "DELE 1", "DELE 3", "QUIT") == ["+OK"] * 5 + ["+OK bye"]
        assert link.is_closed
        assert world.uids() == [2]

    play(open_each_store, story)


class SlowStore(MemoryStore):
    """Units of work wait for `gate`; then they happen, or fail."""

    __slots__ = ("failure", "gate")

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def perform(self, unit: Unit[Any], bodies: Sequence[NewBody] = (), *, is_small: bool = False) -> Any:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return await super().perform(unit, bodies)


def test_d51_quit_is_not_answered_before_the_removal_is_durable() -> None:
    async def story(world: Pop3World) -> None:
        assert isinstance(world.store, SlowStore)
        link = await world.logged_in()
        await say(link, "DELE 1")
        world.store.gate.clear()
        link.receive(b"QUIT\r\n")
        for _ in range(5):
            await asyncio.sleep(0)
        assert link.take() == b""
        assert world.uids() == [1, 2, 3]
        world.store.gate.set()
        await link.settled()
        assert link.take() == b"+OK bye\r\n"
        assert world.uids() == [2, 3]

    play(SlowStore, story)


def test_d51_quit_says_so_when_nothing_was_removed() -> None:
    async def story(world: Pop3World) -> None:
        assert isinstance(world.store, SlowStore)
        link = await world.logged_in()
        await say(link, "DELE 1")
        world.store.failure = StoreFull()
        assert await say(link, "QUIT") == ["-ERR [SYS/TEMP] some deleted messages not removed"]
        assert link.is_closed
        world.store.failure = None
        assert world.uids() == [1, 2, 3]

    play(SlowStore, story)


def test_d51_the_peer_may_go_while_its_quit_is_at_work() -> None:
    async def story(world: Pop3World) -> None:
        assert isinstance(world.store, SlowStore)
        link = await world.logged_in()
        await say(link, "DELE 1")
        world.store.gate.clear()
        link.receive(b"QUIT\r\n")
        await asyncio.sleep(0)
        link.drop()
        other = world.link()
        assert (await say(other, "USER ann", "PASS secret"))[2].startswith("-ERR [IN-USE]")  # until the removal is done
        world.store.gate.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.uids() == [2, 3]
        assert (await say(other, "USER ann", "PASS secret"))[1] == "+OK 2 messages (40 octets)"

    play(SlowStore, story)


def test_d52_numbers_are_fixed_while_mail_comes_and_goes(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        link = await world.logged_in()
        before = await say(link, "STAT", "LIST", "UIDL")
        await world.message(b"Subject: new\r\n\r\n")
        await world.expunge(2)
        assert await say(link, "STAT", "LIST", "UIDL") == before
        answers = await say(link, "RETR 2", "TOP 2 0", "DELE 2", "RETR 4", "RETR 3")
        assert answers[:4] == ["-ERR the message was removed meanwhile"] * 3 + ["-ERR no such message"]
        assert answers[4:6] == ["+OK", "Subject: 3"]
        assert await say(link, "DELE 3", "QUIT") == ["+OK", "+OK bye"]
        assert world.uids() == [1, 4]

    play(open_each_store, story)


def test_d52_a_marked_message_may_be_removed_by_others_before_quit(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        link = await world.logged_in()
        await say(link, "DELE 1", "DELE 2")
        await world.expunge(1)
        assert await say(link, "QUIT") == ["+OK bye"]
        assert world.uids() == [3]
        link = await world.logged_in()
        await say(link, "DELE 1")
        await world.expunge(3)
        assert await say(link, "QUIT") == ["+OK bye"]
        assert world.uids() == []

    play(open_each_store, story)


def test_d52_unique_ids_last_from_session_to_session_and_never_come_back(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        link = await world.logged_in()
        first = (await say(link, "UIDL"))[1:-1]
        assert await say(link, "DELE 3", "QUIT") == ["+OK", "+OK bye"]
        await world.message(MESSAGE % 3)  # the same octets are a new message
        link = await world.logged_in()
        second = (await say(link, "UIDL", "QUIT"))[1:-2]
        assert second[:2] == first[:2]
        assert second[2].split()[1] not in {line.split()[1] for line in first}
        assert all(1 <= len(line.split()[1]) <= 70 and line.isascii() for line in first + second)

    play(open_each_store, story)


def test_d52_the_next_session_sees_what_changed(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        for expected in ("+OK 3 60", "+OK 4 80", "+OK 3 60"):
            link = await world.logged_in()
            assert (await say(link, "STAT", "QUIT"))[0] == expected
            await (world.message(MESSAGE % 4) if expected == "+OK 3 60" else world.expunge(1))

    play(open_each_store, story)


@pytest.mark.parametrize("end", ENDS)
def test_d53_the_lock_goes_with_the_session(open_each_store: OpenStore, end: Callable[[Pop3World, LoopbackLink], None]) -> None:
    async def story(world: Pop3World) -> None:
        link = await world.logged_in()
        other = world.link()
        assert (await say(other, "USER ann", "PASS secret"))[2].startswith("-ERR [IN-USE]")
        end(world, link)
        assert (await say(other, "USER ann", "PASS secret"))[1].startswith("+OK")

    play(open_each_store, story)
