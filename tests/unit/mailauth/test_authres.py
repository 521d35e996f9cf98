"""Authentication-Results (RFC 8601)."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.mailauth.authres import LIMITS, MethodResult, Results, format_results, parse_results, strip_forged
from postwren.mailauth.verdict import Verdict

OURS = "mx.example.org"
SPF = MethodResult("spf", Verdict.PASS, (("smtp.mailfrom", "a@example.net"),))
DKIM = MethodResult("dkim", Verdict.FAIL, (("header.d", "example.net"), ("header.b", "dEf/gh+1")), "body hash did not verify")


def read(field: bytes) -> Results | None:
    assert field.startswith(b"Authentication-Results:")
    return parse_results(field.partition(b":")[2])


def test_what_is_written_is_a_line_a_method() -> None:
    """RFC 8601 section 2.2."""
    assert format_results(OURS, [SPF, DKIM]) == (
        b"Authentication-Results: mx.example.org;\r\n"
        b"\tspf=pass smtp.mailfrom=a@example.net;\r\n"
        b'\tdkim=fail reason="body hash did not verify" header.d=example.net\r\n'
        b'\theader.b="dEf/gh+1"\r\n'
    )
    assert format_results(OURS, []) == b"Authentication-Results: mx.example.org;\r\n\tnone\r\n"


TEXTS = st.text(max_size=400)
RESULTS = st.builds(
    MethodResult,
    st.sampled_from(["spf", "dkim", "dmarc", "arc"]),
    st.sampled_from(Verdict),
    st.lists(st.tuples(st.sampled_from(["header.d", "smtp.mailfrom", "policy.x"]), TEXTS), max_size=4).map(tuple),
    TEXTS,
)


@settings(max_examples=60)
@given(st.lists(RESULTS, max_size=4))
def test_whatever_goes_in_stays_one_field_that_reads_the_same(results: list[MethodResult]) -> None:
    """A-22, A-33: domains, addresses and reasons come from strangers."""
    field = format_results(OURS, results)
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"\t") and line.strip() for line in lines[1:])
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert max(map(len, lines)) <= 998 + 2 * LIMITS.value
    found = read(field)
    assert found is not None
    assert found.authserv_id == OURS
    assert [(r.method, r.verdict, [name for name, _ in r.properties]) for r in found.results] == [
        (r.method, r.verdict, [name for name, _ in r.properties]) for r in results
    ]


def test_values_that_are_no_token_come_back_whole() -> None:
    odd = 'a"b\\c (d); e=f@g'
    found = read(format_results(OURS, [MethodResult("spf", Verdict.FAIL, (("smtp.helo", odd), ("smtp.mailfrom", odd)), odd)]))
    assert found == Results(OURS, (MethodResult("spf", Verdict.FAIL, (("smtp.helo", odd), ("smtp.mailfrom", odd)), odd),))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" example.org 1; none", Results("example.org", ())),
        (b" example.com;\r\n spf=pass smtp.mailfrom=example.net", Results("example.com", (SPF_BARE := MethodResult("spf", Verdict.PASS, (("smtp.mailfrom", "example.net"),)),))),  # noqa: E501
        (b" foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
         b" policy (A dot can go here) . (like that) expired\r\n (this surprised me) = (as I wasn't expecting it) 1362471462",
         Results("foo.example.net", (MethodResult("dkim", Verdict.FAIL, (("policy.expired", "1362471462"),)),))),
        (b' "quoted id"; spf=pass', Results("quoted id", (MethodResult("spf", Verdict.PASS),))),
        (b" a; spf=novel smtp.helo=x; dkim=pass", Results("a", (MethodResult("dkim", Verdict.PASS),))),
        (b" a; ; ;dkim = pass;", Results("a", (MethodResult("dkim", Verdict.PASS),))),
        (b"", None),
        (b" ; spf=pass", None),
        (b" (mx.example.org", None),
    ],
)  # fmt: skip
def test_the_grammar_is_read(value: bytes, expected: Results | None) -> None:
    """RFC 8601 appendix B has the third."""
    assert parse_results(value) == expected


@pytest.mark.parametrize(
    "name",
    [
        b"Authentication-Results: mx.example.org; spf=pass",
        b"authentication-results:MX.Example.ORG;dkim=pass",
        b"Authentication-Results : mx.example.org. 1; spf=pass",
        b"Authentication-Results:\r\n (comment (nested) \\) ) mx.example.org\r\n ; spf=pass",
        b'Authentication-Results: "mx.example\\.org"; spf=pass',
        b"Authentication-Results: mx.example.org spf=pass",
        b"Authentication-Results: mx.example.org/1; spf=pass",
        b"Authentication-Results: (never ends; mx.example.org; spf=pass",
        b"Authentication-Results:",
    ],
)
def test_a37_what_claims_to_be_ours_is_taken_out(name: bytes) -> None:
    """A-37, RFC 8601 section 5: and nothing beside it, wherever it stands."""
    before, after = b"Subject: a\r\n", b"X-Authentication-Results: mx.example.org; b\r\nTo: b\r\n"
    assert strip_forged(before + name + b"\r\n" + after, OURS) == before + after
    assert strip_forged(name + b"\r\n", OURS) == b""


def test_what_others_say_stays() -> None:
    block = b"Authentication-Results: mx.example.org.evil.example; spf=pass\r\n"
    block += b"ARC-Authentication-Results: i=1; mx.example.org; none\r\n"
    assert strip_forged(block, OURS) == block
    assert strip_forged(b"Subject: x\r\n", OURS) == b"Subject: x\r\n"


def test_a_value_has_a_length() -> None:
    for length, is_whole in ((LIMITS.value, True), (LIMITS.value + 1, False)):
        field = format_results(OURS, [MethodResult("spf", Verdict.PASS, (("smtp.helo", "x" * length),))])
        assert (b"x" * length in field) is is_whole


def test_so_many_results_and_properties_are_read() -> None:
    for count in (LIMITS.results, LIMITS.results + 1):
        found = parse_results(b"a" + b";spf=pass" * count)
        assert found is not None
        assert len(found.results) == LIMITS.results
    for count in (LIMITS.properties, LIMITS.properties + 1):
        found = parse_results(b"a; spf=pass" + b" a.b=c" * count)
        assert found is not None
        assert len(found.results[0].properties) == LIMITS.properties


def test_so_much_of_a_field_is_read() -> None:
    for padding, is_read in ((LIMITS.field - 11, True), (LIMITS.field - 10, False)):
        found = parse_results(b"a;" + b" " * padding + b" spf=pass")
        assert found is not None
        assert bool(found.results) is is_read


@pytest.mark.parametrize("piece", [b"(", b'"', b"\\", b";", b"=", b" a=", b"(a)", b"@", b"\r\n "])
def test_no_field_takes_long(piece: bytes) -> None:
    block = b"Authentication-Results: a" + piece * (250_000 // len(piece)) + b"\r\n"
    began = time.perf_counter()
    strip_forged(block, OURS)
    strip_forged(b"Authentication-Results: a\r\n" * 9_000, OURS)
    assert time.perf_counter() - began < 2
