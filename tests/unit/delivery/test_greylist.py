"""Greylisting (RFC 6647): who comes again is taken, whatever the clock does, and memory stays bounded."""

import ipaddress
from dataclasses import replace

from postwren.delivery.greylist import Greylist, GreyPolicy
from postwren.terms import Address

IP, NEIGHBOUR, STRANGER = map(ipaddress.ip_address, ("192.0.2.1", "192.0.2.200", "198.51.100.1"))
SENDER, ANN, BOB = Address("s", "example.net"), Address("ann", "example.org"), Address("bob", "example.org")
NOW, DAY = 1_700_000_000, 24 * 3600
TEN_YEARS = 3650 * DAY


def test_the_first_try_waits_a_retry_is_taken_and_its_network_is_known_then() -> None:
    """Section 5: not before a minute, not after a day."""
    grey = Greylist()
    assert grey.seconds_to_wait(IP, SENDER, ANN, NOW) == 60
    assert grey.seconds_to_wait(IP, SENDER, ANN, NOW + 59) == 1
    assert grey.seconds_to_wait(IP, SENDER, BOB, NOW + 60) == 60
    assert grey.seconds_to_wait(NEIGHBOUR, Address("S", "EXAMPLE.net"), ANN, NOW + 60) == 0
    assert grey.seconds_to_wait(IP, None, BOB, NOW + 61) == 0
    assert grey.seconds_to_wait(STRANGER, SENDER, ANN, NOW + 61) == 60


def test_a_retry_after_the_window_is_a_first_try() -> None:
    grey = Greylist()
    grey.seconds_to_wait(IP, SENDER, ANN, NOW)
    assert grey.seconds_to_wait(IP, SENDER, ANN, NOW + DAY + 1) == 60
    assert grey.seconds_to_wait(IP, SENDER, ANN, NOW + 2 * DAY + 1) == 0


def test_a_network_is_known_as_long_as_it_writes() -> None:
    grey, days = Greylist(), GreyPolicy().known_for
    grey.know(IP, NOW)
    assert grey.seconds_to_wait(IP, SENDER, ANN, NOW + days) == 0
    assert grey.seconds_to_wait(IP, SENDER, ANN, NOW + 2 * days) == 0
    assert grey.seconds_to_wait(IP, SENDER, ANN, NOW + 3 * days + 1) == 60


def test_an_ipv6_network_is_its_first_64_bits_and_a_mapped_address_is_ipv4() -> None:
    grey = Greylist()
    grey.know(ipaddress.ip_address("2001:db8:0:1::1"), NOW)
    assert grey.seconds_to_wait(ipaddress.ip_address("2001:db8:0:1:ffff::"), SENDER, ANN, NOW) == 0
    assert grey.seconds_to_wait(ipaddress.ip_address("2001:db8:0:2::1"), SENDER, ANN, NOW) == 60
    grey.know(ipaddress.ip_address("::ffff:192.0.2.9"), NOW)
    assert grey.seconds_to_wait(IP, SENDER, ANN, NOW) == 0


def test_d08_a_clock_that_jumps_ten_years_costs_a_delay_and_no_more() -> None:
    for jump in (TEN_YEARS, -TEN_YEARS):
        grey = Greylist()
        grey.seconds_to_wait(IP, SENDER, ANN, NOW)
        grey.know(STRANGER, NOW)
        assert grey.seconds_to_wait(IP, SENDER, ANN, NOW + jump) == 60
        assert grey.seconds_to_wait(IP, SENDER, ANN, NOW + jump + 60) == 0
        assert grey.seconds_to_wait(STRANGER, SENDER, ANN, NOW + jump) == 60
        assert grey.seconds_to_wait(STRANGER, SENDER, ANN, NOW + jump + 60) == 0


def test_so_many_wait_and_the_oldest_gives_way() -> None:
    grey = Greylist(replace(GreyPolicy(), waiting=2))
    for number in range(2):
        grey.seconds_to_wait(ipaddress.ip_address(f"192.0.{number}.1"), SENDER, ANN, NOW)
    assert grey.seconds_to_wait(ipaddress.ip_address("192.0.0.1"), SENDER, ANN, NOW + 59) == 1
    grey.seconds_to_wait(ipaddress.ip_address("192.0.2.1"), SENDER, ANN, NOW)
    assert grey.seconds_to_wait(ipaddress.ip_address("192.0.1.1"), SENDER, ANN, NOW + 60) == 0
    assert grey.seconds_to_wait(ipaddress.ip_address("192.0.0.1"), SENDER, ANN, NOW + 60) == 60


def test_one_network_has_so_many_waiting_and_washes_nobody_out() -> None:
    grey = Greylist(replace(GreyPolicy(), waiting=4, waiting_of_network=2))
    grey.seconds_to_wait(STRANGER, SENDER, ANN, NOW)
    for number in range(50):
        assert grey.seconds_to_wait(IP, Address(f"s{number}", "example.net"), ANN, NOW) == 60
    assert grey.seconds_to_wait(STRANGER, SENDER, ANN, NOW + 60) == 0
    assert grey.seconds_to_wait(IP, Address("s2", "example.net"), ANN, NOW + 60) == 60  # the third was not remembered
    assert grey.seconds_to_wait(IP, Address("s1", "example.net"), ANN, NOW + 60) == 0


def test_so_many_networks_are_known_and_the_longest_silent_gives_way() -> None:
    grey = Greylist(replace(GreyPolicy(), known=2))
    first, second, third = (ipaddress.ip_address(f"192.0.{number}.1") for number in range(3))
    grey.know(first, NOW)
    grey.know(second, NOW)
    assert grey.seconds_to_wait(first, SENDER, ANN, NOW + 1) == 0
    grey.know(third, NOW + 2)
    assert grey.seconds_to_wait(first, SENDER, ANN, NOW + 3) == 0
    assert grey.seconds_to_wait(second, SENDER, ANN, NOW + 3) == 60


def test_everything_is_there_after_a_restart_but_what_is_too_old() -> None:
    before, after = Greylist(), Greylist()
    before.seconds_to_wait(IP, SENDER, ANN, NOW)
    before.know(STRANGER, NOW)
    after.load(before.dump(), NOW + 60)
    assert after.dump() == before.dump()
    assert after.seconds_to_wait(IP, SENDER, ANN, NOW + 60) == 0
    assert after.seconds_to_wait(STRANGER, SENDER, ANN, NOW + 60) == 0
    after.load(before.dump(), NOW + TEN_YEARS)
    assert after.dump() == Greylist().dump()


def test_what_is_no_dump_is_forgotten() -> None:
    grey = Greylist()
    grey.know(IP, NOW)
    dump = grey.dump()
    for data in (b"", b"\x01", b"\x02" + dump[1:], dump[:-1], b"\x01\xff\xff\xff\xff" + dump[5:]):
        grey.load(data, NOW)
        assert grey.dump() == Greylist().dump()
