"""RFC 5321 section 5.1 and RFC 7505: whom a domain names for its mail, whatever it names."""

import ipaddress
import random
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.delivery.mx import (
    LOOP,
    NO_SUCH_DOMAIN,
    NO_USABLE_HOST,
    NOBODY_COULD_TELL,
    NULL_MX,
    Host,
    MxLimits,
    Question,
    Route,
    Unroutable,
    find_addresses,
    find_hosts,
    is_elsewhere,
)
from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, Record, ResolverFailed

T = TypeVar("T")
World = Mapping[tuple[str, Kind], Sequence[Record] | None]
"""None: nobody can tell."""


def ask(search: Generator[Question, Answer, T], world: World, *, is_secure: bool = False) -> T:
    step: Any = search.__next__
    try:
        while True:
            question = step()
            records = world.get((question.name, question.kind), ())
            if records is None:
                step = lambda: search.throw(ResolverFailed("no"))  # noqa: E731
            else:
                answer = Answer(tuple(records), is_secure)
                step = lambda answer=answer: search.send(answer)  # noqa: E731
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def hosts(domain: str, world: World, own: frozenset[str] = frozenset(), limits: MxLimits = MxLimits()) -> Any:  # noqa: B008
    found = ask(find_hosts(domain, own=own, draw=random.Random(1).random, limits=limits), world)
    return [host.name for host in found.hosts] if isinstance(found, Route) else found


def test_hosts_are_tried_by_preference_and_in_any_order_among_equals() -> None:
    world: World = {
        ("b.example", "MX"): [Mx(20, "last"), *(Mx(10, f"mx{n}.b.example") for n in range(8)), Mx(5, "first.b.example")]
    }
    orders = set()
    for seed in range(10):
        found = ask(find_hosts("b.example", own=frozenset(), draw=random.Random(seed).random), world)
        assert isinstance(found, Route)
        names = [host.name for host in found.hosts]
        assert (names[0], names[-1], len(names)) == ("first.b.example", "last", 10)
        orders.add(tuple(names))
    assert len(orders) > 5


A6: Sequence[Record] = [HostAddress("2001:db8::1")]
A4: Sequence[Record] = [HostAddress("192.0.2.1")]


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        ({("b.example", "A"): A4}, ["b.example"]),
        ({("b.example", "AAAA"): A6}, ["b.example"]),
        ({("b.example", "AAAA"): None, ("b.example", "A"): A4}, ["b.example"]),
        ({("b.example", "AAAA"): None}, NOBODY_COULD_TELL),
        ({}, NO_SUCH_DOMAIN),
        ({("b.example", "MX"): None, ("b.example", "A"): A4}, NOBODY_COULD_TELL),  # the address is no answer about the MX
        ({("b.example", "MX"): [Mx(0, "")], ("b.example", "A"): A4}, NULL_MX),  # RFC 7505: no fall back to the address
        ({("b.example", "MX"): [Mx(0, ""), Mx(10, "mx.b.example")]}, ["mx.b.example"]),
        ({("b.example", "MX"): [Mx(10, "MX.b.example"), Mx(20, "mx.b.example")]}, ["mx.b.example"]),
        ({("b.example", "MX"): [Mx(10, "mx_1.b.example")]}, ["mx_1.b.example"]),
    ],
)
def test_what_the_dns_says_of_a_domain(world: World, expected: object) -> None:
    assert hosts("b.example", world) == expected


@pytest.mark.parametrize(
    "name",
    [
        "192.0.2.1",
        "10",
        "a..b",
        ".",
        "-a.example",
        "a b",
        "a\r\nb",
        "a\x00b",
        "[192.0.2.1]",
        "é.example",
        "a" * 64 + ".example",
        "a." * 130,
    ],
)
def test_a23_a_name_that_is_no_host_name_is_not_asked_for(name: str) -> None:
    assert hosts("b.example", {("b.example", "MX"): [Mx(10, name)]}) == NO_USABLE_HOST
    assert hosts("b.example", {("b.example", "MX"): [Mx(10, name), Mx(20, "mx.b.example")]}) == ["mx.b.example"]


@pytest.mark.parametrize(
    ("preference", "expected"),
    [(5, LOOP), (10, LOOP), (15, ["first.example"]), (20, ["first.example"]), (25, ["first.example", "second.example"])],
)
def test_this_host_and_what_is_no_better_are_left_out(preference: int, expected: object) -> None:
    records = [Mx(10, "first.example"), Mx(20, "second.example"), Mx(preference, "Own.example")]
    assert hosts("b.example", {("b.example", "MX"): records}, frozenset(("own.example",))) == expected


def test_a_domain_that_is_this_host_itself_is_a_loop() -> None:
    assert hosts("own.example", {("own.example", "A"): A4}, frozenset(("own.example",))) == LOOP


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("[192.0.2.1]", Route((Host("[192.0.2.1]", ("192.0.2.1",)),))),
        ("[ipv6:2001:db8::1]", Route((Host("[ipv6:2001:db8::1]", ("2001:db8::1",)),))),
        ("[x]", NO_SUCH_DOMAIN),
    ],
)
def test_an_address_literal_asks_nobody(domain: str, expected: Route | Unroutable) -> None:
    assert ask(find_hosts(domain, own=frozenset(), draw=lambda: 0), {}) == expected


def addresses(world: World, limits: MxLimits = MxLimits()) -> tuple[str, ...]:  # noqa: B008
    return ask(find_addresses("mx.example", limits), world)[0]


def test_ipv6_goes_first_and_leaves_room_for_one_address_that_every_machine_can_reach() -> None:
    many: World = {
        ("mx.example", "A"): [HostAddress(f"192.0.2.{n}") for n in range(9)],
        ("mx.example", "AAAA"): [HostAddress(f"2001:db8::{n}") for n in range(9)],
    }
    assert addresses(many) == ("2001:db8::0", "2001:db8::1", "2001:db8::2", "192.0.2.0")
    assert addresses({("mx.example", "AAAA"): A6, ("mx.example", "A"): A4}) == ("2001:db8::1", "192.0.2.1")
    assert addresses({("mx.example", "AAAA"): None, ("mx.example", "A"): A4}) == ("192.0.2.1",)
    assert addresses({}) == ()
    with pytest.raises(ResolverFailed):
        addresses({("mx.example", "AAAA"): None})


def test_addresses_are_proven_only_where_both_answers_are() -> None:
    assert ask(find_addresses("mx.example"), {("mx.example", "A"): A4}, is_secure=True) == (("192.0.2.1",), True)
    assert ask(find_addresses("mx.example"), {("mx.example", "A"): A4, ("mx.example", "AAAA"): None}, is_secure=True)[1] is False


@pytest.mark.parametrize("most", [1, 2, 3])
def test_so_many_hosts_and_addresses_and_not_one_more(most: int) -> None:
    limits = MxLimits(hosts=most, addresses=most)
    records: World = {
        ("b.example", "MX"): [Mx(n, f"mx{n}") for n in range(most + 1)],
        ("mx.example", "A"): [HostAddress(f"192.0.2.{n}") for n in range(most + 1)],
    }
    assert hosts("b.example", records, limits=limits) == [f"mx{n}" for n in range(most)]
    assert len(addresses(records, limits)) == most


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.255.0.9", "::1", "0.0.0.0", "0.1.2.3", "::", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
     "2002:7f00:1::", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1",
     "255.255.255.255", "localhost", "", "127.1", "fe80::1%lo"],
)  # fmt: skip
def test_an_address_of_this_machine_is_no_other_hosts(address: str) -> None:
    assert not is_elsewhere(address)


@given(st.ip_addresses())
@settings(max_examples=50)
def test_every_address_that_is_not_this_machines_may_be_another_hosts(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert is_elsewhere(str(ip)) or not ip.is_global or ip.version == 6


names = st.sampled_from(["", "mx.a", "MX.A", "own", "192.0.2.1", "b..c", "mx.b"])


@given(st.lists(st.builds(Mx, st.integers(0, 3), names), max_size=12), st.integers(0, 100))
@settings(max_examples=80)
def test_a_route_names_each_host_once_and_never_this_one(records: list[Mx], seed: int) -> None:
    found = ask(find_hosts("d", own=frozenset(("own",)), draw=random.Random(seed).random), {("d", "MX"): records})
    if isinstance(found, Route):
        seen = [host.name for host in found.hosts]
        assert seen
        assert len(set(seen)) == len(seen)
        assert {"", "own", "192.0.2.1"}.isdisjoint(seen)
        best = {name: min(r.preference for r in records if r.host.lower() == name) for name in seen}
        assert seen == sorted(seen, key=best.__getitem__)
