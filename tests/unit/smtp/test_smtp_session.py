"""What sessions promise about the store, the log and the time: D-01 to D-06, A-31, A-33."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from tests.scripts.stage_smtp import CREDENTIALS, NOW, OpenStore, Records, credentials_of, kept, no_sleep

from postwren.delivery.envelope import Envelope, Recipient
from postwren.delivery.inbound import STEPS, Arrival, judge
from postwren.delivery.intake import Treat
from postwren.delivery.trace import HEADER_OCTETS, HeaderWatch, Origin, received, return_path, with_keyword
from postwren.mailstore.errors import StoreFull
from postwren.mailstore.port import BodyWriter, NewBody, Store, Transaction, Unit, WriteDone
from postwren.mailstore.service.accounts import create_account
from postwren.protocols.smtp.path import POSTMASTER
from postwren.server.login import Authenticator, LoginPolicy
from postwren.server.smtp.session import SmtpSession
from postwren.server.smtp.settings import SmtpSettings
from postwren.terms import AccountId, Address
from postwren.testing.loopback import PLAYED_TLS, LoopbackLink

ENVELOPE = b"MAIL FROM:<a@example.net>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\n"
HELLO = {False: b"EHLO c\r\n", True: b"LHLO c\r\n"}


class WatchedStore:
    """A store whose writes wait until they are let through, and that knows which bodies are still open."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.waiting: list[tuple[Unit[Any], Sequence[NewBody], WriteDone[Any]]] = []
        self.open: set[int] = set()
        self.full_after: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def write(self, unit: Unit[Any], bodies: Sequence[NewBody], done: WriteDone[Any]) -> None:
        self.waiting.append((unit, bodies, done))

    def let_through(self) -> None:
        while self.waiting:
            self.store.write(*self.waiting.pop(0))

    def new_body(self, room: int = 0) -> "WatchedWriter":
        return WatchedWriter(self, self.store.new_body(room))


class WatchedWriter:
    def __init__(self, store: WatchedStore, writer: BodyWriter) -> None:
        self.store, self.writer = store, writer
        store.open.add(id(self))

    @property
    def size(self) -> int:
        return self.writer.size

    def write(self, data: bytes) -> None:
        if self.store.full_after is not None and self.size > self.store.full_after:
            raise StoreFull
        self.writer.write(data)

    def finish(self, prefix: bytes = b"") -> NewBody:
        self.store.open.discard(id(self))
        return self.writer.finish(prefix)

    def discard(self) -> None:
        self.store.open.discard(id(self))
        self.writer.discard()


class Scene:
    def __init__(self, store: Store, is_lmtp: bool, treat: Treat | None = None) -> None:
        self.store = WatchedStore(store)
        watched: Any = self.store
        self.is_lmtp = is_lmtp
        self.session = SmtpSession(SmtpSettings("mx.example.org", is_lmtp=is_lmtp), watched, None, lambda: NOW, treat=treat)
        self.link = LoopbackLink(self.session)

    async def say(self, data: bytes, settled: bool = True) -> bytes:
        self.link.receive(data)
        if settled:
            await self.link.settled()
        return self.link.take()

    async def begin(self) -> None:
        await self.say(HELLO[self.is_lmtp])
        answer = await self.say(ENVELOPE + b"DATA\r\n")
        assert answer.endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n")

    def kept(self) -> list[int]:
        return [len(kept(self.store.store, login)) for login in ("ann@example.org", "bob@example.org")]


def play(
    open_each_store: OpenStore,
    story: Callable[[Scene], Coroutine[Any, Any, None]],
    is_lmtp: bool = False,
    treat: Treat | None = None,
) -> None:
    async def run() -> None:
        store = open_each_store()
        for login in ("ann@example.org", "bob@example.org"):
            await store.perform(create_account(login, CREDENTIALS, NOW))
        scene = Scene(store, is_lmtp, treat)
        await story(scene)
        scene.link.drop()
        assert scene.store.open == set()
        store.close()

    asyncio.run(run())


@pytest.mark.parametrize("is_lmtp", [False, True])
def test_nothing_is_answered_before_it_is_durable(open_each_store: OpenStore, is_lmtp: bool) -> None:
    """D-01."""

    async def story(scene: Scene) -> None:
        await scene.begin()
        assert await scene.say(b"x\r\n.\r\nNOOP\r\n", settled=False) == b""
        await asyncio.sleep(0)
        assert scene.link.take() == b""
        assert scene.kept() == [0, 0]
        scene.store.let_through()
        await scene.link.settled()
        replies = b"250 2.0.0 Message kept\r\n" * (2 if is_lmtp else 1)
        assert scene.link.take() == replies + b"250 2.0.0 OK\r\n"
        assert scene.kept() == [1, 1]

    play(open_each_store, story, is_lmtp)


def test_a_bug_at_the_second_recipient_leaves_no_copy_at_the_first(open_each_store: OpenStore) -> None:
    """D-02, D-03."""

    async def story(scene: Scene) -> None:
        await scene.begin()
        await scene.say(b"x\r\n.\r\n", settled=False)
        ((unit, bodies, done),) = scene.store.waiting

        def broken(tx: Transaction) -> Any:
            unit(tx)
            raise ZeroDivisionError

        scene.store.waiting = [(broken, bodies, done)]
        scene.store.let_through()
        await scene.link.settled()
        assert scene.link.take().startswith(b"451 4.3.0 ")
        assert scene.kept() == [0, 0]

    play(open_each_store, story)


@pytest.mark.parametrize("end", [b"", b"QUIT\r\n", b"RSET\r\n", b"EHLO d\r\n"])
def test_a_transaction_that_ends_early_gives_its_space_back(open_each_store: OpenStore, end: bytes) -> None:
    """D-05."""

    async def story(scene: Scene) -> None:
        await scene.say(HELLO[False])
        await scene.say(ENVELOPE + b"BDAT 9\r\n" + b"A: b\r\n\r\nc")
        assert len(scene.store.open) == 1
        await scene.say(end)
        assert scene.store.open == set()
        assert scene.store.waiting == []

    play(open_each_store, story)


def test_a_connection_lost_in_the_data_gives_its_space_back(open_each_store: OpenStore) -> None:
    """D-05."""

    async def story(scene: Scene) -> None:
        await scene.begin()
        await scene.say(b"\r\nhalf a mess")
        assert len(scene.store.open) == 1
        scene.link.drop()
        assert scene.store.open == set()
        assert scene.kept() == [0, 0]

    play(open_each_store, story)


@pytest.mark.parametrize("is_lmtp", [False, True])
def test_d06_the_answer_leaves_in_the_turn_in_which_the_message_became_durable(open_each_store: OpenStore, is_lmtp: bool) -> None:
    """D-06: nothing stands between the store's word and the reply, whatever else the loop has to do."""

    async def story(scene: Scene) -> None:
        await scene.begin()
        assert await scene.say(b"x\r\n.\r\n", settled=False) == b""
        ((_, _, done),) = scene.store.waiting
        scene.store.waiting.clear()
        done([None, None], None)
        assert scene.link.take() == b"250 2.0.0 Message kept\r\n" * (2 if is_lmtp else 1)

    play(open_each_store, story, is_lmtp)


def test_what_is_in_the_hands_of_the_store_is_kept_when_the_peer_goes(open_each_store: OpenStore) -> None:
    """D-06: the peer does not know, and the message is there once."""

    async def story(scene: Scene) -> None:
        await scene.begin()
        await scene.say(b"x\r\n.\r\n", settled=False)
        scene.link.drop()
        scene.store.let_through()
        await scene.store.store.perform(lambda tx: None)
        assert scene.kept() == [1, 1]
        assert scene.link.take() == b""

    play(open_each_store, story)


def test_no_space_in_the_middle_is_told_at_the_end(open_each_store: OpenStore) -> None:
    """D-04."""

    async def story(scene: Scene) -> None:
        await scene.begin()
        scene.store.full_after = 1000
        await scene.say(b"\r\n")
        for _ in range(30):
            assert await scene.say(b"x" * 98 + b"\r\n") == b""
        assert scene.store.open == set()
        assert (await scene.say(b".\r\n")).startswith(b"452 4.3.1 ")
        scene.store.full_after = None
        assert (await scene.say(ENVELOPE + b"DATA\r\n")).endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n")
        await scene.say(b"x\r\n.\r\n", settled=False)
        scene.store.let_through()
        await scene.link.settled()
        assert scene.kept() == [1, 1]

    play(open_each_store, story)


@pytest.mark.parametrize(("more", "code"), [(0, b"250"), (1, b"552")])
def test_a_header_has_a_limit(open_each_store: OpenStore, more: int, code: bytes) -> None:
    """A-31."""

    async def story(scene: Scene) -> None:
        await scene.begin()
        header = b"Subject: " + b"x" * (HEADER_OCTETS - 11 + more) + b"\r\n"
        answer = await scene.say(header + b"\r\nbody\r\n.\r\n", settled=False)
        scene.store.let_through()
        await scene.link.settled()
        assert (answer + scene.link.take())[:3] == code

    play(open_each_store, story)


def test_a_log_line_is_one_constant_text_and_its_fields(open_each_store: OpenStore) -> None:
    """A-33."""
    records = Records()
    log = logging.getLogger("postwren.smtp")
    log.addHandler(records)
    log.setLevel(logging.INFO)

    async def story(scene: Scene) -> None:
        await scene.say(HELLO[False])
        await scene.say(b"MAIL FROM:<%n%s@example.net>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n")
        await scene.say(b"Subject: \x1b[2J\r\n\r\n.\r\n", settled=False)
        scene.store.let_through()
        await scene.link.settled()

    try:
        play(open_each_store, story)
    finally:
        log.removeHandler(records)
        log.setLevel(logging.NOTSET)
    ((message, fields),) = [(record.msg, vars(record)["fields"]) for record in records.records]
    assert message == "accepted"
    expected = {"peer": "127.0.0.1", "code": 250, "size": 17, "recipients": 1, "sender": "%n%s@example.net"}
    assert {**fields, "sender": str(fields["sender"])} == expected


def test_the_last_words() -> None:
    """RFC 5321 4.5.3.2 and 3.8: a time-out; the end of the server; a bug of ours."""
    nothing: Any = None
    words: list[tuple[Callable[[SmtpSession], None], bytes]] = [
        (SmtpSession.timed_out, b"421 4.4.2"),
        (SmtpSession.server_ends, b"421 4.3.2"),
        (lambda session: session.failed(ValueError()), b"451 4.3.0"),
    ]

    async def story() -> None:
        for word, code in words:
            session = SmtpSession(SmtpSettings("mx"), nothing, None, lambda: NOW)
            link = LoopbackLink(session)
            link.take()
            word(session)
            link.receive(b"NOOP\r\n")
            assert link.take()[:9] == code
            assert link.take() == b""

    asyncio.run(story())


class CrowdedLink(LoopbackLink):
    """A link whose account has too many connections already."""

    def authenticated(self, account: int) -> bool:
        return False


def test_a08_a_login_beyond_the_connections_of_its_account_is_refused(open_each_store: OpenStore) -> None:
    async def story() -> None:
        store = open_each_store()
        await store.perform(create_account("ann@example.org", credentials_of("secret"), NOW))
        judge = Authenticator(store, LoginPolicy(), now=lambda: NOW, random=os.urandom, sleep=no_sleep)
        link = CrowdedLink(SmtpSession(SmtpSettings("mx"), store, judge, lambda: NOW), tls=PLAYED_TLS)
        link.receive(b"EHLO c\r\n")
        link.take()
        link.receive(b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n")
        await link.settled()
        assert link.take()[:9] == b"454 4.7.0"
        judge.close()

    asyncio.run(story())


# -- delivery


def envelope(*locals_: str, is_utf8: bool = False) -> Envelope:
    recipients = [Recipient(Address(local, "example.org"), AccountId(number)) for number, local in enumerate(locals_)]
    return Envelope(Address("a b", "example.net"), is_utf8, recipients)


def test_return_path_quotes_what_must_be_quoted() -> None:
    assert return_path(Address("a b", "example.net")) == b'Return-Path: <"a b"@example.net>\r\n'
    assert return_path(None) == b"Return-Path: <>\r\n"


def test_received_names_a_recipient_only_when_there_is_one() -> None:
    """RFC 5321 4.4, 7.2."""
    origin = Origin("c.example", "192.0.2.1", "ESMTP")
    assert received(origin, "mx", envelope("ann"), NOW) == (
        b"Received: from c.example ([192.0.2.1])\r\n\tby mx with ESMTP\r\n\tfor <ann@example.org>; "
        b"Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    )
    assert b"for" not in received(origin, "mx", envelope("ann", "bob"), NOW)
    one = Envelope(None, recipients=[Recipient(POSTMASTER, AccountId(1))])
    assert b"for <postmaster>;" in received(Origin("c", "", "ESMTP"), "mx", one, NOW)


@pytest.mark.parametrize(
    ("peer", "literal"),
    [
        ("192.0.2.1", b"c ([192.0.2.1])\r\n"),
        ("2001:db8::1", b"c ([IPv6:2001:db8::1])\r\n"),
        ("fe80::1%eth0", b"c ([IPv6:fe80::1])\r\n"),
        ("", b"c\r\n"),
    ],
)
def test_received_gives_the_peer_as_an_address_literal(peer: str, literal: bytes) -> None:
    """RFC 5321 4.1.3, 4.4; a Unix socket has no address."""
    assert received(Origin("c", peer, "LMTP"), "mx", envelope("ann"), NOW).startswith(b"Received: from " + literal)


@pytest.mark.parametrize(
    ("protocol", "is_utf8", "is_tls", "is_authenticated", "keyword"),
    [
        ("SMTP", False, True, False, "SMTP"),
        ("ESMTP", False, False, False, "ESMTP"),
        ("ESMTP", False, True, True, "ESMTPSA"),
        ("LMTP", False, True, False, "LMTPS"),
        ("ESMTP", True, False, True, "UTF8SMTPA"),
        ("LMTP", True, True, True, "UTF8LMTPSA"),
    ],
)
def test_with_says_how_it_came(protocol: str, is_utf8: bool, is_tls: bool, is_authenticated: bool, keyword: str) -> None:
    """RFC 3848, RFC 6531 4.3."""
    assert with_keyword(Origin("c", "", protocol, is_tls, is_authenticated), is_utf8) == keyword


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("message", "octets", "fields"),
    [
        (b"", 0, 0),
        (b"\r\nReceived: body\r\n", 0, 0),
        (b"Received: a\r\nX: y\r\nreceived : b\r\n\r\nReceived: body\r\n", 33, 2),
        (b"Subject: Received: no\r\n\r\n", 23, 0),
        (b"Received: a\r\n", 13, 1),
    ],
)
def test_the_watch_sees_the_header_in_any_cut(size: int, message: bytes, octets: int, fields: int) -> None:
    watch = HeaderWatch()
    come = b""
    for start in range(0, len(message), size):
        piece = message[start : start + size]
        come = come + piece if watch.is_over else watch.feed(piece) or b""
    come = watch.end() or come
    assert come == message
    assert (watch.octets, watch.received_fields) == (octets, fields)


def test_a_header_bomb_costs_no_more_than_its_octets() -> None:
    """A-31: 50 MB of header, the first 100 kB octet by octet."""
    watch = HeaderWatch()
    began = time.perf_counter()
    for _ in range(100_000):
        watch.feed(b"x")
    for _ in range(50_000):
        if not watch.is_over:
            watch.feed(b"X: y\r\n" * 170)
    watch.end()
    assert watch.octets > HEADER_OCTETS
    assert time.perf_counter() - began < 5
    assert judge(Arrival(envelope(), watch)) is not None


def test_the_steps_have_names() -> None:
    assert [name for name, _ in STEPS] == ["bounded header", "no loop"]


def test_accounts_come_once_and_in_order() -> None:
    """D-02: two addresses of one account are one copy."""
    ids = [AccountId(2), AccountId(1), AccountId(2)]
    assert Envelope(None, recipients=[Recipient(POSTMASTER, i) for i in ids]).accounts() == [2, 1]
