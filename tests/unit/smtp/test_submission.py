"""What a submission promises of the store: its token, its recipients and its copy are one thing (D-02)."""

import asyncio
import os
from collections.abc import Callable, Coroutine

import pytest
from tests.conftest import OpenStore
from tests.scripts.stage_smtp import ACCEPT, CREDENTIALS, NOW, QUEUE_NOW, credentials_of, kept, no_sleep

from postwren.delivery.envelope import Elsewhere, Envelope, Recipient
from postwren.delivery.signing import Signers
from postwren.delivery.submit import Submit
from postwren.delivery.trace import Origin, received
from postwren.mailstore import invariant
from postwren.mailstore.errors import AlreadySubmitted, OverQuota
from postwren.mailstore.model import Account, Property
from postwren.mailstore.port import NewBody, Store
from postwren.mailstore.service.accounts import create_account, set_credentials, set_quota
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.mailstore.service.sent import set_wish, wants_copy
from postwren.server.imap.signedurl import KEY_KIND, token_of
from postwren.server.login import Authenticator, LoginPolicy
from postwren.server.smtp.allowance import Allowance
from postwren.server.smtp.allowance import Limits as AllowanceLimits
from postwren.server.smtp.directory import Directory
from postwren.server.smtp.settings import SUBMISSION, SmtpSettings
from postwren.server.smtp.submission import Desk, SubmissionSession
from postwren.storage.memory import MemoryStore
from postwren.terms import INBOX, Address, SpecialUse, Uid
from postwren.testing.loopback import PLAYED_TLS, LoopbackLink

MESSAGE = b"From: ann@example.org\r\n\r\nhello\r\n"


class Scene:
    def __init__(self, store: Store, ann: Account, bob: Account) -> None:
        self.store, self.ann, self.bob = store, ann, bob

    def body(self) -> NewBody:
        writer = self.store.new_body()
        writer.write(MESSAGE)
        return writer.finish()

    def envelope(self, token: bytes = b"") -> Envelope:
        envelope = Envelope(Address("ann", "example.org"), submitter=self.ann.account_id, token=token)
        envelope.recipients.append(Recipient(Address("bob", "example.org"), self.bob.account_id))
        envelope.elsewhere.append(Elsewhere(Address("x", "other.example")))
        return envelope

    async def submit(self, token: bytes = b"", *, copy: bool = False) -> None:
        body = self.body()
        unit = Submit(ACCEPT, self.ann.account_id, copy)(self.envelope(token), body, NOW)
        await self.store.perform(unit, [body])

    def copies(self, name: str = "Sent") -> int:
        mailbox = self.store.reader.mailbox_by_name(self.ann.account_id, name)
        return mailbox.messages if mailbox is not None else 0

    def state(self) -> tuple[int, int, int]:
        """Kept here, queued, copies."""
        return len(kept(self.store, "bob@example.org")), self.store.reader.queue_size()[0], self.copies()


def play(open_store: OpenStore, story: Callable[[Scene], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        store = open_store()
        ann = await store.perform(create_account("ann@example.org", CREDENTIALS, NOW))
        bob = await store.perform(create_account("bob@example.org", CREDENTIALS, NOW))
        await story(Scene(store, ann, bob))
        assert list(invariant.check(store.reader, store.body_pieces)) == []
        store.close()

    asyncio.run(whole())


def test_of_two_submissions_with_one_token_at_the_same_time_one_is_kept(open_each_store: OpenStore) -> None:
    async def story(scene: Scene) -> None:
        outcomes = await asyncio.gather(*(scene.submit(b"1", copy=True) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [AlreadySubmitted] * 2
        assert scene.state() == (1, 1, 1)
        await scene.submit(b"2", copy=True)
        assert scene.state() == (2, 2, 2)

    play(open_each_store, story)


def test_d02_a_copy_that_finds_no_room_keeps_the_message_and_its_token_out_of_everything(open_each_store: OpenStore) -> None:
    async def story(scene: Scene) -> None:
        await scene.store.perform(set_quota(scene.ann.account_id, len(MESSAGE), 0))
        await scene.submit(b"1", copy=True)
        with pytest.raises(OverQuota):
            await scene.submit(b"2", copy=True)
        assert scene.state() == (1, 1, 1)
        await scene.submit(b"2")
        assert scene.state() == (2, 2, 1)

    play(open_each_store, story)


def test_d02_a_recipient_here_who_is_full_keeps_it_out_of_the_queue_too(open_each_store: OpenStore) -> None:
    async def story(scene: Scene) -> None:
        await scene.store.perform(set_quota(scene.bob.account_id, 1, 0))
        with pytest.raises(OverQuota):
            await scene.submit(b"1", copy=True)
        assert scene.state() == (0, 0, 0)
        assert not scene.store.reader.submission_by_token(scene.ann.account_id, b"1")

    play(open_each_store, story)


def test_a_copy_goes_where_the_special_use_says(open_store: OpenStore) -> None:
    """RFC 6154 section 2."""

    async def story(scene: Scene) -> None:
        await scene.store.perform(create_mailbox(scene.ann.account_id, "Gesendet", NOW, SpecialUse.SENT))
        await scene.submit(copy=True)
        assert (scene.copies("Gesendet"), scene.copies()) == (1, 0)

    play(open_store, story)


def test_a_mailbox_that_is_called_sent_takes_the_copy_whatever_it_is_for(open_store: OpenStore) -> None:
    async def story(scene: Scene) -> None:
        await scene.store.perform(create_mailbox(scene.ann.account_id, "Sent", NOW))
        await scene.submit(copy=True)
        assert scene.copies() == 1

    play(open_store, story)


def test_a_copy_is_wanted_by_whoever_says_so_and_by_nobody_else(open_store: OpenStore) -> None:
    async def story(scene: Scene) -> None:
        ann = scene.ann.account_id
        assert not wants_copy(scene.store.reader, ann, "ann@example.org")
        await scene.store.perform(set_wish(ann, "ann@example.org", True))
        assert wants_copy(scene.store.reader, ann, "ann@example.org")
        assert not wants_copy(scene.store.reader, scene.bob.account_id, "bob@example.org")
        await scene.store.perform(set_wish(ann, "ann@example.org", False))
        assert not wants_copy(scene.store.reader, ann, "ann@example.org")

    play(open_store, story)


def test_the_received_line_names_the_only_recipient_and_of_several_none() -> None:
    """RFC 5321 section 7.2."""
    envelope = Envelope(None)
    origin = Origin("localhost", "", "ESMTP", True, True)
    envelope.elsewhere.append(Elsewhere(Address("x", "other.example")))
    assert b"for <x@other.example>" in received(origin, "mx", envelope, NOW)
    envelope.elsewhere.append(Elsewhere(Address("y", "other.example")))
    assert b"other.example" not in received(origin, "mx", envelope, NOW)


# -- BURL (RFC 4468)

DRAFT = b"From: Ann <ann@example.org>\r\nSubject: x\r\nDate: x\r\nMessage-ID: <1@client>\r\n\r\nfrom a draft\r\n"
KEY = b"k" * 32


class UrlScene(Scene):
    """Ann has a draft, and whoever has the key of her INBOX signs for it."""

    async def begin(self) -> None:
        await self.put(self.ann)
        proof = credentials_of("secret")
        await self.store.perform(set_credentials(self.ann.account_id, proof))
        self.login = Authenticator(self.store, LoginPolicy(), now=lambda: NOW, random=os.urandom, sleep=no_sleep)
        settings = SmtpSettings("mx.example.org", extensions=SUBMISSION, require_auth=True)
        desk = Desk(
            settings,
            self.store,
            Directory(self.store, "+", lambda: NOW, 0),
            self.login,
            Allowance(AllowanceLimits(), lambda: NOW),
            Signers(self.store.reader),
            ACCEPT,
            lambda: NOW,
            bytes,
        )
        self.link = LoopbackLink(SubmissionSession(desk), tls=PLAYED_TLS)
        assert b"BURL imap" in await self.say(b"EHLO c\r\n")
        assert (await self.say(b"AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\r\n")).startswith(b"235")

    async def put(self, account: Account, mailbox: str = INBOX) -> None:
        writer = self.store.new_body()
        writer.write(DRAFT)
        body = writer.finish()
        await self.store.perform(deliver([Target(account.account_id, mailbox)], body, NOW), [body])
        place = self.store.reader.mailbox_by_name(account.account_id, mailbox)
        assert place is not None
        row = Property(account.account_id, place.mailbox_id, KEY_KIND, "key", KEY)
        await self.store.perform(lambda tx: tx.put_property(row))

    async def say(self, data: bytes) -> bytes:
        self.link.receive(data)
        await self.link.settled()
        return self.link.take()

    async def burl(self, *commands: bytes) -> list[bytes]:
        """The replies to the commands, after MAIL and RCPT."""
        begun = await self.say(b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\n")
        assert begun.count(b"250 ") == 2
        return [await self.say(command) for command in commands]

    def end(self) -> None:
        assert self.link.bugs == []
        self.link.drop()
        self.login.close()


def url(access: str, owner: str = "ann%40example.org", rest: str = "", key: bytes = KEY, mailbox: str = INBOX) -> bytes:
    rump = f"imap://{owner}@mx.example.org/{mailbox}/;UID=1{rest};URLAUTH={access}"
    return f"{rump}:internal:{token_of(key, rump)}".encode()


def play_urls(story: Callable[[UrlScene], Coroutine[None, None, None]]) -> None:
    async def whole(plain: Scene) -> None:
        scene = UrlScene(plain.store, plain.ann, plain.bob)
        await scene.begin()
        await story(scene)
        scene.end()

    play(MemoryStore, whole)


MINE = "submit+ann%40example.org"


def test_a_draft_is_sent_by_its_url_alone() -> None:
    """RFC 4468 section 3.4."""

    async def story(scene: UrlScene) -> None:
        (answer,) = await scene.burl(b"BURL " + url(MINE) + b" LAST\r\n")
        assert answer == b"250 2.0.0 Message kept\r\n"
        assert kept(scene.store, "bob@example.org")[0].endswith(DRAFT)

    play_urls(story)


def test_a_message_is_put_together_of_octets_and_urls() -> None:
    async def story(scene: UrlScene) -> None:
        header = b"From: ann@example.org\r\nDate: x\r\nMessage-ID: <2@client>\r\n\r\n"
        answers = await scene.burl(
            b"BDAT %d\r\n" % len(header) + header,
            b"BURL " + url(MINE, rest="/;SECTION=TEXT") + b"\r\n",
            b"BURL " + url("authuser", rest="/;SECTION=HEADER/;PARTIAL=0.6") + b"\r\n",
            b"BDAT 2 LAST\r\n\r\n",
        )
        assert [answer[:3] for answer in answers] == [b"250"] * 4
        assert kept(scene.store, "bob@example.org")[0].endswith(header + b"from a draft\r\nFrom: \r\n")

    play_urls(story)


@pytest.mark.parametrize(("mailbox", "copies"), [("INBOX", 1), ("Sent", 1)])
def test_what_is_sent_out_of_sent_is_not_copied_there_again(mailbox: str, copies: int) -> None:
    async def story(scene: UrlScene) -> None:
        await scene.store.perform(set_wish(scene.ann.account_id, scene.ann.login, True))
        if mailbox == "Sent":
            await scene.store.perform(create_mailbox(scene.ann.account_id, "Sent", NOW))
            await scene.put(scene.ann, "Sent")
        (answer,) = await scene.burl(b"BURL " + url(MINE).replace(b"INBOX", mailbox.encode()) + b" LAST\r\n")
        assert answer.startswith(b"250" if mailbox == "INBOX" else b"554"), "the signature is of the whole URL"
        if mailbox == "Sent":
            (answer,) = await scene.burl(b"BURL " + url(MINE, mailbox="Sent") + b" LAST\r\n")
            assert answer.startswith(b"250")
        assert scene.copies() == copies

    play_urls(story)


@pytest.mark.parametrize(
    "asked",
    [
        url("submit+bob%40example.org"),
        url("user+ann%40example.org"),
        url(MINE, key=b"another"),
        url(MINE, rest=";EXPIRE=2020-01-01T00:00:00Z"),
        url(MINE, rest="/;SECTION=7"),
        url(MINE, owner="nobody%40example.org"),
        url(MINE).replace(b"UID=1", b"UID=2"),
        b"imap://mx.example.org/INBOX/;UID=1",
        b"http://mx.example.org/",
        b"imap:" + b"x" * 1000,
    ],
)
def test_a45_a_url_that_is_not_signed_for_me_leads_to_nothing(asked: bytes) -> None:
    async def story(scene: UrlScene) -> None:
        (answer,) = await scene.burl(b"BURL " + asked + b" LAST\r\n")
        assert answer == b"554 5.6.6 The URL leads to no octets\r\n"
        assert (await scene.burl(b"BURL " + url(MINE) + b" LAST\r\n"))[0].startswith(b"250")

    play_urls(story)


def test_a_colleagues_message_goes_where_the_colleague_signed_for_it() -> None:
    async def story(scene: UrlScene) -> None:
        await scene.put(scene.bob)
        asked = url(MINE, owner="bob%40example.org")
        (answer,) = await scene.burl(b"BURL " + asked + b" LAST\r\n")
        assert answer.startswith(b"250")

    play_urls(story)


def test_a_message_by_url_is_judged_as_any_other() -> None:
    """A-25."""

    async def story(scene: UrlScene) -> None:
        asked = url(MINE, rest="/;SECTION=TEXT")
        (answer,) = await scene.burl(b"BURL " + asked + b" LAST\r\n")
        assert answer.startswith(b"550 5.6.0")
        assert kept(scene.store, "bob@example.org") == []

    play_urls(story)


def test_a_held_message_is_first_tried_when_it_is_let_go(open_store: OpenStore) -> None:
    """RFC 4865 section 5."""

    async def story(scene: Scene) -> None:
        body = scene.body()
        envelope = scene.envelope()
        envelope.recipients.clear()
        envelope.hold = 3600
        await scene.store.perform(Submit(ACCEPT, scene.ann.account_id, False)(envelope, body, NOW), [body])
        (row,) = scene.store.reader.queued_recipients(Uid(1))
        assert row.next_attempt == QUEUE_NOW + 3600
        assert row.expires > QUEUE_NOW + 3600

    play(open_store, story)
