"""MTA-STS records and policies (RFC 8461 sections 3.1, 3.2, 4.1)."""

import pytest

from postwren.mailauth.mtasts import (
    LIMITS,
    Mode,
    Policy,
    PolicyInvalid,
    format_policy,
    format_record,
    parse_policy,
    parse_record,
)

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmx: *.Example.NET\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    "texts",
    [
        [b"v=STSv1; id=20160831085700Z;"],
        [b"v=STSv1;id=20160831085700Z"],
        [b"v=STSv1 ;\tid=20160831085700Z ; a.b=c"],
        [b"v=spf1 -all", b"v=STSv1; id=20160831085700Z; id=other;", b"v=STSv2; id=2"],
    ],
)
def test_the_id_is_read(texts: list[bytes]) -> None:
    assert parse_record(texts) == "20160831085700Z"


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [b"v=STSv1"],
        [b"v=STSv1;"],
        [b"v=STSv1; id=;"],
        [b"v=STSv1; id=a-b;"],
        [b"v=STSv1; id=" + b"a" * 33],
        [b"v=STSv1; id=a b"],
        [b"v=STSv1; id=a;; x=y"],
        [b"v=STSv1; x; id=a"],
        [b"V=STSv1; id=a"],
        [b" v=STSv1; id=a"],
        [b"id=a; v=STSv1;"],
        [b"v=STSv1; id=a", b"v=STSv1; id=a"],
    ],
)
def test_a_record_with_a_fault_or_twice_says_nothing(texts: list[bytes]) -> None:
    assert parse_record(texts) is None


def test_an_id_has_32_characters_and_not_one_more() -> None:
    assert parse_record([format_record("a" * 32)]) == "a" * 32
    with pytest.raises(ValueError, match="1 to 32"):
        format_record("a" * 33)


@pytest.mark.parametrize(
    "octets", [GOOD, GOOD.replace(b"\r\n", b"\n"), GOOD[:-2], GOOD.replace(b": ", b":") + b"later: \xc3\xa4=\n"]
)
def test_a_policy_is_read_whatever_its_line_ends(octets: bytes) -> None:
    assert parse_policy(octets) == Policy(Mode.ENFORCE, ("mail.example.org", "*.example.net"), 604800)


def test_of_fields_alike_the_first_counts() -> None:
    assert parse_policy(GOOD + b"mode: none\nmax_age: 1\n").mode is Mode.ENFORCE


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"STSv1", b"STSv2", "version"),
        (b"version: STSv1\r\n", b"", "version"),
        (b"enforce", b"Enforce", "mode"),
        (b"mode: enforce\r\n", b"", "mode"),
        (b"604800", b"-1", "max_age"),
        (b"604800", b"60480000000", "max_age"),
        (b"max_age: 604800\r\n", b"", "max_age"),
        (b"mail.example.org", b"*", "mx"),
        (b"mail.example.org", b"*.*.example.org", "mx"),
        (b"mail.example.org", b"mail.*.org", "mx"),
        (b"mail.example.org", b"", "mx"),
        (b"mail.example.org", b"m\xc3\xa4il.example.org", "mx"),
        (b"mail.example.org", b"mail.example.org other", "mx"),
        (b"mode", b"no field\r\nmode", "line"),
        (b"mode", b"x: \x00\r\nmode", "line"),
        (b"mode", b"x: a\rb\r\nmode", "line"),
        (b"mode", b"x: \xff\r\nmode", "UTF-8"),
    ],
)
def test_what_is_no_policy_is_refused_with_a_reason(old: bytes, new: bytes, why: str) -> None:
    with pytest.raises(PolicyInvalid, match=why):
        parse_policy(GOOD.replace(old, new, 1))


def test_only_mode_none_needs_no_mx() -> None:
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 0") == Policy(Mode.NONE, (), 0)
    with pytest.raises(PolicyInvalid, match="names no mx"):
        parse_policy(b"version: STSv1\nmode: testing\nmax_age: 0")


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [
        ("mail.example.org", True),
        ("MAIL.example.org.", True),
        ("a.example.net", True),
        ("example.net", False),
        ("a.b.example.net", False),
        ("a.mail.example.org", False),
        ("aexample.net", False),
        ("*.example.net", True),
        ("", False),
    ],
)
def test_a_wildcard_is_one_whole_label(host: str, is_covered: bool) -> None:
    assert parse_policy(GOOD).covers(host) is is_covered


def test_a10_a_policy_has_64_kilobytes_and_not_one_more_octet() -> None:
    filler = b"x: " + b"y" * (LIMITS.policy - len(GOOD) - 4) + b"\n"
    assert parse_policy(GOOD + filler).mode is Mode.ENFORCE
    with pytest.raises(PolicyInvalid, match="too long"):
        parse_policy(GOOD + b"y" + filler)


def test_a_policy_has_so_many_patterns_and_not_one_more() -> None:
    head = b"version: STSv1\nmode: testing\nmax_age: 1\n"
    lines = b"".join(b"mx: mx%d.example.org\n" % number for number in range(LIMITS.patterns))
    assert len(parse_policy(head + lines).mx) == LIMITS.patterns
    with pytest.raises(PolicyInvalid, match="too many"):
        parse_policy(head + lines + b"mx: one.more.example\n")


def test_nothing_is_believed_for_longer_than_a_year() -> None:
    policy = b"version: STSv1\nmode: none\nmax_age: %d"
    assert parse_policy(policy % LIMITS.max_age).max_age == LIMITS.max_age
    assert parse_policy(policy % (LIMITS.max_age + 1)).max_age == LIMITS.max_age


def test_what_we_publish_is_what_we_read() -> None:
    policy = Policy(Mode.TESTING, ("mx.example.org", "*.example.net"), 86400)
    assert parse_policy(format_policy(policy)) == policy
