"""What a connection says about its peer: the name of its address (RFC 8601 section 2.7.3), its greeting (RFC 5321
section 4.1.1.1)."""

import asyncio
import ipaddress

import pytest

from postwren.delivery.connection import HelloFault, ReverseName, hello_fault, reverse_name
from postwren.mailauth.verdict import Verdict
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress, Kind, Ptr, Record

POINTER = "1.2.0.192.in-addr.arpa"
Zone = dict[tuple[str, Kind], list[Record]]


def name_of(zone: Zone, ip: str = "192.0.2.1", failing: tuple[str, ...] = ()) -> ReverseName:
    return asyncio.run(reverse_name(ScriptedResolver(zone, failing=failing), ipaddress.ip_address(ip)))


def test_a_name_counts_that_has_the_address_too() -> None:
    zone: Zone = {
        (POINTER, "PTR"): [Ptr("forged.example.com"), Ptr("mail.example.net")],
        ("forged.example.com", "A"): [HostAddress("198.51.100.1")],
        ("mail.example.net", "A"): [HostAddress("198.51.100.2"), HostAddress("192.0.2.1")],
    }
    assert name_of(zone) == ReverseName(Verdict.PASS, "mail.example.net")
    assert name_of(zone, "::ffff:192.0.2.1") == ReverseName(Verdict.PASS, "mail.example.net")
    del zone["mail.example.net", "A"]
    assert name_of(zone) == ReverseName(Verdict.FAIL, "forged.example.com")
    assert name_of(zone, failing=("mail.example.net",)) == ReverseName(Verdict.TEMPERROR)
    assert name_of(zone, failing=(POINTER,)) == ReverseName(Verdict.TEMPERROR)
    assert name_of({}) == ReverseName(Verdict.PERMERROR)


def test_an_ipv6_address_has_a_name_too() -> None:
    pointer = "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"
    zone: Zone = {(pointer, "PTR"): [Ptr("mail.example.net")], ("mail.example.net", "AAAA"): [HostAddress("2001:DB8:0::1")]}
    assert name_of(zone, "2001:db8::1") == ReverseName(Verdict.PASS, "mail.example.net")


def test_of_many_names_five_are_looked_at_and_what_is_no_host_name_is_none() -> None:
    zone: Zone = {(POINTER, "PTR"): [Ptr("a b\r\n"), *(Ptr(f"n{number}.example.net") for number in range(32))]}
    resolver = ScriptedResolver({**zone, ("n5.example.net", "A"): [HostAddress("192.0.2.1")]})
    assert asyncio.run(reverse_name(resolver, ipaddress.ip_address("192.0.2.1"))) == ReverseName(Verdict.FAIL, "n0.example.net")
    assert [name for name, _ in resolver.asked] == [POINTER, *(f"n{number}.example.net" for number in range(5))]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("mail.example.net", None),
        ("mail.example.net.", None),
        ("[192.0.2.1]", None),
        ("[IPv6:::ffff:192.0.2.1]", None),
        ("[192.0.2.2]", HelloFault.WRONG_LITERAL),
        ("[IPv6:2001:db8::1]", HelloFault.WRONG_LITERAL),
        ("mail", HelloFault.NOT_QUALIFIED),
        ("192.0.2.1", HelloFault.SYNTAX),
        ("[192.0.2.1", HelloFault.SYNTAX),
        ("[", HelloFault.SYNTAX),
        ("[IPv6:fe80::1%eth0]", HelloFault.SYNTAX),
        ("mail..example.net", HelloFault.SYNTAX),
        ("-mail.example.net", HelloFault.SYNTAX),
        ("a" * 64 + ".example.net", HelloFault.SYNTAX),
        ("mail.exämple.net", HelloFault.SYNTAX),
        (".", HelloFault.SYNTAX),
        ("MX.Example.org", HelloFault.OURS),
        ("example.org.", HelloFault.OURS),
        ("[198.51.100.1]", HelloFault.OURS),
    ],
)
def test_a_greeting_says(name: str, fault: HelloFault | None) -> None:
    ours = {"mx.example.org", "example.org", "[198.51.100.1]"}
    assert hello_fault(name, ipaddress.ip_address("192.0.2.1"), ours) is fault
