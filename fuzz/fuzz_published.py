"""Whatever stands in the DNS, what is said about it is one plain line, and what is to be published is a record.

The input is the text of every TXT record; MX, SRV and PTR name its first line.
"""

import asyncio

from postwren.mailauth.published import Setup, ask, compare
from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, Ptr, Record, Srv, Txt

_SETUP = Setup("example.org", "mx.example.org", (("2026a", "v=DKIM1; k=ed25519; p=AAAA"),), mta_sts_id="1")


class _Everywhere:
    """A DNS in which every name has the same records."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    async def query(self, name: str, kind: Kind) -> Answer:
        host = self._text.partition(b"\n")[0].decode("latin-1")
        records: dict[Kind, Record] = {"TXT": Txt(self._text), "MX": Mx(1, host), "SRV": Srv(0, 1, 993, host), "PTR": Ptr(host)}
        address = HostAddress("192.0.2.1" if kind == "A" else "2001:db8::1")
        return Answer((records.get(kind, address),))


def target(data: bytes) -> None:
    for finding in compare(_SETUP, asyncio.run(ask(_Everywhere(data), _SETUP))):
        assert finding.line.isprintable()
        assert finding.line.isascii()
        assert all(line.isprintable() and line.isascii() for line in finding.publish)


SEEDS: list[bytes] = [
    b"v=spf1 mx -all",
    b"v=DKIM1; k=ed25519; p=AAAA",
    b"v=DMARC1; p=reject; rua=mailto:a@b.example",
    b"v=STSv1; id=1;",
    b"v=TLSRPTv1; rua=mailto:postmaster@example.org",
    b"mx.example.org\n\x1b[2J",
]
