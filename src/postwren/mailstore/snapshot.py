"""Mailboxes in memory: one snapshot a mailbox and process, shared by all sessions that selected it.

    snapshots = Snapshots(store, now)
    handle = await snapshots.open(account_id, mailbox_id)     counters at once, columns when they are read
    handle.listen(note)                                       note(delta) after commits that changed the mailbox
    await handle.loaded()                                     from here on there are columns
    handle.snapshot.flagset_ids[start:end]                    with everything that was committed before
    handle.close()

A mailbox of up to `Limits.wait` messages is loaded when `open` returns. Of a larger one `open` gives the counters, which are
those of the moment whose columns are being read, and the columns follow. `handle.uids[: handle.count]` is the mailbox as it was
opened: deltas go on from there.

Nothing is missed: the account is subscribed to first, then one consistent read gives row and columns, and what was
published meanwhile is applied where its ModSeq is above the row's. What is applied is read from the index as it is by then,
which may be ahead of what was published; `highestmodseq` is that of the last change applied, never ahead of the columns
(a client that is told a ModSeq will not ask again for what is below it, RFC 7162 section 3.1.2). A snapshot that nobody holds
does not listen; when it is opened again, it reads what changed.
"""

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.mailstore.columns import Columns
from postwren.mailstore.errors import NoSuchMailbox
from postwren.mailstore.model import Change, ChangeKind, Mailbox
from postwren.mailstore.port import Reader, Store, Subscription, UidRanges
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import FlagsChanged
from postwren.terms import AccountId, MailboxId, ModSeq, Uid, UidValidity

__all__ = ["Delta", "Limits", "Snapshot", "SnapshotHandle", "Snapshots"]

FEW: Final = 64
"""Messages, below which nothing is remembered: it is as quick to work out, and an idle session stays small."""
MOST_ANSWERS: Final = 8
MOST_OCTETS: Final = 512 << 10
"""Of one answer: a SORT of 80,000 messages."""

_TOLD: Final = frozenset((ChangeKind.APPENDED, ChangeKind.FLAGS, ChangeKind.EXPUNGED, ChangeKind.MAILBOX_DELETED))


@dataclass(frozen=True, slots=True)
class Limits:
    """How much stays in memory."""

    wait: int = 20_000  # messages for whose columns `open` waits
    idle_seconds: float = 300.0  # a snapshot that nobody holds stays this long
    messages: int = 4_000_000  # of all snapshots together; those that nobody holds go first, the longest idle first
    replay: int = 5_000  # changes that are applied to an idle snapshot; beyond that it is read anew


@dataclass(frozen=True, slots=True)
class Delta:
    """What one or more commits changed in a mailbox, to be taken in this order: `expunged`, `appended`, `changed`.

    `appended` are the first and last position in `snapshot.uids` as it is while the listener is called. The ranges may span UIDs
    that do not exist, and `changed` may name messages again whose flags were known already (their ModSeq says so). `modseq` is
    the highest of these changes. `is_gone`: the mailbox was deleted."""

    expunged: UidRanges
    appended: tuple[int, int] | None
    changed: UidRanges
    modseq: ModSeq
    is_gone: bool = False


class Snapshot(Columns):
    """The mailbox as of `highestmodseq`. Until `is_loaded` only the counters are there."""

    __slots__ = (
        "_answers",
        "_flagsets",
        "account_id",
        "count",
        "highestmodseq",
        "is_gone",
        "is_loaded",
        "mailbox_id",
        "uidnext",
        "uidvalidity",
    )

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__()
        self.account_id: AccountId = mailbox.account_id
        self.mailbox_id: MailboxId = mailbox.mailbox_id
        self.uidvalidity: UidValidity = mailbox.uidvalidity
        self.uidnext: Uid = mailbox.uidnext
        self.highestmodseq: ModSeq = mailbox.highestmodseq
        self.count = mailbox.messages
        self.is_loaded = False
        self.is_gone = False
        self._answers: dict[Hashable, bytes] = {}
        self._flagsets: frozenset[int] | None = None

    @property
    def flagsets(self) -> frozenset[int]:
        """The sets of flags that its messages have."""
        found = self._flagsets
        if found is None:
            found = frozenset(self.flagset_ids)
            if self.is_loaded and self.count >= FEW:
                self._flagsets = found
        return found

    def answer(self, question: Hashable) -> bytes | None:
        """What was said to this question, if the mailbox has not changed since in any way."""
        return self._answers.get(question)

    def remember(self, question: Hashable, modseq: ModSeq, answer: bytes) -> None:
        """Keep what follows from the columns as they were at `modseq`, where they still are like that."""
        if self.is_loaded and self.count >= FEW and modseq == self.highestmodseq and len(answer) <= MOST_OCTETS:
            self._answers[question] = answer
            if len(self._answers) > MOST_ANSWERS:
                del self._answers[next(iter(self._answers))]

    def apply(self, changes: Sequence[Change], reader: Reader, known: Sequence[FlagsChanged] = ()) -> Delta | None:
        """Follow changes of this mailbox; None when it knew them. Flags that are `known` need not be read."""
        news = [change for change in changes if change.modseq > self.highestmodseq and change.kind in _TOLD]
        if not news:
            return None
        kinds: dict[ChangeKind, list[tuple[int, int]]] = {}
        told = {done.modseq for done in known if done.changed}
        unknown: list[tuple[int, int]] = []
        for change in news:
            kinds.setdefault(change.kind, []).append((change.uid_lo, change.uid_hi))
            if change.kind is ChangeKind.FLAGS and change.modseq not in told:
                unknown.append((change.uid_lo, change.uid_hi))
        expunged = uidrange.union(kinds.get(ChangeKind.EXPUNGED, ()))
        changed = uidrange.union(kinds.get(ChangeKind.FLAGS, ()))
        self.is_gone = ChangeKind.MAILBOX_DELETED in kinds
        self.highestmodseq = max(change.modseq for change in news)
        self._answers.clear()
        self._flagsets = None
        if expunged:
            self.remove(expunged)
        appended = self._append(kinds.get(ChangeKind.APPENDED, ()), reader)
        if unknown:
            self.set_flags(reader.flag_columns(self.account_id, self.mailbox_id, uidrange.union(unknown)))
        for done in known:
            for flagset_id, ranges in done.changed:
                self.set_flagset(ranges, flagset_id, done.modseq)
        self.count = len(self)
        return Delta(expunged, appended, changed, self.highestmodseq, self.is_gone)

    def _append(self, ranges: Sequence[tuple[int, int]], reader: Reader) -> tuple[int, int] | None:
        if not ranges:
            return None
        first = len(self)
        last = Uid(self.uids[-1]) if self.uids else Uid(0)  # what is above it is new, whichever commit brought it
        self.extend_from(reader.columns(self.account_id, self.mailbox_id, last))
        highest = self.uids[-1] if self.uids else 0
        self.uidnext = Uid(max(self.uidnext, highest + 1, ranges[-1][1] + 1))
        return (first, len(self) - 1) if len(self) > first else None


class SnapshotHandle:
    """One session's hold on a snapshot; `close` it."""

    __slots__ = ("_listener", "_shared", "count", "uids")

    def __init__(self, shared: "_Shared") -> None:
        self._listener: Callable[[Delta], None] | None = None
        self._shared: _Shared | None = shared
        self.uids: array[int] = shared.snapshot.uids
        self.count = shared.snapshot.count
        shared.handles[self] = None

    @property
    def snapshot(self) -> Snapshot:
        """With everything in it that was committed before and published: also what the caller's own unit of work did. Listeners
        may be called before this returns."""
        shared = self._held()
        shared.catch_up()
        return shared.snapshot

    @property
    def is_loaded(self) -> bool:
        """Whether there are columns."""
        return self._held().snapshot.is_loaded

    async def loaded(self) -> Snapshot:
        """Wait for the columns. What stopped the reading is raised (StoreClosed, say)."""
        await self._held().wait()
        return self.snapshot

    def listen(self, note: Callable[[Delta], None]) -> None:
        """Have `note` called, on the loop, for what happens from now on: soon after the commit. It only takes notes: it may be
        called from within `snapshot`."""
        self._listener = note

    def know(self, changes: Sequence[FlagsChanged]) -> None:
        """The outcome of units that were performed just now: their flags are taken from it, and not read from the index."""
        self._held().know(changes)

    def close(self) -> None:
        """Hold it no more; harmless when called twice."""
        shared, self._shared, self._listener = self._shared, None, None
        if shared is not None:
            del shared.handles[self]
            shared.let_go()

    def tell(self, delta: Delta) -> None:
        """For the snapshot: something happened."""
        if self._listener is not None:
            self._listener(delta)

    def _held(self) -> "_Shared":
        if self._shared is None:
            raise RuntimeError("a snapshot's handle that was closed")
        return self._shared


class _Shared:
    """A snapshot with those who hold it, and what it has still to follow."""

    __slots__ = ("_flush", "_is_ready", "_known", "_owner", "error", "handles", "has_row", "holds", "pending", "seen", "snapshot")

    def __init__(self, owner: "Snapshots") -> None:
        self._owner = owner
        self._is_ready = asyncio.Event()
        self._flush: asyncio.Handle | None = None
        self.has_row = asyncio.Event()
        self.error: BaseException | None = None
        self.handles: dict[SnapshotHandle, None] = {}
        self.holds = 0  # handles, and those who wait for one
        self.pending: list[Change] = []
        self._known: list[FlagsChanged] = []  # of what is pending
        self.seen = ModSeq(0)  # of the account: up to here its changes were heard
        self.snapshot: Snapshot

    # -- loading

    @property
    def is_ready(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._is_ready.is_set()

    def begin(self, row: Mailbox) -> None:
        """The counters are known; they belong to the columns that come."""
        if not self.has_row.is_set():
            self.snapshot = Snapshot(row)
            self.has_row.set()

    def fill(self, row: Mailbox, columns: Columns) -> None:
        """The columns are there; who holds it already numbers by them."""
        self.begin(row)
        self.snapshot.take_over(columns)
        self.snapshot.is_loaded = True
        self._is_ready.set()
        if self.pending:
            self._schedule()

    def fail(self, error: BaseException) -> None:
        """There is no snapshot."""
        self.error = error
        self.has_row.set()
        self._is_ready.set()

    async def opened(self, wait_for: int) -> None:
        """Wait for the counters and, of up to `wait_for` messages, the columns."""
        await self.has_row.wait()
        if self.error is None and self.snapshot.count <= wait_for:
            await self._is_ready.wait()
        self._raise()
        self.catch_up()
        if self.snapshot.is_gone:
            raise NoSuchMailbox(self.snapshot.mailbox_id)

    async def wait(self) -> None:
        """Wait for the columns."""
        await self._is_ready.wait()
        self._raise()

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    # -- following

    def hear(self, changes: Sequence[Change]) -> None:
        """A commit changed the mailbox."""
        self.pending += changes
        if self._is_ready.is_set():
            self._schedule()

    def know(self, changes: Sequence[FlagsChanged]) -> None:
        """The outcome of what is pending, or some of it."""
        if self.pending:
            self._known += changes

    def _schedule(self) -> None:
        # once for all units of a group commit: a thousand idle sessions are told once
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_soon(self.catch_up)

    def catch_up(self) -> None:
        """Apply what was heard, and tell."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if not self.pending or not self._is_ready.is_set() or self.error is not None:
            return
        pending, self.pending = self.pending, []
        known, self._known = self._known, []
        delta = self.snapshot.apply(pending, self._owner.reader, known)
        if delta is None:
            return
        if delta.is_gone:
            self._owner.forget(self)
        for handle in tuple(self.handles):
            handle.tell(delta)

    def let_go(self) -> None:
        """One fewer holds it."""
        self.holds -= 1
        if self.holds == 0 and self._is_ready.is_set():
            self._owner.rest(self)


class _Account:
    """One subscription for all snapshots of an account that somebody holds."""

    __slots__ = ("heard", "mailboxes", "subscription")

    def __init__(self) -> None:
        self.mailboxes: dict[MailboxId, _Shared] = {}
        self.heard = ModSeq(0)
        self.subscription: Subscription

    def receive(self, changes: Sequence[Change]) -> None:
        """For the store's feed."""
        self.heard = max(self.heard, changes[-1].modseq)
        for mailbox_id in {change.mailbox_id for change in changes}:
            shared = self.mailboxes.get(mailbox_id)
            if shared is not None:
                shared.hear([change for change in changes if change.mailbox_id == mailbox_id])


_Key: TypeAlias = tuple[AccountId, MailboxId]


class Snapshots:
    """All snapshots of a process. Call `sweep` now and then: it drops what nobody asked for in a while. `now` is a clock of
    seconds that never goes back."""

    def __init__(self, store: Store, now: Callable[[], float], limits: Limits | None = None) -> None:
        self._store = store
        self._now = now
        self._limits = limits or Limits()
        self._by_key: dict[_Key, _Shared] = {}
        self._accounts: dict[AccountId, _Account] = {}
        self._resting: OrderedDict[_Key, float] = OrderedDict()  # since when nobody holds it
        self._resting_messages = 0
        self._loads: set[asyncio.Task[None]] = set()

    @property
    def reader(self) -> Reader:
        """The store's."""
        return self._store.reader

    def __len__(self) -> int:
        return len(self._by_key)

    async def open(self, account_id: AccountId, mailbox_id: MailboxId) -> SnapshotHandle:
        """Hold a mailbox's snapshot; NoSuchMailbox where there is none. Of a large mailbox the columns may still be on their
        way (`SnapshotHandle.loaded`)."""
        key = account_id, mailbox_id
        shared = self._by_key.get(key)
        if key in self._resting and shared is not None:
            shared = self._wake(key, shared)
        if shared is None:
            shared = self._load(key)
        shared.holds += 1
        try:
            await shared.opened(self._limits.wait)
        except BaseException:
            shared.let_go()
            raise
        return SnapshotHandle(shared)

    def at_hand(self, account_id: AccountId, mailbox_id: MailboxId) -> SnapshotHandle | None:
        """As `open`, where there is nothing to wait for; None where there is."""
        key = account_id, mailbox_id
        shared = self._by_key.get(key)
        if shared is None or not shared.is_ready:
            return None
        if key in self._resting:
            shared = self._wake(key, shared)
        if shared is None:
            return None
        shared.catch_up()
        if shared.error is not None or shared.snapshot.is_gone:
            return None
        shared.holds += 1
        return SnapshotHandle(shared)

    # -- loading

    def _load(self, key: _Key) -> _Shared:
        shared = self._by_key[key] = _Shared(self)
        self._listen(key, shared)
        task = asyncio.get_running_loop().create_task(self._read(key, shared))
        self._loads.add(task)
        task.add_done_callback(self._loads.discard)
        return shared

    async def _read(self, key: _Key, shared: _Shared) -> None:
        call_loop = asyncio.get_running_loop().call_soon_threadsafe

        def unit(reader: Reader) -> tuple[Mailbox, Columns]:
            row = reader.mailbox(*key)
            if row is None:
                raise NoSuchMailbox(key[1])
            call_loop(shared.begin, row)
            return row, reader.columns(*key, Uid(0))

        try:
            shared.fill(*await self._store.read(unit))
        except BaseException as error:
            shared.fail(error)
            self._drop(key)
            if not isinstance(error, Exception):
                raise
        else:
            if not shared.holds:
                self.rest(shared)

    def _wake(self, key: _Key, shared: _Shared) -> _Shared | None:
        """A snapshot that nobody held follows what happened since; None when it is read anew."""
        del self._resting[key]
        self._resting_messages -= shared.snapshot.count
        self._listen(key, shared)
        row = self.reader.mailbox(*key)
        changes: list[Change] = []
        if row is not None and row.highestmodseq != shared.snapshot.highestmodseq:
            changes = self.reader.changes(key[0], shared.seen, self._limits.replay)
        if row is None or len(changes) >= self._limits.replay:
            self._drop(key)
            return None
        shared.pending = [change for change in changes if change.mailbox_id == key[1]]
        return shared

    # -- listening

    def _listen(self, key: _Key, shared: _Shared) -> None:
        account = self._accounts.get(key[0])
        if account is None:
            account = self._accounts[key[0]] = _Account()
            account.subscription = self._store.subscribe(key[0], account.receive)
        account.mailboxes[key[1]] = shared

    def _unlisten(self, key: _Key) -> ModSeq:
        """Returns up to where the account was heard."""
        account = self._accounts.get(key[0])
        if account is None:
            return ModSeq(0)
        account.mailboxes.pop(key[1], None)
        if not account.mailboxes:
            account.subscription.cancel()
            del self._accounts[key[0]]
        return account.heard

    # -- the end of a snapshot

    def rest(self, shared: _Shared) -> None:
        """Nobody holds it: keep it for a while, without following."""
        shared.catch_up()
        if shared.error is not None or shared.snapshot.is_gone:
            return
        key = shared.snapshot.account_id, shared.snapshot.mailbox_id
        shared.seen = max(shared.snapshot.highestmodseq, self._unlisten(key))
        self._resting[key] = self._now()
        self._resting_messages += shared.snapshot.count
        self.sweep()

    def forget(self, shared: _Shared) -> None:
        """The mailbox is gone; those who hold the snapshot may look at it still."""
        self._drop((shared.snapshot.account_id, shared.snapshot.mailbox_id))

    def sweep(self) -> None:
        """Drop what rested long enough, and what is too much."""
        before = self._now() - self._limits.idle_seconds
        while self._resting:
            key, since = next(iter(self._resting.items()))
            if since > before and self._resting_messages <= self._limits.messages:
                break
            del self._resting[key]
            self._resting_messages -= self._by_key[key].snapshot.count
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        self._by_key.pop(key, None)
        self._unlisten(key)
