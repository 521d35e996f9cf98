"""One session a maildrop, and nobody starved (A-47): by a clock that moves by hand."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.scripts.pop3_world import Pop3World, say

from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink

GAVE_WAY = "-ERR [SYS/TEMP] another login waited for this idle session; nothing was deleted"


def play(story: Callable[[Pop3World], Awaitable[None]]) -> None:
    async def whole() -> None:
        store = MemoryStore()
        world = Pop3World(store)
        for number in range(3):
            await world.message(b"Subject: %d\r\n\r\n" % number)
        await story(world)
        world.end()
        store.close()

    asyncio.run(whole())


async def try_login(world: Pop3World) -> bool:
    answer = (await say(world.link(), "USER ann", "PASS secret"))[2]
    assert answer.startswith(("+OK", "-ERR [IN-USE]"))
    return answer.startswith("+OK")


def test_a47_an_idle_session_gives_way_within_sixty_seconds_of_being_wanted() -> None:
    async def story(world: Pop3World) -> None:
        holder = await world.logged_in()
        world.clock.advance(3600)
        assert await say(holder, "DELE 1") == ["+OK"]  # nobody waits: it may idle as long as its link lets it
        assert not await try_login(world)
        world.clock.advance(59.9)
        assert not await try_login(world)
        world.clock.advance(0.1)
        assert await try_login(world)
        assert holder.is_closed
        assert holder.take().decode() == GAVE_WAY + "\r\n"
        assert world.uids() == [1, 2, 3]

    play(story)


@pytest.mark.parametrize("noise", ["NOOP", "XTND", ""])
def test_a47_noop_and_noise_do_not_keep_a_wanted_maildrop(noise: str) -> None:
    async def story(world: Pop3World) -> None:
        holder = await world.logged_in()
        assert not await try_login(world)
        for _ in range(5):
            world.clock.advance(10)
            await say(holder, noise)
        world.clock.advance(10)
        assert await try_login(world)
        assert holder.is_closed
        assert holder.take().decode() == GAVE_WAY + "\r\n"

    play(story)


def test_a47_a_session_that_works_keeps_its_maildrop() -> None:
    async def story(world: Pop3World) -> None:
        holder = await world.logged_in()
        assert not await try_login(world)
        for _ in range(10):
            world.clock.advance(59)
            assert (await say(holder, "RETR 1"))[0] == "+OK"
            assert not await try_login(world)
        assert await say(holder, "DELE 1", "QUIT") == ["+OK", "+OK bye"]
        assert await try_login(world)

    play(story)


def test_a47_a_session_that_worked_and_then_rests_gives_way() -> None:
    async def story(world: Pop3World) -> None:
        holder = await world.logged_in()
        assert not await try_login(world)
        world.clock.advance(30)
        await say(holder, "STAT")
        world.clock.advance(59)
        assert not await try_login(world)
        world.clock.advance(1)
        assert await try_login(world)

    play(story)


def test_a47_a_move_early_on_counts_in_full() -> None:
    async def story(world: Pop3World) -> None:
        holder = await world.logged_in()
        assert not await try_login(world)
        world.clock.advance(2)
        await say(holder, "STAT")
        world.clock.advance(59)
        assert not await try_login(world)
        world.clock.advance(1)
        assert await try_login(world)

    play(story)


def test_a47_quit_after_giving_way_deletes_nothing() -> None:
    async def story(world: Pop3World) -> None:
        holder = await world.logged_in()
        await say(holder, "DELE 1")
        assert not await try_login(world)
        world.clock.advance(60)
        assert await say(holder, "QUIT", "QUIT") == [GAVE_WAY]
        assert holder.is_closed
        assert world.uids() == [1, 2, 3]

    play(story)


def test_a47_a_long_download_is_a_move() -> None:
    async def story(world: Pop3World) -> None:
        await world.message(b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 40_000)
        holder = await world.logged_in()
        assert not await try_login(world)
        core = holder.session.core
        core.receive_data(b"RETR 4\r\n")
        holder.session.handle(core.next_event())
        _, body = core.data_to_send()
        assert not isinstance(body, bytes)
        for _ in body:
            world.clock.advance(29)
        assert not await try_login(world)
        world.clock.advance(60)
        assert await try_login(world)

    play(story)


def test_a_session_whose_peer_is_gone_lets_go_at_once() -> None:
    async def story(world: Pop3World) -> None:
        holder = await world.logged_in()
        assert not await try_login(world)
        holder.drop()
        assert await try_login(world)

    play(story)


def test_a_peer_that_went_during_its_login_holds_nothing() -> None:
    async def story(world: Pop3World) -> None:
        link = world.link()
        link.receive(b"USER ann\r\nPASS secret\r\n")
        link.drop()
        for _ in range(50):
            await asyncio.sleep(0.001)
            if not world.service.locks._held:
                break
        assert await try_login(world)

    play(story)


def test_delivery_does_not_see_the_lock() -> None:
    async def story(world: Pop3World) -> None:
        await world.logged_in()
        await world.message(b"Subject: new\r\n\r\n")
        await world.expunge(1)
        assert world.uids() == [2, 3, 4]

    play(story)


def test_two_accounts_do_not_share_a_lock() -> None:
    async def story(world: Pop3World) -> None:
        await world.account("ben@example.org", "other")
        await world.logged_in()
        link: LoopbackLink = await world.logged_in("ben@example.org", "other")
        assert await say(link, "STAT") == ["+OK 0 0"]

    play(story)
