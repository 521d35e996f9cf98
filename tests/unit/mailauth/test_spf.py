"""SPF (RFC 7208) against policies written down here; the standard's corpus is beside this (test_spf_corpus.py)."""

import asyncio
import ipaddress
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.mailauth.spf import Limits, SpfInvalid, SpfResult, check, parse_record
from postwren.mailauth.spf.macro import Context, expand, expand_name, parse_macro
from postwren.mailauth.verdict import Verdict
from postwren.terms import Address
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress, Kind, Mx, Ptr, Record, Txt

ANN = Address("ann", "example.org")
OURS, OTHERS = "192.0.2.1", "198.51.100.9"
Zone = Mapping[tuple[str, Kind], Sequence[Record]]


def policy(text: str, domain: str = "example.org") -> dict[tuple[str, Kind], Sequence[Record]]:
    return {(domain, "TXT"): [Txt(b"unrelated"), Txt(text.encode("latin-1"))]}


def hosts(*names: str, address: str = OTHERS) -> dict[tuple[str, Kind], Sequence[Record]]:
    return {(name, "A"): [HostAddress(address)] for name in names}


def ask(
    zone: Zone | ScriptedResolver,
    ip: str = OURS,
    sender: Address | None = ANN,
    helo: str = "mail.example.org",
    limits: Limits = Limits(),  # noqa: B008  # frozen
) -> SpfResult:
    resolver = zone if isinstance(zone, ScriptedResolver) else ScriptedResolver(zone)
    checking = check(resolver, ipaddress.ip_address(ip), helo, sender, now=1_700_000_000, hostname="mx.here", limits=limits)
    return asyncio.run(_bounded(checking))


async def _bounded(checking: Coroutine[object, object, SpfResult]) -> SpfResult:
    return await asyncio.wait_for(checking, 5)


def verdict(zone: Zone | ScriptedResolver, ip: str = OURS, **more: object) -> Verdict:
    return ask(zone, ip, **more).result  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("ip4:192.0.2.0/24 -all", Verdict.PASS),
        ("ip4:192.0.2.2 -all", Verdict.FAIL),
        ("ip4:192.0.2.2 ~all", Verdict.SOFTFAIL),
        ("ip4:192.0.2.2", Verdict.NEUTRAL),
        ("?ip4:192.0.2.1 -all", Verdict.NEUTRAL),
        ("ip6:::/0 -all", Verdict.FAIL),
        ("a:www.example.org -all", Verdict.PASS),
        ("a:other.example.org/16 -all", Verdict.FAIL),
        ("a:other.example.org/0 -all", Verdict.PASS),
        ("mx -all", Verdict.PASS),
        ("mx:example.org//64 -all", Verdict.PASS),
        ("exists:%{i}._spf.%{d} -all", Verdict.PASS),
        ("ptr:example.org -all", Verdict.PASS),
        ("ptr:example.com -all", Verdict.FAIL),
        ("include:neighbour.example -all", Verdict.PASS),
        ("-include:neighbour.example +all", Verdict.FAIL),
        ("redirect=neighbour.example", Verdict.PASS),
        ("redirect=nobody.example", Verdict.PERMERROR),
        ("include:nobody.example", Verdict.PERMERROR),
        ("-all redirect=neighbour.example", Verdict.FAIL),
    ],
)
def test_a_policy_says(terms: str, expected: Verdict) -> None:
    zone: Zone = {
        **policy("v=spf1 " + terms),
        **policy("v=spf1 ip4:192.0.2.1 -all", "neighbour.example"),
        **hosts("www.example.org", "mx.example.org", "1.2.0.192._spf.example.org", "192.0.2.1._spf.example.org", address=OURS),
        **hosts("other.example.org"),
        ("example.org", "MX"): [Mx(10, "other.example.org"), Mx(20, "mx.example.org")],
        ("1.2.0.192.in-addr.arpa", "PTR"): [Ptr("forged.example.com"), Ptr("www.example.org")],
    }
    assert verdict(zone) is expected


def test_the_null_reverse_path_asks_for_the_name_of_the_greeting() -> None:
    zone = policy("v=spf1 ip4:192.0.2.1 exp=why.example.org -all", "mail.example.org")
    assert ask(zone, sender=None) == SpfResult(Verdict.PASS, "mail.example.org", "", "ip4:192.0.2.1 of mail.example.org")
    assert verdict(zone, sender=None, helo="[192.0.2.1]") is Verdict.NONE
    assert verdict(zone, sender=None, helo="mail") is Verdict.NONE


def test_an_include_that_fails_does_not_decide_and_one_within_another_passes_upward() -> None:
    zone: Zone = {
        **policy("v=spf1 include:one.example ?include:two.example -all"),
        **policy("v=spf1 -all", "one.example"),
        **policy("v=spf1 include:three.example -all", "two.example"),
        **policy("v=spf1 ip4:192.0.2.1 -all", "three.example"),
    }
    assert ask(zone) == SpfResult(Verdict.NEUTRAL, "example.org", "", "?include:two.example of example.org")
    assert verdict(zone, OTHERS) is Verdict.FAIL


def test_the_owners_explanation_is_of_the_policy_that_failed_and_says_nothing_unprintable() -> None:
    zone: dict[tuple[str, Kind], Sequence[Record]] = {
        **policy("v=spf1 redirect=other.example exp=wrong.example"),
        **policy("v=spf1 -all exp=why.%{d}", "other.example"),
        **policy("%{c} may not send as %{s}, says %{r} at %{t}", "why.other.example"),
    }
    zone["why.other.example", "TXT"] = zone["why.other.example", "TXT"][1:]
    words = "192.0.2.1 may not send as ann@example.org, says mx.here at 1700000000"
    assert ask(zone).explanation == words
    zone["why.other.example", "TXT"] = [Txt(b"see %{h}")]
    assert ask(zone, helo="mail.example.org").explanation == "see mail.example.org"
    assert ask(zone, helo="mail\r\n250 fine").explanation == ""
    zone["why.other.example", "TXT"] = [Txt("über".encode())]
    assert ask(zone).explanation == ""


def test_who_cannot_be_asked_is_a_temporary_error() -> None:
    zone = {**policy("v=spf1 a:www.example.org -all")}
    assert verdict(ScriptedResolver(zone, failing=("example.org",))) is Verdict.TEMPERROR
    assert verdict(ScriptedResolver(zone, failing=("www.example.org",))) is Verdict.TEMPERROR
    zone = {**policy("v=spf1 ptr -all")}  # section 5.5: but not for a ptr, which then does not match
    assert verdict(ScriptedResolver(zone, failing=("1.2.0.192.in-addr.arpa",))) is Verdict.FAIL


def test_a_local_part_beyond_ascii_matches_no_term_that_speaks_of_it() -> None:
    """RFC 8616 section 4."""
    zone: Zone = {**policy("v=spf1 exists:%{l}.example.org exists:%{s1}.example.org ?all"), **hosts("org.example.org")}
    assert verdict(zone, sender=Address("äänn", "example.org")) is Verdict.NEUTRAL
    assert verdict(zone) is Verdict.PASS  # %{s1} of ann@example.org is org


def test_what_would_be_an_escape_in_the_dns_is_never_asked_for() -> None:
    terms = " ".join(["exists:%{l}.example.org", "a:%{l}..org", "mx:" + "l" * 64 + ".org"] * 3)
    resolver = ScriptedResolver(policy(f"v=spf1 {terms} -all"))
    assert verdict(resolver, sender=Address("a\\000b", "example.org")) is Verdict.FAIL  # and what was not asked for is not void
    assert resolver.asked == [("example.org", "TXT")]


# -- what a stranger's policy may cost


def test_a34_ten_terms_may_ask_the_dns_and_not_one_more() -> None:
    zone: Zone = {**hosts(*(f"h{number}.example.org" for number in range(11)))}
    ten = " ".join(f"a:h{number}.example.org" for number in range(10))
    assert verdict({**zone, **policy(f"v=spf1 {ten} ?all")}) is Verdict.NEUTRAL
    resolver = ScriptedResolver({**zone, **policy(f"v=spf1 {ten} a:h10.example.org ?all")})
    assert verdict(resolver) is Verdict.PERMERROR
    assert len(resolver.asked) == 11


@pytest.mark.parametrize("term", ["include:example.org", "redirect=example.org", "include:a.example include:b.example"])
def test_a34_a_loop_ends_at_the_limit(term: str) -> None:
    zone: Zone = {
        **policy(f"v=spf1 {term}"),
        **policy("v=spf1 include:b.example include:b.example", "a.example"),
        **policy("v=spf1 include:a.example include:a.example", "b.example"),
    }
    resolver = ScriptedResolver(zone)
    assert verdict(resolver) is Verdict.PERMERROR
    assert len(resolver.asked) <= 12


def test_a34_two_terms_may_ask_for_what_is_not_there_and_not_one_more() -> None:
    assert verdict(policy("v=spf1 a:x.example.org mx:y.example.org ?all")) is Verdict.NEUTRAL
    resolver = ScriptedResolver(policy("v=spf1 a:x.example.org mx:y.example.org exists:%{i}.z.example.org ?all"))
    assert verdict(resolver) is Verdict.PERMERROR
    assert len(resolver.asked) == 4


def test_a34_an_mx_has_ten_hosts_and_not_one_more() -> None:
    names = [f"mx{number}.example.org" for number in range(11)]
    zone: Zone = {**policy("v=spf1 mx ?all"), **hosts(*names)}
    assert verdict({**zone, ("example.org", "MX"): [Mx(1, name) for name in names[:10]]}) is Verdict.NEUTRAL
    resolver = ScriptedResolver({**zone, ("example.org", "MX"): [Mx(1, name) for name in names]})
    assert verdict(resolver) is Verdict.PERMERROR
    assert len(resolver.asked) == 2


def test_a34_ten_names_of_the_client_are_looked_at_once_and_not_one_more() -> None:
    names = [f"n{number}.example.net" for number in range(11)]
    zone: Zone = {
        **policy("v=spf1 ptr:n9.example.net ~exists:%{p}.example.org ptr:n10.example.net ?all"),
        **hosts(*names, address=OURS),
        ("1.2.0.192.in-addr.arpa", "PTR"): [Ptr(name) for name in names],
    }
    assert verdict(zone) is Verdict.PASS
    resolver = ScriptedResolver({**zone, **policy("v=spf1 ptr:n10.example.net exists:%{p}.example.org ptr ?all")})
    assert verdict(resolver) is Verdict.NEUTRAL
    assert len(resolver.asked) == 1 + 1 + 10 + 1


def test_a34_a_policy_has_so_many_octets_and_not_one_more() -> None:
    text = "v=spf1 " + "ip4:198.51.100.1 " * 600
    longest = Limits().record
    assert verdict(policy(text[:longest].rpartition(" ")[0].ljust(longest - 4) + "?all")) is Verdict.NEUTRAL
    assert verdict(policy(text[:longest].rpartition(" ")[0].ljust(longest - 3) + "?all")) is Verdict.PERMERROR
    assert verdict(policy("v=spf1 " + "a" * 65536)) is Verdict.PERMERROR


def test_a34_macros_expand_to_so_many_characters_and_not_one_more() -> None:
    context = Context(ipaddress.IPv4Address(OURS), "h", "l" * 64, "example.org", "example.org", "mx.here", 0)
    pieces = parse_macro("%{l}" * 32)
    assert expand(pieces, context, 2048) == "l" * 2048
    assert expand((*pieces, "x"), context, 2048) is None
    name = expand_name(parse_macro("%{l}." * 20 + "example.org."), context, 2048)
    assert name is not None
    assert len(name) <= 253
    assert name.endswith("l.example.org")


def test_a34_a_check_ends_after_its_time() -> None:
    resolver = ScriptedResolver(policy("v=spf1 a:slow.example.org -all"), silent=("slow.example.org",))
    assert verdict(resolver, limits=Limits(seconds=0.01)) is Verdict.TEMPERROR
    assert Limits().seconds == 20


def test_a34_nothing_recurses_on_nested_policies_of_any_depth() -> None:
    zone: dict[tuple[str, Kind], Sequence[Record]] = {**policy("v=spf1 include:n0.example -all")}
    for number in range(5000):
        zone |= policy(f"v=spf1 include:n{number + 1}.example -all", f"n{number}.example")
    zone |= policy("v=spf1 +all", "n5000.example")
    assert verdict(zone, limits=Limits(lookups=6000)) is Verdict.PASS


@pytest.mark.parametrize(
    "text",
    ["v=spf1 a:", "v=spf1 a:museum", "v=spf1 a:x.org/33", "v=spf1 a:x.org//129", "v=spf1 ip4:1.2.3.4/033", "v=spf1 ip4:1.2.3",
     "v=spf1 ip6:fe80::1%eth0", "v=spf1 exp=a.org exp=b.org", "v=spf1 a:%{z}.org", "v=spf1 a:%{d0}", "v=spf1 a:x.org%%y",
     "v=spf1 a\tmx", "v=spf1 include", "v=spf1 all:x", "v=spf1 redirect=", "v=spf1 a:%{c}.org", "v=spf1 -"],
)  # fmt: skip
def test_what_is_no_policy_is_refused_before_anything_is_asked(text: str) -> None:
    with pytest.raises(SpfInvalid):
        parse_record(text.encode())
    resolver = ScriptedResolver(policy(text))
    assert verdict(resolver) is Verdict.PERMERROR
    assert resolver.asked == [("example.org", "TXT")]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["a", ":", "%{d}", "%{l1r-}", "x.org", "/24", "//64", "%", "all", " ", "-", "ip4:1.2.3.4", "exp="]))
)
def test_anything_at_all_is_a_policy_or_refused(pieces: list[str]) -> None:
    text = ("v=spf1 " + "".join(pieces)).encode()
    assert isinstance(ask(policy(text.decode())).result, Verdict)
    with suppress(SpfInvalid):
        parse_record(text)
