"""Mail from elsewhere, judged: whole sessions, with a DNS that a test wrote down (`delivery.judging`)."""

import asyncio
import base64
import ipaddress
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.scripts.stage_smtp import CREDENTIALS, NOW

from postwren.delivery.envelope import Envelope
from postwren.delivery.inbound import JUNK
from postwren.delivery.judging import STAGES, Judge, JudgePolicy
from postwren.delivery.trace import Origin
from postwren.mailauth.authres import Results, parse_results
from postwren.mailauth.dkim import BodyHash, Canonical, SigningKey, sign
from postwren.mailstore import invariant
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.message.header import read_header
from postwren.server.smtp.session import SmtpSession
from postwren.server.smtp.settings import SmtpSettings
from postwren.storage.memory import MemoryStore
from postwren.terms import SpecialUse
from postwren.testing.loopback import LoopbackLink
from postwren.testing.resolver import ScriptedResolver
from postwren.transport.session import Peer
from postwren.wire.resolver import Kind, Record, Txt

OURS: Final = "mx.example.org"
THERE: Final = "192.0.2.25"
KEY: Final = SigningKey("example.net", "s1", Ed25519PrivateKey.from_private_bytes(b"7" * 32))
PUBLIC: Final = base64.b64encode(KEY.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
MESSAGE: Final = b"From: Ann <ann@example.net>\r\nSubject: one\r\n\r\nText\r\n.dot\r\n"
Zone = dict[tuple[str, Kind], Sequence[Record]]


def zone(spf: str = "", dmarc: str = "", *, key: str = PUBLIC) -> Zone:
    """What example.net publishes."""
    records: Zone = {("s1._domainkey.example.net", "TXT"): [Txt(f"v=DKIM1; k=ed25519; p={key}".encode())]}
    if spf:
        records["example.net", "TXT"] = [Txt(spf.encode())]
    if dmarc:
        records["_dmarc.example.net", "TXT"] = [Txt(dmarc.encode())]
    return records


def signed(message: bytes, key: SigningKey = KEY) -> bytes:
    header, _, body = message.partition(b"\r\n\r\n")
    digest = BodyHash(Canonical.RELAXED)
    digest.feed(body)
    return sign(header + b"\r\n", digest.finish(), [key], NOW) + message


@dataclass
class Judged:
    """What became of a message."""

    reply: bytes
    mailbox: str = ""
    octets: bytes = b""
    asked: list[tuple[str, Kind]] = field(default_factory=list)

    @property
    def results(self) -> Results:
        """What stands on top."""
        found = parse_results(read_header(self.octets).every(b"authentication-results")[0])
        assert found is not None
        return found

    def verdicts(self) -> dict[str, str]:
        return {result.method: result.verdict.value for result in self.results.results}


async def sent(
    message: bytes,
    resolver: ScriptedResolver,
    policy: JudgePolicy,
    *,
    sender: str = "<a@example.net>",
    peer: str = THERE,
    login: bool = False,
    prepare: Any = None,
) -> Judged:
    store = MemoryStore()
    account = await store.perform(create_account("bob@example.org", CREDENTIALS, NOW))
    if prepare is not None:
        await prepare(store, account)
    judge = Judge(resolver, OURS, policy, lambda: NOW, lambda: 50)
    session = SmtpSession(SmtpSettings(OURS), store, None, lambda: NOW, treat=judge.open)
    link = LoopbackLink(session, Peer(peer, 40000))
    link.receive(b"EHLO mail.example.net\r\n")
    session.core._is_authenticated = login
    link.receive(b"MAIL FROM:" + sender.encode() + b"\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
    await link.settled()
    link.take()
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    for start in range(0, len(stuffed), 50):
        link.receive(stuffed[start : start + 50])
    link.receive(b".\r\n")
    await link.settled()
    found = Judged(link.take(), asked=resolver.asked)
    assert link.bugs == []
    for mailbox in store.reader.mailboxes(account.account_id):
        for entry in store.reader.entries(account.account_id, mailbox.mailbox_id):
            email = store.reader.email(account.account_id, entry.email_id)
            assert email is not None
            assert not found.mailbox
            found.mailbox, found.octets = mailbox.name, store.read_body(email.body)
    assert list(invariant.check(store.reader, store.body_pieces)) == []
    store.close()
    return found


def judged(
    message: bytes,
    records: Mapping[tuple[str, Kind], Sequence[Record]],
    policy: JudgePolicy = JudgePolicy(),  # noqa: B008  # frozen
    *,
    failing: Sequence[str] = (),
    silent: Sequence[str] = (),
    **options: Any,
) -> Judged:
    resolver = ScriptedResolver(records, failing=failing, silent=silent)
    return asyncio.run(sent(message, resolver, policy, **options))


HERE_SPF, OTHER_SPF = f"v=spf1 ip4:{THERE} -all", "v=spf1 -all"
SIGNED, BROKEN = signed(MESSAGE), signed(MESSAGE).replace(b"Text", b"Tex!")
STRANGER = SigningKey("example.com", "s1", KEY.private)


SPF_RECORDS: Final = {"pass": HERE_SPF, "fail": OTHER_SPF, "softfail": "v=spf1 ~all", "none": "", "permerror": "v=spf1 x"}
SENDERS: Final = ("<a@example.net>", "<a@bounce.example.net>", "<a@example.com>", "<>")
MESSAGES: Final = ((SIGNED, "pass"), (BROKEN, "fail"), (MESSAGE, "none"), (signed(MESSAGE, STRANGER), "pass"))
ACTIONS: Final = {
    "enforce": ("none", "quarantine", "reject"),
    "junk": ("none", "quarantine", "quarantine"),
    "note": ("none",) * 3,
}


async def one_of_the_matrix(wish: str, spf: str, sender: str, message: bytes, dkim: str, alignment: str, local: str) -> None:
    records = zone(dmarc=f"v=DMARC1; p={wish}; aspf={alignment}; adkim={alignment}")
    for domain in ("example.net", "bounce.example.net", "example.com", "mail.example.net"):
        records[domain, "TXT"] = [Txt(SPF_RECORDS[spf].encode())]
    records["s1._domainkey.example.com", "TXT"] = records["s1._domainkey.example.net", "TXT"]
    related = ("<a@example.net>", "<a@bounce.example.net>", "<>")[: 3 if alignment == "r" else 1]
    passes = message is SIGNED or (spf == "pass" and sender in related)
    does = "none" if passes else ACTIONS[local][ACTIONS["enforce"].index(wish)]
    found = await sent(message, ScriptedResolver(records), JudgePolicy(dmarc=local), sender=sender)
    if does == "reject":
        assert found.reply.startswith(b"550 5.7.1 The policy of example.net (DMARC) rejects this message: neither SPF nor DKIM ")
        assert found.octets == b""
        return
    assert found.reply == b"250 2.0.0 Message kept\r\n"
    assert found.mailbox == (JUNK if does == "quarantine" else "INBOX")
    assert found.verdicts() == {"spf": spf, "dkim": dkim, "dmarc": "pass" if passes else "fail"}
    assert found.octets.endswith(b"\r\n" + message)


@pytest.mark.parametrize("local", ACTIONS)
@pytest.mark.parametrize("wish", ACTIONS["enforce"])
@pytest.mark.parametrize("alignment", ["r", "s"])
def test_spf_dkim_alignment_and_policy_decide(wish: str, alignment: str, local: str) -> None:
    """RFC 7489 section 6.6: the whole matrix."""

    async def all_of_it() -> None:
        most = None if local == "enforce" else 2
        for spf in [*SPF_RECORDS][:most]:
            for sender in SENDERS[: most and 1]:
                for message, dkim in MESSAGES[:most]:
                    await one_of_the_matrix(wish, spf, sender, message, dkim, alignment, local)

    asyncio.run(all_of_it())


def test_the_verdicts_stand_in_one_field_on_top() -> None:
    """RFC 8601 section 5, RFC 5321 section 4.4: and what came stays as it came."""
    found = judged(SIGNED, zone(HERE_SPF, "v=DMARC1; p=reject"))
    start = (
        b"Return-Path: <a@example.net>\r\n"
        b"Received: from mail.example.net ([192.0.2.25])\r\n\tby mx.example.org with ESMTP\r\n\tfor <bob@example.org>; "
        b"Tue, 14 Nov 2023 22:13:20 +0000\r\n"
        b"Authentication-Results: mx.example.org;\r\n"
        b"\tspf=pass"
    )
    assert found.octets.startswith(start)
    assert b"\r\n\tdmarc=pass header.from=example.net policy.dmarc=reject\r\nDKIM-Signature: " in found.octets
    assert found.octets.endswith(SIGNED)
    dkim = found.results.of("dkim")[0]
    assert dict(dkim.properties) | {"header.b": ""} == {
        "header.d": "example.net", "header.s": "s1", "header.a": "ed25519-sha256", "header.b": "",
    }  # fmt: skip
    assert dict(found.results.of("spf")[0].properties) == {"smtp.mailfrom": "a@example.net"}


def test_of_the_null_sender_the_greeting_is_judged() -> None:
    """RFC 7208 section 2.4."""
    found = judged(MESSAGE, {("mail.example.net", "TXT"): [Txt(HERE_SPF.encode())]}, sender="<>")
    (spf,) = found.results.of("spf")
    assert (spf.verdict.value, spf.properties) == ("pass", (("smtp.helo", "mail.example.net"),))


def test_a37_what_claims_to_be_our_verdict_is_taken_out() -> None:
    """A-37; a signature that covers it was verified before."""
    forged = b"Authentication-Results: mx.example.org; dmarc=pass header.from=bank.example\r\n"
    other = b"Authentication-Results: other.example; spf=pass\r\n"
    found = judged(forged + other + SIGNED + forged, zone(HERE_SPF, "v=DMARC1; p=none"))
    assert found.octets.count(b"dmarc=pass header.from=bank.example") == 1  # in the body
    assert other in found.octets
    assert found.verdicts()["spf"] == "pass"


def test_a37_who_logged_in_is_no_server_of_ours_either() -> None:
    """A-37, RFC 8601 section 5."""
    forged = b"Authentication-Results: mx.example.org; spf=pass\r\n"
    found = judged(b"To: x\r\n" + forged + MESSAGE, {}, login=True)
    assert found.octets.endswith(b"+0000\r\nTo: x\r\n" + MESSAGE)


@pytest.mark.parametrize(
    "message",
    [
        b"From: ann@example.net\r\nFrom: bob@bank.example\r\n\r\n",
        b"Subject: x\r\n\r\n",
        b"From: =?utf-8?q?a=40bank.example?=\r\n\r\n",
        b"\r\nx",
    ],
)
def test_a25_a_message_without_one_author_is_refused(message: bytes) -> None:
    """A-25."""
    found = judged(message + b"\r\n", zone(HERE_SPF))
    assert found.reply.startswith(b"550 5.7.1 From must name an author")
    assert found.octets == b""
    assert judged(message + b"\r\n", zone(HERE_SPF), JudgePolicy(dmarc="junk")).mailbox == JUNK
    assert judged(message + b"\r\n", zone(HERE_SPF), JudgePolicy(dmarc="note")).mailbox == "INBOX"


def test_a36_of_several_authors_the_hardest_wish_counts() -> None:
    """A-36."""
    records = zone(HERE_SPF, "v=DMARC1; p=reject")
    records["_dmarc.bank.example", "TXT"] = [Txt(b"v=DMARC1; p=reject")]
    found = judged(MESSAGE.replace(b"Ann <", b"boss@bank.example, <"), records)
    assert found.reply.startswith(b"550 5.7.1 The policy of bank.example (DMARC) ")


@pytest.mark.parametrize("how", ["failing", "silent"])
@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("example.net", b"451 4.7.1 "),  # its SPF: it might have passed
        ("s1._domainkey.example.net", b"451 4.7.1 "),
        ("_dmarc.example.net", b"250 "),
        ("example.com", b"550 5.7.1 "),  # not the author's: whatever it says, it does not count
    ],
)
def test_what_nobody_can_tell_costs_no_mail_and_lets_no_forgery_in(how: str, name: str, reply: bytes) -> None:
    records = zone(OTHER_SPF, "v=DMARC1; p=reject")
    sender = "<a@example.com>" if name == "example.com" else "<a@example.net>"
    message = SIGNED if name.startswith("s1") else MESSAGE
    found = judged(message, records, JudgePolicy(patience=0.02), sender=sender, **{how: [name]})
    assert found.reply.startswith(reply)


@pytest.mark.parametrize(
    ("peer", "login"), [("127.0.0.1", False), ("::1", False), ("::ffff:127.0.0.1", False), ("", False), (THERE, True)]
)
def test_who_is_trusted_is_not_judged(peer: str, login: bool) -> None:
    networks = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
    resolver = ScriptedResolver(zone(OTHER_SPF, "v=DMARC1; p=reject"))
    judge = Judge(resolver, OURS, JudgePolicy(), lambda: NOW, lambda: 0, networks)
    assert judge.open(Envelope(None), Origin("h", peer, "ESMTP", is_authenticated=login)) is None
    assert judge.open(Envelope(None), Origin("h", "192.0.2.1", "ESMTP")) is not None
    assert judge.open(Envelope(None), Origin("h", "::ffff:192.0.2.1", "ESMTP")) is not None


def test_junk_goes_into_the_mailbox_that_is_for_it() -> None:
    """RFC 6154 section 2."""

    async def renamed(store: MemoryStore, account: Any) -> None:
        await store.perform(create_mailbox(account.account_id, "Unerwünscht", NOW, SpecialUse.JUNK))

    async def plain(store: MemoryStore, account: Any) -> None:
        await store.perform(create_mailbox(account.account_id, JUNK, NOW))

    records = zone(OTHER_SPF, "v=DMARC1; p=quarantine")
    assert judged(MESSAGE, records, prepare=renamed).mailbox == "Unerwünscht"
    assert judged(MESSAGE, records, prepare=plain).mailbox == JUNK
    assert judged(MESSAGE, records).mailbox == JUNK


def test_the_log_has_one_line_with_all_verdicts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "postwren.judge")
    judged(BROKEN, zone(OTHER_SPF, "v=DMARC1; p=quarantine"))
    (record,) = [record for record in caplog.records if record.name == "postwren.judge"]
    fields: dict[str, str] = record.__dict__["fields"]
    assert fields == {
        "peer": THERE, "sender": "<a@example.net>", "decision": "junk", "why": "DMARC of example.net",
        "spf": "fail", "dkim": "fail", "dmarc": "fail",
    }  # fmt: skip


def test_the_steps_have_names() -> None:
    assert [[name for name, _ in stage] for stage in STAGES] == [["connection", "author"], ["SPF", "DKIM", "ARC"], ["DMARC"]]
