"""Mail that leaves is signed once, when it is accepted, and what is stored is what verifies."""

import asyncio
from dataclasses import replace

from tests.unit.mailauth.dkim_world import ED25519, NOW, RSA, dns, verdicts, verified

from postwren.delivery.inbound import deliver_all
from postwren.delivery.signing import Signers, Signing
from postwren.mailauth.dkim import Algorithm, generate_key, load_signing_key
from postwren.mailauth.dkim.key import format_key_record, key_name
from postwren.mailstore.domain import Domain
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.domains import NewKey, activate_keys, add_domain, prepare_keys
from postwren.server.login import Authenticator, LoginPolicy, make_credentials
from postwren.server.smtp.allowance import Allowance
from postwren.server.smtp.allowance import Limits as AllowanceLimits
from postwren.server.smtp.directory import Directory
from postwren.server.smtp.settings import SUBMISSION, SmtpSettings
from postwren.server.smtp.submission import Desk, SubmissionSession
from postwren.storage.memory import MemoryStore
from postwren.terms import MailboxId, Uid
from postwren.testing.loopback import PLAYED_TLS, LoopbackLink
from postwren.transport.session import Peer
from postwren.wire.secret import Secret

HEADER = b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: x\r\n\r\n"


def new_key(selector: str, algorithm: Algorithm) -> NewKey:
    private = generate_key(algorithm)
    public = format_key_record(load_signing_key("example.org", selector, private))
    return NewKey(selector, algorithm.value, public, private)


KEYS = [new_key("r1", Algorithm.RSA), new_key("e1", Algorithm.ED25519)]
DNS = {key_name(key.selector, "example.org"): key.public.encode() for key in KEYS}


def test_keys_are_found_by_the_author_and_loaded_once() -> None:
    async def scene() -> None:
        store = MemoryStore()
        signers = Signers(store.reader)
        assert signers.of_header(HEADER) == []
        await store.perform(add_domain(Domain("example.org", NOW), KEYS))
        found = signers.of_header(HEADER)
        assert [key.algorithm for key in found] == [Algorithm.RSA, Algorithm.ED25519]
        assert signers.of_header(HEADER)[0] is found[0]
        assert signers.of_domain("mail.example.org") == found  # a subdomain's mail is aligned with it
        assert signers.of_domain("notexample.org") == signers.of_domain("org") == []
        assert signers.of_header(HEADER.replace(b"ann@example.org>", b"a@example.org>, b@example.com")) == []
        await store.perform(prepare_keys("example.org", [new_key("r2", Algorithm.RSA)], NOW))
        assert signers.of_header(HEADER) == found  # it is not published yet
        await store.perform(activate_keys("example.org"))
        assert [key.selector for key in signers.of_header(HEADER)] == ["r2"]
        store.close()

    asyncio.run(scene())


def test_a_report_of_ours_is_signed_whole() -> None:
    async def scene() -> bytes:
        store = MemoryStore()
        await store.perform(add_domain(Domain("example.org", NOW), KEYS))
        report = HEADER.replace(b"ann@example.org", b"mailer-daemon@mx.example.org") + b"It failed.\r\n"
        assert Signers(store.reader).fields_of(b"Subject: nobody's\r\n\r\n", NOW) == b""
        store.close()
        return Signers(store.reader).fields_of(report, NOW) + report

    assert verdicts(asyncio.run(scene()), dns(DNS)) == ["pass", "pass"]


def test_pieces_of_a_message_are_signed_as_the_whole() -> None:
    message = HEADER + b"one \r\ntwo\r\n\r\n"
    fields = []
    for piece in (1, 5, 1000):
        signing = Signing([RSA, ED25519], len(HEADER))
        for at in range(0, len(message), piece):
            signing.feed(message[at : at + piece])
        fields.append(signing.fields(HEADER, NOW))
    assert fields[0] == fields[1] == fields[2]
    assert verdicts(fields[0] + message) == ["pass", "pass"]


def test_a_submission_is_stored_with_its_signature() -> None:
    """RFC 6376 section 5.1: over the header as it leaves (Date is added, Bcc is gone), byte by byte and in one piece."""

    async def scene(piece: int, body: bytes) -> bytes:
        store = MemoryStore()
        account = await store.perform(create_account("ann@example.org", make_credentials(Secret("x"), bytes), NOW))
        await store.perform(add_domain(Domain("example.org", NOW), KEYS))
        settings = replace(SmtpSettings("mx.example.org"), require_auth=True, extensions=SUBMISSION)
        login = Authenticator(store, LoginPolicy(), now=lambda: NOW, random=bytes)
        directory = Directory(store, settings.separator, lambda: NOW, 0)
        allowance = Allowance(AllowanceLimits(), lambda: NOW)
        signers = Signers(store.reader)
        desk = Desk(settings, store, directory, login, allowance, signers, deliver_all, lambda: NOW, bytes)
        link = LoopbackLink(SubmissionSession(desk), Peer("192.0.2.1", 4000), PLAYED_TLS)
        header = HEADER.replace(b"Subject", b"Bcc: eve@example.com\r\nSubject")
        dialogue = (
            b"EHLO c\r\n",
            b"AUTH PLAIN AGFubkBleGFtcGxlLm9yZwB4\r\n",
            b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n",
            header + body + b".\r\n",
        )
        for line in dialogue:
            for at in range(0, len(line), piece):
                link.receive(line[at : at + piece])
                await link.settled()
        assert b"250 2.0.0" in link.take()
        [entry] = store.reader.entries(account.account_id, MailboxId(1), [(Uid(1), Uid(1))])
        email = store.reader.email(account.account_id, entry.email_id)
        assert email is not None
        octets = store.read_body(email.body)
        assert octets.startswith(b"Return-Path: <ann@example.org>\r\nReceived: ")
        assert b"eve@" not in octets
        login.close()
        store.close()
        return octets

    for piece, body in ((10_000, b"hello\r\n"), (1, b"hello\r\n\r\n"), (50_000, b"x" * 70 + b"\r\n" * 500_000 + b"end\r\n")):
        results = verified(asyncio.run(scene(piece, body)), dns(DNS))
        assert [(result.verdict.value, result.domain) for result in results] == [("pass", "example.org")] * 2
