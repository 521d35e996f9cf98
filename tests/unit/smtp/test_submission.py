"""What a submission promises of the store: its token, its recipients and its copy are one thing (D-02)."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from tests.conftest import OpenStore
from tests.scripts.stage_smtp import CREDENTIALS, NOW, accept, kept

from postwren.delivery.envelope import Elsewhere, Envelope, Recipient
from postwren.delivery.submit import Submit
from postwren.delivery.trace import Origin, received
from postwren.mailstore import invariant
from postwren.mailstore.errors import AlreadySubmitted, OverQuota
from postwren.mailstore.model import Account
from postwren.mailstore.port import NewBody, Store
from postwren.mailstore.service.accounts import create_account, set_quota
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.mailstore.service.sent import set_wish, wants_copy
from postwren.terms import Address, SpecialUse

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
        unit = Submit(accept, self.ann.account_id, copy)(self.envelope(token), body, NOW)
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
