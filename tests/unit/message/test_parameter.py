"""Parameters: RFC 2045 section 5.1, RFC 2183, and every example of RFC 2231."""

import pytest

from postwren.message.parameter import Disposition, find_parameter, parse_content_type, parse_disposition

CASES: list[tuple[str, str, dict[str, str]]] = [
    ("text/plain; charset=us-ascii (Plain text)", "text/plain", {"charset": "us-ascii"}),
    ('Text/Plain; charset="us-ascii"', "text/plain", {"charset": "us-ascii"}),
    ('message/external-body; access-type=URL; URL*0="ftp://"; URL*1="cs.utk.edu/x"',
     "message/external-body", {"access-type": "URL", "url": "ftp://cs.utk.edu/x"}),
    ("application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
     "application/x-stuff", {"title": "This is ***fun***"}),
    (
        "application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; "
        "title*2=\"isn't it!\"",
        "application/x-stuff",
        {"title": "This is even more ***fun*** isn't it!"},
    ),
    ("a/b; n*1=b; n*0=a; n*2=c", "a/b", {"n": "abc"}),
    ("a/b; n*0=a; n*2=c", "a/b", {"n": "a"}),  # a gap ends it
    ("a/b; n*1=a", "a/b", {}),
    ("a/b; n*=iso-8859-1''%E4%F6", "a/b", {"n": "äö"}),
    ("a/b; n=plain; n*=utf-8''extended", "a/b", {"n": "extended"}),
    ("a/b; n=1; n=2", "a/b", {"n": "1"}),
    ('a/b; n="a\\"b\\\\c"', "a/b", {"n": 'a"b\\c'}),
    ('a/b; n="never ends', "a/b", {"n": "never ends"}),
    ('a/b; n="x\\', "a/b", {"n": "x"}),
    ("a/b; n=my file (1).pdf; m=2", "a/b", {"n": "my file", "m": "2"}),
    ("a/b; n=file(1).pdf; m=2", "a/b", {"n": "file(1).pdf", "m": "2"}),
    ("a/b;; ; n = 1 ;", "a/b", {"n": "1"}),
    ("a/b (c;d=e); n=1", "a/b", {"n": "1"}),
    ("a/b; (((((", "a/b", {}),
    ("a/b; =x; n=1", "a/b", {"n": "1"}),
    ("a/b n=1", "a/b", {"n": "1"}),  # the semicolon was forgotten
    ("text", "text/plain", {}),
    ("text; charset=utf-8", "text/plain", {"charset": "utf-8"}),
    ('"text/html"; charset=x', "text/html", {"charset": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "parameters"), CASES, ids=[c[0][:60] for c in CASES])
def test_content_type(value: str, kind: str, parameters: dict[str, str]) -> None:
    found = parse_content_type(value.encode())
    assert found is not None
    assert f"{found.maintype.decode()}/{found.subtype.decode()}" == kind
    names = {p.name.decode() for p in found.parameters}
    assert {n: (find_parameter(found.parameters, n.encode()) or b"").decode() for n in names} == parameters


@pytest.mark.parametrize("value", [b"", b"/", b"foo", b";charset=x", b"\xff/\xff"[:1]])
def test_no_type_is_none(value: bytes) -> None:
    found = parse_content_type(value)
    assert found is None or found.maintype == b"\xff"


def test_disposition() -> None:
    found = parse_disposition(b'ATTACHMENT; filename=genome.jpeg; modification-date="Wed, 12 Feb 1997 16:29:51 -0500"')
    assert found is not None
    assert found.type == b"attachment"
    assert find_parameter(found.parameters, b"modification-date") == b"Wed, 12 Feb 1997 16:29:51 -0500"
    assert parse_disposition(b"inline") == Disposition(b"inline", ())
    assert parse_disposition(b"; filename=x") is None
