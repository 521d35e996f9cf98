"""Mailboxes in memory follow the store."""

import asyncio

import pytest

from postwren.mailstore.columns import Columns
from postwren.mailstore.errors import NoSuchMailbox
from postwren.mailstore.model import Account, Entry, Mailbox
from postwren.mailstore.port import Reader
from postwren.mailstore.service.copymove import copy, move
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.flags import FlagAction, FlagChange, change_flags, change_flags_in_turn
from postwren.mailstore.service.mailboxes import delete_mailbox, rename_mailbox
from postwren.mailstore.snapshot import Delta, Limits, Snapshot, SnapshotHandle, Snapshots
from postwren.terms import INBOX, FlagSetId, MailboxId, ModSeq, Uid
from postwren.testing.contract.scene import Scene, story

__all__ = ["Follower", "SnapshotContract", "rows_of"]

ALL = [(1, 2**32 - 1)]
BIG = 300


def rows_of(columns: Columns) -> list[tuple[int, ...]]:
    """Columns turned around."""
    dates = columns.internaldates, columns.savedates
    return list(zip(columns.uids, columns.email_ids, columns.flagset_ids, columns.modseqs, *dates, columns.sizes, strict=True))


def told(entries: list[Entry]) -> list[tuple[int, ...]]:
    """What columns should say of these."""
    return [(e.uid, e.email_id, e.flagset_id, e.modseq, e.internaldate, e.savedate, e.size) for e in entries]


class Follower:
    """A session that knows of a mailbox only what it was told: its numbering by deltas, its flags by looking at what changed."""

    def __init__(self, handle: SnapshotHandle) -> None:
        self.handle = handle
        self.deltas: list[Delta] = []
        self.uids: list[int] | None = None
        self.flags: dict[int, int] = {}
        handle.listen(self.note)

    def numbers(self) -> list[int]:
        """The UIDs in order: those of the mailbox as it was opened, until something is told."""
        if self.uids is None:
            self.uids = list(self.handle.uids[: self.handle.count])
        return self.uids

    def note(self, delta: Delta) -> None:
        self.deltas.append(delta)
        snapshot = self.handle.snapshot
        uids = [uid for uid in self.numbers() if not any(lo <= uid <= hi for lo, hi in delta.expunged)]
        if delta.appended is not None:
            first, last = delta.appended
            assert first == len(uids)
            uids += snapshot.uids[first : last + 1]
            self.look(first, last + 1)
        for lo, hi in delta.changed:
            self.look(*snapshot.span(lo, hi))
        self.uids = uids

    def look(self, start: int, end: int) -> None:
        snapshot = self.handle.snapshot
        self.flags |= zip(snapshot.uids[start:end], snapshot.flagset_ids[start:end], strict=True)

    def begin(self) -> None:
        """The columns are there."""
        self.look(0, self.handle.snapshot.count)

    def verify(self, reader: Reader) -> None:
        """All that it was told is all that there is."""
        snapshot = self.handle.snapshot
        entries = reader.entries(snapshot.account_id, snapshot.mailbox_id)
        mailbox = reader.mailbox(snapshot.account_id, snapshot.mailbox_id)
        assert rows_of(snapshot) == told(entries)
        assert self.numbers() == [entry.uid for entry in entries]
        assert {uid: self.flags[uid] for uid in self.numbers()} == {entry.uid: entry.flagset_id for entry in entries}
        assert mailbox is not None
        assert (snapshot.uidnext, snapshot.highestmodseq) == (mailbox.uidnext, mailbox.highestmodseq)
        assert (snapshot.count, snapshot.uidvalidity) == (mailbox.messages, mailbox.uidvalidity)


class Stage:
    """A mailbox that is followed; the clock is `now`."""

    def __init__(self, scene: Scene, limits: Limits | None = None) -> None:
        self.scene = scene
        self.now = 0.0
        self.snapshots = Snapshots(scene.store, lambda: self.now, limits)

    async def follow(self, mailbox: Mailbox) -> Follower:
        follower = Follower(await self.snapshots.open(mailbox.account_id, mailbox.mailbox_id))
        await follower.handle.loaded()
        follower.begin()
        return follower


async def live(scene: Scene, ann: Account, inbox: Mailbox, archive: Mailbox) -> None:
    """A bit of everything."""
    ids = ann.account_id, inbox.mailbox_id
    await scene.append(ann, b"one\r\n", b"two\r\n", b"three\r\n", flags=["\\Seen"])
    await scene.perform(change_flags(*ids, [(2, 3), (5, 5)], FlagAction.ADD, ["\\Flagged"]))
    await asyncio.gather(
        scene.perform(expunge(*ids, [(1, 1), (4, 4)], scene.now, only_deleted=False)),
        scene.perform(change_flags(*ids, ALL, FlagAction.ADD, ["$Work"])),
        scene.append(ann, b"four\r\n"),
        scene.perform(move(*ids, [(2, 2)], archive.mailbox_id, scene.now)),
        scene.append(ann, b"five\r\n", mailbox="Archive"),
        scene.perform(move(*ids, [(3, 3)], inbox.mailbox_id, scene.now)),
    )


class SnapshotContract:
    """What snapshots do over any store."""

    @story
    async def test_columns_of_more_messages_than_a_page_has(self, scene: Scene) -> None:
        ann = await scene.account()
        ids = ann.account_id, scene.mailbox(ann).mailbox_id
        await scene.append(ann, b"one\r\n")
        for _ in range(14):
            await scene.perform(copy(*ids, [(1, 1 << 14)], ids[1], scene.now))
        assert list(scene.reader.pick(*ids, None, ("uid",))[0]) == list(range(1, (1 << 14) + 1))
        uids, flagset_ids = scene.reader.pick(
            *ids, [(2, 5), (7, 10_010), (12_000, 12_000), (16_383, 1 << 20)], ("uid", "flagset_id")
        )
        assert list(uids) == [*range(2, 6), *range(7, 10_011), 12_000, 16_383, 16_384]
        assert len(flagset_ids) == len(uids)

    @story
    async def test_columns_say_what_entries_say(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        ids = ann.account_id, inbox.mailbox_id
        assert rows_of(scene.reader.columns(*ids, Uid(0))) == []
        await scene.append(ann, *[b"%d\r\n" % number for number in range(20)], flags=["\\Seen"])
        await scene.perform(change_flags(*ids, [(3, 4), (9, 20)], FlagAction.REPLACE, ["$Work"]))
        await scene.perform(expunge(*ids, [(4, 5), (18, 18)], scene.now, only_deleted=False))
        entries = scene.entries(ann)
        assert rows_of(scene.reader.columns(*ids, Uid(0))) == told(entries)
        assert rows_of(scene.reader.columns(*ids, Uid(15))) == told(entries)[-4:]
        for ranges in ([(1, 3), (15, 99)], [(9, 20)], [(19, 20)], [(1, 2)], [(3, 9)]):  # some are all alike, one with a gap
            wanted = [e for e in entries if any(lo <= e.uid <= hi for lo, hi in ranges)]
            found = zip(*scene.reader.flag_columns(*ids, ranges), strict=True)
            assert list(found) == [(e.uid, e.flagset_id, e.modseq) for e in wanted]
        assert list(scene.reader.flag_columns(*ids, [(4, 5)]).uids) == []
        ids_of = {flags: number for number, flags in scene.reader.flagsets(ann.account_id).items()}
        work = [ids_of[frozenset({"$Work"})]]
        assert list(scene.reader.uids_with(*ids, [(3, 12), (19, 99)], work, 100)) == [3, 9, 10, 11, 12, 19, 20]
        assert list(scene.reader.uids_with(*ids, [(3, 12), (19, 99)], work, 3)) == [3, 9, 10]
        assert list(scene.reader.uids_with(*ids, [(1, 2), (4, 8)], work, 100)) == []
        sets = scene.reader.flagsets(ann.account_id)
        assert sets == {number: scene.reader.flagset(ann.account_id, number) for number in sets}
        assert set(sets.values()) == {frozenset(), frozenset({"\\Seen"}), frozenset({"$Work"})}

    @story
    async def test_a_snapshot_follows_whatever_happens(self, scene: Scene) -> None:
        ann = await scene.account()
        archive = await scene.create(ann, "Archive")
        inbox = scene.mailbox(ann)
        stage = Stage(scene)
        first, second, other = [await stage.follow(mailbox) for mailbox in (inbox, inbox, archive)]
        assert len(stage.snapshots) == 2
        await live(scene, ann, inbox, archive)
        for follower in (first, second, other):
            follower.verify(scene.reader)
            assert follower.deltas

    @story
    async def test_what_a_unit_did_is_in_the_snapshot_when_its_outcome_comes(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        follower = await Stage(scene).follow(inbox)
        for number in range(5):
            done = await scene.append(ann, b"%d\r\n" % number)
            assert follower.handle.snapshot.uids[-1] == done.uids[0]
            flagged = await scene.add_flags(inbox, done.uids[0], "\\Seen")
            assert follower.handle.snapshot.highestmodseq == flagged.modseq == follower.handle.snapshot.modseqs[-1]

    @story
    async def test_a_mailbox_that_is_held_by_its_numbers_keeps_them_through_an_expunge(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.append(ann, *[b"%d\r\n" % number for number in range(200)])
        inbox = scene.mailbox(ann)
        handle = await Stage(scene).snapshots.open(ann.account_id, inbox.mailbox_id)
        before = handle.snapshot.uids
        for ranges in ([(2, 3)], [(uid, uid) for uid in range(1, 200, 2)]):  # a few ranges, and many
            await scene.perform(expunge(ann.account_id, inbox.mailbox_id, ranges, scene.now, only_deleted=False))
            assert rows_of(handle.snapshot) == told(scene.entries(ann))
        assert list(before) == list(range(1, 201))

    @story
    async def test_a_large_mailbox_is_open_before_its_columns_are_read_and_nothing_is_missed(self, scene: Scene) -> None:
        ann = await scene.account()
        archive = await scene.create(ann, "Archive")
        await scene.append(ann, *[b"%d\r\n" % number for number in range(BIG)])
        inbox = scene.mailbox(ann)
        stage = Stage(scene, Limits(wait=BIG - 1))
        living = asyncio.ensure_future(live(scene, ann, inbox, archive))
        handle = await stage.snapshots.open(ann.account_id, inbox.mailbox_id)
        follower = Follower(handle)
        assert handle.count >= BIG
        row = scene.mailbox(ann)
        assert handle.snapshot.uidvalidity == row.uidvalidity
        assert handle.snapshot.uidnext <= row.uidnext
        assert handle.snapshot.highestmodseq <= row.highestmodseq
        await handle.loaded()
        follower.begin()
        await living
        follower.verify(scene.reader)

    @story
    async def test_a_snapshot_that_nobody_holds_catches_up_when_it_is_opened_again(self, scene: Scene) -> None:
        ann = await scene.account()
        archive = await scene.create(ann, "Archive")
        inbox = scene.mailbox(ann)
        stage = Stage(scene)
        await scene.append(ann, b"zero\r\n")
        first = await stage.follow(inbox)
        kept = first.handle.snapshot
        first.handle.close()
        first.handle.close()
        await scene.append(ann, b"other\r\n", mailbox="Archive")
        second = await stage.follow(inbox)
        second.verify(scene.reader)
        second.handle.close()
        await live(scene, ann, inbox, archive)
        third = await stage.follow(inbox)
        third.verify(scene.reader)
        assert third.handle.snapshot is kept
        await scene.append(ann, b"more\r\n")
        third.verify(scene.reader)

    @story
    async def test_a_snapshot_that_missed_too_much_is_read_anew(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        stage = Stage(scene, Limits(replay=3))
        (await stage.follow(inbox)).handle.close()
        for number in range(3):
            await scene.deliver(ann, b"%d\r\n" % number)
        (await stage.follow(inbox)).verify(scene.reader)
        assert len(stage.snapshots) == 1

    @story
    async def test_snapshots_that_nobody_wants_go_with_time_and_with_number(self, scene: Scene) -> None:
        ann = await scene.account()
        for name in "abc":
            await scene.create(ann, name)
            await scene.append(ann, *[b"%d\r\n" % number for number in range(10)], mailbox=name)
        stage = Stage(scene, Limits(idle_seconds=60, messages=20))
        followers = [await stage.follow(scene.mailbox(ann, name)) for name in "abc"]
        assert len(stage.snapshots) == 3  # what is held stays
        followers[0].handle.close()
        followers[1].handle.close()
        assert len(stage.snapshots) == 3
        followers[2].handle.close()
        assert len(stage.snapshots) == 2  # the longest idle one went
        stage.now = 30
        again = await stage.follow(scene.mailbox(ann, "b"))
        stage.now = 61
        stage.snapshots.sweep()
        assert len(stage.snapshots) == 1
        again.verify(scene.reader)

    @story
    async def test_a_mailbox_that_is_deleted_or_never_was_is_told(self, scene: Scene) -> None:
        ann = await scene.account()
        archive = await scene.create(ann, "Archive")
        await scene.append(ann, b"one\r\n", mailbox="Archive")
        stage = Stage(scene)
        with pytest.raises(NoSuchMailbox):
            await stage.snapshots.open(ann.account_id, MailboxId(99))
        follower = await stage.follow(archive)
        await scene.perform(rename_mailbox(ann.account_id, archive.mailbox_id, "Old", scene.now))
        assert follower.deltas == []
        await scene.perform(delete_mailbox(ann.account_id, archive.mailbox_id, scene.now))
        await asyncio.sleep(0)
        assert [delta.is_gone for delta in follower.deltas] == [True]
        with pytest.raises(NoSuchMailbox):
            await stage.snapshots.open(ann.account_id, archive.mailbox_id)
        follower.handle.close()
        assert len(stage.snapshots) == 0

    @story
    async def test_a_thousand_sessions_are_told_once_of_many_commits(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        snapshots = Stage(scene).snapshots
        calls = [0]

        def note(delta: Delta) -> None:
            calls[0] += 1

        for _ in range(1000):
            (await snapshots.open(ann.account_id, inbox.mailbox_id)).listen(note)
        handle = await snapshots.open(ann.account_id, inbox.mailbox_id)
        await asyncio.gather(*[scene.deliver(ann, b"%d\r\n" % number) for number in range(50)])
        await asyncio.sleep(0)
        assert list(handle.snapshot.uids) == list(range(1, 51))
        assert calls[0] <= 10_000  # 50 commits in a few groups

    @story
    async def test_a_snapshot_whose_index_is_ahead_of_what_was_told_tells_nothing_twice(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        snapshot = (await Stage(scene).snapshots.open(ann.account_id, inbox.mailbox_id)).snapshot
        since = snapshot.highestmodseq
        for number in range(3):
            await scene.deliver(ann, b"%d\r\n" % number)
        await scene.add_flags(inbox, 1, "\\Seen")
        await scene.perform(expunge(ann.account_id, inbox.mailbox_id, [(2, 2)], scene.now, only_deleted=False))
        late = Snapshot(inbox)  # it hears of one commit after the other, long after all of them
        deltas = [late.apply([change], scene.reader) for change in scene.reader.changes(ann.account_id, since)]
        assert [delta and delta.appended for delta in deltas] == [(0, 1), None, None, None, None]
        assert rows_of(late) == told(scene.entries(ann))
        assert (late.uidnext, late.highestmodseq) == (4, scene.mailbox(ann).highestmodseq)

    @story
    async def test_a_change_that_was_known_already_is_not_told(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        follower = await Stage(scene).follow(inbox)
        await scene.append(ann, b"one\r\n")
        snapshot = follower.handle.snapshot
        changes = scene.reader.changes(ann.account_id, ModSeq(0))
        assert snapshot.apply(changes, scene.reader) is None
        assert scene.reader.flagset(ann.account_id, FlagSetId(snapshot.flagset_ids[0])) == frozenset()
        assert scene.mailbox(ann, INBOX).messages == snapshot.count == 1

    @story
    async def test_flags_that_are_known_are_not_read_and_never_older_than_what_is_there(self, scene: Scene) -> None:
        ann = await scene.account()
        inbox = scene.mailbox(ann)
        for number in range(4):
            await scene.append(ann, b"%d\r\n" % number)
        ids = ann.account_id, inbox.mailbox_id
        follower = await Stage(scene).follow(inbox)
        changes = [FlagChange([(2, 2)], FlagAction.ADD, ["a"]), FlagChange([(3, 9)], FlagAction.ADD, ["b"])]
        done = None
        while done is None:  # "not now" is an answer, while the disk is behind
            await scene.store.perform(lambda _: None)
            done = scene.store.perform_now(change_flags_in_turn(*ids, changes))
        follower.handle.know(done[0])
        assert follower.handle.snapshot.highestmodseq == done[0][1].modseq
        follower.verify(scene.reader)
        late = Snapshot(inbox)
        changes_then = scene.reader.changes(ann.account_id, ModSeq(0))
        await scene.add_flags(inbox, 2, "c")
        assert late.apply(changes_then, scene.reader, done[0]) is not None  # whose rows are of now
        assert rows_of(late) == told(scene.entries(ann))
