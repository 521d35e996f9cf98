"""What is asked about a host before its mail is taken (`delivery.door`), in whole sessions."""

import asyncio
import dataclasses
import ipaddress
from collections.abc import Sequence
from typing import Any

import pytest
from tests.scripts.stage_smtp import CREDENTIALS, NOW
from tests.unit.smtp.test_judging import HERE_SPF, MESSAGE, OURS, THERE, Zone, zone

from postwren.delivery.dnslist import parse_lists
from postwren.delivery.door import Door, DoorPolicy
from postwren.delivery.envelope import Envelope
from postwren.delivery.greylist import Greylist
from postwren.delivery.inbound import JUNK
from postwren.delivery.judging import Judge, JudgePolicy
from postwren.delivery.trace import Origin
from postwren.mailstore.service.accounts import create_account
from postwren.server.smtp.session import SmtpSession
from postwren.server.smtp.settings import SmtpSettings
from postwren.storage.memory import MemoryStore
from postwren.terms import Address
from postwren.testing.loopback import LoopbackLink
from postwren.testing.resolver import ScriptedResolver
from postwren.transport.session import Peer
from postwren.wire.resolver import HostAddress, Ptr, Txt

TRUSTED = [ipaddress.ip_network("127.0.0.0/8")]
LISTS = ("bad.example*2", "meh.example", "good.example*-3")
BOB = Address("bob", "example.org")


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def listed(*names: str) -> Zone:
    """A DNS in which all lists work, and these have the peer."""
    records: Zone = {}
    for text in LISTS:
        name = text.partition("*")[0]
        records[f"2.0.0.127.{name}", "A"] = [HostAddress("127.0.0.2")]
        if name in names:
            records[f"25.2.0.192.{name}", "A"] = [HostAddress("127.0.0.2")]
            records[f"25.2.0.192.{name}", "TXT"] = [Txt(b"see https://bad.example/")]
    return records


NAMED: Zone = {("25.2.0.192.in-addr.arpa", "PTR"): [Ptr("mx.example.net")], ("mx.example.net", "A"): [HostAddress(THERE)]}


class Place:
    """A server's door, and hosts that come to it."""

    def __init__(self, records: Zone, policy: DoorPolicy, *, lists: bool = False, grey: bool = False) -> None:
        self.clock = Clock()
        self.resolver = ScriptedResolver({**zone(HERE_SPF, "v=DMARC1; p=reject"), **records})
        self.door = Door(
            self.resolver,
            policy,
            self.clock,
            frozenset({OURS}),
            (),
            parse_lists(LISTS) if lists else None,
            Greylist() if grey else None,
        )
        judge_policy = JudgePolicy()
        self.judge = Judge(self.resolver, OURS, judge_policy, self.clock, lambda: 0, (), self.door)
        self.store = MemoryStore()

    async def begin(self) -> None:
        self.account = await self.store.perform(create_account(str(BOB), CREDENTIALS, NOW))

    async def rcpt(self, recipient: bytes = b"bob@example.org", hello: bytes = b"mx.example.net", peer: str = THERE) -> bytes:
        """The reply to RCPT; where it is positive the message follows."""
        session = SmtpSession(SmtpSettings(OURS), self.store, None, self.clock, treat=self.judge.open, door=self.door.recipient)
        link = LoopbackLink(session, Peer(peer, 40000))
        link.receive(b"EHLO " + hello + b"\r\n")
        link.receive(b"MAIL FROM:<a@example.net>\r\n")
        link.take()
        link.receive(b"RCPT TO:<" + recipient + b">\r\nNOOP\r\n")
        await link.settled()
        reply, noop = link.take().splitlines()
        assert noop == b"250 2.0.0 OK"
        if reply.startswith(b"250"):
            link.receive(b"DATA\r\n")
            link.receive(MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            await link.settled()
            assert link.take().endswith(b"250 2.0.0 Message kept\r\n")
        assert link.bugs == []
        return reply

    def mailboxes(self) -> list[str]:
        return [mailbox.name for mailbox in self.store.reader.mailboxes(self.account.account_id) if mailbox.messages]

    def top(self) -> bytes:
        (email,) = self.store.reader.emails(self.account.account_id)
        return self.store.read_body(email.body)


def at(place: Place, **host: Any) -> bytes:
    async def story() -> bytes:
        await place.begin()
        return await place.rcpt(**host)

    return asyncio.run(story())


def test_an_installation_that_wants_nothing_asks_nothing() -> None:
    place = Place({}, DoorPolicy())
    assert at(place).startswith(b"250")
    assert [name for name, kind in place.resolver.asked if kind != "TXT"] == []


@pytest.mark.parametrize(
    ("names", "reply", "mailboxes"),
    [
        ([], b"250 2.1.5", ["INBOX"]),
        (["meh.example"], b"250 2.1.5", [JUNK]),
        (["bad.example"], b"550 5.7.1 [192.0.2.25] is listed at bad.example: see https://bad.example/", []),
        (["bad.example", "good.example"], b"250 2.1.5", ["INBOX"]),
    ],
)
def test_what_lists_weigh_together_decides(names: Sequence[str], reply: bytes, mailboxes: list[str]) -> None:
    """RFC 5782."""
    place = Place(listed(*names), DoorPolicy(), lists=True)
    assert at(place).startswith(reply)
    assert place.mailboxes() == mailboxes


@pytest.mark.parametrize("weight", [2, 3])
def test_a_host_is_refused_from_a_weight_on(weight: int) -> None:
    place = Place(listed("bad.example"), DoorPolicy(refused_from=weight), lists=True)
    assert at(place).startswith(b"550" if weight == 2 else b"250")


ELSEWHERE: Zone = {**NAMED, ("mx.example.net", "A"): [HostAddress("192.0.2.9")]}


@pytest.mark.parametrize(("records", "code"), [(NAMED, b"250"), ({}, b"550 5.7.25"), (ELSEWHERE, b"550 5.7.25")])
def test_a_host_has_a_name_that_leads_back_to_it(records: Zone, code: bytes) -> None:
    """RFC 8601 section 2.7.3."""
    place = Place(records, DoorPolicy(checks_name=True))
    assert at(place).startswith(code)
    assert code != b"250" or b"\tiprev=pass policy.iprev=192.0.2.25;\r\n" in place.top()


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (b"mx.example.net", b"250"),
        (b"desktop", b"250"),
        (b"[192.0.2.25]", b"250"),
        (b"[192.0.2.26]", b"550"),
        (b"MX.example.org", b"550"),
    ],
)
def test_a_greeting_is_the_hosts_own(hello: bytes, code: bytes) -> None:
    assert at(Place({}, DoorPolicy(checks_hello=True)), hello=hello).startswith(code)
    assert at(Place({}, DoorPolicy()), hello=hello).startswith(b"250")


def test_who_is_new_comes_again_and_is_known_then() -> None:
    """RFC 6647."""
    place = Place({}, DoorPolicy(), grey=True)

    async def story() -> None:
        await place.begin()
        assert (await place.rcpt()).startswith(b"450 4.7.1 You are new here: please try again in 60 seconds")
        place.clock.now += 61
        assert (await place.rcpt()).startswith(b"250")
        assert (await place.rcpt(b"bob+other@example.org")).startswith(b"250")

    asyncio.run(story())


def test_a_good_list_spares_the_wait_and_an_unknown_recipient_costs_no_question() -> None:
    place = Place(listed("good.example"), DoorPolicy(), lists=True, grey=True)

    async def story() -> None:
        await place.begin()
        assert (await place.rcpt(b"nobody@example.org")).startswith(b"550 5.1.1")
        assert place.resolver.asked == []
        assert (await place.rcpt()).startswith(b"250")

    asyncio.run(story())


def test_an_address_is_asked_about_once_for_some_minutes_and_so_many_are_remembered() -> None:
    place = Place({}, DoorPolicy(checks_name=True, remembered=300, addresses=2))

    async def asked(peer: str) -> bool:
        before = len(place.resolver.asked)
        await place.rcpt(peer=peer)
        return len(place.resolver.asked) > before

    async def story() -> None:
        await place.begin()
        assert await asked("192.0.2.1")
        place.clock.now += 299
        assert not await asked("192.0.2.1")
        place.clock.now += 2
        assert await asked("192.0.2.1")
        assert await asked("192.0.2.2")
        assert not await asked("192.0.2.1")
        assert await asked("192.0.2.3")
        assert await asked("192.0.2.1")

    asyncio.run(story())


@pytest.mark.parametrize("peer", ["127.0.0.1", ""])
def test_who_is_trusted_is_not_asked_about(peer: str) -> None:
    place = Place({}, DoorPolicy(checks_name=True))
    door = Door(place.resolver, DoorPolicy(checks_name=True, checks_hello=True), place.clock, frozenset({OURS}), TRUSTED)
    assert door.recipient(Envelope(None), Origin(OURS, peer, "ESMTP"), BOB) is None
    stranger = Origin(OURS, THERE, "ESMTP")
    assert door.recipient(Envelope(None), stranger, BOB) is not None
    assert door.recipient(Envelope(None), dataclasses.replace(stranger, is_authenticated=True), BOB) is None
