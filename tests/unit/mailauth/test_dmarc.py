"""DMARC (RFC 7489, RFC 9091, and the tree walk)."""

import asyncio
import time
from collections.abc import Mapping

import pytest

from postwren.mailauth.dmarc import (
    LIMITS,
    Disposition,
    DmarcInvalid,
    DmarcRecord,
    DmarcResult,
    Identifiers,
    author_domains,
    evaluate,
    parse_record,
)
from postwren.mailauth.verdict import Verdict
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress, Kind, Record, Txt

NONE, QUARANTINE, REJECT = Disposition.NONE, Disposition.QUARANTINE, Disposition.REJECT
PASS, FAIL, TEMPERROR = Verdict.PASS, Verdict.FAIL, Verdict.TEMPERROR
NOBODY = (Verdict.NONE, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"v=DMARC1; p=none", DmarcRecord(NONE, NONE, NONE)),
        (b" v = DMARC1 ;p=REJECT;", DmarcRecord(REJECT, REJECT, REJECT)),
        (b"v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; pct=20; t=y; psd=n; fo=1; ri=9; x=y",
         DmarcRecord(REJECT, QUARANTINE, NONE, True, True, 20, True, "n")),
        (b"v=DMARC1; p=quarantine; adkim=r; aspf=?; pct=200", DmarcRecord(QUARANTINE, QUARANTINE, QUARANTINE)),
        (b"v=DMARC1; rua=mailto:a@example.org!10m , https://x.example/, mailto:b@example.net",
         DmarcRecord(NONE, NONE, NONE, reports=("mailto:a@example.org", "mailto:b@example.net"))),
        (b"v=DMARC1; p=rejekt; rua=mailto:a@example.org", DmarcRecord(NONE, NONE, NONE, reports=("mailto:a@example.org",))),
        (b"v=DMARC1; p=reject; sp=x; rua=mailto:a@example.org", DmarcRecord(NONE, NONE, NONE, reports=("mailto:a@example.org",))),
        (b"v=DMARC1; p=reject; p=none", DmarcRecord(REJECT, REJECT, REJECT)),
    ],
)  # fmt: skip
def test_a_record_says(text: bytes, expected: DmarcRecord) -> None:
    """RFC 7489 section 6.3."""
    assert parse_record(text) == expected


@pytest.mark.parametrize(
    "text", [b"", b"v=DMARC1", b"v=dmarc1; p=none", b"p=none; v=DMARC1", b"v=DMARC12; p=none", b"v=DMARC1; p=no", b"v=spf1 -all"]
)
def test_what_says_nothing_is_no_record(text: bytes) -> None:
    with pytest.raises(DmarcInvalid):
        parse_record(text)


def test_a_record_has_limits() -> None:
    assert parse_record(b"v=DMARC1;p=none;".ljust(LIMITS.record)).policy is NONE
    with pytest.raises(DmarcInvalid):
        parse_record(b"v=DMARC1;p=none;".ljust(LIMITS.record + 1))
    fill = b";x=1" * (LIMITS.tags - 2)
    assert parse_record(b"v=DMARC1" + fill + b";p=none").policy is NONE
    with pytest.raises(DmarcInvalid):
        parse_record(b"v=DMARC1" + fill + b";x=1;p=none")
    for count in (LIMITS.report_uris, LIMITS.report_uris + 1):
        uris = b",".join(b"mailto:a@b%d.example" % number for number in range(count))
        assert len(parse_record(b"v=DMARC1;p=none;rua=" + uris).reports) == LIMITS.report_uris


@pytest.mark.parametrize(
    ("block", "domains"),
    [
        (b"From: Ann <ann@Example.ORG>\r\n", ["example.org"]),
        (b"From : ann@example.org\r\n", ["example.org"]),
        (b"fROM:\r\n Ann\r\n <ann@example.org>\r\n", ["example.org"]),
        (b"From: Ann, Lee <ann@example.org>\r\n", ["example.org"]),
        (b"From: (a@bank.example) ann@example.org\r\n", ["example.org"]),
        (b'From: "a@bank.example" <ann@example.org>\r\n', ["example.org"]),
        (b"From: a@bank.example, b@example.org\r\n", ["bank.example", "example.org"]),
        (b"From: friends: a@bank.example, b@example.org;\r\n", ["bank.example", "example.org"]),
        (b"From: ann@b\xc3\xbccher.example\r\n", ["xn--bcher-kva.example"]),
        (b"From: a@example.org\r\nFrom: b@example.org\r\n", []),
        (b"From: a@example.org\r\nfrom : b@example.org\r\n", []),
        (b"From: =?utf-8?q?a=40bank.example?=\r\n", []),
        (b"From: nobody:;\r\n", []),
        (b"From: ann\r\n", []),
        (b"From: a@example.org\0\r\n", []),
        (b"From: a@bank.example\0@example.org\r\n", []),
        (b"From: a@exa$mple.org, b@example.org\r\n", []),
        (b"From: a@[192.0.2.1]\r\n", []),
        (b"From: a@-x.example\r\n", []),
        (b"Subject: x\r\n", []),
        (b"", []),
    ],
)
def test_a25_a36_whom_readers_could_see_as_the_author_is_judged_or_nobody_is(block: bytes, domains: list[str]) -> None:
    """A-25, A-36."""
    assert author_domains(block) == domains


def test_so_many_authors_are_judged() -> None:
    for count, is_judged in ((LIMITS.authors, True), (LIMITS.authors + 1, False)):
        block = b"From: " + b", ".join(b"a@b%d.example" % number for number in range(count)) + b"\r\n"
        assert bool(author_domains(block)) is is_judged


def judged(
    records: Mapping[str, str], domain: str, spf: tuple[Verdict, str] = NOBODY, *dkim: tuple[Verdict, str], draw: int = 0
) -> DmarcResult:
    zone: dict[tuple[str, Kind], list[Record]] = {
        (f"_dmarc.{name}", "TXT"): [Txt(text.encode())] for name, text in records.items()
    }
    zone["there.example.org", "A"] = [HostAddress("192.0.2.1")]
    return asyncio.run(evaluate(ScriptedResolver(zone), domain, Identifiers(spf, dkim), draw))


ORG = "example.org"
STRICT = {ORG: "v=DMARC1; p=reject; adkim=s; aspf=s"}
RELAXED = {ORG: "v=DMARC1; p=reject"}


@pytest.mark.parametrize("records", [STRICT, RELAXED], ids=["strict", "relaxed"])
@pytest.mark.parametrize("spf", [PASS, FAIL, Verdict.SOFTFAIL, Verdict.NEUTRAL, TEMPERROR, Verdict.PERMERROR])
@pytest.mark.parametrize("spf_domain", [ORG, "bounce.example.org", "other.example", "notexample.org", "org"])
@pytest.mark.parametrize("dkim", [PASS, FAIL, TEMPERROR, Verdict.POLICY])
@pytest.mark.parametrize("dkim_domain", [ORG, "mail.example.org", "other.example", "EXAMPLE.org."])
def test_what_is_aligned_and_passes_decides(
    records: dict[str, str], spf: Verdict, spf_domain: str, dkim: Verdict, dkim_domain: str
) -> None:
    """RFC 7489 section 3.1 and section 4.2: the whole matrix."""
    related = {ORG, "EXAMPLE.org."} if records is STRICT else {ORG, "EXAMPLE.org.", "bounce.example.org", "mail.example.org"}
    verdicts = {spf if spf_domain in related else FAIL, dkim if dkim_domain in related else FAIL}
    expected = PASS if PASS in verdicts else TEMPERROR if TEMPERROR in verdicts else FAIL
    found = judged(records, ORG, (spf, spf_domain), (FAIL, ORG), (dkim, dkim_domain))
    assert found.verdict is expected
    assert found.policy is REJECT
    assert found.disposition is (NONE if expected is PASS else REJECT)
    assert found.spf_aligned is (spf is PASS and spf_domain in related)
    assert found.dkim_aligned is (dkim is PASS and dkim_domain in related)


@pytest.mark.parametrize(
    ("records", "domain", "policy", "place"),
    [
        ({}, "example.org", NONE, ""),
        ({"example.org": "v=DMARC1; p=reject; sp=quarantine"}, "example.org", REJECT, "example.org"),
        ({"example.org": "v=DMARC1; p=reject; sp=quarantine"}, "there.example.org", QUARANTINE, "example.org"),
        ({"example.org": "v=DMARC1; p=none; np=reject"}, "there.example.org", NONE, "example.org"),
        ({"example.org": "v=DMARC1; p=none; np=reject"}, "gone.example.org", REJECT, "example.org"),
        ({"example.org": "v=DMARC1; p=reject", "a.example.org": "v=DMARC1; p=none"}, "a.example.org", NONE, "a.example.org"),
        ({"example.org": "v=DMARC1; p=reject", "a.example.org": "v=DMARC1; p=none"}, "b.a.example.org", REJECT, "example.org"),
        ({"org": "v=DMARC1; p=reject; psd=y"}, "a.example.org", REJECT, "org"),
        ({"org": "v=DMARC1; p=reject; psd=y", "example.org": "v=DMARC1; p=none"}, "a.example.org", NONE, "example.org"),
        (
            {"example.org": "v=DMARC1; p=reject", "a.example.org": "v=DMARC1; p=none; psd=n"},
            "b.a.example.org",
            NONE,
            "a.example.org",
        ),
        ({"x.example.org": "junk"}, "x.example.org", NONE, ""),
    ],
)
def test_the_policy_is_found_on_the_way_up(records: dict[str, str], domain: str, policy: Disposition, place: str) -> None:
    found = judged(records, domain)
    assert (found.policy, found.record_domain) == (policy, place)
    assert found.verdict is (FAIL if place else Verdict.NONE)


def test_neighbours_under_a_public_suffix_are_strangers() -> None:
    """A-36: a suffix that says so, and one that says nothing."""
    suffix = {"co.example": "v=DMARC1; p=reject; psd=y"}
    assert judged(suffix, "bank.co.example", (PASS, "evil.co.example")).verdict is FAIL
    assert judged(suffix, "www.bank.co.example", (PASS, "bank.co.example")).verdict is PASS
    silent = {"bank.co.example": "v=DMARC1; p=reject"}
    assert judged(silent, "bank.co.example", (PASS, "evil.co.example")).verdict is FAIL
    assert judged(silent, "bank.co.example", (PASS, "co.example")).verdict is FAIL


def test_a_part_that_is_its_own_organization_is_not_the_whole() -> None:
    records = {"example.org": "v=DMARC1; p=reject", "free.example.org": "v=DMARC1; p=none; psd=n"}
    assert judged(records, "example.org", (PASS, "user.free.example.org")).verdict is FAIL
    assert judged(records, "example.org", (PASS, "shop.example.org")).verdict is PASS


def test_two_records_at_a_name_are_none() -> None:
    """RFC 7489 section 6.6.3."""
    two = [Txt(b"v=DMARC1; p=reject"), Txt(b"v=DMARC1; p=none")]
    beside = [Txt(b"v=DMARC1; p=reject"), Txt(b"something else")]
    for records, verdict in ((two, Verdict.NONE), (beside, FAIL)):
        resolver = ScriptedResolver({("_dmarc.example.org", "TXT"): records})
        assert asyncio.run(evaluate(resolver, "example.org", Identifiers(NOBODY))).verdict is verdict


@pytest.mark.parametrize(
    ("record", "draw", "disposition"),
    [
        ("v=DMARC1; p=reject; pct=30", 29, REJECT),
        ("v=DMARC1; p=reject; pct=30", 30, QUARANTINE),
        ("v=DMARC1; p=quarantine; pct=0", 0, NONE),
        ("v=DMARC1; p=reject; pct=100", 99, REJECT),
        ("v=DMARC1; p=reject; t=y", 0, QUARANTINE),
    ],
)
def test_what_is_only_tried_out_is_milder(record: str, draw: int, disposition: Disposition) -> None:
    """RFC 7489 section 6.6.4."""
    assert judged({ORG: record}, ORG, draw=draw).disposition is disposition


def test_nobody_who_could_tell_is_a_temporary_error() -> None:
    resolver = ScriptedResolver({}, failing=["_dmarc.example.org"])
    assert asyncio.run(evaluate(resolver, "a.example.org", Identifiers(NOBODY))).verdict is TEMPERROR


def test_a_name_costs_so_many_questions() -> None:
    """A-36: however many labels it has, and whoever signed."""
    for labels, questions in ((LIMITS.labels, LIMITS.labels), (LIMITS.labels + 1, LIMITS.labels), (120, LIMITS.labels)):
        resolver = ScriptedResolver({("_dmarc.a", "TXT"): [Txt(b"v=DMARC1; p=reject")]})
        signed = [(PASS, f"evil{number}.example") for number in range(10)]
        asyncio.run(evaluate(resolver, ".".join(["a"] * labels), Identifiers((PASS, "other.example"), signed)))
        assert len(resolver.asked) == questions


def test_no_from_takes_long() -> None:
    began = time.perf_counter()
    for piece in (b"a@b,", b"(", b"<", b'"', b"a@b.example,", b"\\"):
        author_domains(b"From: " + piece * 60_000 + b"\r\n")
    author_domains(b"From: a@b.example\r\n" * 13_000)
    assert time.perf_counter() - began < 2
