"""Random lives of a store, by several actors, against a model of a few dicts (needs hypothesis).

    class MyMachine(MailstoreMachine):
        async def open_store(self, path: Path) -> Store:
            return MyStore(path)

    TestMyStore = MyMachine.TestCase

Rules choose among the same few mailboxes and ranges, so that actors meet. Several units are queued at once; the model
runs them in the order in which they were queued. Whenever a group is done the invariants hold, and everything that can
be read is compared now and then.
"""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from postwren.mailstore.errors import MailboxExists, MailstoreError, NoSuchMailbox, OverQuota
from postwren.mailstore.port import NewBody, Store, Transaction
from postwren.mailstore.service.append import NewMessage, append
from postwren.mailstore.service.copymove import copy, move
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.flags import FlagAction, change_flags
from postwren.mailstore.service.housekeeping import RECOVERY_TERM, end_recovery
from postwren.mailstore.service.mailboxes import create_mailbox, delete_mailbox, rename_mailbox
from postwren.mailstore.service.maildrop import remove
from postwren.mailstore.service.undelete import recover
from postwren.mailstore.snapshot import Limits as SnapshotLimits
from postwren.mailstore.snapshot import Snapshots
from postwren.terms import INBOX, AccountId, MailboxId, Uid
from postwren.testing.contract.scene import Scene
from postwren.testing.contract.snapshots import Follower

__all__ = ["MailstoreMachine"]

LOGINS = ("ann@example.org", "ben@example.org")
QUOTAS = (0, 120)
NAMES = ("a", "a/b", "a/b/c", "d")
FLAGS = ("\\Seen", "\\Deleted", "$Work")

actors = st.sampled_from(LOGINS)
mailboxes = st.sampled_from((INBOX, *NAMES))
bodies = st.sampled_from((b"", b"one\r\n", b".two\r\n", b"three\r\n.\r\n", b"x" * 40))
flag_sets = st.frozensets(st.sampled_from(FLAGS))
spans = st.tuples(st.integers(1, 12), st.integers(0, 6)).map(lambda pair: [(pair[0], pair[0] + pair[1])])


@dataclass(frozen=True)
class Message:
    """What the model knows of an entry."""

    data: bytes
    flags: frozenset[str]
    date: int
    uidl: str


@dataclass
class Box:
    """What the model knows of a mailbox."""

    mailbox_id: int
    uidvalidity: int
    uidnext: int = 1
    messages: dict[int, Message] = field(default_factory=dict)
    dead: dict[int, Message] = field(default_factory=dict)  # recoverable
    vanished: set[int] = field(default_factory=set)

    def within(self, span: list[tuple[int, int]]) -> list[int]:
        return [uid for uid in sorted(self.messages) if any(lo <= uid <= hi for lo, hi in span)]

    def take(self, uid: int) -> Message:
        self.vanished.add(uid)
        return self.messages.pop(uid)

    def add(self, message: Message, uidl: str = "") -> None:
        uid, self.uidnext = self.uidnext, self.uidnext + 1
        self.messages[uid] = replace(message, uidl=uidl or f"{self.uidvalidity:x}.{uid:x}")


@dataclass
class Owner:
    """What the model knows of an account."""

    account_id: AccountId
    quota: int
    boxes: dict[str, Box]
    graves: dict[int, Box] = field(default_factory=dict)  # deleted mailboxes with what can be recovered

    def room(self, more: int) -> None:
        used = sum(len(message.data) for box in self.boxes.values() for message in box.messages.values())
        if self.quota and used + more > self.quota:
            raise OverQuota(self.quota, used)

    def box(self, name: str) -> Box:
        if name not in self.boxes:
            raise NoSuchMailbox(name)
        return self.boxes[name]


class MailstoreMachine(RuleBasedStateMachine):
    """The machine; `open_store` is the adapter's."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.waiting: list[tuple[asyncio.Task[Any], Callable[[], object]]] = []
        self.dates = 0

    async def open_store(self, path: Path) -> Store:
        """A new store in this folder."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.scene = self.loop.run_until_complete(self._begin())
        self.now = self.scene.now

    async def _begin(self) -> Scene:
        path = Path(self.folder.name)
        scene = Scene(self, path, await self.open_store(path))
        self.owners = {}
        for login, quota in zip(LOGINS, QUOTAS, strict=True):
            account = await scene.account(login, quota)
            inbox = scene.mailbox(account)
            box = Box(inbox.mailbox_id, inbox.uidvalidity)
            self.owners[login] = Owner(account.account_id, quota, {INBOX: box})
        self.snapshots = Snapshots(scene.store, lambda: 0.0, SnapshotLimits(wait=2, replay=8))
        self.followers = [await self._follow(owner) for owner in self.owners.values() for _ in range(2)]
        return scene

    async def _follow(self, owner: Owner) -> tuple[Owner, Follower]:
        """A session on INBOX."""
        follower = Follower(await self.snapshots.open(owner.account_id, MailboxId(owner.boxes[INBOX].mailbox_id)))
        await follower.handle.loaded()
        follower.begin()
        return owner, follower

    # -- how a rule acts: the unit is queued now, the model's step is taken when the group is settled

    def act(self, unit: Callable[[Transaction], object], expect: Callable[[], object], *sent: NewBody) -> None:
        self.waiting.append((self.loop.create_task(self.scene.perform(unit, sent)), expect))

    def settle(self) -> None:
        """Wait for what is queued, and let the model follow in the same order."""
        waiting, self.waiting = self.waiting, []
        for future, expect in waiting:
            try:
                expected: object = expect()
            except MailstoreError as error:
                expected = type(error)
            try:
                self.loop.run_until_complete(future)
                outcome: object = None
            except MailstoreError as error:
                outcome = type(error)
            assert outcome is (expected if isinstance(expected, type) else None)
        self.loop.run_until_complete(self.scene.verify())

    def known(self, actor: str, name: str) -> tuple[Owner, MailboxId]:
        """A mailbox's id as a session knows it that selected it before (or one that never was)."""
        owner = self.owners[actor]
        box = owner.boxes.get(name)
        return owner, MailboxId(999 if box is None else box.mailbox_id)

    def by_id(self, owner: Owner, mailbox_id: int) -> tuple[str, Box]:
        for name, box in owner.boxes.items():
            if box.mailbox_id == mailbox_id:
                return name, box
        raise NoSuchMailbox(mailbox_id)

    # -- rules

    @rule(names=st.lists(st.tuples(actors, mailboxes), min_size=1, max_size=3), data=bodies, flags=flag_sets)
    def deliver(self, names: list[tuple[str, str]], data: bytes, flags: frozenset[str]) -> None:
        body = self.scene.body(data)
        targets = [Target(self.owners[actor].account_id, name, flags) for actor, name in names]

        def expect() -> None:
            for actor in {actor for actor, _ in names}:
                self.owners[actor].room(len(data) * sum(actor == other for other, _ in names))
            for actor, name in names:
                boxes = self.owners[actor].boxes
                boxes.get(name, boxes[INBOX]).add(Message(data, flags, self.now, ""))

        self.act(deliver(targets, body, self.now), expect, body)

    @rule(actor=actors, name=mailboxes, datas=st.lists(bodies, max_size=3), flags=flag_sets)
    def append(self, actor: str, name: str, datas: list[bytes], flags: frozenset[str]) -> None:
        owner, mailbox_id = self.known(actor, name)
        sent = [self.scene.body(data) for data in datas]
        self.dates += 1
        date = self.dates

        def expect() -> None:
            _, box = self.by_id(owner, mailbox_id)
            owner.room(sum(map(len, datas)))
            for data in datas:
                box.add(Message(data, flags, date, ""))

        messages = [NewMessage(body, date, flags) for body in sent]
        self.act(append(owner.account_id, mailbox_id, messages, self.now), expect, *sent)

    @rule(actor=actors, name=mailboxes, span=spans, action=st.sampled_from(FlagAction), flags=flag_sets)
    def flag(self, actor: str, name: str, span: list[tuple[int, int]], action: FlagAction, flags: frozenset[str]) -> None:
        owner, mailbox_id = self.known(actor, name)

        def expect() -> None:
            _, box = self.by_id(owner, mailbox_id)
            for uid in box.within(span):
                old = box.messages[uid].flags
                new = {FlagAction.ADD: old | flags, FlagAction.REMOVE: old - flags, FlagAction.REPLACE: flags}[action]
                box.messages[uid] = replace(box.messages[uid], flags=new)

        self.act(change_flags(owner.account_id, mailbox_id, span, action, flags), expect)

    @rule(actor=actors, source=mailboxes, destination=mailboxes, span=spans, moves=st.booleans())
    def transfer(self, actor: str, source: str, destination: str, span: list[tuple[int, int]], moves: bool) -> None:
        owner, source_id = self.known(actor, source)
        _, destination_id = self.known(actor, destination)

        def expect() -> None:
            _, here = self.by_id(owner, source_id)
            _, there = self.by_id(owner, destination_id)
            uids = here.within(span)
            if not moves:
                owner.room(sum(len(here.messages[uid].data) for uid in uids))
            chosen = [here.take(uid) if moves else here.messages[uid] for uid in uids]
            for message in chosen:
                there.add(message, message.uidl if moves else "")

        self.act((move if moves else copy)(owner.account_id, source_id, span, destination_id, self.now), expect)

    @rule(actor=actors, name=mailboxes, span=spans, only_deleted=st.booleans())
    def expunge(self, actor: str, name: str, span: list[tuple[int, int]], only_deleted: bool) -> None:
        owner, mailbox_id = self.known(actor, name)

        def expect() -> None:
            _, box = self.by_id(owner, mailbox_id)
            for uid in box.within(span):
                if not only_deleted or "\\Deleted" in box.messages[uid].flags:
                    box.dead[uid] = box.take(uid)

        self.act(expunge(owner.account_id, mailbox_id, span, self.now, only_deleted=only_deleted), expect)

    @rule(actor=actors, uids=st.lists(st.integers(1, 15), max_size=4))
    def maildrop_remove(self, actor: str, uids: list[int]) -> None:
        owner, mailbox_id = self.known(actor, INBOX)

        def expect() -> None:
            box = owner.boxes[INBOX]
            for uid in set(uids) & set(box.messages):
                box.dead[uid] = box.take(uid)

        self.act(remove(owner.account_id, mailbox_id, [Uid(uid) for uid in uids], self.now), expect)

    @rule(actor=actors, name=st.sampled_from(NAMES))
    def create(self, actor: str, name: str) -> None:
        owner = self.owners[actor]

        def expect() -> None:
            if name in owner.boxes:
                raise MailboxExists(name)
            levels = name.split("/")
            for depth in range(1, len(levels) + 1):
                owner.boxes.setdefault("/".join(levels[:depth]), Box(0, 0))

        self.act(create_mailbox(owner.account_id, name, self.now), expect)
        self.settle()
        self._learn(owner)

    @rule(actor=actors, name=st.sampled_from(NAMES))
    def delete(self, actor: str, name: str) -> None:
        owner, mailbox_id = self.known(actor, name)

        def expect() -> None:
            name, box = self.by_id(owner, mailbox_id)
            for uid in list(box.messages):
                box.dead[uid] = box.take(uid)
            owner.graves[box.mailbox_id] = owner.boxes.pop(name)

        self.act(delete_mailbox(owner.account_id, mailbox_id, self.now), expect)

    @rule(actor=actors, name=mailboxes, to=st.sampled_from(NAMES))
    def rename(self, actor: str, name: str, to: str) -> None:
        self.settle()
        owner, mailbox_id = self.known(actor, name)
        if name not in owner.boxes or to.startswith(name + "/"):
            return
        below = {old: to + old[len(name) :] for old in owner.boxes if old.startswith(name + "/") and name != INBOX}
        left = set(owner.boxes) - set(below) - ({name} - {INBOX})
        fails = to in owner.boxes or not left.isdisjoint(below.values())

        def expect() -> None:
            if fails:
                raise MailboxExists(to)
            moving = {to: Box(0, 0) if name == INBOX else owner.boxes.pop(name)}
            moving |= {new: owner.boxes.pop(old) for old, new in below.items()}
            owner.boxes |= moving
            levels = to.split("/")
            for depth in range(1, len(levels)):
                owner.boxes.setdefault("/".join(levels[:depth]), Box(0, 0))

        self.act(rename_mailbox(owner.account_id, mailbox_id, to, self.now), expect)
        self.settle()
        self._learn(owner)
        if name == INBOX and not fails:
            here, there = owner.boxes[INBOX], owner.boxes[to]
            for uid in sorted(here.messages):
                message = here.take(uid)
                there.add(message, message.uidl)

    @rule(actor=actors, name=mailboxes, span=spans, grave=st.booleans())
    def recover(self, actor: str, name: str, span: list[tuple[int, int]], grave: bool) -> None:
        self.settle()
        owner, mailbox_id = self.known(actor, name)
        if grave and owner.graves:
            mailbox_id = MailboxId(max(owner.graves))

        def expect() -> None:
            alive = {box.mailbox_id: box for box in owner.boxes.values()}
            here = alive.get(mailbox_id) or owner.graves.get(mailbox_id) or Box(0, 0)
            there = alive.get(mailbox_id, owner.boxes[INBOX])
            uids = [uid for uid in sorted(here.dead) if span[0][0] <= uid <= span[0][1]]
            owner.room(sum(len(here.dead[uid].data) for uid in uids))
            for uid in uids:
                message = here.dead.pop(uid)
                usual = message.uidl == f"{here.uidvalidity:x}.{uid:x}"
                # the unique-id of a mailbox that is gone was nobody's to see: it was not INBOX
                uidl = "" if mailbox_id not in alive and usual else message.uidl
                there.add(replace(message, flags=message.flags - {"\\Deleted"}), uidl)

        self.act(recover(owner.account_id, mailbox_id, span, self.now), expect)

    @rule(actor=actors, later=st.sampled_from((0, RECOVERY_TERM // 2, RECOVERY_TERM + 1)))
    def time_passes(self, actor: str, later: int) -> None:
        self.settle()
        owner = self.owners[actor]
        self.act(end_recovery(owner.account_id, self.now + later), lambda: None)
        self.settle()
        if later > RECOVERY_TERM:
            for box in (*owner.boxes.values(), *owner.graves.values()):
                box.dead.clear()

    def _learn(self, owner: Owner) -> None:
        """The ids of mailboxes that were just made: the store's to choose, but never used before."""
        taken = {box.uidvalidity for box in (*owner.boxes.values(), *owner.graves.values())}
        for name, box in owner.boxes.items():
            if not box.mailbox_id:
                row = self.scene.reader.mailbox_by_name(owner.account_id, name)
                assert row is not None
                assert row.uidvalidity > max(taken)
                box.mailbox_id, box.uidvalidity = row.mailbox_id, row.uidvalidity

    # -- what must be true

    @rule()
    def all_is_as_the_model_says(self) -> None:
        self.settle()
        for owner in self.owners.values():
            rows = {row.name: row for row in self.scene.reader.mailboxes(owner.account_id)}
            assert set(rows) == set(owner.boxes)
            for name, box in owner.boxes.items():
                assert (rows[name].mailbox_id, rows[name].uidvalidity) == (box.mailbox_id, box.uidvalidity)
                assert rows[name].uidnext == box.uidnext
                assert self._messages(owner, box) == box.messages
                assert set(self.scene.reader.expunged_since(owner.account_id, rows[name].mailbox_id, 0)) == box.vanished  # type: ignore[arg-type]
            dead = [(row.mailbox_id, row.uid) for row in self.scene.reader.expunged(owner.account_id)]
            every = (*owner.boxes.values(), *owner.graves.values())
            assert dead == sorted((box.mailbox_id, uid) for box in every for uid in box.dead)

    @rule()
    def sessions_were_told_everything(self) -> None:
        self.settle()
        for _, follower in self.followers:
            follower.verify(self.scene.reader)

    @rule(all_of_them=st.booleans())
    def sessions_end_and_come_back(self, all_of_them: bool) -> None:
        """Without any the snapshot rests, and catches up when it is opened again."""
        leaving = range(len(self.followers))[:: 1 if all_of_them else 2]
        for number in leaving:
            self.followers[number][1].handle.close()
        self.settle()
        for number in leaving:
            owner = self.followers[number][0]
            self.followers[number] = self.loop.run_until_complete(self._follow(owner))

    def _messages(self, owner: Owner, box: Box) -> dict[int, Message]:
        reader, account_id = self.scene.reader, owner.account_id
        found: dict[int, Message] = {}
        for entry in reader.entries(account_id, MailboxId(box.mailbox_id)):
            email = reader.email(account_id, entry.email_id)
            assert email is not None
            uidl = entry.uidl or f"{box.uidvalidity:x}.{entry.uid:x}"
            flags = reader.flagset(account_id, entry.flagset_id)
            found[entry.uid] = Message(self.scene.store.read_body(email.body), flags, entry.internaldate, uidl)
        return found

    @invariant()
    def the_store_is_whole(self) -> None:
        if hasattr(self, "scene") and not self.waiting:
            self.loop.run_until_complete(self.scene.verify())

    def teardown(self) -> None:
        try:
            if hasattr(self, "scene"):
                self.all_is_as_the_model_says()
                self.loop.run_until_complete(self.scene.end())
        finally:
            self.loop.close()
            self.folder.cleanup()
