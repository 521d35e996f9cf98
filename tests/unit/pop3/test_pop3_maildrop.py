"""The maildrop behind a session: bodies read together and checked, listings in bulk, TOP, the log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import OpenStore
from tests.scripts.pop3_world import ManualClock, Pop3World, say

from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import BodyRef, Mailbox
from postwren.mailstore.port import Store
from postwren.mailstore.service.maildrop import open_maildrop
from postwren.server.pop3.body_reader import IDLE, WINDOW, BodyReader, top
from postwren.server.pop3.maildrop_view import CACHED_MESSAGES, MaildropCache, MaildropView
from postwren.storage.memory import MemoryStore


def play(open_store: OpenStore, story: Callable[[Pop3World], Awaitable[None]]) -> None:
    async def whole() -> None:
        store = open_store()
        world = Pop3World(store)
        try:
            await world.account()
            await story(world)
            world.end()
        finally:
            world.authenticator.close()
            store.close()

    asyncio.run(whole())


class Disk:
    """Counts reads of a store; `damaged` offsets come out wrong."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reads: list[str] = []

    def read_body(self, ref: BodyRef) -> bytes:
        self.reads.append("body")
        return self.store.read_body(ref)

    def read_window(self, ref: BodyRef, length: int) -> tuple[int, bytes]:
        self.reads.append("window")
        return self.store.read_window(ref, length)


def bodies_of(count: int, size: int = 1000) -> list[bytes]:
    return [b"Subject: %d\r\n\r\n" % n + b"x" * size + b"\r\n" for n in range(count)]


async def filled(world: Pop3World, bodies: list[bytes]) -> tuple[Any, Disk, ManualClock, BodyReader]:
    for body in bodies:
        await world.message(body)
    account = await world.account()
    disk, clock = Disk(world.store), ManualClock()
    drop = await open_maildrop(world.store, account.account_id)
    return drop, disk, clock, BodyReader(disk, clock)  # type: ignore[arg-type]  # the two methods that it needs


def test_neighbours_come_from_one_read(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        bodies = bodies_of(50)
        drop, disk, _, reader = await filled(world, bodies)
        assert [reader.read(drop.body(index)) for index in range(50)] == bodies
        assert disk.reads == ["body", "window"]

    play(open_each_store, story)


def test_one_message_alone_costs_no_window(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        bodies = bodies_of(50)
        drop, disk, _, reader = await filled(world, bodies)
        order = [40, 20, 10, 0]
        assert [reader.read(drop.body(index)) for index in order] == [bodies[index] for index in order]
        assert disk.reads == ["body"] * 4

    play(open_each_store, story)


def test_a_window_goes_when_nobody_uses_it() -> None:
    async def story(world: Pop3World) -> None:
        drop, _, clock, reader = await filled(world, bodies_of(50))
        for index in range(10):
            reader.read(drop.body(index))
        clock.advance(IDLE)
        assert reader._octets
        reader.read(drop.body(10))
        clock.advance(IDLE)
        assert reader._octets
        clock.advance(IDLE)
        assert not reader._octets
        assert clock.pending() == 0
        assert reader.read(drop.body(11)).startswith(b"Subject: 11\r\n")
        reader.close()
        assert not reader._octets
        assert clock.pending() == 0

    play(MemoryStore, story)


def test_a_window_is_bounded() -> None:
    async def story(world: Pop3World) -> None:
        drop, disk, _, reader = await filled(world, bodies_of(12, 100_000))
        for index in range(12):
            reader.read(drop.body(index))
            assert len(reader._octets) <= WINDOW
        assert len(disk.reads) <= 5

    play(MemoryStore, story)


def test_a_damaged_message_is_refused_and_its_neighbours_are_not(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        bodies = bodies_of(4)
        drop, _, _, reader = await filled(world, bodies)
        damaged = drop.body(2)._replace(crc=0)
        assert reader.read(drop.body(0)) == bodies[0]
        assert reader.read(drop.body(1)) == bodies[1]
        with pytest.raises(BodyCorrupt):
            reader.read(damaged)
        assert reader.read(drop.body(3)) == bodies[3]

    play(open_each_store, story)


def test_a_damaged_message_is_an_error_in_the_protocol() -> None:
    async def story(world: Pop3World) -> None:
        for body in bodies_of(3):
            await world.message(body)
        link = await world.logged_in()
        drop = link.session._maildrop.view.drop  # type: ignore[attr-defined]
        drop.crcs = (drop.crcs[0], 0, drop.crcs[2])
        damaged = "-ERR [SYS/PERM] the message is damaged in the store"
        answers = await say(link, "RETR 2", "TOP 2 0", "RETR 3")
        assert answers[:4] == [damaged, damaged, "+OK", "Subject: 2"]

    play(MemoryStore, story)


def test_a_large_damaged_message_never_looks_whole(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        await world.message(b"x" * 300_000)
        link = await world.logged_in()
        drop = link.session._maildrop.view.drop  # type: ignore[attr-defined]
        drop.crcs = (0,)
        core = link.session.core
        core.receive_data(b"RETR 1\r\n")
        link.session.handle(core.next_event())
        out = core.data_to_send()
        if len(out) > 1:  # a store may find out while it reads: then the link drops the connection
            with pytest.raises(BodyCorrupt):
                list(out[1])
        else:
            assert out == [b"-ERR [SYS/PERM] the message is damaged in the store\r\n"]

    play(open_each_store, story)


class Moved(MemoryStore):
    """A store whose housekeeper moved every message: the places that sessions remember are gone."""

    gone: frozenset[int] = frozenset()

    def _look(self, ref: BodyRef) -> BodyRef:
        if ref.segment in self.gone:
            raise MessageGone
        return ref

    def read_body(self, ref: BodyRef, offset: int = 0, length: int | None = None) -> bytes:
        return super().read_body(self._look(ref), offset, length)

    def body_pieces(self, ref: BodyRef) -> Iterator[bytes]:
        return super().body_pieces(self._look(ref))

    def read_window(self, ref: BodyRef, length: int) -> tuple[int, bytes]:
        return super().read_window(self._look(ref), length)


def test_a_message_whose_octets_were_moved_is_found_again() -> None:
    async def story(world: Pop3World) -> None:
        store = world.store
        assert isinstance(store, Moved)
        large = b"Subject: large\r\n\r\n" + b"x" * 300_000 + b"\r\n"
        for body in (*bodies_of(2), large):
            await world.message(body)
        link = await world.logged_in()
        drop = link.session._maildrop.view.drop  # type: ignore[attr-defined]
        drop.segments = (77, 77, 77)
        store.gone = frozenset({77})
        answers = await say(link, "RETR 1", "RETR 2", "TOP 3 0", "RETR 3")
        assert [line for line in answers if line.startswith(("Subject", "-ERR"))] == [
            "Subject: 0",
            "Subject: 1",
            "Subject: large",
            "Subject: large",
        ]
        await world.message(b"")  # what is not to be found is refused before anything is said
        store.gone = frozenset(range(100))
        assert await say(link, "RETR 1", "RETR 3") == ["-ERR the message was removed meanwhile"] * 2
        store.gone = frozenset()

    play(Moved, story)


# -- listings


def maildrop_of(count: int) -> MaildropView:
    from postwren.mailstore.service.maildrop import Maildrop
    from postwren.server.pop3.maildrop_view import RenderedMaildrop

    mailbox: Any = Mailbox(1, 1, "INBOX", 7, count + 1, 1, count, 0, 0, 0, None, True, 1)  # type: ignore[arg-type]
    rows: Any = [(uid, uid * 10, "kept" if uid == 2 else None, 1, uid, 0, False) for uid in range(1, count + 1)]
    return MaildropView(RenderedMaildrop(Maildrop(mailbox, rows)))


@given(st.sets(st.integers(1, 12)))
def test_listings_hide_what_is_marked(marked: set[int]) -> None:
    view = maildrop_of(12)
    for number in marked:
        view.mark(number)
    left = [number for number in range(1, 13) if number not in marked]
    assert (view.count, view.size) == (len(left), sum(number * 10 for number in left))
    assert view.list_lines() == b"".join(b"%d %d\r\n" % (number, number * 10) for number in left)
    assert view.uidl_lines() == b"".join(b"%d %s\r\n" % (n, b"kept" if n == 2 else b"7.%x" % n) for n in left)
    assert view.to_remove() == sorted(marked)
    view.reset()
    assert view.list_lines() == b"".join(b"%d %d\r\n" % (number, number * 10) for number in range(1, 13))
    assert view.to_remove() == []


def test_listings_are_rendered_once() -> None:
    view = maildrop_of(100)
    assert view.list_lines() is view.list_lines()
    assert view.uidl_lines() is view.uidl_lines()


def test_an_unchanged_mailbox_is_opened_once(open_each_store: OpenStore) -> None:
    async def story(world: Pop3World) -> None:
        await world.message(b"Subject: 1\r\n\r\n")
        account = await world.account()
        cache = MaildropCache(world.store)
        first = await cache.open(account.account_id)
        assert await cache.open(account.account_id) is first
        await world.message(b"Subject: 2\r\n\r\n")
        second = await cache.open(account.account_id)
        assert len(second.drop) == 2
        await world.expunge(1)
        assert [*(await cache.open(account.account_id)).drop.uids] == [2]
        assert [*first.drop.uids] == [1]

    play(open_each_store, story)


def test_the_cache_of_maildrops_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CACHED_MESSAGES == 100_000
    monkeypatch.setattr("postwren.server.pop3.maildrop_view.CACHED_MESSAGES", 5)

    async def story(world: Pop3World) -> None:
        cache = MaildropCache(world.store)
        for number in range(4):
            login = f"user{number}@example.org"
            for _ in range(2):
                await world.message(b"Subject: 1\r\n\r\n", login)
            await cache.open((await world.account(login)).account_id)
            assert cache._messages == sum(len(kept.drop) for _, kept in cache._cached.values()) <= 5
        assert len(cache._cached) == 2

    play(MemoryStore, story)


# -- TOP

LINES = st.lists(st.sampled_from([b"Subject: x\r\n", b"\r\n", b"body\r\n", b"\n", b"text\n", b"\r", b"end"]), max_size=10).map(
    b"".join
)


def plain_top(body: bytes, lines: int) -> bytes:
    """Line by line, as the RFC tells it."""
    out, left = [], None
    for line in body.splitlines(keepends=True) if b"\r" not in body.replace(b"\r\n", b"") else _lines(body):
        if left == 0:
            break
        out.append(line)
        if left is not None:
            left -= 1
        elif line in (b"\r\n", b"\n"):
            left = lines
    return b"".join(out)


def _lines(body: bytes) -> list[bytes]:
    parts = body.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


@given(LINES, st.integers(0, 6), st.lists(st.integers(1, 9), max_size=8))
def test_top_of_pieces_is_top_of_the_whole(body: bytes, lines: int, sizes: list[int]) -> None:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(body[start : start + size])
        start += size
    pieces.append(body[start:])
    assert b"".join(top(pieces, lines)) == b"".join(top([body], lines)) == plain_top(body, lines)


def test_top_reads_no_further_than_it_must() -> None:
    read: list[int] = []

    def pieces() -> Any:
        for number in range(10):
            read.append(number)
            yield b"Subject: x\r\n\r\nbody\r\n" if number == 0 else b"more\r\n"

    assert b"".join(top(pieces(), 2)) == b"Subject: x\r\n\r\nbody\r\nmore\r\n"
    assert read == [0, 1]


# -- the log


def test_a_session_leaves_a_line_at_its_login_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: Pop3World) -> None:
        for body in bodies_of(2):
            await world.message(body)
        link = await world.logged_in()
        await say(link, "RETR 1", "RETR 2", "DELE 1", "QUIT")
        await say(world.link(), "USER nobody", "PASS wrong", "QUIT")

    with caplog.at_level(logging.INFO, "postwren.pop3"):
        play(MemoryStore, story)
    fields = {"peer": "127.0.0.1", "login": "ann@example.org"}
    assert [(record.getMessage(), record.fields) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("login", {**fields, "messages": 2, "size": 2032, "tls": False}),
        ("closed", {**fields, "retrieved": 2, "removed": 1, "end": "quit"}),
        ("refused", {**fields, "login": "nobody", "reason": "wrong"}),
    ]


def test_a33_nothing_of_the_peer_stands_in_a_log_message(caplog: pytest.LogCaptureFixture) -> None:
    evil = "ann\x1b[31m%n\u202e"

    async def story(world: Pop3World) -> None:
        await say(world.link(), f"USER {evil}", f"PASS {evil}", f"AUTH {evil}", evil, "QUIT")

    with caplog.at_level(logging.INFO, "postwren.pop3"):
        play(MemoryStore, story)
    assert caplog.records
    for record in caplog.records:
        assert record.args in ((), None)
        assert record.getMessage() in ("refused", "login", "closed")
