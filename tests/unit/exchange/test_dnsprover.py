"""Proof by the DNS (RFC 8555 section 8.4), at a name server that is really there and wants signatures (RFC 2136, 8945)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import pytest

from postwren.exchange.acme import AcmeFailed
from postwren.exchange.dnsprover import DnsProver, KeyInvalid, UpdateKey, parse_key

T = TypeVar("T")
SECRET = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"
KEY = UpdateKey("acme", "hmac-sha256", SECRET)
NAME = dns.name.from_text("_acme-challenge.mx.example.org")


class NameServer:
    """The primary of example.org. It takes updates with the right key only."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.rcode = dns.rcode.NOERROR
        self.slept: list[float] = []
        self._keyring = {dns.name.from_text("acme"): dns.tsig.Key("acme", SECRET, "hmac-sha256")}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        try:
            query = dns.message.from_wire(wire, keyring=self._keyring)
        except dns.tsig.BadSignature:
            writer.close()
            return
        answer = dns.message.make_response(query)
        if isinstance(query, dns.update.UpdateMessage):
            assert query.had_tsig
            assert query.zone[0].name == dns.name.from_text("example.org")
            self._update(query)
            answer.set_rcode(self.rcode)
        elif query.question[0].name == dns.name.from_text("example.org"):
            soa = "ns.example.org. hostmaster.example.org. 1 2 3 4 5"
            answer.answer.append(dns.rrset.from_text("example.org.", 60, "IN", "SOA", soa))
        octets = answer.to_wire()
        writer.write(len(octets).to_bytes(2, "big") + octets)
        writer.close()

    def _update(self, query: dns.update.UpdateMessage) -> None:
        for rrset in query.update:
            assert rrset.name == NAME
            for data in rrset:
                (text,) = data.strings
                (self.texts.remove if rrset.deleting is not None else self.texts.append)(text.decode())

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def run(self, work: Callable[[DnsProver], Awaitable[T]], key: UpdateKey = KEY) -> T:
        async def story() -> T:
            async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
                return await work(DnsProver("127.0.0.1", server.sockets[0].getsockname()[1], key, self._sleep))

        return asyncio.run(story())


def test_a_record_is_put_and_taken_away_by_signed_updates() -> None:
    server = NameServer()

    async def story(prover: DnsProver) -> list[str]:
        await prover.publish("mx.example.org", "t", "t.thumb")
        found = list(server.texts)
        await prover.withdraw("mx.example.org", "t")
        return found

    # the digest of "t.thumb" in base64url
    assert server.run(story) == ["l0oi6EDDpV2B4XzDiOwjYG5PK77CJmTg0dnBoGodsGg"]
    assert server.texts == []
    assert server.slept == [10.0]


@pytest.mark.parametrize(
    ("name", "rcode", "key", "why"),
    [
        ("mx.example.org", dns.rcode.REFUSED, KEY, "REFUSED"),
        ("mx.example.net", dns.rcode.NOERROR, KEY, "no zone"),
        ("mx.example.org", dns.rcode.NOERROR, UpdateKey("acme", "hmac-sha256", "b3RoZXI="), "127.0.0.1: "),
    ],
)
def test_what_cannot_be_put_is_told(name: str, rcode: dns.rcode.Rcode, key: UpdateKey, why: str) -> None:
    server = NameServer()
    server.rcode = rcode
    with pytest.raises(AcmeFailed, match=why):
        server.run(lambda prover: prover.publish(name, "t", "t.thumb"), key)


def test_a_key_is_read_as_it_is_made() -> None:
    text = f'key "acme" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'
    assert parse_key(text) == KEY
    assert SECRET not in repr(KEY)


@pytest.mark.parametrize("text", ["", "acme:hmac-sha256:x", f'key "acme" {{ algorithm hmac-md5; secret "{SECRET}"; }};'])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(KeyInvalid):
        parse_key(text)


def test_a_secret_is_base64() -> None:
    with pytest.raises(KeyInvalid):
        DnsProver("127.0.0.1", 53, UpdateKey("acme", "hmac-sha256", "abc"))
