"""What holds for a domain and a host: DANE, MTA-STS, REQUIRETLS and TLS-Required: No together (RFC 7672, 8461, 8689; A-10)."""

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from tests.unit.exchange.chain import AUTHORITY_PARTS, NOW, issue, issued_by, names, servers

from postwren.exchange import webpki
from postwren.exchange.dane import public_key_of
from postwren.exchange.mtasts import Found
from postwren.exchange.policy import TlsAttempt, TlsResult, TlsRule, TlsWish
from postwren.exchange.rules import Policies
from postwren.mailauth.mtasts import Mode, Policy
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import ResolverFailed, Tlsa

HOST: Final = "mx.example.org"
LEAF: Final = issue("leaf", None, names(HOST))
GOOD: Final = Tlsa(3, 1, 0, public_key_of(LEAF.der))
UNUSABLE: Final = Tlsa(1, 1, 1, bytes(32))
OPEN: Final = TlsRule(HOST)
VERIFIED: Final = TlsRule(HOST, is_required=True, is_verified=True)


class Sts:
    def __init__(self, found: Found) -> None:
        self.found = found

    async def look_up(self, domain: str) -> Found:
        return self.found


class Tallied:
    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []

    def count(self, domain: str, kind: str, strings: Sequence[str], patterns: Sequence[str], attempt: TlsAttempt) -> None:
        self.lines.append((domain, kind, tuple(strings), tuple(patterns), attempt.result.value))

    def problem(self, domain: str, strings: Sequence[str], patterns: Sequence[str], result: str, why: str) -> None:
        self.lines.append((domain, result, tuple(patterns), why))


def sts(mode: Mode | None, *mx: str) -> Found:
    return Found(None if mode is None else Policy(mode, mx or (HOST,), 86400))


def ask(
    *,
    tlsa: Sequence[Tlsa] = (),
    found: Found = Found(None),  # noqa: B008 - it is a value
    wish: TlsWish = TlsWish.USUAL,
    is_mx_secure: bool = False,
    is_host_secure: bool = False,
    tally: Tallied | None = None,
    result: TlsResult = TlsResult.SUCCESS,
    failing: Sequence[str] = (),
) -> tuple[bool, TlsRule]:
    resolver = ScriptedResolver({(f"_25._tcp.{HOST}", "TLSA"): tlsa}, is_secure=True, failing=failing)

    async def work() -> tuple[bool, TlsRule]:
        rules = await Policies(resolver, Sts(found), lambda: NOW, tally).domain("example.org", wish, is_secure=is_mx_secure)
        rule = await rules.rule(HOST, is_secure=is_host_secure)
        rules.report(TlsAttempt(HOST, "192.0.2.1", result))
        return rules.allows(HOST), rule

    return asyncio.run(work())


def test_who_publishes_nothing_gets_tls_where_it_is_offered() -> None:
    assert ask() == (True, OPEN)


@pytest.mark.parametrize(
    ("found", "allowed", "rule"),
    [
        (sts(Mode.ENFORCE), True, VERIFIED),
        (sts(Mode.ENFORCE, "*.example.org"), True, VERIFIED),
        (sts(Mode.ENFORCE, "other.example.org"), False, VERIFIED),
        (sts(Mode.NONE, "other.example.org"), True, OPEN),
    ],
)
def test_a10_a_policy_in_force_says_which_hosts_and_that_they_are_verified(found: Found, allowed: bool, rule: TlsRule) -> None:
    assert ask(found=found) == (allowed, rule)


@pytest.mark.parametrize(
    ("mx", "host", "told"),
    [
        (HOST, HOST, "success"),
        ("other.example.org", HOST, "validation-failure"),
        (HOST, "wrong.example.org", "certificate-host-mismatch"),
    ],
)
def test_in_testing_what_is_wrong_is_told_and_mail_goes_all_the_same(
    mx: str, host: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8461 section 5."""
    root = issue("root", None, *AUTHORITY_PARTS, is_critical=True)
    leaf = issue("leaf", root, names(host), servers(), issued_by(root))
    monkeypatch.setattr(webpki, "system_authorities", lambda: (root.der,))
    tally = Tallied()

    async def work() -> bool:
        rules = await Policies(ScriptedResolver({}), Sts(sts(Mode.TESTING, mx)), lambda: NOW, tally).domain(
            "example.org", TlsWish.USUAL, is_secure=False
        )
        rule = await rules.rule(HOST, is_secure=False)
        assert (rule.is_required, rule.is_verified) == (False, False)
        assert rule.judge is not None
        assert rule.judge([leaf.der, root.der]) is None
        rules.report(TlsAttempt(HOST, "192.0.2.1", TlsResult.SUCCESS))
        return rules.allows(HOST)

    assert asyncio.run(work())
    assert [line[-1] for line in tally.lines] == [told]


def test_a_host_that_a_policy_in_force_does_not_name_is_told() -> None:
    tally = Tallied()
    ask(found=sts(Mode.ENFORCE, "other.example.org"), tally=tally)
    assert ("example.org", "sts", "validation-failure") in [(line[0], line[1], line[-1]) for line in tally.lines]


def test_dane_wins_over_a_policy_and_judges_by_its_records() -> None:
    _, rule = ask(tlsa=[GOOD], found=sts(Mode.ENFORCE), is_mx_secure=True, is_host_secure=True)
    assert (rule.is_required, rule.is_verified) == (True, False)
    assert rule.judge is not None
    assert rule.judge([LEAF.der]) is None
    blame = rule.judge([issue("leaf", None, names(HOST)).der])
    assert blame is not None
    assert blame.result is TlsResult.TLSA_INVALID


@pytest.mark.parametrize(("is_mx_secure", "is_host_secure"), [(False, True), (True, False), (False, False)])
def test_dane_holds_only_where_the_whole_way_is_proven(is_mx_secure: bool, is_host_secure: bool) -> None:
    assert ask(tlsa=[GOOD], is_mx_secure=is_mx_secure, is_host_secure=is_host_secure) == (True, OPEN)


def test_a10_records_of_which_none_can_be_used_demand_tls_with_any_certificate() -> None:
    assert ask(tlsa=[UNUSABLE], is_mx_secure=True, is_host_secure=True) == (True, TlsRule(HOST, is_required=True))


@pytest.mark.parametrize("wish", [TlsWish.USUAL, TlsWish.REQUIRED])
def test_a10_a_bogus_answer_defers_and_never_leads_into_the_clear(wish: TlsWish) -> None:
    with pytest.raises(ResolverFailed):
        ask(wish=wish, is_mx_secure=True, is_host_secure=True, failing=[f"_25._tcp.{HOST}"])


@pytest.mark.parametrize(
    ("found", "is_mx_secure", "allowed"),
    [
        (sts(None), False, False),
        (sts(None), True, True),
        (sts(Mode.TESTING), False, True),
        (sts(Mode.ENFORCE), False, True),
        (sts(Mode.ENFORCE, "other.example.org"), True, False),
        (sts(Mode.NONE), False, False),
    ],
)
def test_requiretls_wants_a_host_whose_name_is_proven_and_verified_tls(found: Found, is_mx_secure: bool, allowed: bool) -> None:
    """RFC 8689 section 4.2.1."""
    assert ask(found=found, wish=TlsWish.REQUIRED, is_mx_secure=is_mx_secure) == (allowed, VERIFIED)


def test_requiretls_is_content_with_dane_but_not_with_records_that_cannot_be_used() -> None:
    allowed, rule = ask(tlsa=[GOOD], wish=TlsWish.REQUIRED, is_mx_secure=True, is_host_secure=True)
    assert allowed
    assert rule.judge is not None
    assert ask(tlsa=[UNUSABLE], wish=TlsWish.REQUIRED, is_mx_secure=True, is_host_secure=True) == (True, VERIFIED)


def test_a_domain_without_mx_records_is_its_own_host_for_requiretls() -> None:
    async def work() -> bool:
        policies = Policies(ScriptedResolver({}), Sts(Found(None)), lambda: NOW)
        return (await policies.domain("example.org", TlsWish.REQUIRED, is_secure=False)).allows("example.org")

    assert asyncio.run(work())


def test_tls_required_no_waives_every_policy() -> None:
    """RFC 8689 section 4.2.2."""
    found = sts(Mode.ENFORCE, "other.example.org")
    assert ask(tlsa=[GOOD], found=found, wish=TlsWish.WAIVED, is_mx_secure=True, is_host_secure=True) == (True, OPEN)


def test_a_session_is_counted_with_the_policy_that_held() -> None:
    """RFC 8460 section 4.4."""
    tally = Tallied()
    ask(tally=tally)
    ask(tally=tally, found=sts(Mode.TESTING), result=TlsResult.EXPIRED)
    ask(tally=tally, tlsa=[GOOD], found=sts(Mode.ENFORCE), is_mx_secure=True, is_host_secure=True)
    strings = ("version: STSv1", "mode: testing", f"mx: {HOST}", "max_age: 86400")
    assert tally.lines == [
        ("example.org", "no-policy-found", (), (), "success"),
        ("example.org", "sts", strings, (HOST,), "certificate-expired"),
        ("example.org", "tlsa", (f"3 1 0 {GOOD.data.hex()}",), (HOST,), "success"),
    ]


def test_a_policy_that_cannot_be_had_is_counted_too() -> None:
    tally = Tallied()
    ask(tally=tally, found=Found(None, "sts-webpki-invalid", "expired"))
    assert tally.lines[0] == ("example.org", "sts-webpki-invalid", (), "expired")
