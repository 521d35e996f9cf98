"""No policy raises anything but its refusal, costs more than the limits allow, or makes a question that is no name.

The first line is what is published for every name and macro letter's origin, the second who connects: helo, local part.
"""

import asyncio
import ipaddress
from contextlib import suppress

from postwren.mailauth.spf import Limits, check
from postwren.mailauth.spf.macro import Context, MacroInvalid, expand_name, parse_macro
from postwren.mailauth.verdict import Verdict
from postwren.terms import Address
from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, Ptr, Record, Txt

_IPS = (ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1"))


class _Everywhere:
    """A DNS in which every name has the same records."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self.asked = 0

    async def query(self, name: str, kind: Kind) -> Answer:
        self.asked += 1
        assert name.isascii()
        assert len(name) <= 253
        assert all(0 < len(label) < 64 for label in name.split("."))
        records: dict[Kind, Record] = {
            "TXT": Txt(self._text),
            "MX": Mx(1, "mx.example.org"),
            "PTR": Ptr("example.org"),
            "A": HostAddress("192.0.2.9"),
        }
        return Answer((records[kind],) if kind in records else ())


def target(data: bytes) -> None:
    text, _, who = data.partition(b"\n")
    helo, _, local = who.decode("latin-1").partition("\n")
    for ip in _IPS:
        resolver = _Everywhere(text)
        result = asyncio.run(check(resolver, ip, helo, Address(local, "example.org"), now=0))
        assert result.result is not Verdict.POLICY
        assert result.explanation.isascii()
        assert "\r" not in result.explanation
        assert resolver.asked <= 1 + 11 * (1 + Limits().names) + 1 + Limits().names
        with suppress(MacroInvalid):
            name = expand_name(
                parse_macro(text.decode("latin-1")), Context(ip, helo, local, "example.org", "example.org", "mx", 0), 2048
            )
            assert name is None or (len(name) <= 253 and name.isascii())


SEEDS: list[bytes] = [
    b"v=spf1 mx a:%{d}/24//64 -all exp=%{d}\nmail.example.org\nann",
    b"v=spf1 include:%{d2}.example.org redirect=%{ir}.%{v}.arpa\n[192.0.2.1]\na-b+c",
    b"v=spf1 exists:%{l1r-}.%{S}.%{p}%%%_%- ~ip4:192.0.2.0/24 ?ip6:2001:db8::/32 ptr:org.example moo=%{c}\nh\n\xe4",
    b"%{L10r+/=}.%{o}.%{h}.%{i}\nHELO.\n\\000",
]
