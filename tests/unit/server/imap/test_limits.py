"""The limits of the session (A-43, A-46, A-49), each at n and at n + 1."""

import asyncio
import re

from tests.scripts.imap_world import ImapWorld
from tests.unit.server.imap.test_rendering import LOGIN, say, selected

from postwren.server.imap import ImapSettings
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink


async def stage(settings: ImapSettings, messages: int = 3) -> tuple[ImapWorld, LoopbackLink]:
    world = ImapWorld(MemoryStore(), settings)
    await world.account(LOGIN, 0)
    for number in range(messages):
        await world.deliver(LOGIN, b"Subject: %d\r\n\r\nbody\r\n" % number)
    return world, await selected(world)


def test_a_message_of_the_limit_is_taken_and_one_more_octet_is_not() -> None:
    async def work() -> None:
        world, link = await stage(ImapSettings(size_limit=20))
        assert b"a OK" in await say(link, b"a APPEND INBOX {20+}\r\nSubject: x\r\n\r\n123456")
        assert b"a NO [TOOBIG]" in await say(link, b"a APPEND INBOX {21+}\r\nSubject: x\r\n\r\n1234567")
        joined = b"a APPEND INBOX CATENATE (TEXT {14+}\r\nSubject: x\r\n\r\n TEXT {%d+}\r\n%b)"
        assert b"a OK" in await say(link, joined % (6, b"123456"))
        assert b"a NO [TOOBIG]" in await say(link, joined % (7, b"1234567"))
        world.end()

    asyncio.run(work())


def test_so_many_messages_are_copied_at_once_and_not_one_more() -> None:
    async def work() -> None:
        world, link = await stage(ImapSettings(save_limit=2))
        assert b"a NO [MESSAGELIMIT 2]" in await say(link, b"a COPY 1:3 INBOX")
        assert b"a OK [COPYUID" in await say(link, b"a COPY 1:2 INBOX")
        message = b" {14+}\r\nSubject: x\r\n\r\n"
        assert b"a OK [APPENDUID" in await say(link, b"a APPEND INBOX" + message * 2)
        assert b"a NO [LIMIT]" in await say(link, b"a APPEND INBOX" + message * 3)
        world.end()

    asyncio.run(work())


def test_so_many_searches_are_kept_up_to_date_and_not_one_more() -> None:
    async def work() -> None:
        world, link = await stage(ImapSettings(contexts=2))
        for tag in (b"a", b"b"):
            assert b"NOUPDATE" not in await say(link, tag + b" SEARCH RETURN (UPDATE) FLAGGED")
        assert b'NO [NOUPDATE "c"]' in await say(link, b"c SEARCH RETURN (UPDATE) FLAGGED")
        told = await say(link, b"d STORE 1 +FLAGS.SILENT (\\Flagged)")
        assert sorted(re.findall(rb'TAG "(.)"\) ADDTO', told)) == [b"a", b"b"]
        world.end()

    asyncio.run(work())


def test_so_many_faults_after_login_and_then_the_connection_ends() -> None:
    async def work() -> None:
        world, link = await stage(ImapSettings(faults=3))
        for _ in range(3):
            assert (await say(link, b"a NONSENSE")).startswith(b"a BAD")
        states = [link.is_closed]
        assert b"* BYE" in await say(link, b"a NONSENSE")
        assert [*states, link.is_closed] == [False, True]
        world.end()

    asyncio.run(work())


def test_a43_so_many_searches_of_an_account_at_once_and_not_one_more() -> None:
    async def work() -> None:
        world, first = await stage(ImapSettings(searches=2))
        links = [first, await selected(world), await selected(world)]
        for link in links:
            link.receive(b"a SEARCH TEXT body\r\n")
        for link in links:
            await link.settled()
        answers = [link.take() for link in links]
        assert sum(b"* SEARCH 1 2 3\r\na OK" in answer for answer in answers) == 2
        assert sum(b"a NO [LIMIT]" in answer for answer in answers) == 1
        assert b"* SEARCH 1 2 3" in await say(links[2], b"a SEARCH TEXT body")
        assert world.service.searching == {}
        world.end()

    asyncio.run(work())


def test_a43_a_search_ends_when_its_time_is_over() -> None:
    async def work() -> None:
        world, link = await stage(ImapSettings(search_seconds=0.0))
        assert b"a NO [LIMIT]" in await say(link, b"a SEARCH TEXT body")
        assert b"a OK" in await say(link, b"a SEARCH ALL")
        world.end()

    asyncio.run(work())


def test_a46_what_an_idle_client_does_not_read_is_told_as_one() -> None:
    async def work() -> None:
        world, link = await stage(ImapSettings())
        await say(link, b"a IDLE")
        flush, link.flush = link.flush, lambda: None  # type: ignore[method-assign]
        for number in range(50):
            await world.deliver(LOGIN, b"Subject: %d\r\n\r\nbody\r\n" % number)
            await asyncio.sleep(0)
        outputs = len(link.session.core._out)  # type: ignore[attr-defined]
        assert outputs == 1, "one body, whatever happens meanwhile"
        link.flush = flush  # type: ignore[method-assign]
        assert await say(link, b"DONE") == b"* 53 EXISTS\r\na OK IDLE ends\r\n"
        world.end()

    asyncio.run(work())
