"""A SORT that is kept up to date tells what a client needs to hold what a new SORT would give (RFC 5267 section 4.3)."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scripts.imap_world import ImapWorld
from tests.unit.server.imap.test_rendering import LOGIN, say, selected

from postwren.server.imap import search, update
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink

MESSAGES = 9
ORDERS = (b"SUBJECT", b"REVERSE SUBJECT SIZE", b"ARRIVAL", b"REVERSE SIZE REVERSE SUBJECT")
TOLD = re.compile(rb'\* ESEARCH \(TAG "c"\) UID (.*)')
MOVES = re.compile(rb"(ADDTO|REMOVEFROM) \(([^)]*)\)")


async def stage() -> tuple[ImapWorld, LoopbackLink]:
    world = ImapWorld(MemoryStore())
    await world.account(LOGIN, 0)
    for number in range(MESSAGES):
        await world.deliver(LOGIN, b"Subject: %d\r\n\r\n%b\r\n" % (number * 4 % 5, b"x" * (number * 7 % 4)))
    return world, await selected(world)


def numbers(text: bytes) -> Iterator[int]:
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        yield from range(int(first), int(last or first) + 1)


def applied(result: list[int], told: bytes) -> list[int]:
    """What a client makes of it, strictly: what is removed must be where it is said to be."""
    result = list(result)
    for line in TOLD.findall(told):
        for kind, pairs in MOVES.findall(line):
            words = pairs.split()
            for position, uids in zip(map(int, words[::2]), words[1::2], strict=True):
                moved = list(numbers(uids))
                if kind == b"REMOVEFROM":
                    assert result[position - 1 : position - 1 + len(moved)] == moved
                    del result[position - 1 : position - 1 + len(moved)]
                else:
                    result[position - 1 : position - 1] = moved
    return result


async def sorted_now(link: LoopbackLink, order: bytes) -> list[int]:
    found = re.search(rb"\* SORT ?([\d ]*)", await say(link, b"s UID SORT (%b) UTF-8 FLAGGED" % order))
    assert found
    return [*map(int, found[1].split())]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ORDERS), st.lists(st.tuples(st.booleans(), st.sets(st.integers(1, MESSAGES), min_size=1)), max_size=6))
def test_the_result_is_kept_as_a_new_sort_would_give_it(order: bytes, steps: list[tuple[bool, set[int]]]) -> None:
    async def work() -> None:
        world, link = await stage()
        await say(link, b"a UID STORE 2:5 +FLAGS.SILENT (\\Flagged)")
        result = await sorted_now(link, order)
        await say(link, b"c UID SORT RETURN (UPDATE) (%b) UTF-8 FLAGGED" % order)
        for is_set, uids in steps:
            which = b",".join(b"%d" % uid for uid in sorted(uids))
            told = await say(link, b"d UID STORE %b %bFLAGS.SILENT (\\Flagged)" % (which, b"+" if is_set else b"-"))
            result = applied(result, told)
            assert result == await sorted_now(link, order)
        told = await say(link, b"d UID STORE 1:3 +FLAGS.SILENT (\\Deleted)") + await say(link, b"e EXPUNGE")
        assert applied(result, told) == await sorted_now(link, order)
        world.end()

    asyncio.run(work())


def test_a_long_result_is_not_kept_and_one_that_grows_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_SORTED", 3)
    monkeypatch.setattr(update, "MOST_SORTED", 3)

    async def work() -> None:
        world, link = await stage()
        await say(link, b"a UID STORE 1:4 +FLAGS.SILENT (\\Flagged)")
        assert b'NO [NOUPDATE "c"]' in await say(link, b"c UID SORT RETURN (UPDATE) (SUBJECT) UTF-8 FLAGGED")
        await say(link, b"a UID STORE 1 -FLAGS.SILENT (\\Flagged)")
        assert b"NOUPDATE" not in await say(link, b"c UID SORT RETURN (UPDATE) (SUBJECT) UTF-8 FLAGGED")
        assert b'NO [NOUPDATE "c"]' in await say(link, b"a UID STORE 1 +FLAGS.SILENT (\\Flagged)")
        assert b'"c"' not in await say(link, b"a UID STORE 5 +FLAGS.SILENT (\\Flagged)")
        world.end()

    asyncio.run(work())
