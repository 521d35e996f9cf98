"""What is deleted can be brought back until its term ends."""

import pytest

from postwren.mailstore.errors import NoSuchMailbox, OverQuota
from postwren.mailstore.model import Account
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.housekeeping import RECOVERY_TERM, end_recovery
from postwren.mailstore.service.mailboxes import delete_mailbox
from postwren.mailstore.service.maildrop import open_maildrop, remove
from postwren.mailstore.service.undelete import recover, recoverable
from postwren.terms import INBOX, MailboxId, ModSeq
from postwren.testing.contract.scene import Scene, dump, story

__all__ = ["RecoveryContract"]


class RecoveryContract:
    """What recovery does."""

    async def destroy(self, scene: Scene, account: Account, name: str = INBOX) -> MailboxId:
        mailbox = scene.mailbox(account, name)
        await scene.perform(expunge(account.account_id, mailbox.mailbox_id, None, scene.now, only_deleted=False))
        return mailbox.mailbox_id

    @story
    async def test_what_pop3_removed_comes_back_with_its_unique_id(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.deliver(ann, b"one\r\n")
        await scene.deliver(ann, b"two\r\n")
        drop = await open_maildrop(scene.store, ann.account_id)
        await scene.perform(remove(ann.account_id, drop.mailbox_id, drop.uids, scene.now))
        assert [row.uid for row in recoverable(scene.reader, ann.account_id)] == [1, 2]
        done = await scene.perform(recover(ann.account_id, drop.mailbox_id, [(1, 2)], scene.now))
        assert (done.source, done.destination) == ([1, 2], [3, 4])
        again = await open_maildrop(scene.store, ann.account_id)
        assert again.uidls() == drop.uidls()
        assert again.uids == (3, 4)
        assert scene.contents(ann) == [b"one\r\n", b"two\r\n"]
        assert recoverable(scene.reader, ann.account_id) == []
        assert (await scene.perform(recover(ann.account_id, drop.mailbox_id, [(1, 9)], scene.now))).source == []

    @story
    async def test_flags_dates_and_email_come_back_but_not_the_deleted_flag(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.create(ann, "Work")
        await scene.append(ann, b"x\r\n", flags=["\\Flagged", "\\Deleted", "$Work"], mailbox="Work")
        before = scene.entries(ann, "Work")[0]
        mailbox_id = await self.destroy(scene, ann, "Work")
        scene.now += 100
        done = await scene.perform(recover(ann.account_id, mailbox_id, [(1, 1)], scene.now))
        after = scene.entries(ann, "Work")[0]
        assert done.mailbox_id == mailbox_id
        assert scene.flags(ann, "Work") == {2: {"\\Flagged", "$Work"}}
        assert (after.email_id, after.internaldate, after.size) == (before.email_id, before.internaldate, before.size)
        assert scene.row(ann).used == after.size

    @story
    async def test_what_came_from_a_deleted_mailbox_comes_to_inbox_or_where_one_says(self, scene: Scene) -> None:
        ann = await scene.account()
        for name in ("a", "b"):
            await scene.create(ann, name)
        await scene.append(ann, b"one\r\n", b"two\r\n", mailbox="a")
        gone = scene.mailbox(ann, "a").mailbox_id
        await scene.perform(delete_mailbox(ann.account_id, gone, scene.now))
        assert [row.mailbox_id for row in recoverable(scene.reader, ann.account_id)] == [gone, gone]
        await scene.perform(recover(ann.account_id, gone, [(1, 1)], scene.now))
        into = scene.mailbox(ann, "b").mailbox_id
        await scene.perform(recover(ann.account_id, gone, [(2, 2)], scene.now, into))
        assert (scene.contents(ann), scene.contents(ann, "b")) == ([b"one\r\n"], [b"two\r\n"])
        with pytest.raises(NoSuchMailbox):
            await scene.perform(recover(ann.account_id, gone, [(2, 2)], scene.now, MailboxId(99)))

    @story
    async def test_recovery_keeps_to_the_quota(self, scene: Scene) -> None:
        ann = await scene.account(quota=10)
        await scene.deliver(ann, b"12345678\r\n")
        mailbox_id = await self.destroy(scene, ann)
        await scene.deliver(ann, b"x")
        before = dump(scene.reader, ann.account_id)
        with pytest.raises(OverQuota):
            await scene.perform(recover(ann.account_id, mailbox_id, [(1, 1)], scene.now))
        assert dump(scene.reader, ann.account_id) == before

    @story
    async def test_octets_stay_until_the_term_ends_and_the_tombstone_stays_for_ever(self, scene: Scene) -> None:
        ann = await scene.account()
        done = await scene.deliver(ann, b"one\r\n")
        mailbox_id = await self.destroy(scene, ann)
        destroyed = scene.now
        email = scene.reader.email(ann.account_id, done.email_id)
        assert email is not None
        assert scene.store.read_body(email.body) == b"one\r\n"
        assert (scene.reader.ending(destroyed), scene.reader.ending(destroyed + 1)) == ([], [ann.account_id])
        assert await scene.perform(end_recovery(ann.account_id, destroyed + RECOVERY_TERM)) == 0
        assert await scene.perform(end_recovery(ann.account_id, destroyed + RECOVERY_TERM + 1)) == 1
        assert await scene.perform(end_recovery(ann.account_id, destroyed + RECOVERY_TERM + 1)) == 0
        assert scene.reader.email(ann.account_id, done.email_id) is None
        assert recoverable(scene.reader, ann.account_id) == []
        assert scene.reader.ending(destroyed + 1) == []
        assert (await scene.perform(recover(ann.account_id, mailbox_id, [(1, 1)], scene.now))).source == []
        assert scene.reader.expunged_since(ann.account_id, mailbox_id, ModSeq(0)) == [1]

    @story
    async def test_an_email_stays_while_anything_names_it(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.deliver(ann, b"same\r\n")
        mailbox_id = await self.destroy(scene, ann)
        again = await scene.deliver(ann, b"same\r\n")
        assert [email.references for email in scene.reader.emails(ann.account_id)] == [2]
        await scene.perform(end_recovery(ann.account_id, scene.now + RECOVERY_TERM + 1))
        assert [email.references for email in scene.reader.emails(ann.account_id)] == [1]
        assert scene.contents(ann) == [b"same\r\n"]
        await self.destroy(scene, ann)
        await scene.perform(end_recovery(ann.account_id, scene.now + RECOVERY_TERM + 1))
        assert list(scene.reader.emails(ann.account_id)) == []
        anew = await scene.deliver(ann, b"same\r\n")
        assert anew.email_id > again.email_id  # ids never return
        assert anew.mailbox_id == mailbox_id
