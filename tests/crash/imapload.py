"""The IMAP part of the load under kill -9: a device that appends, copies, moves, marks and expunges in an account of its own,
knows what was answered, and after each crash accepts what its last, unanswered command may have done and nothing else.

D-30 to D-33, D-37. Between two crashes at most one command is without an answer.
"""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from tests.interop.peer import Peer

__all__ = ["BROKEN", "Imap", "ImapDevice"]

BROKEN: Final = (OSError, EOFError, ValueError, IndexError, AssertionError)
PLACES: Final = ("INBOX", "Work")
FLAGS: Final = ("\\Seen", "\\Flagged", "\\Deleted", "$Junk")
MOST: Final = 60  # messages of a mailbox, so that a look at all of them is quick

Entry = tuple[int, frozenset[str]]  # token and flags
Mailbox = dict[int, Entry]  # by UID
State = dict[str, Mailbox]


class Imap:
    """A connection that says one command at a time. EOFError where the server is gone."""

    def __init__(self, port: int, login: str) -> None:
        self.peer = Peer(port)
        try:
            self.peer.line()
            self.ask(b"LOGIN %s pass" % login.encode())
        except BaseException:
            self.peer.close()
            raise

    def ask(self, command: bytes) -> bytes:
        """Everything up to the tagged OK. ValueError for another answer."""
        self.peer.sock.sendall(b"t " + command + b"\r\n")
        said = [self._line()]
        while not said[-1].startswith((b"t ", b"* BYE")):
            if announced := re.search(rb"\{(\d+)\}\r\n\Z", said[-1]):
                said.append(self.peer.octets(int(announced[1])))
            said.append(self._line())
        if not said[-1].startswith(b"t OK"):
            raise ValueError(said[-1])
        return b"".join(said)

    def _line(self) -> bytes:
        line = self.peer.line()
        if not line.endswith(b"\r\n"):
            raise EOFError("half a line")
        return line

    def look(self, place: str, token_of: Callable[[bytes], int | None]) -> tuple[Mailbox, int, int]:
        """What is in a mailbox, its UIDVALIDITY and its UIDNEXT. A message that nobody sent has the token -1."""
        said = self.ask(b"SELECT " + place.encode())
        numbers = [int(re.findall(rb"\[%b (\d+)\]" % name, said)[0]) for name in (b"UIDVALIDITY", b"UIDNEXT")]
        found: Mailbox = {}
        said = self.ask(b"UID FETCH 1:* (FLAGS BODY.PEEK[])")
        at = 0
        while head := re.compile(rb"\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) BODY\[\] \{(\d+)\}\r\n").match(said, at):
            octets = said[head.end() : head.end() + int(head[3])]
            token = token_of(octets)
            found[int(head[1])] = (-1 if token is None else token, frozenset(head[2].decode().split()))
            at = head.end() + int(head[3]) + len(b")\r\n")
        assert said.startswith(b"t OK", at), said[at : at + 200]
        return found, numbers[0], numbers[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.peer.close()


@dataclass(frozen=True, slots=True)
class Pending:
    """A command that may have been done: `added` messages come to `target`; of `gone`, each may have left `source`; `changed` are
    the entries of `source` that may all be as here."""

    target: str = ""
    added: tuple[Entry, ...] = ()
    source: str = ""
    gone: frozenset[int] = frozenset()
    changed: dict[int, Entry] = field(default_factory=dict)
    is_move: bool = False


@dataclass
class ImapDevice:
    """One account's only user. `fault` takes what must not be."""

    login: str
    seed: int
    new_token: Callable[[], int]
    text_of: Callable[[int], bytes]
    token_of: Callable[[bytes], int | None]
    fault: Callable[[str], None]
    state: State = field(default_factory=lambda: {place: {} for place in PLACES})
    highest: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PLACES, 0))  # UID that was ever there
    validity: dict[str, int] = field(default_factory=dict)
    pending: Pending | None = None
    done: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    # -- the load

    def session(self, imap: Imap) -> None:
        """Some commands on one connection; it may break anywhere."""
        place = self.random.choice(PLACES)
        imap.ask(b"SELECT " + place.encode())
        for _ in range(self.random.randint(1, 25)):
            other = self.random.choice(PLACES)
            work = self.random.choice((self.append, self.append, self.copy, self.move, self.mark, self.mark, self.expunge))
            work(imap, place, other)
            self.pending = None
            self.done += 1

    def append(self, imap: Imap, _place: str, other: str) -> None:
        tokens = [self.new_token() for _ in range(self.random.choice((1, 1, 3)))]
        flags = frozenset(self.random.sample(FLAGS, self.random.randint(0, 2)))
        added = tuple((token, flags) for token in tokens)
        if len(self.state[other]) > MOST:
            return
        self.pending = Pending(other, added)
        literals = b"".join(
            b" (%b) {%d+}\r\n%b" % (" ".join(flags).encode(), len(text), text) for text in map(self.text_of, tokens)
        )
        said = imap.ask(b"APPEND %b%b" % (other.encode(), literals))
        self.arrived(other, numbers(re.findall(rb"\[APPENDUID \d+ ([\d:,]+)\]", said)[0]), added)

    def copy(self, imap: Imap, place: str, other: str) -> None:
        self.transfer(imap, place, other, is_move=False)

    def move(self, imap: Imap, place: str, other: str) -> None:
        self.transfer(imap, place, other, is_move=True)

    def transfer(self, imap: Imap, place: str, other: str, *, is_move: bool) -> None:
        uids = self.some(place)
        if not uids or place == other or (not is_move and len(self.state[other]) > MOST):
            return
        added = tuple(self.state[place][uid] for uid in uids)
        self.pending = Pending(other, added, place, frozenset(uids) if is_move else frozenset(), is_move=is_move)
        said = imap.ask(b"UID %b %b %b" % (b"MOVE" if is_move else b"COPY", listed(uids), other.encode()))
        source, target = re.findall(rb"\[COPYUID \d+ ([\d:,]+) ([\d:,]+)\]", said)[0]
        if numbers(source) != uids:
            self.fault(f"other: COPYUID of {self.login} names {source!r}, not {uids}")
        self.arrived(other, numbers(target), added)
        for uid in uids if is_move else ():
            del self.state[place][uid]

    def mark(self, imap: Imap, place: str, _other: str) -> None:
        uids, flag, is_added = self.some(place), self.random.choice(FLAGS), self.random.random() < 0.7
        if not uids:
            return
        entries = self.state[place]
        changed = {uid: (entries[uid][0], entries[uid][1] | {flag} if is_added else entries[uid][1] - {flag}) for uid in uids}
        self.pending = Pending(source=place, changed=changed)
        imap.ask(b"UID STORE %b %cFLAGS.SILENT (%b)" % (listed(uids), b"+" if is_added else b"-", flag.encode()))
        entries.update(changed)

    def expunge(self, imap: Imap, place: str, _other: str) -> None:
        deleted = [uid for uid, (_, flags) in self.state[place].items() if "\\Deleted" in flags]
        chosen = deleted if self.random.random() < 0.5 else [uid for uid in deleted if uid % 2]
        if not chosen:
            return
        self.pending = Pending(source=place, gone=frozenset(chosen))
        imap.ask(b"EXPUNGE" if chosen == deleted else b"UID EXPUNGE " + listed(chosen))
        for uid in chosen:
            del self.state[place][uid]

    def some(self, place: str) -> list[int]:
        known = sorted(self.state[place])
        return sorted(self.random.sample(known, min(len(known), self.random.randint(0, 8))))

    def arrived(self, place: str, uids: Sequence[int], entries: Sequence[Entry]) -> None:
        """D-30, D-33: as many UIDs as messages, above all that ever were."""
        if len(uids) != len(entries) or list(uids) != sorted(set(uids)) or (uids and uids[0] <= self.highest[place]):
            self.fault(f"uid: {self.login} {place} gave {uids} for {len(entries)} messages above {self.highest[place]}")
        self.state[place].update(zip(uids, entries, strict=False))
        self.highest[place] = max([self.highest[place], *uids])

    # -- after a crash

    def compare(self, imap: Imap) -> None:
        """What is there against what may be."""
        pending, self.pending = self.pending or Pending(), None
        moved_away: set[int] = set()
        found: State = {}
        for place in PLACES:
            found[place], validity, uidnext = imap.look(place, self.token_of)
            if self.validity.setdefault(place, validity) != validity:
                self.fault(f"uid: UIDVALIDITY of {self.login} {place} changed")
            if uidnext <= self.highest[place]:
                self.fault(f"uid: UIDNEXT of {self.login} {place} is {uidnext}, and {self.highest[place]} was given out")
        for place in PLACES:
            moved_away |= self.judge(place, found[place], pending)
        came = [entry for uid, entry in sorted(found.get(pending.target, {}).items()) if uid > self.highest[pending.target]] \
            if pending.target else []  # fmt: skip
        if came and came != list(pending.added):
            self.fault(f"other: {self.login} {pending.target} got {came}, not {pending.added}")
        if pending.is_move and len(came) != len(moved_away):
            self.fault(f"doubled or lost: {self.login} moved {len(came)} in and {len(moved_away)} out")
        self.state = found
        for place in PLACES:
            self.highest[place] = max([self.highest[place], *found[place]])

    def judge(self, place: str, now: Mailbox, pending: Pending) -> set[int]:
        """One mailbox; returns what left it."""
        before = self.state[place]
        gone = set(before) - set(now)
        may_go = pending.gone if place == pending.source else frozenset()
        if lost := gone - may_go:
            self.fault(f"lost: {self.login} {place} {sorted(lost)}")
        is_changed = (
            place == pending.source and pending.changed and any(now.get(uid) == to for uid, to in pending.changed.items())
        )
        for uid, entry in now.items():
            expected = before.get(uid)
            if expected is None:
                if place != pending.target or uid <= self.highest[place]:
                    self.fault(f"returned: {self.login} {place} uid {uid} is {entry}")
            elif entry != expected and not (is_changed and entry == pending.changed.get(uid)):
                self.fault(f"other: {self.login} {place} uid {uid} was {expected} and is {entry}")
        return gone


def listed(uids: Iterable[int]) -> bytes:
    return b",".join(b"%d" % uid for uid in uids)


def numbers(text: bytes) -> list[int]:
    """The UIDs of a set, as they stand there."""
    found: list[int] = []
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        found += range(int(first), int(last or first) + 1)
    return found
