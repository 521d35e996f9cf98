"""What a domain's policy is, whatever becomes of its records and its web server (RFC 8461 sections 3.3, 5.1, 10; A-10)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from postwren.exchange.mtasts import Found, Limits, MtaSts
from postwren.exchange.web import CertificateBad, WebFailed
from postwren.mailauth.mtasts import Mode, Policy, format_policy
from postwren.protocols.http.client import Responded
from postwren.storage.memory import MemoryStore
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Kind, Record, Txt

T = TypeVar("T")
DAY = 86400
ENFORCE = Policy(Mode.ENFORCE, ("mx.example.org",), 7 * DAY)
NAME: tuple[str, Kind] = ("_mta-sts.example.org", "TXT")


class Web:
    """Answers what is written down in `answer`."""

    def __init__(self) -> None:
        self.answer: bytes | Exception = format_policy(ENFORCE)
        self.kind = "text/plain; charset=utf-8"
        self.asked: list[str] = []

    async def get(self, host: str, target: str) -> Responded:
        self.asked.append(f"https://{host}{target}")
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Responded(200, {"content-type": self.kind}, self.answer)


class World:
    def __init__(self, limits: Limits | None = None) -> None:
        self.records: dict[tuple[str, Kind], list[Record]] = {NAME: [Txt(b"v=STSv1; id=1;")]}
        self.resolver = ScriptedResolver(self.records)
        self.web = Web()
        self.now = 1_800_000_000.0
        self.limits = limits or Limits()
        self.store = MemoryStore()
        self.restart()

    def restart(self) -> None:
        self.sts = MtaSts(self.store, self.resolver, self.web, lambda: self.now, self.limits)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def both() -> T:
            return await work()

        return asyncio.run(both())

    def look_up(self, domain: str = "example.org") -> Found:
        return self.run(lambda: self.sts.look_up(domain))

    def later(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_message_waits_for_the_policy_and_the_second_does_not_ask(world: World) -> None:
    assert world.look_up() == Found(ENFORCE)
    assert world.look_up("EXAMPLE.org.") == Found(ENFORCE)
    assert world.web.asked == ["https://mta-sts.example.org/.well-known/mta-sts.txt"]
    assert world.resolver.asked == [NAME]


def test_a_domain_without_a_record_has_no_policy_and_nothing_is_fetched(world: World) -> None:
    world.records.clear()
    assert world.look_up() == Found(None)
    assert world.web.asked == []


def test_many_at_once_fetch_once(world: World) -> None:
    async def many() -> list[Found]:
        return await asyncio.gather(*(world.sts.look_up("example.org") for _ in range(20)))

    assert world.run(many) == [Found(ENFORCE)] * 20
    assert len(world.web.asked) == 1


def test_a10_a_kept_policy_outlives_its_vanished_record_and_a_restart(world: World) -> None:
    world.look_up()
    world.records.clear()
    world.later(7 * DAY - 1)
    world.restart()
    assert world.look_up() == Found(ENFORCE)
    world.later(301)
    assert world.look_up() == Found(None)


def test_a10_a_kept_policy_outlives_a_dns_that_does_not_answer(world: World) -> None:
    world.look_up()
    world.later(301)
    world.sts = MtaSts(world.store, ScriptedResolver({}, failing=[NAME[0]]), world.web, lambda: world.now)
    assert world.look_up() == Found(ENFORCE)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (WebFailed("answered 404"), "sts-policy-fetch-error"),
        (WebFailed("answered 302"), "sts-policy-fetch-error"),
        (CertificateBad("expired"), "sts-webpki-invalid"),
        (b"version: STSv1\nmode: off\nmax_age: 1\n", "sts-policy-invalid"),
        (b"x" * 65537, "sts-policy-invalid"),
    ],
)
def test_a10_a_kept_policy_outlives_a_flipped_id_with_a_web_server_that_fails(
    world: World, answer: bytes | Exception, problem: str
) -> None:
    world.look_up()
    world.later(301)
    world.records[NAME] = [Txt(b"v=STSv1; id=2;")]
    world.web.answer = answer
    found = world.look_up()
    assert (found.policy, found.problem) == (ENFORCE, problem)
    world.later(10)
    assert world.look_up() == found
    assert len(world.web.asked) == 2, "not asked again within five minutes"


@pytest.mark.parametrize("kind", ["text/html", "", "text/plainer"])
def test_a_policy_that_is_not_plain_text_may_be_anybodys(world: World, kind: str) -> None:
    world.web.kind = kind
    assert world.look_up().problem == "sts-policy-fetch-error"


def test_a_new_id_brings_the_new_policy_and_none_ends_the_old(world: World) -> None:
    world.look_up()
    world.later(301)
    world.web.answer = format_policy(Policy(Mode.NONE, (), DAY))
    assert world.look_up() == Found(ENFORCE), "the id is the same"
    world.records[NAME] = [Txt(b"v=STSv1; id=2;")]
    world.later(301)
    assert world.look_up() == Found(Policy(Mode.NONE, (), DAY))


def test_a10_renewal_needs_no_record_and_comes_long_before_the_end(world: World) -> None:
    world.look_up()
    world.records.clear()
    assert world.run(world.sts.renew) == 0
    world.later(DAY)
    assert world.run(world.sts.renew) == 1
    world.later(7 * DAY - 1)
    assert world.look_up() == Found(ENFORCE)


def test_a_renewal_that_fails_takes_nothing_away(world: World) -> None:
    world.look_up()
    world.later(DAY)
    world.web.answer = WebFailed("answered 404")
    assert world.run(world.sts.renew) == 1
    assert world.look_up().policy == ENFORCE


def test_what_nobody_uses_is_not_renewed(world: World) -> None:
    world.web.answer = format_policy(Policy(Mode.ENFORCE, ("mx.example.org",), 365 * DAY))
    world.look_up()
    world.later(100 * DAY)
    assert world.run(world.sts.renew) == 0


def test_a_round_renews_so_many_and_not_one_more() -> None:
    world = World(Limits(renewals=3))
    for number in range(5):
        world.records[(f"_mta-sts.d{number}.example", "TXT")] = [Txt(b"v=STSv1; id=1;")]
        world.look_up(f"d{number}.example")
    world.later(DAY)
    assert world.run(world.sts.renew) == 3


def domains_of_one_shelf(number: int) -> list[str]:
    from postwren.exchange.mtasts import _shelf_of

    names = (f"d{count}.example" for count in range(100_000))
    return [name for name in names if _shelf_of(name) == 0][:number]


def test_a_shelf_has_room_for_so_many_and_the_one_longest_unused_goes() -> None:
    world = World(Limits(shelf=3))
    domains = domains_of_one_shelf(4)
    for domain in domains:
        world.records[(f"_mta-sts.{domain}", "TXT")] = [Txt(b"v=STSv1; id=1;")]
    for domain in domains:
        assert world.look_up(domain).policy == ENFORCE
        world.later(DAY)
    world.records.clear()
    world.restart()
    assert [world.look_up(domain).policy is not None for domain in domains] == [False, True, True, True]


def kept_of_two(octets: int) -> tuple[int, int]:
    """How many policies of one shelf are still there, and how long the shelf is."""
    world = World(Limits(shelf_octets=octets))
    domains = domains_of_one_shelf(2)
    for domain in domains:
        world.records[(f"_mta-sts.{domain}", "TXT")] = [Txt(b"v=STSv1; id=1;")]
        world.look_up(domain)
    world.records.clear()
    world.restart()
    kept = sum(world.look_up(domain).policy is not None for domain in domains)
    return kept, len(world.store.reader.setting("mta-sts-00") or b"")


def test_a_shelf_has_so_many_octets_and_not_one_more() -> None:
    _, needed = kept_of_two(10_000)
    assert kept_of_two(needed)[0] == 2
    assert kept_of_two(needed - 1)[0] == 1


def test_so_many_domains_are_remembered_as_asked() -> None:
    world = World(Limits(asked=2))
    world.records.clear()
    for domain in ("a.example", "b.example", "c.example"):
        world.look_up(domain)
    assert len(world.resolver.asked) == 3
    world.look_up("c.example")
    world.look_up("b.example")
    assert len(world.resolver.asked) == 3
    world.look_up("a.example")
    assert len(world.resolver.asked) == 4


def test_five_minutes_later_it_is_asked_again(world: World) -> None:
    world.look_up()
    world.later(299)
    world.look_up()
    assert len(world.resolver.asked) == 1
    world.later(1)
    world.look_up()
    assert len(world.resolver.asked) == 2
