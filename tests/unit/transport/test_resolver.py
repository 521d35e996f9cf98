"""The DNS as it comes over a socket, asked through the library that we use (RFC 1035, 2782)."""

import asyncio
from typing import Any

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from postwren.transport.resolver import SystemResolver
from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, Ptr, ResolverFailed, Srv, Tlsa, Txt

ZONE = {
    ("_imaps._tcp.example.org.", "SRV"): ["5 6 993 Mail.Example.ORG.", "0 0 0 ."],
    ("example.org.", "MX"): ["10 mx.example.org."],
    ("mail.example.org.", "A"): ["192.0.2.1"],
    ("mail.example.org.", "AAAA"): ["2001:db8::1"],
    ("example.org.", "TXT"): ['"v=spf1 " "-all"'],
    ("_25._tcp.mail.example.org.", "TLSA"): [f"3 1 1 {'00ff' * 16}"],
    ("1.2.0.192.in-addr.arpa.", "PTR"): ["mail.example.org."],
    ("many.example.org.", "A"): [f"192.0.2.{number}" for number in range(100)],
}


class Name(asyncio.DatagramProtocol):
    """A name server."""

    def __init__(self, *, says_secure: bool) -> None:
        self.says_secure = says_secure

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        name, kind = question.question[0].name, question.question[0].rdtype.name
        if "failing" in str(name):
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif rows := ZONE.get((str(name), kind)):
            answer.answer.append(dns.rrset.from_text_list(name, 60, "IN", kind, rows))
        elif str(name) not in {known for known, _ in ZONE}:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if self.says_secure and question.flags & dns.flags.AD:
            answer.flags |= dns.flags.AD
        self.transport.sendto(answer.to_wire(max_size=65535), addr)


def ask(name: str, kind: Kind, *, says_secure: bool = False) -> Answer:
    async def work() -> Answer:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Name(says_secure=says_secure), ("127.0.0.1", 0))
        stub = dns.asyncresolver.Resolver(configure=False)
        stub.nameservers, stub.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
        try:
            return await SystemResolver(stub).query(name, kind)
        finally:
            transport.close()

    return asyncio.run(work())


def test_every_kind_of_record_is_read() -> None:
    srv = ask("_imaps._tcp.example.org", "SRV")
    assert set(srv.records) == {Srv(5, 6, 993, "mail.example.org"), Srv(0, 0, 0, "")}
    assert ask("example.org", "MX").records == (Mx(10, "mx.example.org"),)
    assert ask("mail.example.org", "A").records == (HostAddress("192.0.2.1"),)
    assert ask("mail.example.org", "AAAA").records == (HostAddress("2001:db8::1"),)
    assert ask("example.org", "TXT").records == (Txt(b"v=spf1 -all"),)
    assert ask("_25._tcp.mail.example.org", "TLSA").records == (Tlsa(3, 1, 1, b"\0\xff" * 16),)
    assert ask("1.2.0.192.in-addr.arpa", "PTR") == Answer((Ptr("mail.example.org"),), name="1.2.0.192.in-addr.arpa")


@pytest.mark.parametrize(
    "name", ["nobody.example.org", "mail.example.org", "x" * 64 + ".example.org", "x." * 200 + "org", "a..org"]
)
def test_no_such_name_and_no_such_record_are_an_empty_answer(name: str) -> None:
    assert ask(name, "SRV") == Answer()


def test_that_nobody_can_tell_is_another_thing() -> None:
    with pytest.raises(ResolverFailed):
        ask("failing.example.org", "A")


def test_only_a_resolver_on_this_machine_proves_anything() -> None:
    assert ask("mail.example.org", "A", says_secure=True).is_secure
    assert not ask("mail.example.org", "A").is_secure


def test_an_answer_ends_somewhere() -> None:
    assert len(ask("many.example.org", "A").records) == 32
