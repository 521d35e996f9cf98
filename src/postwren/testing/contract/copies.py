"""What an account remembers as the copy of another one."""

import pytest

from postwren.mailstore.invariant import check
from postwren.mailstore.model import Account, Mailbox
from postwren.mailstore.port import Transaction
from postwren.mailstore.replica import LARGEST, Pair, Replica, Taken, TakenState
from postwren.mailstore.service.accounts import remove_account
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.mailboxes import delete_mailbox
from postwren.terms import EmailId, FlagSetId, ModSeq, Uid
from postwren.testing.contract.scene import Scene, story

__all__ = ["CopyContract"]

NO_FLAGS = FlagSetId(0)


class CopyContract:
    """Pairs, replicas, taken messages."""

    async def paired(self, scene: Scene) -> tuple[Account, Mailbox, list[Pair]]:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        await scene.append(ann, b"one\r\n", b"two\r\n", b"three\r\n", b"four\r\n")
        entries = scene.entries(ann)
        pairs = [Pair(70 + place, entry.uid, entry.email_id, NO_FLAGS) for place, entry in enumerate(entries[:3])]
        await scene.perform(lambda tx: tx.put_pairs(ann.account_id, inbox.mailbox_id, pairs))
        return ann, inbox, pairs

    @story
    async def test_pairs_are_found_from_either_side_and_by_email(self, scene: Scene) -> None:
        ann, inbox, pairs = await self.paired(scene)
        where = ann.account_id, inbox.mailbox_id
        assert scene.reader.pairs(*where) == pairs
        assert scene.reader.pairs(*where, [(1, 70), (72, 99)]) == [pairs[0], pairs[2]]
        assert scene.reader.pairs_of(*where, [(2, 3), (5, 9)]) == pairs[1:]
        assert list(scene.reader.paired_uids(*where)) == [70, 71, 72]
        assert scene.reader.pair_count(*where) == 3
        assert scene.reader.unpaired(*where) == [4]
        assert scene.reader.paired_with(ann.account_id, [pairs[1].email_id, EmailId(99)]) == [(inbox.mailbox_id, pairs[1])]

    @story
    async def test_a_message_that_is_held_has_a_pair_and_no_counterpart(self, scene: Scene) -> None:
        ann, inbox, pairs = await self.paired(scene)
        where = ann.account_id, inbox.mailbox_id
        held = pairs[0]._replace(remote_uid=LARGEST + pairs[0].uid)
        await scene.perform(lambda tx: tx.put_pairs(*where, [held]))
        assert list(scene.reader.paired_uids(*where)) == [71, 72]
        assert scene.reader.pair_count(*where) == 2
        assert scene.reader.unpaired(*where) == [4]
        assert scene.reader.pairs_of(*where, [(1, 1)]) == [held]

    @story
    async def test_a_pair_is_replaced_by_its_remote_uid_and_an_entry_has_only_one(self, scene: Scene) -> None:
        ann, inbox, pairs = await self.paired(scene)
        where = ann.account_id, inbox.mailbox_id
        again = pairs[0]._replace(remote_uid=80)
        other = pairs[1]._replace(email_id=EmailId(9))
        await scene.perform(lambda tx: tx.put_pairs(*where, [again, other]))
        assert scene.reader.pairs(*where) == [other, pairs[2], again]
        await scene.perform(lambda tx: tx.delete_pairs(*where, [(1, 75), (90, 99)]))
        assert scene.reader.pairs(*where) == [again]

    @story
    async def test_a_pair_outlives_its_entry_but_not_its_mailbox(self, scene: Scene) -> None:
        ann = await scene.account()
        work = await scene.create(ann, "Work")
        where = ann.account_id, work.mailbox_id
        await scene.append(ann, b"one\r\n", mailbox="Work")
        pair = Pair(7, Uid(1), scene.entries(ann, "Work")[0].email_id, NO_FLAGS)
        replica = Replica(work.mailbox_id, "Work", "work", 1, 8, 3, ModSeq(2), 0, None)

        def unit(tx: Transaction) -> None:
            tx.put_replica(ann.account_id, replica)
            tx.put_pairs(*where, [pair])

        await scene.perform(unit)
        await scene.perform(expunge(*where, None, scene.now, only_deleted=False))
        assert scene.reader.pairs(*where) == [pair]
        await scene.perform(delete_mailbox(*where, scene.now))
        assert scene.reader.pairs(*where) == []
        assert scene.reader.replicas(ann.account_id) == [replica]
        await scene.perform(lambda tx: tx.delete_replica(*where))
        assert scene.reader.replicas(ann.account_id) == []

    @story
    async def test_forgetting_a_replica_forgets_its_pairs(self, scene: Scene) -> None:
        ann, inbox, _ = await self.paired(scene)
        where = ann.account_id, inbox.mailbox_id
        await scene.perform(lambda tx: tx.delete_replica(*where))
        assert scene.reader.pairs(*where) == []

    @story
    async def test_taken_messages_come_and_go_and_a_unit_that_fails_leaves_them(self, scene: Scene) -> None:
        ann, inbox, pairs = await self.paired(scene)
        taken = [
            taken_row(uidl, inbox, scene, state) for uidl, state in ((b"\xffb", TakenState.REMOVED), (b"a", TakenState.LISTED))
        ]
        await scene.perform(lambda tx: tx.put_taken(ann.account_id, taken))
        assert scene.reader.taken(ann.account_id) == taken[::-1]

        def failing(tx: Transaction) -> None:
            tx.delete_taken(ann.account_id, [b"a"])
            tx.delete_pairs(ann.account_id, inbox.mailbox_id, [(1, 99)])
            raise RuntimeError

        with pytest.raises(RuntimeError):
            await scene.perform(failing)
        assert scene.reader.taken(ann.account_id) == taken[::-1]
        assert scene.reader.pairs(ann.account_id, inbox.mailbox_id) == pairs
        await scene.perform(lambda tx: tx.delete_taken(ann.account_id, [b"a", b"nothing"]))
        assert scene.reader.taken(ann.account_id) == taken[:1]

    @story
    async def test_all_of_it_goes_with_the_account(self, scene: Scene) -> None:
        ann, inbox, _ = await self.paired(scene)
        row = taken_row(b"a", inbox, scene, TakenState.LISTED)
        await scene.perform(lambda tx: tx.put_taken(ann.account_id, [row]))
        await scene.perform(remove_account(ann.account_id))
        assert scene.reader.taken(ann.account_id) == []
        assert scene.reader.pairs(ann.account_id, inbox.mailbox_id) == []

    @story
    async def test_a_pair_of_nothing_is_found_by_the_check(self, scene: Scene) -> None:
        ann, inbox, _ = await self.paired(scene)
        where = ann.account_id, inbox.mailbox_id
        bad = [Pair(99, Uid(50), EmailId(1), NO_FLAGS)]
        await scene.perform(lambda tx: tx.put_pairs(*where, bad))
        assert [violation.rule for violation in check(scene.reader)] == ["pair"]
        await scene.perform(lambda tx: tx.delete_pairs(*where, [(99, 99)]))


def taken_row(uidl: bytes, inbox: Mailbox, scene: Scene, state: TakenState) -> Taken:
    return Taken(uidl, 4, b"h" * 32, inbox.mailbox_id, Uid(1), scene.now, state, scene.now + 5)
