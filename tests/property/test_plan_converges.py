"""D-74: any number of devices and a server, random edits in between, each device in turn: all become equal, and no edit is lost.

The world is a model: a side is mailboxes of (UID -> email, flags), a device is a side and its base. What is tested is the plan;
that the real sides do what a hunk says is tested beside them.
"""

import os
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from postwren.sync import hunk as h
from postwren.sync.plan import Agreed, MailboxState, New, plan
from postwren.terms import EmailId, MailboxId

MAILBOXES = [MailboxId(1), MailboxId(2), MailboxId(3)]
FLAGS = ["\\Seen", "\\Flagged", "$Junk"]
Side = dict[MailboxId, dict[int, tuple[int, frozenset[str]]]]
RUNS = int(os.environ.get("RUNS", "500"))  # make deep: 10,000


@dataclass
class Copy:
    """One side with its UID counters."""

    mailboxes: Side = field(default_factory=lambda: {mailbox_id: {} for mailbox_id in MAILBOXES})
    uidnext: Counter[MailboxId] = field(default_factory=Counter)

    def add(self, mailbox_id: MailboxId, email: int, flags: frozenset[str]) -> int:
        self.uidnext[mailbox_id] += 1
        self.mailboxes[mailbox_id][self.uidnext[mailbox_id]] = (email, flags)
        return self.uidnext[mailbox_id]

    def change(self, mailbox_id: MailboxId, uid: int, change: h.Change) -> None:
        email, flags = self.mailboxes[mailbox_id][uid]
        self.mailboxes[mailbox_id][uid] = email, (flags | change.add) - change.remove

    def content(self) -> dict[MailboxId, Counter[tuple[int, frozenset[str]]]]:
        return {mailbox_id: Counter(messages.values()) for mailbox_id, messages in self.mailboxes.items()}

    def emails(self) -> set[int]:
        return {email for messages in self.mailboxes.values() for email, _ in messages.values()}


@dataclass
class Device:
    """A copy and what it last agreed on, by remote UID."""

    copy: Copy = field(default_factory=Copy)
    base: dict[MailboxId, dict[int, Agreed]] = field(default_factory=lambda: {mailbox_id: {} for mailbox_id in MAILBOXES})


class World:
    def __init__(self, seed: int, devices: int) -> None:
        self.random = random.Random(seed)
        self.server = Copy()
        self.devices = [Device() for _ in range(devices)]
        self.emails = 0
        self.deleted: set[int] = set()

    def edit(self, side: Copy) -> None:
        places = [(mailbox_id, uid) for mailbox_id, messages in side.mailboxes.items() for uid in messages]
        mailbox_id = self.random.choice(MAILBOXES)
        kind = self.random.choice(["new", "new", "flags", "flags", "flags", "delete", "move", "copy"]) if places else "new"
        if kind == "new":
            self.emails += 1
            side.add(mailbox_id, self.emails, frozenset(self.random.sample(FLAGS, self.random.randrange(3))))
            return
        source, uid = self.random.choice(places)
        email, flags = side.mailboxes[source][uid]
        match kind:
            case "flags":
                flag = frozenset({self.random.choice(FLAGS)})
                side.change(source, uid, h.Change(flag - flags, flag & flags))
            case "delete":
                self.deleted.add(email)
                del side.mailboxes[source][uid]
            case "move" if source != mailbox_id:
                del side.mailboxes[source][uid]
                side.add(mailbox_id, email, flags)
            case "copy":
                side.add(mailbox_id, email, flags)

    # -- a device's run

    def synchronise(self, device: Device) -> int:
        """At most three rounds, as a run does; returns the hunks of the last."""
        count = 0
        for _ in range(3):
            planned = plan([self._state(device, mailbox_id) for mailbox_id in MAILBOXES], self._copies(device))
            for hunk in planned.hunks:
                self._apply(device, hunk)
            if not (count := len(planned.hunks)):
                break
        return count

    def _state(self, device: Device, mailbox_id: MailboxId) -> MailboxState:
        pairs, mine, theirs = device.base[mailbox_id], device.copy.mailboxes[mailbox_id], self.server.mailboxes[mailbox_id]
        known = {pair.uid for pair in pairs.values()}
        held = device.copy.emails() | {pair.email_id for base in device.base.values() for pair in base.values()}
        return MailboxState(
            mailbox_id,
            pairs,
            {uid: mine[pair.uid][1] for uid, pair in pairs.items() if pair.uid in mine and mine[pair.uid][1] != pair.flags},
            frozenset(uid for uid, pair in pairs.items() if pair.uid not in mine),
            {uid: New(flags, EmailId(email)) for uid, (email, flags) in mine.items() if uid not in known},
            {uid: theirs[uid][1] for uid, pair in pairs.items() if uid in theirs and theirs[uid][1] != pair.flags},
            frozenset(uid for uid in pairs if uid not in theirs),
            {uid: New(flags, self._known(email, held)) for uid, (email, flags) in theirs.items() if uid not in pairs},
        )

    def _known(self, email: int, held: set[int]) -> EmailId | None:
        """Not every server can tell what a message is before it is fetched."""
        return EmailId(email) if email in held and self.random.random() < 0.8 else None

    def _copies(self, device: Device) -> dict[EmailId, tuple[MailboxId, int]]:
        return {
            pair.email_id: (mailbox_id, uid)
            for mailbox_id, pairs in device.base.items()
            for uid, pair in pairs.items()
            if uid in self.server.mailboxes[mailbox_id]
        }

    def _pair(self, device: Device, mailbox_id: MailboxId, remote_uid: int, uid: int, flags: frozenset[str]) -> None:
        email, _ = device.copy.mailboxes[mailbox_id][uid]
        assert self.server.mailboxes[mailbox_id][remote_uid][0] == email, "a pair of two different messages"
        device.base[mailbox_id][remote_uid] = Agreed(remote_uid, uid, EmailId(email), flags)

    def _apply(self, device: Device, hunk: h.Hunk) -> None:
        mine, theirs, base = device.copy, self.server, device.base
        match hunk:
            case h.Pull(mailbox_id, remote_uids):
                for remote_uid in remote_uids:
                    email, flags = theirs.mailboxes[mailbox_id][remote_uid]
                    self._pair(device, mailbox_id, remote_uid, mine.add(mailbox_id, email, flags), flags)
            case h.Push(mailbox_id, uids):
                for uid in uids:
                    email, flags = mine.mailboxes[mailbox_id][uid]
                    self._pair(device, mailbox_id, theirs.add(mailbox_id, email, flags), uid, flags)
            case h.CopyRemote(source_id, mailbox_id, pairs):
                for remote_uid, uid in pairs:
                    email, flags = theirs.mailboxes[source_id][remote_uid]
                    self._pair(device, mailbox_id, theirs.add(mailbox_id, email, flags), uid, flags)
            case h.Adopt(mailbox_id, pairs):
                for remote_uid, uid in pairs:
                    flags = mine.mailboxes[mailbox_id][uid][1] & theirs.mailboxes[mailbox_id][remote_uid][1]
                    self._pair(device, mailbox_id, remote_uid, uid, flags)
            case h.MoveRemote(source_id, mailbox_id, pairs):
                for remote_uid, uid in pairs:
                    pair = base[source_id].pop(remote_uid)
                    new_uid = theirs.add(mailbox_id, *theirs.mailboxes[source_id].pop(remote_uid))
                    self._pair(device, mailbox_id, new_uid, uid, pair.flags)
            case h.MoveLocal(source_id, mailbox_id, pairs):
                for remote_uid, new_remote_uid in pairs:
                    pair = base[source_id].pop(remote_uid)
                    uid = mine.add(mailbox_id, *mine.mailboxes[source_id].pop(pair.uid))
                    self._pair(device, mailbox_id, new_remote_uid, uid, pair.flags)
            case h.SetLocal(mailbox_id, change, remote_uids):
                for remote_uid in remote_uids:
                    mine.change(mailbox_id, base[mailbox_id][remote_uid].uid, change)
                    self._agree(device, mailbox_id, remote_uid)
            case h.SetRemote(mailbox_id, change, remote_uids):
                for remote_uid in remote_uids:
                    theirs.change(mailbox_id, remote_uid, change)
                    self._agree(device, mailbox_id, remote_uid)
            case h.Agree(mailbox_id, _, remote_uids):
                for remote_uid in remote_uids:
                    self._agree(device, mailbox_id, remote_uid)
            case h.ExpungeLocal(mailbox_id, remote_uids):
                for remote_uid in remote_uids:
                    del mine.mailboxes[mailbox_id][base[mailbox_id].pop(remote_uid).uid]
            case h.ExpungeRemote(mailbox_id, remote_uids):
                for remote_uid in remote_uids:
                    del base[mailbox_id][remote_uid], theirs.mailboxes[mailbox_id][remote_uid]
            case h.Forget(mailbox_id, remote_uids):
                for remote_uid in remote_uids:
                    del base[mailbox_id][remote_uid]

    def _agree(self, device: Device, mailbox_id: MailboxId, remote_uid: int) -> None:
        """The base is what both have in common now; the rest is still an edit of one of them."""
        pair = device.base[mailbox_id][remote_uid]
        here, there = device.copy.mailboxes[mailbox_id][pair.uid][1], self.server.mailboxes[mailbox_id][remote_uid][1]
        kept = (here & there) | (pair.flags & (here | there))
        device.base[mailbox_id][remote_uid] = pair._replace(flags=kept)


@pytest.mark.parametrize("part", range(10))
def test_devices_and_server_converge_and_no_edit_is_lost(part: int) -> None:
    for seed in range(part, RUNS, 10):
        converge(seed)


def converge(seed: int) -> None:
    chance = random.Random(seed)
    world = World(seed, devices=chance.randrange(1, 4))
    sides = [world.server, *(device.copy for device in world.devices)]
    for _ in range(chance.randrange(5, 60)):
        if chance.random() < 0.3:
            assert world.synchronise(chance.choice(world.devices)) == 0, "a run that does not come to rest"
        else:
            world.edit(chance.choice(sides))
    kept = set().union(*(side.emails() for side in sides)) - world.deleted
    for device in world.devices * 2:
        world.synchronise(device)
    for device in world.devices:
        assert device.copy.content() == world.server.content(), f"seed {seed}"
    assert kept <= world.server.emails(), f"seed {seed}: a message that nobody deleted is gone"


def test_edits_of_different_flags_all_survive() -> None:
    for seed in range(100):
        world = World(seed, devices=3)
        world.server.add(MAILBOXES[0], 1, frozenset({"$Junk"}))
        for device in world.devices:
            world.synchronise(device)
        edits = [
            h.Change(frozenset({"a"}), frozenset()),
            h.Change(frozenset({"b"}), frozenset()),
            h.Change(frozenset(), frozenset({"$Junk"})),
        ]
        for device, change in zip(world.devices, edits, strict=True):
            device.copy.change(MAILBOXES[0], 1, change)
        order = list(world.devices)
        world.random.shuffle(order)
        for device in order * 2:
            world.synchronise(device)
        assert world.server.mailboxes[MAILBOXES[0]] == {1: (1, frozenset({"a", "b"}))}
