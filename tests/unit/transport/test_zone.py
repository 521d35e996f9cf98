"""A DNS from a file (RFC 1035 section 5): for several servers on one machine."""

import asyncio
from pathlib import Path

import pytest

from postwren.transport.zone import ZoneInvalid, ZoneResolver, read_zone
from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, Ptr, Record, Srv, Tlsa, Txt

ZONE = """
; two domains in one file
b.example.            MX 10 mx.b.example.
                      MX 20 Backup.b.example.
b.example.       60 IN TXT "v=spf1 " "-all"
mx.b.example.         A 127.0.0.1
mx.b.example.         AAAA ::1
www.b.example.        CNAME mx.b.example.
round.b.example.      CNAME square.b.example.
square.b.example.     CNAME round.b.example.
_25._tcp.mx.b.example. TLSA 3 1 0 00ff
_imaps._tcp.b.example. SRV 0 1 993 mx.b.example.
1.2.0.192.in-addr.arpa. PTR host.c.example.
c.example.            MX 0 .
c.example.            TYPE65280 \\# 1 00
"""


@pytest.mark.parametrize(
    ("name", "kind", "records"),
    [
        ("b.example", "MX", [Mx(10, "mx.b.example"), Mx(20, "backup.b.example")]),
        ("B.Example.", "TXT", [Txt(b"v=spf1 -all")]),
        ("mx.b.example", "A", [HostAddress("127.0.0.1")]),
        ("www.b.example", "AAAA", [HostAddress("::1")]),
        ("_25._tcp.mx.b.example", "TLSA", [Tlsa(3, 1, 0, b"\x00\xff")]),
        ("_imaps._tcp.b.example", "SRV", [Srv(0, 1, 993, "mx.b.example")]),
        ("1.2.0.192.in-addr.arpa", "PTR", [Ptr("host.c.example")]),
        ("c.example", "MX", [Mx(0, "")]),
        ("c.example", "A", []),
        ("round.b.example", "A", []),
        ("nobody.example", "MX", []),
    ],
)
def test_a_zone_answers_what_stands_in_it(name: str, kind: Kind, records: list[Record]) -> None:
    answer = asyncio.run(ZoneResolver(ZONE).query(name, kind))
    assert sorted(map(repr, answer.records)) == sorted(map(repr, records))
    assert answer.is_secure


def test_an_alias_is_told() -> None:
    assert asyncio.run(ZoneResolver(ZONE).query("www.b.example", "A")) == Answer(
        (HostAddress("127.0.0.1"),), True, "mx.b.example"
    )


@pytest.mark.parametrize("text", ["b.example. MX", "b.example. A 300.0.0.1", "b.example. NONSENSE x", 'b.example. TXT "open'])
def test_a_file_that_is_no_zone_says_where(text: str, tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text("a.example. A 192.0.2.1\n" + text)
    with pytest.raises(ZoneInvalid, match=str(path)):
        read_zone(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ZoneInvalid, match="cannot be read"):
        read_zone(tmp_path / "none")
