"""What is rendered of each email, and by whom."""

import asyncio
import hashlib

from postwren.mailstore.digester import Digester, Limits
from postwren.mailstore.digests import DigestRow, row_of
from postwren.mailstore.model import Account, BodyRef, Email
from postwren.mailstore.neighbours import WINDOW
from postwren.mailstore.service.accounts import remove_account
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.housekeeping import RECOVERY_TERM, end_recovery, prune_digests
from postwren.message.digest import digest
from postwren.terms import AccountId, EmailId
from postwren.testing.contract.scene import Scene, story

__all__ = ["DigestContract"]


def message(number: int) -> bytes:
    return b"From: ann%d@example.org\r\nSubject: =?utf-8?q?caf=C3=A9?= %d\r\nMessage-ID: <%d@x>\r\n\r\nhello\r\n" % (
        (number,) * 3
    )


def row(account: Account, number: int) -> DigestRow:
    """As it should be, for the message that is also email `number`."""
    return row_of_octets(account.account_id, number, message(number))


def row_of_octets(account_id: AccountId, email_id: int, octets: bytes) -> DigestRow:
    """The row of a message."""
    email = Email(account_id, EmailId(email_id), hashlib.sha256(octets).digest(), BodyRef(1, 0, 0, 0), False, 1)
    return row_of(email, digest(octets))


async def ann_with(scene: Scene, count: int) -> Account:
    ann = await scene.account()
    await scene.append(ann, *[message(number) for number in range(1, count + 1)])
    return ann


async def until_quiet(scene: Scene, account: Account, task: "asyncio.Task[None]") -> None:
    """Until nothing is missing that can be there."""
    ids = range(1, scene.row(account).next_email_id)
    for _ in range(1000):
        if not scene.store.digests.missing(account.account_id, ids):
            break
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class DigestContract:
    """What `Store.digests` and the digester do."""

    @story
    async def test_rows_come_in_the_order_that_is_asked_for_and_missing_ones_are_seen(self, scene: Scene) -> None:
        ann = await ann_with(scene, 9)
        digests, me = scene.store.digests, ann.account_id
        assert digests.missing(me, range(1, 10)) == list(range(1, 10))
        assert digests.column(me, [1, 2], "envelope") == [None, None]
        assert digests.put([row(ann, number) for number in (1, 2, 3, 4, 6, 7)])
        assert digests.put([])
        assert digests.missing(me, [9, 1, 5, 6, 99]) == [9, 5, 99]
        for name in ("envelope", "body", "bodystructure"):
            at = DigestRow._fields.index(name)
            assert digests.column(me, [1, 2, 3, 4], name) == [row(ann, number)[at] for number in (1, 2, 3, 4)]
            found = digests.column(me, [7, 5, 1, 1], name)
            assert found == [row(ann, 7)[at], None, row(ann, 1)[at], row(ann, 1)[at]]
        assert digests.column(me, [], "envelope") == []
        names = DigestRow._fields[2:]
        assert digests.columns(me, [4, 5, 3], names) == [tuple(row(ann, 4)[2:]), None, tuple(row(ann, 3)[2:])]
        assert digests.columns(me, [4], ("subject", "header_size")) == [("caf\u00e9 4", len(message(4)) - 7)]
        assert digests.columns(AccountId(99), [4], ("subject",)) == [None]

    @story
    async def test_a_row_of_another_content_is_as_good_as_missing(self, scene: Scene) -> None:
        """A restored backup hands out ids again that the rows of a newer life still name."""
        ann = await ann_with(scene, 3)
        stranger = row_of_octets(ann.account_id, 2, b"Subject: another life\r\n\r\n")
        scene.store.digests.put([row(ann, 1), stranger, row(ann, 3)])
        await self.forget(scene)
        assert scene.store.digests.column(ann.account_id, [1, 2, 3], "envelope")[1] is None
        assert scene.store.digests.missing(ann.account_id, [1, 2, 3]) == [2]

    async def forget(self, scene: Scene) -> None:
        """Where an adapter remembers which rows are right: what a new process knows, which is nothing."""

    @story
    async def test_what_a_fetch_needs_is_rendered_at_once_and_kept(self, scene: Scene) -> None:
        ann = await ann_with(scene, 7)
        digester = Digester(scene.store, lambda: 0.0, Limits(batch_messages=2, batch_octets=150))
        await digester.ensure(ann.account_id, [2])
        rows = await digester.ensure(ann.account_id, [1, 2, 3, 4, 5, 99])
        assert rows == {number: row(ann, number) for number in (1, 3, 4, 5)}
        assert scene.store.digests.missing(ann.account_id, range(1, 8)) == [6, 7]
        assert await digester.ensure(ann.account_id, [1, 2, 3]) == {}

    @story
    async def test_a_message_of_any_size_is_rendered(self, scene: Scene) -> None:
        ann = await scene.account()
        large = message(1) + b"line\r\n" * (WINDOW // 6)
        await scene.append(ann, large, b"", message(2))
        rows = await Digester(scene.store, lambda: 0.0).ensure(ann.account_id, [1, 2, 3])
        assert rows[EmailId(1)] == row_of_octets(ann.account_id, 1, large)
        assert rows[EmailId(2)] == row_of_octets(ann.account_id, 2, b"")
        assert rows[EmailId(3)].envelope == row(ann, 2).envelope

    @story
    async def test_deliveries_are_rendered_behind_their_acknowledgement(self, scene: Scene) -> None:
        ann = await ann_with(scene, 5)
        limits = Limits(slice_messages=2, idle_seconds=0.002, pause_seconds=0)
        task = asyncio.ensure_future(Digester(scene.store, asyncio.get_running_loop().time, limits).run())
        await asyncio.sleep(0)
        ben = await scene.account("ben@example.org")
        for number in range(1, 4):
            await scene.deliver(ben, message(number))
        await until_quiet(scene, ben, asyncio.ensure_future(asyncio.sleep(0)))
        await until_quiet(scene, ann, task)
        for account, count in ((ann, 5), (ben, 3)):
            assert scene.store.digests.missing(account.account_id, range(1, count + 1)) == []
        assert scene.store.digests.columns(ben.account_id, [3], ("message_id",)) == [("3@x",)]

    @story
    async def test_slices_follow_each_other_while_nobody_delivers(self, scene: Scene) -> None:
        ann = await ann_with(scene, 9)
        clock = iter(range(0, 1 << 40, 1000))  # ages after the last commit, whenever one looks
        limits = Limits(slice_messages=2, idle_seconds=900.0, pause_seconds=0, breath_seconds=0)
        task = asyncio.ensure_future(Digester(scene.store, lambda: float(next(clock)), limits).run())
        await until_quiet(scene, ann, task)
        assert scene.store.digests.missing(ann.account_id, range(1, 10)) == []

    @story
    async def test_rows_of_emails_that_are_gone_go(self, scene: Scene) -> None:
        ann = await ann_with(scene, 3)
        await Digester(scene.store, lambda: 0.0).ensure(ann.account_id, [1, 2, 3])
        inbox = scene.mailbox(ann)
        await scene.perform(expunge(ann.account_id, inbox.mailbox_id, [(2, 2)], scene.now, only_deleted=False))
        await scene.perform(end_recovery(ann.account_id, scene.now + RECOVERY_TERM + 1))
        ben = await scene.account("ben@example.org")
        await scene.deliver(ben, message(1))
        await Digester(scene.store, lambda: 0.0).ensure(ben.account_id, [1])
        assert scene.store.digests.accounts() == [ann.account_id, ben.account_id]
        await scene.perform(remove_account(ben.account_id))
        await prune_digests(scene.store)
        assert scene.store.digests.accounts() == [ann.account_id]
        assert scene.store.digests.columns(ann.account_id, [1, 2, 3], ("is_reply",)) == [(False,), None, (False,)]
