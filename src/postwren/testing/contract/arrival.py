"""How messages come in: delivery and append."""

import asyncio

import pytest

from postwren.mailstore.errors import NoSuchAccount, NoSuchMailbox, OverQuota
from postwren.mailstore.port import Transaction
from postwren.mailstore.service.accounts import set_quota
from postwren.mailstore.service.append import NewMessage, append
from postwren.mailstore.service.copymove import copy
from postwren.mailstore.service.deliver import Delivered, Target, deliver
from postwren.terms import AccountId, MailboxId
from postwren.testing.contract.scene import Scene, dump, story

__all__ = ["ArrivalContract"]


class ArrivalContract:
    """What delivery and append do."""

    @story
    async def test_a_delivery_is_an_entry_with_the_next_uid_and_modseq(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        first, second = await scene.deliver(ann, b"one\r\n"), await scene.deliver(ann, b".two\r\n")
        assert first == Delivered(ann.account_id, inbox.mailbox_id, inbox.uidvalidity, *first[3:])
        assert (first.uid, second.uid) == (1, 2)
        entry = scene.entries(ann)[1]
        assert (entry.internaldate, entry.savedate, entry.size) == (scene.now, scene.now, 6)
        assert entry.modseq == entry.created_modseq == scene.row(ann).modseq == scene.mailbox(ann).highestmodseq
        assert scene.mailbox(ann).uidnext == 3
        assert scene.row(ann).used == scene.mailbox(ann).size == 11
        assert scene.contents(ann) == [b"one\r\n", b".two\r\n"]

    @story
    async def test_a_content_is_kept_once_an_account(self, scene: Scene) -> None:
        ann, ben = await scene.account(), await scene.account("ben@example.org")
        done = [await scene.deliver(ann, b"same\r\n"), await scene.deliver(ann, b"same\r\n")]
        assert done[0].email_id == done[1].email_id
        assert [email.references for email in scene.reader.emails(ann.account_id)] == [2]
        await scene.deliver(ben, b"same\r\n")
        assert [email.references for email in scene.reader.emails(ben.account_id)] == [1]
        assert scene.row(ann).used == 12

    @story
    async def test_a_content_that_only_some_hold_is_kept_for_the_others_and_hurts_no_neighbour(self, scene: Scene) -> None:
        ann, ben = await scene.account(), await scene.account("ben@example.org")
        await scene.deliver(ann, b"same\r\n")
        await scene.deliver_to([Target(ann.account_id), Target(ben.account_id), Target(ann.account_id)], b"same\r\n")
        await scene.deliver_to([Target(ann.account_id)], b"same\r\n")
        await scene.deliver(ben, b"another, and longer\r\n")
        assert scene.contents(ann) == [b"same\r\n"] * 4
        assert scene.contents(ben) == [b"same\r\n", b"another, and longer\r\n"]
        assert [email.references for email in scene.reader.emails(ann.account_id)] == [4]
        assert scene.row(ann).next_email_id == 2

    @story
    async def test_d20_every_target_gets_an_entry_of_its_own_also_an_equal_one(self, scene: Scene) -> None:
        ann, ben = await scene.account(), await scene.account("ben@example.org")
        await scene.create(ann, "Lists")
        targets = [
            Target(ann.account_id),
            Target(ben.account_id),
            Target(ann.account_id, "Lists", frozenset({"\\Seen", "\\Deleted"})),
            Target(ann.account_id),
        ]
        done = await scene.deliver_to(targets, b"to all\r\n")
        assert [(each.account_id, each.uid) for each in done] == [(1, 1), (2, 1), (1, 1), (1, 2)]
        assert scene.flags(ann, "Lists") == {1: frozenset({"\\Seen", "\\Deleted"})}
        assert (scene.mailbox(ann, "Lists").unseen, scene.mailbox(ann, "Lists").deleted) == (0, 1)
        assert (scene.mailbox(ann).unseen, scene.mailbox(ann).deleted) == (2, 0)

    @story
    async def test_a_missing_mailbox_becomes_inbox(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.deliver(ann, mailbox="No/Such")
        assert scene.uids(ann) == [1]

    @story
    async def test_d02_when_one_target_fails_nobody_gets_a_copy(self, scene: Scene) -> None:
        ann, ben = await scene.account(), await scene.account("ben@example.org", quota=5)
        before = dump(scene.reader, ann.account_id)
        with pytest.raises(OverQuota) as refused:
            await scene.deliver_to([Target(ann.account_id), Target(ben.account_id)], b"too long\r\n")
        assert (refused.value.limit, refused.value.used) == (5, 0)
        with pytest.raises(NoSuchAccount):
            await scene.deliver_to([Target(ann.account_id), Target(AccountId(999))], b"hello\r\n")
        assert dump(scene.reader, ann.account_id) == before
        assert scene.uids(ben) == []

    @story
    async def test_d20_a_refused_target_leaves_the_others_of_its_unit_their_copies(self, scene: Scene) -> None:
        ann, ben = await scene.account(), await scene.account("ben@example.org", quota=5)
        before = dump(scene.reader, ben.account_id)
        body = scene.body(b"too long\r\n")
        accounts = (ben.account_id, ann.account_id, AccountId(999))

        def unit(tx: Transaction) -> list[type[Exception] | None]:
            outcomes: list[type[Exception] | None] = []
            for account_id in accounts:
                try:
                    deliver([Target(account_id)], body, scene.now)(tx)
                    outcomes.append(None)
                except (OverQuota, NoSuchAccount) as error:
                    outcomes.append(type(error))
            return outcomes

        assert await scene.perform(unit, [body]) == [OverQuota, None, NoSuchAccount]
        assert dump(scene.reader, ben.account_id) == before
        assert scene.contents(ann) == [b"too long\r\n"]

    @story
    async def test_a_limit_of_messages_counts_all_mailboxes_and_leaves_what_is_there(self, scene: Scene) -> None:
        ann = await scene.account()
        work = await scene.create(ann, "Work")
        await scene.deliver(ann, b"one\r\n")
        await scene.deliver(ann, b"two\r\n", mailbox="Work")
        await scene.perform(set_quota(ann.account_id, 0, 3))
        await scene.perform(copy(ann.account_id, work.mailbox_id, [(1, 1)], scene.mailbox(ann).mailbox_id, scene.now))
        with pytest.raises(OverQuota):
            await scene.perform(copy(ann.account_id, work.mailbox_id, [(1, 1)], scene.mailbox(ann).mailbox_id, scene.now))
        with pytest.raises(OverQuota) as refused:
            await scene.deliver(ann, b"four\r\n")
        assert (refused.value.limit, refused.value.used, refused.value.is_messages) == (3, 3, True)
        await scene.perform(set_quota(ann.account_id, 0, 1))
        assert scene.uids(ann) == [1, 2]
        await scene.perform(set_quota(ann.account_id, 1000, 0))
        await scene.deliver(ann, b"four\r\n")
        assert (scene.row(ann).quota, scene.row(ann).message_quota) == (1000, 0)

    @story
    async def test_d41_parallel_arrivals_never_pass_the_quota(self, scene: Scene) -> None:
        ann = await scene.account(quota=100)
        await scene.deliver(ann, b"x" * 30)
        outcomes = await asyncio.gather(
            *[scene.deliver(ann, b"%010d" % n) for n in range(5)],
            *[scene.append(ann, b"a%09d" % n) for n in range(5)],
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, OverQuota) for outcome in outcomes) == 3
        assert scene.row(ann).used == 100
        with pytest.raises(OverQuota):
            await scene.deliver(ann, b"x")

    @story
    async def test_append_keeps_flags_and_dates_and_tells_the_uids(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.deliver(ann, b"before\r\n")
        done = await scene.append(ann, b"one\r\n", b"two\r\n", b"one\r\n", b"before\r\n", flags=["\\SEEN", "$Junk", "$junk"])
        assert done.uids == [2, 3, 4, 5]
        assert done.uidvalidity == scene.mailbox(ann).uidvalidity
        assert done.email_ids[0] == done.email_ids[2]
        assert done.email_ids[3] == scene.entries(ann)[0].email_id
        assert scene.flags(ann)[3] == {"\\Seen", "$Junk"}
        assert {entry.modseq for entry in scene.entries(ann)[1:]} == {done.modseq}
        assert scene.entries(ann)[2].internaldate == scene.now - 1000
        assert scene.entries(ann)[2].savedate == scene.now
        assert scene.contents(ann)[1:] == [b"one\r\n", b"two\r\n", b"one\r\n", b"before\r\n"]
        assert scene.mailbox(ann).unseen == 1

    @story
    async def test_d30_of_several_messages_all_are_appended_or_none(self, scene: Scene) -> None:
        ann = await scene.account(quota=10)
        before = dump(scene.reader, ann.account_id)
        with pytest.raises(OverQuota):
            await scene.append(ann, b"short\r\n", b"other\r\n")
        body = scene.body(b"x\r\n")
        unit = append(ann.account_id, MailboxId(999), [NewMessage(body, 0)], scene.now)
        with pytest.raises(NoSuchMailbox):
            await scene.perform(unit, [body])
        body.discard()
        assert dump(scene.reader, ann.account_id) == before
        assert (await scene.append(ann)).uids == []
        assert dump(scene.reader, ann.account_id) == before

    @story
    async def test_units_from_many_sides_get_uids_in_the_order_of_their_commit(self, scene: Scene) -> None:
        ann = await scene.account()
        bodies = [scene.body(b"%d\r\n" % number) for number in range(100)]
        units = [scene.perform(deliver([Target(ann.account_id)], body, scene.now), [body]) for body in bodies]
        done = [outcome[0].uid for outcome in await asyncio.gather(*units)]
        assert done == list(range(1, 101))
        assert scene.contents(ann) == [b"%d\r\n" % number for number in range(100)]
