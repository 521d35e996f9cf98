"""Lists of addresses in the DNS (RFC 5782), also dead ones and ones that answer everything."""

import asyncio
import ipaddress

import pytest

from postwren.delivery.dnslist import DnsList, DnsLists, Hit, Limits, ListInvalid, Score, parse_list, parse_lists
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Answer, HostAddress, Kind, Record, Txt

Zone = dict[tuple[str, Kind], list[Record]]
V6_TEST = "0.0.f.7.f.f.f.f." + "0." * 20
NOW = 1_700_000_000


def listed(zone: str, *names: str, answer: str = "127.0.0.2") -> Zone:
    return {(f"{name}.{zone}", "A"): [HostAddress(answer)] for name in ("2.0.0.127", *names)}


def score(lists: DnsLists, zone: Zone, ip: str = "192.0.2.9", *, failing: str = "", silent: str = "") -> Score:
    resolver = ScriptedResolver(zone, failing=(failing,), silent=(silent,))
    return asyncio.run(lists.score(resolver, ipaddress.ip_address(ip), NOW))


def test_weights_add_up_and_good_lists_take_away() -> None:
    """Section 2.1."""
    lists = parse_lists(["bad.example.com*3", "worse.example.com=127.0.0.4-7*5", "good.example.com=127.0.*.1-3*-2"])
    zone: Zone = {
        **listed("bad.example.com", "9.2.0.192"),
        **listed("worse.example.com", "9.2.0.192", answer="127.0.0.7"),
        **listed("good.example.com", "9.2.0.192", answer="127.0.9.1"),
        ("9.2.0.192.bad.example.com", "TXT"): [Txt(b"see https://bad.example.com/9")],
        ("9.2.0.192.good.example.com", "TXT"): [Txt(b"not asked for")],
    }
    found = score(lists, zone)
    assert found.weight == 6
    assert found.hits[0] == Hit("bad.example.com", 3, "see https://bad.example.com/9")
    assert found.hits[2] == Hit("good.example.com", -2, "")
    assert score(lists, zone, "192.0.2.10") == Score()
    assert score(lists, zone, "::ffff:192.0.2.9").weight == 6


def test_only_the_codes_that_are_named_count() -> None:
    lists = parse_lists(["list.example.com=127.0.0.2-3"])
    zone = listed("list.example.com", "9.2.0.192")
    for answer, weight in (("127.0.0.2", 1), ("127.0.0.4", 0), ("192.0.2.1", 0), ("127.255.255.254", 0)):
        zone["9.2.0.192.list.example.com", "A"] = [HostAddress(answer)]
        assert score(lists, zone).weight == weight


def test_a_list_without_its_test_entry_or_with_an_entry_for_everybody_weighs_nothing() -> None:
    """Section 5: such are dead, or have been sold."""
    lists = parse_lists(["list.example.com"])
    zone = listed("list.example.com", "9.2.0.192")
    everybody: Zone = {**zone, ("1.0.0.127.list.example.com", "A"): [HostAddress("203.0.113.1")]}
    dead: Zone = {key: value for key, value in zone.items() if not key[0].startswith("2.0.0.127")}
    refusing: Zone = {**zone, ("2.0.0.127.list.example.com", "A"): [HostAddress("127.255.255.254")]}
    for world in (everybody, dead, refusing):
        assert score(parse_lists(["list.example.com"]), world) == Score()
    assert score(parse_lists(["list.example.com"]), zone, failing="2.0.0.127.list.example.com") == Score()
    assert score(lists, zone).weight == 1


def test_ipv6_is_asked_of_lists_that_pass_the_test_for_it() -> None:
    """Sections 2.4 and 5."""
    address = ".".join(reversed(ipaddress.ip_address("2001:db8::9").exploded.replace(":", "")))
    zone = listed("list.example.com", address)
    assert score(parse_lists(["list.example.com"]), zone, "2001:db8::9").weight == 0
    zone[f"2.0.0.0.{V6_TEST}list.example.com", "A"] = [HostAddress("127.0.0.2")]
    assert score(parse_lists(["list.example.com"]), zone, "2001:db8::9").weight == 1


def test_a_list_that_does_not_answer_holds_nobody_up() -> None:
    lists = parse_lists(["slow.example.com", "list.example.com"], Limits(seconds=0.02))
    zone = {**listed("slow.example.com"), **listed("list.example.com", "9.2.0.192")}
    assert score(lists, zone, silent="9.2.0.192.slow.example.com").weight == 1


def test_the_test_is_made_once_an_hour_and_says_what_does_not_work() -> None:
    class Dns:
        def __init__(self) -> None:
            self.asked: list[str] = []
            self.is_up = False

        async def query(self, name: str, kind: Kind) -> Answer:
            self.asked.append(name)
            return Answer((HostAddress("127.0.0.2"),) if self.is_up and name.startswith("2.0.0.127") else ())

    dns, lists = Dns(), parse_lists(["list.example.com"])
    assert asyncio.run(lists.test(dns, NOW)) == ["list.example.com"]
    dns.is_up = True
    assert asyncio.run(lists.test(dns, NOW + 3599)) == ["list.example.com"]
    assert len(dns.asked) == 4
    assert asyncio.run(lists.test(dns, NOW + 3600)) == []
    assert len(dns.asked) == 8
    assert asyncio.run(lists.test(dns, NOW)) == []  # a clock that goes back
    assert len(dns.asked) == 12


@pytest.mark.parametrize("text", [b"see \x1b[2J", "über".encode(), b"two\r\nlines"])
def test_what_a_list_says_is_printable_or_left_out(text: bytes) -> None:
    zone: Zone = {**listed("list.example.com", "9.2.0.192"), ("9.2.0.192.list.example.com", "TXT"): [Txt(text)]}
    assert score(parse_lists(["list.example.com"]), zone).hits == (Hit("list.example.com", 1, ""),)


def test_a_list_is_described_in_one_word() -> None:
    anything = ((127, 127), (0, 255), (0, 255), (0, 255))
    assert parse_list("Zen.Example.org.") == DnsList("zen.example.org", 1, anything)
    assert parse_list("zen.example.org*-3") == DnsList("zen.example.org", -3, anything)
    assert parse_list("zen.example.org=127.0.0.*") == DnsList("zen.example.org", 1, ((127, 127), (0, 0), (0, 0), (0, 255)))
    assert parse_list("zen.example.org=127.0.0.2-11*4") == DnsList("zen.example.org", 4, ((127, 127), (0, 0), (0, 0), (2, 11)))
    for text in (
        "",
        "zen",
        "zen.example.org*0",
        "a.b=127.0.0",
        "a.b=127.0.0.256",
        "a.b=127.0.0.9-2",
        "a b.org",
        "a.b=",
        "a.b=x*2",
    ):
        with pytest.raises(ListInvalid):
            parse_list(text)


def test_lists_and_their_weights_end_at_their_limits() -> None:
    parse_lists([f"l{number}.example.org" for number in range(16)])
    with pytest.raises(ListInvalid):
        parse_lists([f"l{number}.example.org" for number in range(17)])
    assert [parse_list("a.b*100").weight, parse_list("a.b*-100").weight] == [100, -100]
    for text in ("a.b*101", "a.b*-101"):
        with pytest.raises(ListInvalid):
            parse_list(text)
