"""Carries hunks out, one after the other; behind each, what was done is durable and agreed on, and the run may be cut.

Pulls come newest first, window by window; large messages come in pieces that outlive a cut line. What a mailbox refuses is told
and leaves that mailbox unsettled: the next round, or run, looks at it again.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, assert_never

from postwren.mailstore.port import Reader, Store
from postwren.mailstore.replica import Replica
from postwren.mailstore.service import uidrange
from postwren.sync import replica as here
from postwren.sync.hunk import (
    Adopt,
    Agree,
    CopyRemote,
    ExpungeLocal,
    ExpungeRemote,
    Flags,
    Forget,
    Hunk,
    MoveLocal,
    MoveRemote,
    Pull,
    Push,
    SetLocal,
    SetRemote,
    told,
)
from postwren.sync.look import Arrived, MailboxRefused
from postwren.sync.remote import Outgoing, Pulled, Remote
from postwren.sync.report import Found, Noted, Progress, Step, Tell
from postwren.terms import AccountId, MailboxId, Uid

__all__ = ["Apply", "Mailbox"]

WINDOW: Final = 256
WINDOW_OCTETS: Final = 4 << 20
LARGE: Final = 1 << 20
"""A message above this comes in pieces, which stay when the line is cut."""
PAIRED_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox of the run: how it was last compared, and what came to be known since."""

    replica: Replica
    messages: int = 0  # there
    new: Mapping[int, Arrived] = field(default_factory=dict)
    storable: Flags | None = None


class Apply:
    """One run's hunks. `counts` is what was done; `unsettled` mailboxes are to be compared from the old checkpoint once more, and
    `again` says that another round should do so at once."""

    def __init__(
        self,
        store: Store,
        account_id: AccountId,
        remote: Remote,
        address: str,
        tell: Tell,
        now: Callable[[], int],
        spool: Path,
    ) -> None:
        self._store = store
        self._account_id = account_id
        self._remote = remote
        self._address = address
        self._tell = tell
        self._now = now
        self._spool = spool
        self.mailboxes: dict[MailboxId, Mailbox] = {}
        self.counts: Counter[str] = Counter()
        self.unsettled: set[MailboxId] = set()
        self.again = False
        self.octets = 0
        self._messages = self._of = self._of_octets = 0
        self._waiting: set[MailboxId] = set()  # mailboxes in which something has no counterpart

    async def run(self, hunks: Sequence[Hunk]) -> None:
        """All of them, in order. Raises what the connection and the store raise."""
        names = {mailbox_id: mailbox.replica.name for mailbox_id, mailbox in self.mailboxes.items()}
        self._find(hunks)
        for hunk in hunks:
            try:
                await self._one(hunk)
                self._tell(Step(self._address, told(hunk, names)))
            except MailboxRefused as refused:
                self.unsettled.add(hunk.mailbox_id)
                self._tell(Noted(self._address, f"{told(hunk, names)}: the server refused: {refused}"))

    def _find(self, hunks: Sequence[Hunk]) -> None:
        """Tell how much it is."""
        pulls = [
            self.mailboxes[hunk.mailbox_id].new[uid].size for hunk in hunks if isinstance(hunk, Pull) for uid in hunk.remote_uids
        ]
        gone = sum(len(hunk.remote_uids) for hunk in hunks if isinstance(hunk, ExpungeRemote))
        self._of += len(pulls)
        self._of_octets += sum(pulls)
        if hunks:
            self._tell(
                Found(self._address, sum(mailbox.messages for mailbox in self.mailboxes.values()), len(pulls), sum(pulls), gone)
            )

    async def _one(self, hunk: Hunk) -> None:
        match hunk:
            case Pull(mailbox_id, remote_uids):
                await self._pull(mailbox_id, remote_uids)
            case Push(mailbox_id, uids):
                await self._push(mailbox_id, uids)
            case Adopt(mailbox_id, pairs):
                await self._adopt(mailbox_id, pairs)
            case CopyRemote(source_id, mailbox_id, pairs):
                await self._copy(source_id, mailbox_id, pairs)
            case MoveRemote(source_id, mailbox_id, pairs):
                await self._move_there(source_id, mailbox_id, pairs)
            case MoveLocal(source_id, mailbox_id, pairs):
                unit = here.move_here(self._account_id, source_id, mailbox_id, dict(pairs), self._now())
                await self._store.perform(unit)
                self._look_again(source_id, mailbox_id)
                self._count("moved", len(pairs))
            case SetLocal(mailbox_id, change, remote_uids):
                await self._store.perform(here.set_flags(self._account_id, mailbox_id, change, remote_uids))
                self._count("flags", len(remote_uids))
            case SetRemote(mailbox_id, change, remote_uids):
                await self._remote.change_flags(self._name(mailbox_id), change, remote_uids)
                await self._store.perform(here.agree(self._account_id, mailbox_id, change, remote_uids))
                self._count("flags", len(remote_uids))
            case Agree(mailbox_id, change, remote_uids):
                await self._store.perform(here.agree(self._account_id, mailbox_id, change, remote_uids))
            case ExpungeLocal(mailbox_id, remote_uids):
                gone = await self._store.perform(here.expunge_pairs(self._account_id, mailbox_id, remote_uids, self._now()))
                self._count("deleted_here", gone)
            case ExpungeRemote(mailbox_id, remote_uids):
                await self._remote.expunge(self._name(mailbox_id), remote_uids)
                await self._store.perform(here.forget(self._account_id, mailbox_id, remote_uids))
                self._count("deleted_there", len(remote_uids))
            case Forget(mailbox_id, remote_uids):
                await self._store.perform(here.forget(self._account_id, mailbox_id, remote_uids))
            case _:
                assert_never(hunk)

    def _name(self, mailbox_id: MailboxId) -> str:
        return self.mailboxes[mailbox_id].replica.remote_name

    def _count(self, what: str, number: int) -> None:
        self.counts[what] += number

    def _look_again(self, *mailbox_ids: MailboxId) -> None:
        """Pairs were made whose flags are still to be merged."""
        self.unsettled.update(mailbox_ids)
        self.again = True

    # -- from there

    async def _pull(self, mailbox_id: MailboxId, remote_uids: Sequence[int]) -> None:
        arrived = self.mailboxes[mailbox_id].new
        small = [uid for uid in remote_uids if arrived[uid].size <= LARGE]
        large = [uid for uid in remote_uids if arrived[uid].size > LARGE]
        landing = _Landing(self, mailbox_id, arrived)
        if await self._store.read(lambda reader: here.is_waiting(reader, self._account_id, mailbox_id)):
            self._waiting.add(mailbox_id)
        try:
            if small:
                await self._remote.pull(self._name(mailbox_id), _windows(small, arrived), self._store.new_body, landing.landed)
            for uid in reversed(large):
                await self._pull_large(mailbox_id, arrived[uid], landing)
            await landing.finished()
            if landing.doubtful:  # once more, one by one: then what comes is what there is
                windows = [(uid,) for uid in landing.doubtful]
                await self._remote.pull(self._name(mailbox_id), windows, self._store.new_body, landing.landed)
                await landing.finished()
        finally:
            await landing.end()
        if landing.messages < len(remote_uids):
            self.unsettled.add(mailbox_id)  # some did not come: they went meanwhile, or the server has no octets for them

    async def _pull_large(self, mailbox_id: MailboxId, message: Arrived, landing: "_Landing") -> None:
        """Into a file that stays when the line is cut, then into the store."""
        replica = self.mailboxes[mailbox_id].replica
        key = f"{self._account_id} {mailbox_id} {replica.uidvalidity} {message.uid} {message.size}"
        path = self._spool / f"partial-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
        self._spool.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            while file.tell() < message.size:
                if not await self._remote.pull_piece(replica.remote_name, message.uid, file.tell(), file.write):
                    break
                self.landed(0, 0, in_part=file.tell())
        writer = self._store.new_body()
        with path.open("rb") as file:
            while data := file.read(LARGE):
                writer.write(data)
        await landing.landed([Pulled(message.uid, message.flags, message.internaldate, writer.finish())])
        await landing.finished()
        path.unlink()

    # -- to there

    async def _push(self, mailbox_id: MailboxId, uids: Sequence[int]) -> None:
        mailbox = self.mailboxes[mailbox_id]
        outgoing = await self._store.read(lambda reader: list(self._outgoing(reader, mailbox, uids)))
        sent: list[tuple[int, int]] = []
        flags: dict[int, Flags] = {}
        done = 0

        async def pair_up() -> None:
            await self._store.perform(here.pair_up(self._account_id, mailbox_id, tuple(sent), flags))
            sent.clear()

        async def kept(message: Outgoing, remote_uid: int | None) -> None:
            nonlocal done
            done += 1
            if remote_uid is None:
                self._look_again(mailbox_id)  # finds it there, new, and pairs the two
            else:
                sent.append((remote_uid, message.key))
                flags[remote_uid] = message.flags
                if len(sent) >= PAIRED_AT_ONCE:
                    await pair_up()

        try:
            await self._remote.push(mailbox.replica.remote_name, mailbox.replica.uidvalidity, outgoing, kept)
        finally:
            await pair_up()
            self._count("pushed", done)

    def _outgoing(self, reader: Reader, mailbox: Mailbox, uids: Sequence[int]) -> Iterator[Outgoing]:
        where = self._account_id, mailbox.replica.mailbox_id
        wanted = set(reader.unpaired(*where))  # some may have found their counterpart among what came
        for entry in reader.entries(*where, uidrange.of(wanted.intersection(map(Uid, uids)))):
            email = reader.email(self._account_id, entry.email_id)
            if email is not None:
                flags = reader.flagset(self._account_id, entry.flagset_id)
                if mailbox.storable is not None:
                    flags &= mailbox.storable
                yield Outgoing(entry.uid, flags, entry.internaldate, entry.size, partial(self._store.body_pieces, email.body))

    async def _adopt(self, mailbox_id: MailboxId, pairs: Sequence[tuple[int, int]]) -> None:
        flags = {remote_uid: self.mailboxes[mailbox_id].new[remote_uid].flags for remote_uid, _ in pairs}
        await self._store.perform(here.pair_up(self._account_id, mailbox_id, pairs, flags))
        self._count("paired", len(pairs))
        self._look_again(mailbox_id)

    async def _copy(self, source_id: MailboxId, mailbox_id: MailboxId, pairs: Sequence[tuple[int, int]]) -> None:
        where = await self._remote.copy(self._name(source_id), [uid for uid, _ in pairs], self._name(mailbox_id))
        if where is not None:
            places = [(where[uid], mine) for uid, mine in pairs if uid in where]
            nothing: dict[int, Flags] = {remote_uid: frozenset() for remote_uid, _ in places}
            await self._store.perform(here.pair_up(self._account_id, mailbox_id, places, nothing))
        self._count("pushed", len(pairs))
        self._look_again(mailbox_id)

    async def _move_there(self, source_id: MailboxId, mailbox_id: MailboxId, pairs: Sequence[tuple[int, int]]) -> None:
        where = await self._remote.move(self._name(source_id), [uid for uid, _ in pairs], self._name(mailbox_id))
        if where is not None:
            places = [(uid, where[uid], mine) for uid, mine in pairs if uid in where]
            await self._store.perform(here.move_pairs(self._account_id, source_id, mailbox_id, places))
        self._count("moved", len(pairs))
        self._look_again(source_id, mailbox_id)

    # -- what lands

    async def land(self, mailbox_id: MailboxId, pulled: Sequence[Pulled]) -> None:
        """Keep messages that came."""
        bodies = [message.body for message in pulled]
        try:
            is_waiting = mailbox_id in self._waiting
            unit = here.land(self._account_id, mailbox_id, pulled, self._now(), may_be_here=is_waiting)
            new = await self._store.perform(unit, bodies)
            self._count("pulled", new)
            if new < len(pulled):
                self._count("paired", len(pulled) - new)
                self._look_again(mailbox_id)
        finally:
            for body in bodies:
                body.discard()

    def landed(self, messages: int, octets: int, in_part: int = 0) -> None:
        """So much more is here; `in_part`: octets of a message that is not whole yet."""
        self._messages += messages
        self.octets += octets
        self._tell(Progress(self._address, self._messages, self._of, self.octets + in_part, self._of_octets))

    def warn(self, mailbox_id: MailboxId, text: str) -> None:
        """Tell the user something of a mailbox."""
        self._tell(Noted(self._address, f"{self.mailboxes[mailbox_id].replica.name}: {text}"))


class _Landing:
    """Windows that came: one is kept while the next is received."""

    def __init__(self, apply: Apply, mailbox_id: MailboxId, arrived: Mapping[int, Arrived]) -> None:
        self._apply = apply
        self._mailbox_id = mailbox_id
        self._arrived = arrived
        self._running: asyncio.Task[None] | None = None
        self.messages = 0
        self.doubtful: list[int] = []

    async def landed(self, pulled: list[Pulled]) -> None:
        """Called with whole messages; returns when the window before is kept."""
        kept = [message for message in pulled if not self._is_doubtful(message)]
        await self.finished()
        self._running = asyncio.get_running_loop().create_task(self._keep(kept))

    def _is_doubtful(self, message: Pulled) -> bool:
        """Other octets than announced: asked for once more, then believed (RFC822.SIZE is wrong on some servers)."""
        expected = self._arrived[message.uid].size
        if message.body.size == expected:
            return False
        if message.uid not in self.doubtful:
            self.doubtful.append(message.uid)
            message.body.discard()
            return True
        text = f"message {message.uid} has {message.body.size:,} octets, the server says {expected:,}"
        self._apply.warn(self._mailbox_id, text)
        return False

    async def _keep(self, pulled: Sequence[Pulled]) -> None:
        if pulled:
            octets = sum(message.body.size for message in pulled)
            await self._apply.land(self._mailbox_id, pulled)
            self.messages += len(pulled)
            self._apply.landed(len(pulled), octets)

    async def finished(self) -> None:
        """All that was handed in is kept."""
        running, self._running = self._running, None
        if running is not None:
            await running

    async def end(self) -> None:
        """Wait for what runs, whatever becomes of it."""
        if self._running is not None:
            await asyncio.wait([self._running])


def _windows(uids: Sequence[int], arrived: Mapping[int, Arrived]) -> Iterator[Sequence[int]]:
    """Newest first; within one, ascending, so that UIDs here ascend with those there."""
    window: list[int] = []
    octets = 0
    for uid in sorted(uids, reverse=True):
        if window and (len(window) >= WINDOW or octets + arrived[uid].size > WINDOW_OCTETS):
            yield window[::-1]
            window, octets = [], 0
        window.append(uid)
        octets += arrived[uid].size
    yield window[::-1]
