"""Address lists: RFC 5322 section 3.4, its appendix A, obsolete forms, RFC 6532, and what people send."""

import pytest

from postwren.message.address import GROUP_END, ImapAddress, parse_addresses
from postwren.message.limits import Limits


def plain(name: bytes | None, mailbox: bytes, host: bytes) -> ImapAddress:
    return ImapAddress(name, None, mailbox, host)


def group(name: bytes) -> ImapAddress:
    return ImapAddress(None, None, name, None)


CASES: list[tuple[str, str, list[ImapAddress]]] = [
    ("name and angle", "John Doe <jdoe@machine.example>", [plain(b"John Doe", b"jdoe", b"machine.example")]),
    (
        "A.1.2 several",
        "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>, <boss@nil.test>, "
        '"Giant; \\"Big\\" Box" <sysservices@example.net>',
        [
            plain(b"Mary Smith", b"mary", b"x.test"),
            plain(None, b"jdoe", b"example.org"),
            plain(b"Who?", b"one", b"y.test"),
            plain(None, b"boss", b"nil.test"),
            plain(b'Giant; "Big" Box', b"sysservices", b"example.net"),
        ],
    ),
    (
        "A.1.3 groups",
        "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
        [
            group(b"A Group"),
            plain(b"Ed Jones", b"c", b"a.test"),
            plain(None, b"joe", b"where.test"),
            plain(b"John", b"jdoe", b"one.test"),
            GROUP_END,
        ],
    ),
    ("empty group", "Undisclosed recipients:;", [group(b"Undisclosed recipients"), GROUP_END]),
    ("A.5 comments", "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", [plain(b"Pete", b"pete", b"silly.test")]),
    (
        "A.5 group with comments",
        "A Group(Some people)\t :Chris Jones <c@(Chris's host.)public.example>, joe@example.org, "
        " John <jdoe@one.test> (my dear friend); (the end of the group)",
        [
            group(b"A Group"),
            plain(b"Chris Jones", b"c", b"public.example"),
            plain(None, b"joe", b"example.org"),
            plain(b"John", b"jdoe", b"one.test"),
            GROUP_END,
        ],
    ),
    (
        "A.5 empty group",
        "(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;",
        [group(b"Hidden recipients"), GROUP_END],
    ),
    (
        "A.6.1 unquoted dot",
        "Joe Q. Public <john.q.public@example.com>",
        [plain(b"Joe Q. Public", b"john.q.public", b"example.com")],
    ),
    (
        "A.6.1 route and empty",
        "Mary Smith <@node.test:mary@example.net>, , jdoe@test . example",
        [ImapAddress(b"Mary Smith", b"@node.test", b"mary", b"example.net"), plain(None, b"jdoe", b"test.example")],
    ),
    ("two routes", "<@a.test,@b.test:c@d>", [ImapAddress(None, b"@a.test,@b.test", b"c", b"d")]),
    ("old name in a comment", "jdoe@example.org (John (Q) Doe)", [plain(b"John (Q) Doe", b"jdoe", b"example.org")]),
    ("quoted local part", '"a b"@example.org', [plain(None, b"a b", b"example.org")]),
    ("domain literal", "x@[192.0.2.1]", [plain(None, b"x", b"[192.0.2.1]")]),
    ("encoded words stay", "=?utf-8?q?J=C3=B6rg?= <j@x>", [plain(b"=?utf-8?q?J=C3=B6rg?=", b"j", b"x")]),
    ("UTF-8", "Jörg <jörg@bücher.example>", [plain("Jörg".encode(), "jörg".encode(), "bücher.example".encode())]),
    ("no domain", "root", [plain(None, b"root", b"")]),
    ("name without brackets", "Ann Lee ann . lee@example . org", [plain(b"Ann Lee", b"ann.lee", b"example.org")]),
    ("name behind", "ann@example.org Ann Lee", [plain(b"Ann Lee", b"ann", b"example.org")]),
    ("only an at sign", "@", [plain(None, b"", b"")]),
    ("empty angle", "Nobody <>", [plain(b"Nobody", b"", b"")]),
    ("address as the name", "a@b <c@d>", [plain(b"a@b", b"c", b"d")]),
    ("comma in an unquoted name", "Doe, John <j@x>", [plain(None, b"Doe", b""), plain(b"John", b"j", b"x")]),
    ("semicolons between addresses", "a@b; c@d", [plain(None, b"a", b"b"), plain(None, b"c", b"d")]),
    ("bracket that never closes", "foo <a@b, c@d", [plain(b"foo", b"a", b"b"), plain(None, b"c", b"d")]),
    ("quote that never closes", '"foo <a@b>', [plain(None, b"foo <a@b>", b"")]),
    ("comment that never closes", "foo (((", [plain(None, b"foo", b"")]),
    ("comment ending in a backslash", "(a\\", []),
    ("quoted pair at the end", '"a\\', [plain(None, b"a\\", b"")]),
    ("two at signs", "a@b@c", [plain(None, b"a@b", b"c")]),
    ("group that never closes", "G: a@b", [group(b"G"), plain(None, b"a", b"b"), GROUP_END]),
    ("nothing", " , ,, ", []),
]


@pytest.mark.parametrize(("value", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_addresses(value: str, expected: list[ImapAddress]) -> None:
    assert parse_addresses(value.encode()) == expected


def test_addresses_end_at_the_cap() -> None:
    limits = Limits(addresses=3)
    assert len(parse_addresses(b"a@b," * 3, limits)) == 3
    assert len(parse_addresses(b"a@b," * 4, limits)) == 3
    assert parse_addresses(b"G: " + b"a@b," * 9, limits)[-1] == GROUP_END
    assert len(parse_addresses(b"G: " + b"a@b," * 9, limits)) == 3


def test_a_group_head_at_the_cap_is_closed_or_dropped() -> None:
    found = parse_addresses(b"a@b, c@d, G: e@f;", Limits(addresses=3))
    assert sum(1 for each in found if each.host is None) % 2 == 0
    assert len(found) <= 3
