"""Failed logins slow down their addresses and the names they aim at (A-60)."""

from ipaddress import ip_network

import pytest

from postwren.server.login.throttle import Limits, Throttle

NOW = 1_700_000_000.0 // 86_400 * 86_400  # a day begins
HOME = "198.51.100.7"


def failures(throttle: Throttle, addresses: list[str], now: float = NOW) -> None:
    for number, address in enumerate(addresses):
        throttle.failed(address, f"login{number}@example.org", now)


def spread(family: int, prefix: int, count: int, step_prefix: int) -> list[str]:
    """Addresses in different blocks of `step_prefix` inside one block of `prefix`."""
    block = ip_network(f"203.0.112.0/{prefix}" if family == 4 else f"2001:db8::/{prefix}")
    step = 1 << (block.max_prefixlen - step_prefix)
    blocks = 1 << (step_prefix - prefix)
    return [str(block[((number % blocks) * step + number // blocks) % block.num_addresses]) for number in range(count)]


@pytest.mark.parametrize(
    ("family", "prefix", "step", "limit"),
    [(4, 32, 32, 10), (4, 26, 32, 30), (4, 21, 26, 90), (6, 64, 128, 10), (6, 56, 64, 30), (6, 48, 56, 90)],
)
def test_a60_each_network_has_its_limit_a_minute(family: int, prefix: int, step: int, limit: int) -> None:
    throttle = Throttle()
    addresses = spread(family, prefix, limit, step)
    failures(throttle, addresses[:-1])
    newcomer = spread(family, prefix, limit + 1, step)[-1]
    assert not throttle.is_blocked(newcomer, NOW)
    failures(throttle, addresses[-1:])
    assert throttle.is_blocked(newcomer, NOW)
    assert throttle.is_blocked(newcomer, NOW + 59)
    assert not throttle.is_blocked(newcomer, NOW + 60)
    assert not throttle.is_blocked("198.51.100.1" if family == 4 else "2001:db9::1", NOW)


@pytest.mark.parametrize(("prefix", "step", "limit"), [(32, 32, 50), (26, 32, 150), (21, 26, 450)])
def test_a60_and_a_limit_a_day(prefix: int, step: int, limit: int) -> None:
    throttle = Throttle()
    addresses = spread(4, prefix, limit, step)
    for number, address in enumerate(addresses):
        assert not throttle.is_blocked(addresses[0], NOW + 60 * number + 60)
        throttle.failed(address, "", NOW + 60 * number)
    assert throttle.is_blocked(addresses[0], NOW + 60 * limit)
    assert throttle.is_blocked(addresses[0], NOW + 86_399)
    assert not throttle.is_blocked(addresses[0], NOW + 86_400)


def test_ipv4_in_ipv6_is_ipv4() -> None:
    throttle = Throttle()
    failures(throttle, [f"::ffff:{HOME}"] * 10)
    assert throttle.is_blocked(HOME, NOW)


def test_exempt_networks_and_unix_sockets_are_never_slowed() -> None:
    throttle = Throttle((ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")))
    for address in (HOME, "2001:db8::1", ""):
        for _ in range(100):
            throttle.failed(address, "ann@example.org", NOW)
        assert not throttle.is_blocked(address, NOW)
        assert throttle.wait(address, "ann@example.org", NOW) == 0
    failures(throttle, ["127.0.0.1"] * 10)
    assert throttle.is_blocked("127.0.0.1", NOW), "loopback is not exempt by itself"


def test_what_is_no_address_is_counted_together() -> None:
    throttle = Throttle()
    failures(throttle, ["bogus"] * 10)
    assert throttle.is_blocked("other", NOW)


def test_a60_many_addresses_at_one_login_make_it_wait_and_never_shut_it() -> None:
    throttle = Throttle()
    throttle.succeeded(HOME, "ann@example.org")
    waits = []
    for number in range(10):
        waits.append(throttle.wait("192.0.2.1", "ann@example.org", NOW))
        throttle.failed(f"10.{number}.0.1", "ann@example.org", NOW)
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]
    assert throttle.wait("192.0.2.1", "bob@example.org", NOW) == 0
    assert throttle.wait(HOME, "ann@example.org", NOW) == 0, "where ann is at home she does not wait"
    assert throttle.wait(HOME, "bob@example.org", NOW) == 0
    assert throttle.wait("192.0.2.1", "ann@example.org", NOW + 3600) == 0


def test_a_success_elsewhere_does_not_give_an_attacker_new_guesses() -> None:
    throttle = Throttle()
    for number in range(6):
        throttle.failed(f"10.{number}.0.1", "ann@example.org", NOW)
    throttle.succeeded(HOME, "ann@example.org")
    assert throttle.wait("192.0.2.1", "ann@example.org", NOW) == 8


def test_the_same_wrong_password_again_is_one_guess() -> None:
    throttle = Throttle()
    for _ in range(100):
        throttle.failed(HOME, "ann@example.org", NOW, b"old password")
    assert not throttle.is_blocked(HOME, NOW)
    assert throttle.wait(HOME, "ann@example.org", NOW) == 0
    for number in range(9):
        throttle.failed(HOME, "ann@example.org", NOW, b"%d" % number)
    assert throttle.is_blocked(HOME, NOW)


def test_a60_counters_survive_a_restart() -> None:
    before, after = Throttle(), Throttle()
    failures(before, [HOME] * 10)
    for number in range(5):
        before.failed(f"10.{number}.0.1", "ann@example.org", NOW)
    before.succeeded("192.0.2.9", "ann@example.org")
    after.restore(before.snapshot(NOW))
    assert after.is_blocked(HOME, NOW)
    assert after.wait("192.0.2.1", "ann@example.org", NOW) == 4
    assert after.wait("192.0.2.9", "ann@example.org", NOW) == 0
    assert after.snapshot(NOW) == before.snapshot(NOW)
    assert b'"blocks":[],"logins":[]' in before.snapshot(NOW + 86_400)


@pytest.mark.parametrize("snapshot", [b"", b"{}", b"[]", b"\xff", b'{"blocks":[["a"]],"logins":[],"known":[]}', b'{"blocks":1}'])
def test_a_snapshot_that_is_not_understood_counts_as_none(snapshot: bytes) -> None:
    throttle = Throttle()
    throttle.restore(snapshot)
    assert not throttle.is_blocked(HOME, NOW)


def test_a_clock_that_goes_back_locks_nobody_out() -> None:
    throttle = Throttle()
    failures(throttle, [HOME] * 50)
    assert not throttle.is_blocked(HOME, NOW - 86_400)
    for _ in range(5):
        throttle.failed(HOME, "ann@example.org", NOW)
    assert throttle.wait("192.0.2.1", "ann@example.org", NOW - 86_400) == 0


def test_memory_is_bounded_whatever_the_number_of_addresses_and_names() -> None:
    throttle = Throttle(limits=Limits(blocks=300, logins=100, known=100, saved_blocks=50))
    for number in range(2000):
        address = f"10.{number % 250}.{number // 250}.1"
        throttle.failed(address, f"login{number}", NOW, b"%d" % number)
        throttle.succeeded(address, f"login{number}")
    assert len(throttle.snapshot(NOW)) < 10_000
    sizes = [len(getattr(throttle, name)) for name in ("_blocks", "_logins", "_known", "_wrong")]
    assert sizes == [300, 100, 100, 100]
