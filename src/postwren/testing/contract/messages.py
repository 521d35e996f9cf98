"""Flags, copy, move, expunge, and what a resynchronising client is told of them."""

import asyncio

import pytest

from postwren.mailstore.errors import NoSuchMailbox, OverQuota, TooMany
from postwren.mailstore.model import Account, ChangeKind
from postwren.mailstore.service.changes import changed_since, vanished
from postwren.mailstore.service.copymove import copy, copy_across, move
from postwren.mailstore.service.deliver import Target
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.flags import FlagAction, FlagChange, change_flags, change_flags_in_turn
from postwren.mailstore.service.housekeeping import RECOVERY_TERM, end_recovery
from postwren.mailstore.service.maildrop import open_maildrop, remove
from postwren.terms import MailboxId, ModSeq, Uid
from postwren.testing.contract.scene import Scene, dump, story

__all__ = ["MessageContract"]

ALL = [(1, 2**32 - 1)]


async def ann_with(scene: Scene, messages: int, quota: int = 0) -> Account:
    """An account with this many messages in INBOX, one an append."""
    ann = await scene.account(quota=quota)
    for number in range(messages):
        await scene.append(ann, b"message %d\r\n" % number)
    return ann


class MessageContract:
    """What happens to messages."""

    # -- flags

    @story
    async def test_flags_are_added_removed_and_replaced(self, scene: Scene) -> None:
        ann = await ann_with(scene, 3)
        inbox = scene.mailbox(ann)

        async def change(action: FlagAction, *flags: str) -> frozenset[str]:
            await scene.perform(change_flags(ann.account_id, inbox.mailbox_id, [(2, 3)], action, flags))
            assert scene.flags(ann)[1] == frozenset()
            assert scene.flags(ann)[2] == scene.flags(ann)[3]
            return scene.flags(ann)[2]

        assert await change(FlagAction.ADD, "\\seen", "$Work") == {"\\Seen", "$Work"}
        assert (scene.mailbox(ann).unseen, scene.mailbox(ann).deleted) == (1, 0)
        assert await change(FlagAction.ADD, "$WORK", "\\Deleted") == {"\\Seen", "$Work", "\\Deleted"}
        assert (scene.mailbox(ann).unseen, scene.mailbox(ann).deleted) == (1, 2)
        assert await change(FlagAction.REMOVE, "$work", "\\SEEN", "absent") == {"\\Deleted"}
        assert (scene.mailbox(ann).unseen, scene.mailbox(ann).deleted) == (3, 2)
        assert await change(FlagAction.REPLACE, "\\Flagged", "Fun") == {"\\Flagged", "Fun"}
        assert (scene.mailbox(ann).unseen, scene.mailbox(ann).deleted) == (3, 0)
        assert await change(FlagAction.REPLACE) == frozenset()

    @story
    async def test_flags_changed_at_once_are_seen_at_once_or_not_changed(self, scene: Scene) -> None:
        ann = await ann_with(scene, 2)
        inbox = scene.mailbox(ann)
        unit = change_flags(ann.account_id, inbox.mailbox_id, [(2, 2)], FlagAction.ADD, ["\\Flagged"])
        waiting = asyncio.ensure_future(scene.perform(unit))
        await asyncio.sleep(0)
        remove = change_flags(ann.account_id, inbox.mailbox_id, [(2, 2)], FlagAction.REMOVE, ["\\Flagged"])
        assert scene.store.perform_now(remove) is None  # the other one was first
        await waiting
        done = scene.store.perform_now(remove)
        assert done is not None
        assert scene.flags(ann)[2] == frozenset()
        assert scene.mailbox(ann).highestmodseq == done[0].modseq

    @story
    async def test_d37_each_store_has_a_modseq_of_its_own_and_no_change_has_none(self, scene: Scene) -> None:
        ann = await ann_with(scene, 3)
        inbox = scene.mailbox(ann)
        first = await scene.add_flags(inbox, 1, "\\Seen")
        second = await scene.add_flags(inbox, 2, "\\Seen")
        assert first.modseq < second.modseq == scene.mailbox(ann).highestmodseq
        assert [entry.modseq for entry in scene.entries(ann)] == [first.modseq, second.modseq, ModSeq(4)]
        again = await scene.add_flags(inbox, 2, "\\Seen")
        assert again.rows == []
        assert again.modseq == second.modseq == scene.row(ann).modseq
        assert [entry.uid for entry in changed_since(scene.reader, ann.account_id, inbox.mailbox_id, first.modseq)] == [2]

    @story
    async def test_changes_in_turn_are_the_same_as_one_after_the_other(self, scene: Scene) -> None:
        changes = [
            FlagChange([(1, 1), (4, 5)], FlagAction.ADD, ["\\Seen", "$Work"]),
            FlagChange([(2, 2)], FlagAction.REMOVE, ["\\Seen"]),  # which it has not
            FlagChange([(3, 3)], FlagAction.REPLACE, ["\\Deleted"]),
            FlagChange([(6, 9)], FlagAction.ADD, ["\\Seen"], ModSeq(7)),
        ]
        found: list[object] = []
        for name in ("one@example.org", "two@example.org"):
            owner = await scene.account(name)
            ids = owner.account_id, scene.mailbox(owner).mailbox_id
            for number in range(8):
                await scene.append(owner, b"message %d\r\n" % number)
            if found:
                done = await scene.perform(change_flags_in_turn(*ids, changes))
            else:
                done = [(await scene.perform(change_flags_in_turn(*ids, [change])))[0] for change in changes]
            assert [each.modseq for each in done[:3]] == [10, 10, 11]
            rows = [(entry.uid, entry.modseq, entry.flagset_id) for entry in scene.entries(owner)]
            told = [change[1:] for change in scene.reader.changes(owner.account_id, ModSeq(9))]
            found.append((done, rows, told, scene.mailbox(owner)[3:], scene.row(owner).modseq))
        assert found[0] == found[1]
        refused = change_flags_in_turn(*ids, [changes[1], FlagChange([(1, 1)], FlagAction.ADD, [str(n) for n in range(201)])])
        before = dump(scene.reader, owner.account_id)
        with pytest.raises(TooMany):
            await scene.perform(refused)
        assert dump(scene.reader, owner.account_id) == before

    @story
    async def test_d37_unchangedsince_never_overwrites(self, scene: Scene) -> None:
        ann = await ann_with(scene, 3)
        inbox = scene.mailbox(ann)
        known = scene.mailbox(ann).highestmodseq
        await scene.add_flags(inbox, 2, "\\Flagged")
        unit = change_flags(ann.account_id, inbox.mailbox_id, ALL, FlagAction.REPLACE, ["\\Seen"], known)
        done = await scene.perform(unit)
        assert [uid for uid, _ in done.rows] == [1, 3]
        assert done.modified == [2]
        assert scene.flags(ann) == {1: {"\\Seen"}, 2: {"\\Flagged"}, 3: {"\\Seen"}}
        none = await scene.perform(change_flags(ann.account_id, inbox.mailbox_id, ALL, FlagAction.ADD, ["x"], ModSeq(0)))
        assert none.modified == [1, 2, 3]
        assert none.rows == []

    @story
    async def test_d38_flags_that_two_sessions_add_at_once_both_survive(self, scene: Scene) -> None:
        ann = await ann_with(scene, 1)
        inbox = scene.mailbox(ann)
        names = [f"keyword{number}" for number in range(20)]
        await asyncio.gather(*[scene.add_flags(inbox, 1, name) for name in names])
        assert scene.flags(ann)[1] == set(names)

    @story
    async def test_a_change_of_flags_names_exactly_the_ranges_that_changed(self, scene: Scene) -> None:
        ann = await ann_with(scene, 5)
        inbox = scene.mailbox(ann)
        await scene.add_flags(inbox, 3, "\\Seen")
        since = scene.row(ann).modseq
        await scene.perform(change_flags(ann.account_id, inbox.mailbox_id, ALL, FlagAction.ADD, ["\\Seen"]))
        changes = scene.reader.changes(ann.account_id, since)
        assert [(c.kind, c.uid_lo, c.uid_hi) for c in changes] == [(ChangeKind.FLAGS, 1, 2), (ChangeKind.FLAGS, 4, 5)]

    # -- copy and move

    @story
    async def test_d31_copies_keep_order_flags_and_dates_and_share_the_email(self, scene: Scene) -> None:
        ann = await ann_with(scene, 4)
        archive = await scene.create(ann, "Archive")
        inbox = scene.mailbox(ann)
        await scene.add_flags(inbox, 3, "\\Flagged")
        scene.now += 50
        done = await scene.perform(copy(ann.account_id, inbox.mailbox_id, [(1, 1), (3, 9)], archive.mailbox_id, scene.now))
        assert (done.source, done.destination) == ([1, 3, 4], [1, 2, 3])
        assert done.uidvalidity == archive.uidvalidity
        assert scene.flags(ann, "Archive")[2] == {"\\Flagged"}
        was, now = scene.entries(ann)[2], scene.entries(ann, "Archive")[1]
        assert (was.email_id, was.internaldate) == (now.email_id, now.internaldate)
        assert now.savedate == scene.now != was.savedate
        assert scene.uids(ann) == [1, 2, 3, 4]
        assert scene.row(ann).used == scene.mailbox(ann).size + scene.mailbox(ann, "Archive").size

    @story
    async def test_d31_a_copy_that_fails_leaves_the_destination_as_it_was(self, scene: Scene) -> None:
        ann = await ann_with(scene, 3, quota=60)
        archive = await scene.create(ann, "Archive")
        inbox = scene.mailbox(ann)
        before = dump(scene.reader, ann.account_id)
        with pytest.raises(OverQuota):
            await scene.perform(copy(ann.account_id, inbox.mailbox_id, ALL, archive.mailbox_id, scene.now))
        for bad in (copy, move):
            with pytest.raises(NoSuchMailbox):
                await scene.perform(bad(ann.account_id, inbox.mailbox_id, ALL, MailboxId(99), scene.now))
            with pytest.raises(NoSuchMailbox):
                await scene.perform(bad(ann.account_id, MailboxId(99), ALL, inbox.mailbox_id, scene.now))
            none = await scene.perform(bad(ann.account_id, inbox.mailbox_id, [(9, 9)], archive.mailbox_id, scene.now))
            assert none.source == none.destination == []
        assert dump(scene.reader, ann.account_id) == before

    @story
    async def test_d31_a_moved_message_is_in_one_place_at_any_modseq(self, scene: Scene) -> None:
        ann = await ann_with(scene, 4, quota=50)  # full: a move needs no room
        archive = await scene.create(ann, "Archive")
        inbox = scene.mailbox(ann)
        emails = [entry.email_id for entry in scene.entries(ann)]
        done = await scene.perform(move(ann.account_id, inbox.mailbox_id, [(2, 3)], archive.mailbox_id, scene.now))
        assert (done.source, done.destination) == ([2, 3], [1, 2])
        assert scene.uids(ann) == [1, 4]
        assert [entry.email_id for entry in scene.entries(ann, "Archive")] == emails[1:3]
        assert list(vanished(scene.reader, ann.account_id, inbox.mailbox_id, ModSeq(0))) == [(2, 3)]
        last = scene.reader.changes(ann.account_id, ModSeq(scene.row(ann).modseq - 1))
        assert {(c.kind, c.mailbox_id, c.uid_lo, c.uid_hi) for c in last} == {
            (ChangeKind.EXPUNGED, inbox.mailbox_id, 2, 3),
            (ChangeKind.APPENDED, archive.mailbox_id, 1, 2),
        }
        assert scene.reader.expunged(ann.account_id) == []  # nothing was destroyed

    @story
    async def test_copies_and_moves_onto_the_same_mailbox_get_new_uids(self, scene: Scene) -> None:
        ann = await ann_with(scene, 2)
        inbox = scene.mailbox(ann)
        await scene.perform(copy(ann.account_id, inbox.mailbox_id, [(1, 2)], inbox.mailbox_id, scene.now))
        assert scene.contents(ann) == [b"message 0\r\n", b"message 1\r\n"] * 2
        await scene.perform(move(ann.account_id, inbox.mailbox_id, [(1, 1)], inbox.mailbox_id, scene.now))
        assert scene.uids(ann) == [2, 3, 4, 5]
        assert scene.contents(ann)[-1] == b"message 0\r\n"

    @story
    async def test_what_is_done_to_scattered_messages_is_done_to_no_other(self, scene: Scene) -> None:
        """Adapters take many single UIDs together in another way than a few ranges."""
        ann = await scene.account()
        archive = await scene.create(ann, "Archive")
        await scene.append(ann, *[b"%d\r\n" % number for number in range(100)])
        ids = ann.account_id, scene.mailbox(ann).mailbox_id
        odd = [(uid, uid) for uid in range(1, 101, 2)]
        flagged = await scene.perform(change_flags(*ids, odd, FlagAction.ADD, ["\\Seen"]))
        assert (
            [uid for uid, _ in flagged.rows]
            == [uid for uid, flags in scene.flags(ann).items() if flags]
            == list(range(1, 101, 2))
        )
        all_seen = await scene.perform(change_flags(*ids, ALL, FlagAction.ADD, ["\\Seen", "$Work"]))
        assert [uid for uid, _ in all_seen.rows] == list(range(1, 101))
        contents = scene.contents(ann)
        copied = await scene.perform(copy(*ids, odd, archive.mailbox_id, scene.now))
        assert copied.source == list(range(1, 101, 2))
        assert copied.destination == scene.uids(ann, "Archive") == list(range(1, 51))
        assert scene.contents(ann, "Archive") == contents[::2]
        uidls = (await open_maildrop(scene.store, ann.account_id)).uidls()
        moved = await scene.perform(move(*ids, odd, archive.mailbox_id, scene.now))
        assert (moved.source, moved.destination) == (list(range(1, 101, 2)), list(range(51, 101)))
        assert scene.contents(ann, "Archive")[50:] == contents[::2]
        assert [entry.uidl for entry in scene.entries(ann, "Archive")] == [None] * 50 + uidls[::2]
        gone = await scene.perform(expunge(*ids, [(uid, uid) for uid in range(4, 101, 4)], scene.now, only_deleted=False))
        assert gone.uids == list(range(4, 101, 4))
        assert scene.uids(ann) == list(range(2, 101, 4))

    @story
    async def test_a_copy_goes_into_another_account_with_its_flags_and_shares_the_octets(self, scene: Scene) -> None:
        ann, ben = await ann_with(scene, 3), await scene.account("ben@example.org", quota=60)
        await scene.append(ben, b"message 1\r\n")  # one that he has already
        theirs, mine = scene.mailbox(ann), scene.mailbox(ben)
        await scene.add_flags(theirs, 2, "\\Flagged", "$Work")
        across = copy_across(ann.account_id, theirs.mailbox_id, [(1, 2)], ben.account_id, mine.mailbox_id, scene.now)
        done = await scene.perform(across)
        assert (done.source, done.destination, done.uidvalidity) == ([1, 2], [2, 3], mine.uidvalidity)
        assert scene.contents(ben) == [b"message 1\r\n", b"message 0\r\n", b"message 1\r\n"]
        assert scene.flags(ben) == {1: frozenset(), 2: frozenset(), 3: {"\\Flagged", "$Work"}}
        assert [email.references for email in scene.reader.emails(ben.account_id)] == [2, 1]
        before = dump(scene.reader, ben.account_id)
        with pytest.raises(OverQuota):
            await scene.perform(copy_across(ann.account_id, theirs.mailbox_id, ALL, ben.account_id, mine.mailbox_id, scene.now))
        assert dump(scene.reader, ben.account_id) == before
        await scene.perform(expunge(ann.account_id, theirs.mailbox_id, None, scene.now, only_deleted=False))
        await scene.perform(end_recovery(ann.account_id, scene.now + RECOVERY_TERM + 1))
        assert scene.contents(ben)[1] == b"message 0\r\n"  # hers are gone, his are not

    # -- expunge

    @story
    async def test_d32_only_the_deleted_and_named_messages_vanish(self, scene: Scene) -> None:
        ann = await ann_with(scene, 6)
        inbox = scene.mailbox(ann)
        for uid in (2, 3, 5):
            await scene.add_flags(inbox, uid, "\\Deleted")
        done = await scene.perform(expunge(ann.account_id, inbox.mailbox_id, [(1, 4)], scene.now))
        assert done.uids == [2, 3]
        assert done.modseq == scene.mailbox(ann).highestmodseq == scene.row(ann).modseq
        assert scene.uids(ann) == [1, 4, 5, 6]
        done = await scene.perform(expunge(ann.account_id, inbox.mailbox_id, None, scene.now))
        assert done.uids == [5]
        assert (await scene.perform(expunge(ann.account_id, inbox.mailbox_id, None, scene.now))).uids == []
        done = await scene.perform(expunge(ann.account_id, inbox.mailbox_id, None, scene.now, only_deleted=False))
        assert done.uids == [1, 4, 6]
        assert scene.row(ann).used == 0
        with pytest.raises(NoSuchMailbox):
            await scene.perform(expunge(ann.account_id, MailboxId(99), None, scene.now))

    @story
    async def test_d37_every_expunged_uid_since_a_modseq_is_told(self, scene: Scene) -> None:
        ann = await ann_with(scene, 10)
        inbox = scene.mailbox(ann)
        since = [scene.row(ann).modseq]
        for uids in ([(1, 1), (3, 3)], [(2, 2)], [(9, 10)]):
            await scene.perform(expunge(ann.account_id, inbox.mailbox_id, uids, scene.now, only_deleted=False))
            since.append(scene.row(ann).modseq)
        told = [vanished(scene.reader, ann.account_id, inbox.mailbox_id, modseq) for modseq in since]
        assert told == [[(1, 3), (9, 10)], [(2, 2), (9, 10)], [(9, 10)], []]

    @story
    async def test_d33_a_uid_never_returns(self, scene: Scene) -> None:
        ann = await ann_with(scene, 3)
        inbox = scene.mailbox(ann)
        await scene.perform(expunge(ann.account_id, inbox.mailbox_id, None, scene.now, only_deleted=False))
        assert (await scene.deliver(ann)).uid == 4
        assert scene.mailbox(ann).uidnext == 5

    @story
    async def test_d35_what_a_uid_stands_for_does_not_change(self, scene: Scene) -> None:
        ann = await ann_with(scene, 3)
        inbox = scene.mailbox(ann)
        before = [(e.uid, e.email_id, e.internaldate, e.savedate, e.size, e.created_modseq) for e in scene.entries(ann)]
        await scene.perform(change_flags(ann.account_id, inbox.mailbox_id, ALL, FlagAction.ADD, ["\\Seen"]))
        await scene.append(ann, b"more\r\n")
        after = [(e.uid, e.email_id, e.internaldate, e.savedate, e.size, e.created_modseq) for e in scene.entries(ann)]
        assert after[:3] == before

    # -- POP3's view

    @story
    async def test_a_maildrop_is_fixed_and_its_unique_ids_last(self, scene: Scene) -> None:
        ann = await scene.account()
        assert len(await open_maildrop(scene.store, ann.account_id)) == 0
        for data in (b"one\r\n", b".two\r\n", b"three\r\n"):
            await scene.deliver(ann, data)
        drop = await open_maildrop(scene.store, ann.account_id)
        await scene.deliver(ann, b"later\r\n")
        assert len(drop) == 3
        assert drop.sizes == (5, 6, 7)
        assert drop.total_size == 18
        assert [bool(dot) for dot in drop.dot_lines] == [False, True, False]
        assert [scene.store.read_body(drop.body(i)) for i in range(3)] == [b"one\r\n", b".two\r\n", b"three\r\n"]
        assert drop.uidls() == [drop.uidl(i) for i in range(3)]
        assert len(set(drop.uidls())) == 3
        assert all(0x21 <= ord(c) <= 0x7E for uidl in drop.uidls() for c in uidl)
        again = await open_maildrop(scene.store, ann.account_id)
        assert again.uidls()[:3] == drop.uidls()

    @story
    async def test_a_large_maildrop_is_like_a_small_one(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.append(ann, *[b".%d\r\n" % number for number in range(300)])
        drop = await open_maildrop(scene.store, ann.account_id)
        assert drop.uids == tuple(range(1, 301))
        assert scene.store.read_body(drop.body(299)) == b".299\r\n"
        with pytest.raises(NoSuchMailbox):
            await open_maildrop(scene.store, type(ann.account_id)(999))

    @story
    async def test_d51_a_maildrop_removes_exactly_what_it_is_told(self, scene: Scene) -> None:
        ann = await ann_with(scene, 5)
        drop = await open_maildrop(scene.store, ann.account_id)
        await scene.perform(expunge(ann.account_id, drop.mailbox_id, [(2, 2)], scene.now, only_deleted=False))
        uids = [Uid(4), Uid(2), Uid(1)]
        assert await scene.perform(remove(ann.account_id, drop.mailbox_id, uids, scene.now)) == 2
        assert scene.uids(ann) == [3, 5]
        assert await scene.perform(remove(ann.account_id, drop.mailbox_id, uids, scene.now)) == 0
        assert await scene.perform(remove(ann.account_id, drop.mailbox_id, [], scene.now)) == 0

    @story
    async def test_a_unique_id_goes_along_when_the_message_moves_away_and_back(self, scene: Scene) -> None:
        ann = await ann_with(scene, 1)
        archive = await scene.create(ann, "Archive")
        inbox = scene.mailbox(ann)
        before = (await open_maildrop(scene.store, ann.account_id)).uidls()
        await scene.perform(move(ann.account_id, inbox.mailbox_id, ALL, archive.mailbox_id, scene.now))
        await scene.perform(copy(ann.account_id, archive.mailbox_id, ALL, inbox.mailbox_id, scene.now))
        await scene.perform(move(ann.account_id, archive.mailbox_id, ALL, inbox.mailbox_id, scene.now))
        after = (await open_maildrop(scene.store, ann.account_id)).uidls()
        assert after[1:] == before
        assert after[0] not in before  # a copy is a message of its own

    @story
    async def test_actors_at_once_leave_every_count_right(self, scene: Scene) -> None:
        ann = await ann_with(scene, 10)
        archive = await scene.create(ann, "Archive")
        inbox = scene.mailbox(ann)
        ids = (ann.account_id, inbox.mailbox_id)
        await asyncio.gather(
            scene.perform(move(*ids, [(1, 5)], archive.mailbox_id, scene.now)),
            scene.perform(remove(*ids, [Uid(4), Uid(5), Uid(6)], scene.now)),
            scene.add_flags(inbox, 6, "\\Seen"),
            scene.add_flags(inbox, 7, "\\Seen"),
            scene.perform(copy(*ids, [(1, 7)], archive.mailbox_id, scene.now)),
            scene.deliver_to([Target(ann.account_id), Target(ann.account_id, "Archive")], b"new\r\n"),
        )
        assert scene.uids(ann) == [7, 8, 9, 10, 11]
        assert scene.uids(ann, "Archive") == [1, 2, 3, 4, 5, 6, 7]
        assert scene.mailbox(ann).unseen == 4
