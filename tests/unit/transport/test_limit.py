"""Caps on connections, at n and n + 1."""

import pytest
from tests.unit.transport.transport_echo import Clock

from postwren.transport.limit import LARGEST_TABLE, Admission, Caps, Refusal


def admission(**caps: object) -> tuple[Admission, Clock]:
    clock = Clock()
    return Admission(Caps(**caps), clock), clock  # type: ignore[arg-type]


@pytest.mark.parametrize(("first", "second"), [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1")])
def test_a08_strangers_of_one_address(first: str, second: str) -> None:
    door, _ = admission()
    assert [door.admit(first) for _ in range(20)] == [None] * 20
    assert door.admit(first) is Refusal.ADDRESS
    assert door.admit(second) is None
    door.release(first, None)
    assert door.admit(first) is None


def test_an_ipv6_customer_is_one_address() -> None:
    door, _ = admission(strangers_per_address=2)
    assert door.admit("2001:db8::1") is None
    assert door.admit("2001:db8::ffff:2") is None
    assert door.admit("2001:db8::3") is Refusal.ADDRESS
    assert door.admit("::ffff:192.0.2.1") is None
    assert door.admit("192.0.2.1") is None
    assert door.admit("192.0.2.1") is Refusal.ADDRESS


def test_who_logs_in_no_longer_counts_as_a_stranger() -> None:
    door, _ = admission(strangers_per_address=1, per_account_and_address=2)
    for _ in range(2):
        assert door.admit("192.0.2.1") is None
        assert door.authenticate("192.0.2.1", 7, None)
    assert door.admit("192.0.2.1") is None
    assert not door.authenticate("192.0.2.1", 7, None)
    assert door.authenticate("192.0.2.1", 8, None)
    door.release("192.0.2.1", 7)
    assert door.admit("192.0.2.1") is None
    assert door.authenticate("192.0.2.1", 7, None)


@pytest.mark.parametrize(
    ("cap", "address"),
    [
        ((3, 99, 99), "192.0.2.1"),
        ((99, 3, 99), "192.0.2.{}"),
        ((99, 99, 3), "192.0.{}.1"),
        ((3, 99, 99), "2001:db8::{}"),
        ((99, 3, 99), "2001:db8:0:{}::"),
        ((99, 99, 3), "2001:db8:0:{}00::"),
    ],
)
def test_a30_connections_a_minute_of_a_network(cap: tuple[int, int, int], address: str) -> None:
    door, clock = admission(per_minute=cap)
    for n in range(3):
        assert door.admit(address.format(n)) is None
        door.release(address.format(n), None)
    assert door.admit(address.format(4)) is Refusal.RATE
    clock.now += 60
    assert door.admit(address.format(4)) is None


def test_the_total_holds_for_everybody() -> None:
    door, _ = admission(total=2)
    assert [door.admit("127.0.0.1"), door.admit("")] == [None, None]
    assert door.admit("127.0.0.1") is Refusal.TOTAL
    door.release("", None)
    assert door.admit("127.0.0.1") is None


def test_loopback_counts_where_it_is_not_exempt() -> None:
    door, _ = admission(strangers_per_address=1, loopback_is_exempt=False)
    assert door.admit("127.0.0.1") is None
    assert door.admit("127.0.0.1") is Refusal.ADDRESS


def test_the_counters_of_a_minute_are_bounded() -> None:
    door, _ = admission(per_minute=(10**9,) * 3)
    for n in range(LARGEST_TABLE + 1000):
        address = f"10.{n >> 16}.{(n >> 8) & 255}.{n & 255}"
        assert door.admit(address) is None
        door.release(address, None)
    assert len(door._recent) == LARGEST_TABLE
    assert door._strangers == {}
