"""A random walk of several IMAP sessions over the same mailboxes, beside a model.

    python -m tests.property.imap_walk --steps 100000

Each step is one command of one device, a delivery, or a removal by POP3, as a line on the wire. The model is what the standard
says that the mailboxes hold; a device believes only what its session told it. What must hold at every step:

- no EXPUNGE in the answers to FETCH, STORE and SEARCH, numbers within the mailbox as this session knows it (D-36);
- what a FETCH or SEARCH says is true of the model, for the messages that this session knows;
- UIDs ascend and are those of APPENDUID and COPYUID (D-30, D-31, D-33); MODSEQs only rise (D-37);
- after NOOP a device knows exactly the messages and flags of the model, whoever changed them (D-38);
- a device that comes back with QRESYNC knows the same as one that starts anew (D-37).
"""

import argparse
import asyncio
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.scripts.imap_world import ImapWorld

from postwren.mailstore.port import Store
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink

__all__ = ["Walk", "walk"]

FULL: Final = 60  # messages in a mailbox; then some of them go
LOGIN, PASSWORD = "ann@example.org", "secret"
BOXES: Final = ("INBOX", "work", "old")
FLAGS: Final = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "\\Deleted", "$one", "$two")
FETCH: Final = re.compile(rb"\* (\d+) FETCH \((.*)\)")
FLAG_LIST: Final = re.compile(rb"FLAGS \(([^)]*)\)")


class Diverged(AssertionError):
    """Somebody was told something else than what is."""


@dataclass(slots=True)
class Box:
    """A mailbox of the model: flags by UID, ascending, and the next UID."""

    messages: dict[int, set[str]] = field(default_factory=dict)
    uidnext: int = 1

    def add(self, flags: set[str]) -> int:
        uid = self.uidnext
        self.uidnext += 1
        self.messages[uid] = flags
        return uid


def ranges(text: bytes) -> list[int]:
    """The numbers of a sequence set without `*`."""
    numbers: list[int] = []
    for part in text.split(b","):
        lo, _, hi = part.partition(b":")
        numbers += range(int(lo), int(hi or lo) + 1)
    return numbers


@dataclass(slots=True)
class Memory:
    """What a device keeps while it is away."""

    uidvalidity: int
    modseq: int
    uids: list[int]
    flags: dict[int, set[str]]


class Device:
    """One connection and what it was told. `uids[n - 1]` is None while the UID of message n is not known yet."""

    def __init__(self, walk: "Walk", name: str, *, is_qresync: bool) -> None:
        self.walk, self.name, self.is_qresync = walk, name, is_qresync
        self.link: LoopbackLink
        self.box = ""
        self.uids: list[int | None] = []
        self.flags: dict[int, set[str]] = {}
        self.uidvalidity = self.modseq = 0
        self.kept: dict[str, Memory] = {}
        self.found: list[int] = []
        self.fetched: dict[int, set[str]] = {}
        self.is_idle = False
        self._tag = 0

    async def connect(self) -> None:
        self.link = self.walk.world.link()
        await self.link.settled()
        self.link.take()
        self.box, self.is_idle = "", False
        await self.say(f"LOGIN {LOGIN} {PASSWORD}")
        if self.is_qresync:
            await self.say("ENABLE QRESYNC")

    async def say(self, command: str, literal: bytes | None = None) -> bytes:
        """A command to its tagged line; everything untagged is taken in. The tagged line, without the tag."""
        self._tag += 1
        tag = f"{self.name}{self._tag}"
        line = f"{tag} {command}" + ("" if literal is None else f" {{{len(literal)}+}}")
        self.walk.told.append(f"C {line}")
        self.link.receive(line.encode() + b"\r\n" + (b"" if literal is None else literal + b"\r\n"))
        await self.link.settled()
        lines = self.link.take().split(b"\r\n")
        self.walk.told += [f"S({self.name}) {told.decode()}" for told in lines[:-1]]
        self.require(lines[-1] == b"" and lines[-2].startswith(tag.encode() + b" "), "the answer ends with its tagged line")
        verb = command.removeprefix("UID ").split()[0]
        is_held = verb in ("FETCH", "STORE", "SEARCH") and not command.startswith("UID ")
        for told in lines[:-2]:
            self.take_in(told, is_held=is_held)
        return lines[-2][len(tag) + 1 :]

    def require(self, condition: object, what: str) -> None:
        if not condition:
            raise Diverged(f"{what} (device {self.name})\n" + "\n".join(self.walk.told[-200:]))

    # -- what the session tells

    async def say_at_once(self, commands: Sequence[str]) -> list[list[bytes]]:
        """Commands of a kind that holds EXPUNGE back, in one write; what each was answered."""
        tags = [f"{self.name}{self._tag + 1 + at}".encode() for at in range(len(commands))]
        self._tag += len(commands)
        lines = [tag + b" " + command.encode() for tag, command in zip(tags, commands, strict=True)]
        self.walk.told += [f"C {line.decode()}" for line in lines]
        self.link.receive(b"".join(line + b"\r\n" for line in lines))
        await self.link.settled()
        answers: list[list[bytes]] = [[]]
        for told in self.link.take().split(b"\r\n")[:-1]:
            self.walk.told.append(f"S({self.name}) {told.decode()}")
            answers[-1].append(told)
            if told.startswith(tags[len(answers) - 1] + b" OK"):
                answers.append([])
            else:
                self.take_in(told, is_held=True)
        self.require(len(answers) == len(tags) + 1 and not answers[-1], "each is answered OK, in order")
        return answers[:-1]

    def take_in(self, line: bytes, *, is_held: bool = False) -> None:
        words = line.split(b" ")
        if fetch := FETCH.fullmatch(line):
            self._fetched(int(fetch[1]), fetch[2])
        elif words[-1] == b"EXISTS":
            count = int(words[1])
            self.require(count >= len(self.uids), "EXISTS never takes a message away")
            self.uids += [None] * (count - len(self.uids))
        elif words[-1] == b"EXPUNGE":
            self.require(not is_held, "EXPUNGE is held back during FETCH, STORE and SEARCH")
            self.require(not self.is_qresync, "VANISHED stands for EXPUNGE after ENABLE QRESYNC")
            self.require(1 <= int(words[1]) <= len(self.uids), "EXPUNGE of a number that is there")
            self._forget(self.uids.pop(int(words[1]) - 1))
        elif words[1] == b"VANISHED":
            self.require(self.is_qresync, "VANISHED only after ENABLE QRESYNC")
            is_earlier = words[2] == b"(EARLIER)"
            self.require(not is_held or is_earlier, "VANISHED is held back during FETCH, STORE and SEARCH")
            gone = set(ranges(words[-1]))
            for uid in sorted(gone):
                place = self._place_of(uid)
                self.require(is_earlier or place is not None, f"VANISHED names what was there: {uid}")
                if place is not None:
                    self._forget(self.uids.pop(place))
        elif words[1] == b"SEARCH":
            self.found = [int(word) for word in words[2:] if word.isdigit()]
        elif words[1:3] == [b"OK", b"[HIGHESTMODSEQ"]:
            self.modseq = int(words[3].rstrip(b"]"))
        elif words[1:3] == [b"OK", b"[UIDVALIDITY"]:
            self.uidvalidity = int(words[3].rstrip(b"]"))

    def _place_of(self, uid: int) -> int | None:
        """Where a message is whose UID may not have been told yet: between its neighbours."""
        if uid in self.uids:
            return self.uids.index(uid)
        for place, known in enumerate(self.uids):
            if known is not None and known > uid:
                return place - 1 if place and self.uids[place - 1] is None else None
        return len(self.uids) - 1 if self.uids and self.uids[-1] is None else None

    def _forget(self, uid: int | None) -> None:
        if uid is not None:
            self.flags.pop(uid, None)

    def _fetched(self, number: int, items: bytes) -> None:
        self.require(1 <= number <= len(self.uids), "FETCH of a number that is there")
        uid = re.search(rb"UID (\d+)", items)
        if uid:
            self.require(self.uids[number - 1] in (None, int(uid[1])), "a number stands for one UID")
            self.uids[number - 1] = int(uid[1])
        known = self.uids[number - 1]
        modseq = re.search(rb"MODSEQ \((\d+)\)", items)
        if modseq:
            self.modseq = max(self.modseq, int(modseq[1]))
        flags = FLAG_LIST.search(items)
        if flags and known is not None:
            told = {flag for flag in flags[1].decode().split() if flag != "\\Recent"}
            self.flags[known] = self.fetched[known] = told

    # -- what a device does

    async def select(self, box: str) -> None:
        memory = self.kept.get(box)
        self.box, self.uids, self.flags = box, [], {}
        if self.is_qresync and memory is not None:
            await self._resynchronise(box, memory)
        else:
            answer = await self.say(f"SELECT {box}")
            self.require(answer.startswith(b"OK [READ-WRITE]"), "SELECT is answered OK")
        await self.learn()
        self.check()

    async def _resynchronise(self, box: str, memory: Memory) -> None:
        """RFC 7162 section 3.2.5: what is kept, less what vanished, more what came or changed, is the mailbox."""
        known = self.walk.rnd.choice(["", f" 1:{max(memory.uids)}"]) if memory.uids else ""
        self.flags = {uid: set(flags) for uid, flags in memory.flags.items()}
        before = list(memory.uids)
        tag = f"SELECT {box} (QRESYNC ({memory.uidvalidity} {memory.modseq}{known}))"
        heard = len(self.walk.told)
        self.uids = []  # numbers count in the mailbox as it is now: take UIDs from the lines below
        collected: dict[int, set[str]] = {}
        gone: set[int] = set()
        self._tag += 1
        line = f"{self.name}{self._tag} {tag}"
        self.walk.told.append(f"C {line}")
        self.link.receive(line.encode() + b"\r\n")
        await self.link.settled()
        lines = self.link.take().split(b"\r\n")
        self.walk.told += [f"S({self.name}) {told.decode()}" for told in lines[:-1]]
        self.require(lines[-2].split(b" ", 1)[1].startswith(b"OK [READ-WRITE]"), f"SELECT is answered OK ({heard})")
        count = 0
        for told in lines[:-2]:
            if told.endswith(b" EXISTS"):
                count = int(told.split()[1])
            elif told.startswith(b"* VANISHED (EARLIER) "):
                gone |= set(ranges(told.split(b" ")[3]))
            elif fetch := FETCH.fullmatch(told):
                uid, flags = re.search(rb"UID (\d+)", fetch[2]), FLAG_LIST.search(fetch[2])
                self.require(uid and flags and b"MODSEQ (" in fetch[2], "QRESYNC tells UID, FLAGS and MODSEQ")
                assert uid is not None
                assert flags is not None
                collected[int(uid[1])] = {flag for flag in flags[1].decode().split() if flag != "\\Recent"}
            elif told.startswith((b"* OK [HIGHESTMODSEQ", b"* OK [UIDVALIDITY")):
                self.take_in(told)
        now = sorted((set(before) - gone) | set(collected))
        if known:  # the answer is about these UIDs only; what came since is asked for
            self.require(len(now) <= count, f"resynchronised: {len(now)} messages, the mailbox has {count}")
        else:
            self.require(len(now) == count, f"resynchronised: {len(now)} messages, the mailbox has {count}")
        self.uids = [*now, *[None] * (count - len(now))]
        self.flags.update(collected)
        self.flags = {uid: flags for uid, flags in self.flags.items() if uid in set(now)}
        truth = self.walk.boxes[box].messages
        self.require(now == list(truth)[: len(now)], "QRESYNC equals a full resynchronisation: messages")
        self.require(all(self.flags.get(uid) == truth[uid] for uid in now), "QRESYNC equals a full one: flags")

    async def learn(self) -> None:
        """Ask for the UIDs and flags that are not known."""
        while None in self.uids or len(self.flags) < len(self.uids):  # news may come with the answer
            await self.say("UID FETCH 1:* (UID FLAGS MODSEQ)" if self.is_qresync else "UID FETCH 1:* (UID FLAGS)")

    def check(self) -> None:
        """After a synchronisation point: the device knows what is."""
        truth = self.walk.boxes[self.box].messages
        known = [uid for uid in self.uids if uid]
        off = sorted(set(known) ^ set(truth))
        self.require(known == list(truth), f"knows the messages of {self.box}, which has {len(truth)}; it errs in {off}")
        for uid, flags in truth.items():
            self.require(self.flags.get(uid) == flags, f"knows the flags of {uid}: {flags}")

    async def noop(self) -> None:
        await self.say("NOOP")
        await self.learn()
        await self.say("NOOP")
        self.check()

    async def leave(self) -> None:
        """Go away; with QRESYNC it remembers."""
        if self.box and self.is_qresync:
            await self.noop()
            uids = [uid for uid in self.uids if uid is not None]
            self.kept[self.box] = Memory(self.uidvalidity, self.modseq, uids, {u: set(f) for u, f in self.flags.items()})
        self.link.drop()
        await self.connect()

    async def idle(self) -> None:
        self.link.receive(b"i IDLE\r\n")
        await self.link.settled()
        self.is_idle = True
        self.hear()

    def hear(self) -> None:
        for line in self.link.take().split(b"\r\n")[:-1]:
            self.walk.told.append(f"S({self.name}) {line.decode()}")
            if line.startswith(b"* "):
                self.take_in(line)

    async def done(self) -> None:
        self.hear()
        self.link.receive(b"DONE\r\n")
        await self.link.settled()
        self.hear()
        self.is_idle = False


class Walk:
    """The devices, the model and the dice."""

    def __init__(self, store: Store, seed: int) -> None:
        self.world = ImapWorld(store)
        self.rnd = random.Random(seed)
        self.boxes = {name: Box() for name in BOXES}
        self.told: list[str] = []
        self.devices = [Device(self, name, is_qresync=name in "cd") for name in "abcd"]

    async def begin(self) -> None:
        await self.world.account(LOGIN, 0)
        for device in self.devices:
            await device.connect()
        for name in BOXES[1:]:
            await self.devices[0].say(f"CREATE {name}")
        for device in self.devices:
            await device.select(self.rnd.choice(BOXES))

    async def run(self, steps: int) -> None:
        for _ in range(steps):
            del self.told[:-400]
            await self.step()
        for device in self.devices:
            if device.is_idle:
                await device.done()
            await device.noop()

    async def step(self) -> None:
        device = self.rnd.choice(self.devices)
        if device.is_idle:
            if self.rnd.random() < 0.5:
                await device.done()
                await device.learn()
                await device.say("NOOP")
                device.check()
            return
        if len(self.boxes[device.box].messages) > FULL:
            await device.noop()
            await device.say("STORE 1:30 +FLAGS.SILENT (\\Deleted)")
            self._mark(device)
            await self.expunge(device)
        action = self.rnd.choices(ACTIONS, WEIGHTS)[0]
        await action(self, device)

    def _mark(self, device: Device) -> None:
        truth = self.boxes[device.box].messages
        for uid in device.uids[:30]:
            if uid is not None and uid in truth:
                truth[uid].add("\\Deleted")
                device.flags[uid] = set(truth[uid])

    def set_of(self, device: Device) -> tuple[str, list[int]]:
        """Some numbers that the device knows, as a sequence set."""
        count = len(device.uids)
        numbers = sorted(self.rnd.sample(range(1, count + 1), min(count, self.rnd.choice((1, 1, 2, 3, 8)))))
        if self.rnd.random() < 0.2:
            lo, hi = numbers[0], numbers[-1]
            return f"{hi}:{lo}", list(range(lo, hi + 1))
        return ",".join(map(str, numbers)), numbers

    def present(self, device: Device, numbers: Sequence[int]) -> list[int]:
        """The UIDs behind these numbers that still exist; every UID must be known."""
        truth = self.boxes[device.box].messages
        uids = [device.uids[number - 1] for number in numbers]
        return [uid for uid in uids if uid is not None and uid in truth]

    async def fetch(self, device: Device) -> None:
        if not device.uids:
            return
        text, numbers = self.set_of(device)
        device.fetched.clear()
        await device.say(f"FETCH {text} (UID FLAGS)")
        truth = self.boxes[device.box].messages
        for uid in self.present(device, numbers):
            device.require(device.fetched.get(uid) == truth[uid], f"FETCH tells the flags of {uid}: {truth[uid]}")

    async def store(self, device: Device) -> None:
        await device.learn()
        if not device.uids:
            return
        text, numbers = self.set_of(device)
        flags = set(self.rnd.sample(FLAGS, self.rnd.choice((1, 1, 2))))
        sign, silent = self.rnd.choice("+-="), self.rnd.choice(("", ".SILENT"))
        uids = self.present(device, numbers)
        is_uid = self.rnd.random() < 0.5
        if is_uid:
            text = ",".join(str(device.uids[number - 1]) for number in numbers)
        verb = "UID STORE" if is_uid else "STORE"
        await device.say(f"{verb} {text} {sign.replace('=', '')}FLAGS{silent} ({' '.join(sorted(flags))})")
        truth = self.boxes[device.box].messages
        for uid in uids:
            before = truth[uid]
            truth[uid] = before | flags if sign == "+" else before - flags if sign == "-" else set(flags)
            if silent:
                device.flags[uid] = set(truth[uid])
            else:
                told = device.flags.get(uid)
                device.require(told == truth[uid], f"STORE tells {truth[uid]} of {uid}")

    async def store_at_once(self, device: Device) -> None:
        """One message may be named twice, and gone."""
        await device.learn()
        if not device.uids:
            return
        numbers = [self.rnd.randint(1, len(device.uids)) for _ in range(5)]
        wanted = [(number, self.rnd.choice("+-="), self.rnd.choice(FLAGS)) for number in numbers]
        truth = self.boxes[device.box].messages
        there = [bool(self.present(device, [number])) for number in numbers]
        if not all(there):
            return
        commands = [f"STORE {number} {sign.replace('=', '')}FLAGS ({flag})" for number, sign, flag in wanted]
        answers = await device.say_at_once(commands)
        for (number, sign, flag), answer in zip(wanted, answers, strict=True):
            uid = device.uids[number - 1]
            assert uid is not None
            truth[uid] = truth[uid] | {flag} if sign == "+" else truth[uid] - {flag} if sign == "-" else {flag}
            line = next(told for told in answer if told.startswith(b"* %d FETCH" % number))
            flags = FLAG_LIST.search(line)
            told = set(flags[1].decode().split()) if flags else None
            device.require(told == truth[uid], f"STORE tells {truth[uid]} of {uid}")

    async def search(self, device: Device) -> None:
        await device.learn()
        flag = self.rnd.choice(("SEEN", "FLAGGED", "DELETED", "KEYWORD $one"))
        name = {"SEEN": "\\Seen", "FLAGGED": "\\Flagged", "DELETED": "\\Deleted", "KEYWORD $one": "$one"}[flag]
        is_uid = self.rnd.random() < 0.5
        device.found = []
        await device.say(f"{'UID ' if is_uid else ''}SEARCH {flag}")
        truth = self.boxes[device.box].messages
        found = device.found if is_uid else [device.uids[number - 1] or 0 for number in device.found]
        expected = [uid for uid in device.uids if uid in truth and name in truth[uid]]
        device.require([uid for uid in found if uid in truth] == expected, f"SEARCH {flag} finds {expected}")

    async def append(self, device: Device) -> None:
        box = self.rnd.choice(BOXES)
        flags = set(self.rnd.sample(FLAGS, self.rnd.choice((0, 1, 2))))
        message = b"Subject: %d\r\n\r\n%s\r\n" % (self.rnd.getrandbits(40), b"x" * self.rnd.randint(0, 200))
        answer = await device.say(f"APPEND {box} ({' '.join(sorted(flags))})", message)
        uid = self.boxes[box].add(flags)
        device.require(re.match(rb"OK \[APPENDUID \d+ %d\]" % uid, answer), f"APPENDUID is {uid}")

    async def deliver(self, _device: Device) -> None:
        await self.world.deliver(LOGIN, b"Subject: %d\r\n\r\nnew\r\n" % self.rnd.getrandbits(40))
        self.boxes["INBOX"].add(set())

    async def copy(self, device: Device) -> None:
        await device.learn()
        if not device.uids:
            return
        text, numbers = self.set_of(device)
        box, is_move = self.rnd.choice(BOXES), self.rnd.random() < 0.5
        uids = self.present(device, numbers)
        mark = len(self.told)
        answer = await device.say(f"{'MOVE' if is_move else 'COPY'} {text} {box}")
        source, target = self.boxes[device.box], self.boxes[box]
        if len(uids) < len(numbers):  # RFC 2180 section 4.4.1: some are gone, and the device is not told yet
            device.require(answer.startswith(b"NO [EXPUNGEISSUED]"), "COPY of what is gone is refused whole")
            return
        new = [target.add(set(source.messages[uid])) for uid in uids]
        told = re.search(rb"COPYUID \d+ (\S+) (\S+?)\]", "\n".join(self.told[mark:]).encode())
        if uids:
            device.require(told, "COPYUID is told")
            assert told is not None
            device.require(
                answer.startswith(b"OK") and ranges(told[1]) == uids and ranges(told[2]) == new, f"COPYUID is {uids} {new}"
            )
        if is_move:
            for uid in uids:
                del source.messages[uid]

    async def expunge(self, device: Device) -> None:
        await device.learn()
        known = set(device.uids)
        await device.say("EXPUNGE")
        self._expunge(device, known)
        await device.learn()
        await device.say("NOOP")
        device.check()

    def _expunge(self, device: Device, known: set[int | None]) -> None:
        """What has \\Deleted goes, of what the device was told of (D-32)."""
        box = self.boxes[device.box]
        gone = {uid for uid, flags in box.messages.items() if "\\Deleted" in flags and uid in known}
        box.messages = {uid: flags for uid, flags in box.messages.items() if uid not in gone}

    async def uid_expunge(self, device: Device) -> None:
        await device.learn()
        if not device.uids:
            return
        _, numbers = self.set_of(device)
        uids = [device.uids[number - 1] for number in numbers]
        await device.say("UID EXPUNGE " + ",".join(map(str, uids)))
        box = self.boxes[device.box]
        named = {uid for uid in uids if uid in box.messages and "\\Deleted" in box.messages[uid]}
        box.messages = {uid: flags for uid, flags in box.messages.items() if uid not in named}

    async def pop3(self, _device: Device) -> None:
        uids = list(self.boxes["INBOX"].messages)
        gone = self.rnd.sample(uids, min(len(uids), 2))
        if gone:
            for uid in sorted(gone):
                number = list(self.boxes["INBOX"].messages).index(uid) + 1
                await self.world.remove_by_pop3(LOGIN, number)
                del self.boxes["INBOX"].messages[uid]

    async def noop(self, device: Device) -> None:
        await device.noop()

    async def select(self, device: Device) -> None:
        await device.select(self.rnd.choice(BOXES))

    async def close(self, device: Device) -> None:
        is_close = self.rnd.random() < 0.5
        await device.learn()
        known = set(device.uids)
        await device.say("CLOSE" if is_close else "UNSELECT")
        if is_close:
            self._expunge(device, known)
        await device.select(self.rnd.choice(BOXES))

    async def leave(self, device: Device) -> None:
        box = device.box
        await device.leave()
        await device.select(box)

    async def idle(self, device: Device) -> None:
        await device.idle()


ACTIONS = [
    Walk.fetch,
    Walk.store,
    Walk.store_at_once,
    Walk.search,
    Walk.append,
    Walk.deliver,
    Walk.copy,
    Walk.expunge,
    Walk.uid_expunge,
    Walk.pop3,
    Walk.noop,
    Walk.select,
    Walk.close,
    Walk.leave,
    Walk.idle,
]
WEIGHTS: Final = [12, 16, 10, 8, 6, 6, 8, 6, 6, 4, 10, 3, 3, 3, 4]


async def walk(store: Store, seed: int, steps: int) -> None:
    """Take so many steps; raises Diverged with the dialogue before it. The store stays open."""
    one = Walk(store, seed)
    await one.begin()
    await one.run(steps)
    one.world.end()


async def _main(steps: int, seed: int, adapter: str) -> None:
    with TemporaryDirectory() as folder:
        store: Store = MemoryStore() if adapter == "memory" else EmbeddedStore(Path(folder))
        try:
            await walk(store, seed, steps)
        finally:
            store.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for adapter in ("memory", "embedded"):
        asyncio.run(_main(options.steps // 2, options.seed, adapter))
        print(f"{adapter}: {options.steps // 2} steps, no divergence")
    return 0


if __name__ == "__main__":
    sys.exit(main())
