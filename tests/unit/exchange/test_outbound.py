"""The engine between a queue in memory and hosts over real sockets; the queue's clock stands where a test puts it."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.unit.exchange.outbound_world import CLOSE, OCTETS, SILENCE, USUAL, Exchange, Host, a_message, listening, run

from postwren.delivery.attempt import Fate
from postwren.exchange.connection import Ours
from postwren.exchange.home import Home
from postwren.exchange.limits import OutboundLimits
from postwren.exchange.outbound import Outbound
from postwren.exchange.policy import TlsWish
from postwren.exchange.road import NoRoad, RoadMap, Roads, Smarthost
from postwren.mailstore.errors import StoreFull
from postwren.mailstore.model import Credentials
from postwren.mailstore.service.accounts import create_account
from postwren.protocols.sasl import ClientCredentials
from postwren.terms import MailboxId
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress, Kind, Mx, Record
from postwren.wire.secret import Secret


@contextlib.asynccontextmanager
async def exchange(*hosts: Host, limits: OutboundLimits | None = None) -> AsyncIterator[Exchange]:
    """The first host is b.example's, the next c.example's."""
    async with contextlib.AsyncExitStack() as stack:
        ports = {}
        for letter, host in zip("bcdefgh", hosts, strict=False):
            ports[f"{letter}.example"] = await stack.enter_async_context(listening(host))
        world = Exchange(ports, limits)
        yield await stack.enter_async_context(world.running())


async def dead_port() -> int:
    """One on which nothing listens."""
    async with listening(Host()) as port:
        pass
    return port


def test_what_is_queued_is_sent_and_leaves_the_queue() -> None:
    async def scene() -> None:
        host, other = Host(), Host()
        async with exchange(host, other) as world:
            await world.queue("bob@b.example", "eve@b.example", "cem@c.example")
            await world.until(lambda: len(world.outcomes) == 3)
            await world.until(lambda: world.store.reader.queue_size() == (0, 0))
        assert set(world.fates()) == {Fate.DELIVERED}
        assert [len(rcpts) for _, rcpts, _ in host.messages] == [2]  # recipients of one domain go together
        assert [len(rcpts) for _, rcpts, _ in other.messages] == [1]

    run(scene())


def test_what_leaves_begins_behind_the_return_path_that_recipients_here_have() -> None:
    """RFC 5321 section 4.4: one body serves both, and final delivery is elsewhere."""

    async def scene() -> None:
        host = Host()
        async with exchange(host) as world:
            for top in (b"Return-Path: <ann@a.example>\r\n", b"Return-Path: <>\r\n", b"X: Return-Path: <x>\r\n"):
                await world.queue(octets=top + OCTETS)
            await world.until(lambda: len(world.outcomes) == 3)
        stuffed = OCTETS.replace(b"\n.", b"\n..")
        assert [octets for _, _, octets in host.messages] == [stuffed, stuffed, b"X: Return-Path: <x>\r\n" + stuffed]

    run(scene())


def test_recipients_who_live_here_get_it_without_a_connection() -> None:
    """Mail that was held (RFC 4865), or whose domain came to us while it waited."""

    async def scene() -> None:
        async with exchange(Host()) as world:
            store = world.store
            ben = await store.perform(create_account("ben@c.example", Credentials("", {}), 1))
            full = await store.perform(create_account("full@c.example", Credentials("", {}), 1, 10))
            world.engine._home = Home(store, lambda: 5)
            octets = b"Return-Path: <ann@a.example>\r\n" + OCTETS
            await world.queue("ben@c.example", "nobody@c.example", "full@c.example", "ben+x@c.example", octets=octets)
            await world.until(lambda: len(world.outcomes) == 4)
            found = {outcome.number: outcome.verdict.enhanced for _, outcome in world.outcomes}
            assert found == {1: "2.0.0", 2: "5.1.1", 3: "4.2.2", 4: "2.0.0"}
            (entry,) = store.reader.entries(ben.account_id, MailboxId(1))
            email = store.reader.email(ben.account_id, entry.email_id)
            assert email is not None
            assert store.read_body(email.body) == octets
            assert store.reader.entries(full.account_id, MailboxId(1)) == []
            await world.until(lambda: store.reader.queue_size() == (1, 1))

    run(scene())


def test_what_comes_later_wakes_the_engine_and_uses_the_connection_that_stands() -> None:
    async def scene() -> None:
        host = Host()
        async with exchange(host) as world:
            for n in range(1, 4):
                await world.queue()
                await world.until(lambda n=n: len(world.outcomes) == n)  # type: ignore[misc]
            assert host.connections == 1
        assert len(host.messages) == 3
        assert host.heard[-1] == b"QUIT\r\n"

    run(scene())


def test_a_connection_that_stands_too_long_is_ended() -> None:
    async def scene() -> None:
        host = Host()
        async with exchange(host, limits=OutboundLimits(idle=0.05, quit=0.5)) as world:
            await world.queue()
            await world.until(lambda: host.heard[-1:] == [b"QUIT\r\n"])

    run(scene())


def test_a_connection_that_ended_while_it_stood_costs_no_message_an_attempt() -> None:
    async def scene() -> None:
        host = Host(says={"MAIL": [b"250 ok\r\n", b"250 ok\r\n"]})
        async with exchange(host, limits=OutboundLimits(idle=5, quit=0.5)) as world:
            await world.queue()
            await world.until(lambda: len(world.outcomes) == 1)
            host.says = {"MAIL": [CLOSE, b"250 ok\r\n"]}  # the first connection is tired, a second one is not
            await world.queue()
            await world.until(lambda: len(world.outcomes) == 2)
        assert world.fates() == [Fate.DELIVERED, Fate.DELIVERED]
        assert host.connections == 2

    run(scene())


@pytest.mark.parametrize("most", [2, 3])
def test_a_connection_carries_so_many_messages_and_not_one_more(most: int) -> None:
    async def scene() -> None:
        host = Host()
        limits = OutboundLimits(messages=most, connections_of_domain=1, quit=0.5)
        async with exchange(host, limits=limits) as world:
            for _ in range(2 * most):
                await world.queue()
            await world.until(lambda: len(world.outcomes) == 2 * most)
        assert host.connections == 2

    run(scene())


def test_a_busy_domain_gets_more_connections_up_to_its_limit() -> None:
    async def scene() -> None:
        host = Host(delay=0.01)
        async with exchange(host, limits=OutboundLimits(connections_of_domain=3, quit=0.5)) as world:
            for _ in range(40):
                await world.queue()
            await world.until(lambda: len(world.outcomes) == 40)
        assert host.most_standing == 3
        assert len(host.messages) == 40

    run(scene())


def test_a_host_that_takes_fewer_connections_than_we_would_open_defers_nothing() -> None:
    async def scene() -> None:
        host = Host(delay=0.01, most=2)
        async with exchange(host, limits=OutboundLimits(connections_of_domain=5, quit=0.5)) as world:
            for _ in range(30):
                await world.queue()
            await world.until(lambda: len(world.outcomes) == 30)
        assert set(world.fates()) == {Fate.DELIVERED}

    run(scene())


def test_there_are_so_many_connections_in_all_and_everybody_has_a_turn() -> None:
    async def scene() -> None:
        hosts = [Host(delay=0.002) for _ in range(5)]
        async with exchange(*hosts, limits=OutboundLimits(connections=2, quit=0.5)) as world:
            for letter in "bcdef":
                for _ in range(60 if letter == "b" else 2):
                    await world.queue(f"x@{letter}.example")
            most = 0
            while len(world.outcomes) < 68:
                await asyncio.sleep(0.001)
                most = max(most, len(world.engine._workers))
        assert most == 2
        order = [host.messages[-1] for host in hosts]
        assert all(order)

    run(scene())


def test_a_dead_domain_costs_one_message_an_attempt_and_nobody_else_waits() -> None:
    async def scene() -> None:
        host = Host()
        async with listening(host) as port:
            world = Exchange({"b.example": await dead_port(), "c.example": port})
            for _ in range(300):
                await world.queue("bob@b.example")
            async with world.running():
                await world.until(lambda: len(world.outcomes) == 1)
                await world.queue("cem@c.example")
                await world.until(lambda: len(world.outcomes) == 2)
                assert world.fates() == [Fate.DEFERRED, Fate.DELIVERED]
                rows = world.store.reader.due_recipients("b.example", world.now, 1000)
                assert len(rows) == 299  # as they were
                for attempt in range(1, 5):  # 300 seconds, and twice as long each time
                    world.now += 300 * 2 ** (attempt - 1) - 1
                    world.engine._wake.set()
                    await asyncio.sleep(0.02)
                    assert len(world.outcomes) == attempt + 1
                    world.now += 1
                    world.engine._wake.set()
                    await world.until(lambda attempt=attempt: len(world.outcomes) == attempt + 2)  # type: ignore[misc]
                assert world.resolver.asked.count(("b.example", "MX")) == 5
            assert len(world.engine._domains) <= 2

    run(scene())


@pytest.mark.parametrize("longest", [300, 400])
def test_a_rest_is_never_longer_than_its_limit(longest: int) -> None:
    async def scene() -> None:
        world = Exchange({"b.example": await dead_port()}, OutboundLimits(rest=300, longest_rest=longest))
        async with world.running():
            for _ in range(3):
                await world.queue()
            await world.until(lambda: len(world.outcomes) == 1)
            for number in (2, 3):
                world.now += 300 if number == 2 else longest
                world.engine._wake.set()
                await world.until(lambda number=number: len(world.outcomes) == number)  # type: ignore[misc]

    run(scene())


def test_somebody_may_ask_for_an_attempt_while_a_domain_rests() -> None:
    async def scene() -> None:
        world = Exchange({"b.example": await dead_port()})
        async with world.running():
            await world.queue()
            await world.until(lambda: len(world.outcomes) == 1)
            await world.queue(next_attempt=0)
            await world.until(lambda: len(world.outcomes) == 2)

    run(scene())


def test_what_expires_while_its_domain_rests_is_ended_and_what_waits_long_is_told() -> None:
    async def scene() -> None:
        world = Exchange({"b.example": await dead_port()})
        fresh = world.now + 5 * 86_400
        async with world.running():
            for expires in (world.now - 1, world.now - 1, fresh - 5 * 3600, fresh, fresh):
                await world.queue(expires=expires)
            await world.until(lambda: len(world.outcomes) == 4)
            await asyncio.sleep(0.02)
            assert len(world.outcomes) == 4  # one was tried, two are over or were told; the other fresh one waits untouched

    run(scene())


def test_hosts_are_tried_in_their_order_until_one_takes_mail() -> None:
    async def scene() -> None:
        worse = Host(says={"GREETING": b"421 not now\r\n"})
        good = Host()
        async with listening(worse) as first, listening(good) as second:
            world = Exchange({"b.example": first, "c.example": second})
            world.resolver._records["b.example", "MX"] = [Mx(1, "mx.b.example"), Mx(2, "mx.c.example")]  # type: ignore[index]
            async with world.running():
                await world.queue()
                await world.until(lambda: len(world.outcomes) == 1)
            assert (worse.connections, len(good.messages)) == (1, 1)

    run(scene())


@pytest.mark.parametrize("calls", [1, 2])
def test_so_many_addresses_are_called_and_not_one_more(calls: int) -> None:
    async def scene() -> None:
        bad = Host(says={"GREETING": b"421 not now\r\n"})
        async with listening(bad) as port:
            names = [f"mx{n}" for n in range(4)]
            known: dict[tuple[str, Kind], Sequence[Record]] = {(name, "A"): [HostAddress("127.0.0.1")] for name in names}
            resolver = ScriptedResolver({**known, ("d", "MX"): [Mx(1, name) for name in names]})
            ours, road_map = Ours("x", limits=OutboundLimits(calls=calls)), RoadMap(frozenset(), dict.fromkeys(names, port))
            roads = Roads(resolver, ours, road_map)
            with pytest.raises(NoRoad):
                await roads.open("d", TlsWish.USUAL)
        assert bad.connections == calls

    run(scene())


def records(**known: Any) -> ScriptedResolver:
    return ScriptedResolver({tuple(key.split("_")): value for key, value in known.items()})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("resolver", "code", "enhanced"),
    [
        (records(), 550, "5.1.2"),
        (records(b_MX=[Mx(0, "")]), 556, "5.1.10"),
        (records(b_MX=[Mx(5, "own")]), 554, "5.4.6"),
        (records(b_MX=[Mx(5, "mx")], mx_A=[HostAddress("127.0.0.1")]), 550, "5.4.4"),
        (records(b_MX=[Mx(5, "mx")], mx_AAAA=[HostAddress("::1"), HostAddress("fe80::1")]), 550, "5.4.4"),
        (records(b_MX=[Mx(5, "mx")]), 550, "5.4.4"),
        (ScriptedResolver({}, failing=("b",)), 451, "4.4.3"),
        (ScriptedResolver({("b", "MX"): [Mx(5, "mx")]}, failing=("mx",)), 451, "4.4.3"),
    ],
)
def test_a23_a_domain_that_leads_nowhere(resolver: ScriptedResolver, code: int, enhanced: str) -> None:
    """RFC 5321 section 5.1, RFC 7505, and nobody reaches this machine by MX records."""

    async def scene() -> None:
        roads = Roads(resolver, Ours("own"), RoadMap(frozenset(("own",))))
        with pytest.raises(NoRoad) as none:
            await roads.open("b", TlsWish.USUAL)
        verdict = none.value.verdict
        assert (verdict.code, verdict.enhanced) == (code, enhanced)
        assert verdict.fate is (Fate.FAILED if code >= 500 else Fate.DEFERRED)

    run(scene())


def test_a_domain_that_does_not_exist_fails_its_mail_at_once() -> None:
    async def scene() -> None:
        async with exchange(Host()) as world:
            await world.queue("x@nowhere.example", "bob@b.example")
            await world.until(lambda: len(world.outcomes) == 2)
            assert set(world.fates()) == {Fate.FAILED, Fate.DELIVERED}

    run(scene())


def test_tls_that_fails_is_left_out_for_a_while_where_nothing_demands_it() -> None:
    """RFC 7435 section 3."""

    async def scene() -> None:
        broken = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # it has no certificate: every handshake fails
        host = Host((*USUAL, "STARTTLS"), context=broken)
        async with exchange(host, limits=OutboundLimits(idle=0.01, quit=0.5, handshake=1)) as world:
            await world.queue()
            await world.until(lambda: len(world.outcomes) == 1)
            await world.until(lambda: host.heard[-1:] == [b"QUIT\r\n"])
            await world.queue()
            await world.until(lambda: len(world.outcomes) == 2)
            await world.queue(message=a_message(requires_tls=True))
            await world.until(lambda: len(world.outcomes) == 3)
        assert world.fates() == [Fate.DELIVERED, Fate.DELIVERED, Fate.DEFERRED]
        assert [line for line in host.heard if line == b"STARTTLS\r\n"] == [b"STARTTLS\r\n"] * 2
        assert len(host.messages) == 2

    run(scene())


def test_a_message_with_more_recipients_than_a_host_takes_goes_in_several_transactions() -> None:
    async def scene() -> None:
        host = Host((*USUAL, "LIMITS RCPTMAX=3"))
        async with exchange(host) as world:
            await world.queue(*(f"r{n}@b.example" for n in range(7)))
            await world.until(lambda: len(world.outcomes) == 7)
        assert [len(rcpts) for _, rcpts, _ in host.messages] == [3, 3, 1]

    run(scene())


def test_d06_what_was_not_answered_is_sent_again_when_its_time_comes() -> None:
    async def scene() -> None:
        host = Host(says={"END": [CLOSE, b"250 2.0.0 queued\r\n"]})
        async with exchange(host) as world:
            await world.queue()
            await world.until(lambda: len(world.outcomes) == 1)
            assert world.fates() == [Fate.DEFERRED]
            world.now += 601
            world.engine._wake.set()
            await world.until(lambda: len(world.outcomes) == 2)
        assert world.fates()[1] is Fate.DELIVERED

    run(scene())


def test_d07_no_message_follows_one_that_is_not_written_down() -> None:
    """A crash repeats one message a connection at most; the next envelope may be on its way."""

    async def scene() -> None:
        host = Host(delay=0.1)
        async with exchange(host, limits=OutboundLimits(connections_of_domain=1, quit=0.5)) as world:
            for _ in range(4):
                await world.queue()
            await world.until(lambda: len(world.outcomes) == 1)  # the domain is proven: the others go one behind the other
            world.may_conclude.clear()
            await world.until(lambda: host.heard.count(b"DATA\r\n") == 3)
            await asyncio.sleep(0.15)
            assert len(host.messages) == 2
            world.may_conclude.set()
            await world.until(lambda: len(world.outcomes) == 4)
        assert len(host.messages) == 4

    run(scene())


def test_a_host_that_ends_under_every_message_rests() -> None:
    async def scene() -> None:
        host = Host(says={"MAIL": b"421 4.3.2 bye\r\n"})
        async with exchange(host) as world:
            for _ in range(20):
                await world.queue()
            await world.until(lambda: world.engine._domains["b.example"].rests_until > world.now)
            await asyncio.sleep(0.02)
            assert world.fates() == [Fate.DEFERRED] * 2

    run(scene())


def test_what_the_store_did_not_take_is_written_later_and_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postwren.exchange.outbound._TRY_AGAIN", 0.01)

    async def scene() -> None:
        host = Host()
        async with exchange(host) as world:
            world.refuses = [StoreFull(), StoreFull()]
            await world.queue()
            await world.until(lambda: len(world.outcomes) == 1)
        assert (len(host.messages), world.refuses) == (1, [])

    run(scene())


def test_the_end_waits_for_what_is_under_way_and_begins_nothing_new() -> None:
    async def scene() -> None:
        host = Host(delay=0.1)
        async with exchange(host, limits=OutboundLimits(connections_of_domain=1, quit=0.5)) as world:
            for _ in range(5):
                await world.queue()
            await world.until(lambda: any(line == b"DATA\r\n" for line in host.heard))
            began = time.monotonic()
            await world.engine.close(5)
            assert time.monotonic() - began < 1
            assert world.fates() == [Fate.DELIVERED]
        assert len(host.messages) == 1
        assert host.heard[-1] == b"QUIT\r\n"

    run(scene())


def test_the_end_does_not_wait_for_a_host_that_is_silent() -> None:
    async def scene() -> None:
        async with exchange(Host(says={"END": SILENCE})) as world:
            await world.queue()
            await world.until(lambda: bool(world.engine._workers))
            await asyncio.sleep(0.05)
            await world.engine.close(0.05)
            assert world.store.reader.queue_size() == (1, 1)

    run(scene())


def test_a_smarthost_takes_everything_behind_a_login() -> None:
    async def scene() -> None:
        host = Host((*USUAL, "AUTH PLAIN"), says={"AUTH": b"235 2.7.0 ok\r\n"})
        async with listening(host) as port:
            world = Exchange({})
            credentials = ClientCredentials(authcid="ann", password=Secret("pass word"))
            road_map = RoadMap(frozenset(), smarthost=Smarthost("127.0.0.1", port, is_here=True))
            world.roads = Roads(world.resolver, Ours("x", credentials=credentials), road_map)
            world.engine = Outbound(world.store, world.roads, world.conclude, lambda: world.now, lambda: 0.5)
            async with world.running():
                await world.queue("x@anywhere.example", "y@else.example")
                await world.until(lambda: len(world.outcomes) == 2)
        assert world.fates() == [Fate.DELIVERED] * 2
        assert b"AUTH PLAIN AGFubgBwYXNzIHdvcmQ=\r\n" in host.heard
        assert not world.resolver.asked

    run(scene())


def test_a_smarthost_gets_no_password_without_verified_tls() -> None:
    async def scene() -> None:
        host = Host((*USUAL, "AUTH PLAIN"))
        async with listening(host) as port:
            credentials = ClientCredentials(authcid="ann", password=Secret("pass word"))
            road_map = RoadMap(frozenset(), smarthost=Smarthost("127.0.0.1", port))
            with pytest.raises(NoRoad) as none:
                await Roads(ScriptedResolver({}), Ours("x", credentials=credentials), road_map).open("d", TlsWish.USUAL)
        assert none.value.verdict.fate is Fate.DEFERRED
        assert not any(line.startswith(b"AUTH") for line in host.heard)

    run(scene())
