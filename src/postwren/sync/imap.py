"""A whole run against an IMAP account: look, plan, apply, until both sides agree (docs/sync.md, "IMAP, two ways").

    outcome = await synchronise(store, account_id, remote, options)

What must stay true: a mailbox's checkpoint moves only when all of its hunks were carried out; a run that is cut anywhere leaves a
state from which the next one goes on. Nothing is deleted here that the brake holds.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from postwren.mailstore.port import Reader, Store
from postwren.mailstore.replica import LARGEST, Replica
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import FlagSets
from postwren.sync import replica as here
from postwren.sync.apply import Apply, Mailbox
from postwren.sync.hunk import CreateRemote, DeleteLocal, ExpungeLocal, ForgetMailbox, Hunk, MailboxHunk, RenameRemote, told
from postwren.sync.identity import email_sizes, recognise, repair
from postwren.sync.look import Arrived, Checkpoint, Known, Look, MailboxRefused
from postwren.sync.names import Names, base_mailboxes, local_mailboxes, remote_mailboxes
from postwren.sync.plan import Agreed, MailboxState, New, Plan, brake, plan, plan_mailboxes
from postwren.sync.remote import Listed, Remote, Stood
from postwren.sync.report import Held, Noted, Step, Tell
from postwren.sync.settings import Choices
from postwren.terms import AccountId, EmailId, MailboxId, ModSeq

__all__ = ["Focus", "Options", "Outcome", "synchronise"]

ROUNDS: Final = 4
MOST_EPOCHS: Final = 3
"""Changes of UIDVALIDITY in a row, after which a mailbox is left alone."""


NO_CHOICES: Final = Choices()


def _ignore(event: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes. `now` gives seconds since 1970, `spool` is a folder for what came in part, `wants` says which mailboxes (by
    their name here)."""

    address: str
    now: Callable[[], int]
    spool: Path
    tell: Tell = _ignore
    wants: Callable[[str], bool] = lambda name: bool(name)
    choices: Choices = NO_CHOICES


@dataclass(frozen=True, slots=True)
class Focus:
    """Where alone something is known to be different there: these mailboxes, of all that were listed last."""

    remote_names: frozenset[str]
    listed: Sequence[Listed]


@dataclass(slots=True)
class Outcome:
    """What a run did. It is complete where nothing was held, refused or left for the next."""

    counts: dict[str, int] = field(default_factory=dict)
    octets: int = 0  # that came
    held: dict[str, int] = field(default_factory=dict)
    is_complete: bool = True
    listed: Sequence[Listed] = ()  # the mailboxes there, as the last round saw them


async def synchronise(
    store: Store, account_id: AccountId, remote: Remote, options: Options, focus: Focus | None = None
) -> Outcome:
    """One run, over all mailboxes or first over those of the `focus` alone. Raises what the connection and the store raise;
    everything done before stays."""
    run = _Run(store, account_id, remote, options, focus)
    for _ in range(1 if options.choices.is_dry_run else ROUNDS):
        if not await run.round():
            break
    outcome = run.outcome
    outcome.counts = dict(run.apply.counts)
    outcome.octets = run.apply.octets
    outcome.is_complete &= not run.apply.unsettled and not run.names.has_failed
    return outcome


@dataclass(slots=True)
class _Compared:
    """One mailbox of a round."""

    replica: Replica
    checkpoint: Checkpoint
    modseq: ModSeq
    state: MailboxState
    new: Mapping[int, Arrived]
    sizes_here: Mapping[int, int]
    object_id: str | None
    epochs: int
    messages: int  # there


class _Run:
    def __init__(self, store: Store, account_id: AccountId, remote: Remote, options: Options, focus: Focus | None) -> None:
        self._focus = focus
        self._store = store
        self._account_id = account_id
        self._remote = remote
        self._options = options
        self._tell = options.tell
        self.apply = Apply(store, account_id, remote, options.address, options.tell, options.now, options.spool)
        self.names = Names(store, account_id, remote, options.address, options.tell, options.now)
        self.outcome = Outcome()

    async def round(self) -> bool:
        """Look, plan, apply once; whether another is needed."""
        self.apply.again = False
        self.apply.unsettled.clear()
        focus, self._focus = self._focus, None
        listed = await self._mailboxes(await self._remote.mailboxes(await self._known()) if focus is None else list(focus.listed))
        self.outcome.listed = listed
        wanted = listed if focus is None else [_unseen(one) for one in listed if one.remote_name in focus.remote_names]
        compared = await self._compare({mailbox.remote_name: mailbox for mailbox in wanted})
        planned = plan([one.state for one in compared], await self._copies(compared))
        replicas = self._store.reader.replicas(self._account_id)  # a copy may come from a mailbox in which nothing is different
        names = {replica.mailbox_id: replica.name for replica in replicas}
        hunks = self._without_held(planned.hunks, names)
        if self._options.choices.is_dry_run:
            self._say(hunks, names)
            return False
        self._report(planned, names)
        self.apply.mailboxes.update({replica.mailbox_id: Mailbox(replica) for replica in replicas})
        for one in compared:
            replica = one.replica._replace(uidvalidity=one.checkpoint.uidvalidity)
            self.apply.mailboxes[replica.mailbox_id] = Mailbox(replica, one.messages, one.new, one.state.storable)
        await self.apply.run(hunks)
        for one in compared:
            await self._settle(one)
        return self.apply.again

    def _note(self, text: str) -> None:
        self._tell(Noted(self._options.address, text))

    def _say(self, hunks: Sequence[MailboxHunk | Hunk], names: dict[MailboxId, str]) -> None:
        for hunk in hunks:
            self._tell(Step(self._options.address, told(hunk, names), is_planned=True))

    def _report(self, planned: Plan, names: Mapping[MailboxId, str]) -> None:
        told_of = Counter(f"{names[conflict.mailbox_id]}: {conflict.what}" for conflict in planned.conflicts)
        for line, times in told_of.items():
            self._note(line if times == 1 else f"{line} ({times} messages)")

    async def _settle(self, one: _Compared) -> None:
        if one.replica.mailbox_id not in self.apply.unsettled:
            settled = one.replica._replace(
                uidvalidity=one.checkpoint.uidvalidity,
                uidnext=one.checkpoint.uidnext,
                highestmodseq=one.checkpoint.highestmodseq,
                modseq=one.modseq,
                epochs=one.epochs,
                object_id=one.object_id,
            )
            await self._store.perform(here.settle(self._account_id, settled))

    def _without_held(self, hunks: Sequence[Hunk], names: Mapping[MailboxId, str]) -> list[Hunk]:
        """Deletions that are too many stay undone, and what they belong to unsettled, so that the next run sees them again."""
        sizes = {mailbox.mailbox_id: mailbox.messages for mailbox in self._store.reader.mailboxes(self._account_id)}
        held = {} if self._options.choices.accepts_deletions else brake(hunks, sizes)
        self._hold(held, names)
        self.apply.unsettled.update(held)
        return [hunk for hunk in hunks if not (isinstance(hunk, ExpungeLocal) and hunk.mailbox_id in held)]

    def _hold(self, held: Mapping[MailboxId, int], names: Mapping[MailboxId, str]) -> None:
        if held:
            gone = {names[mailbox_id]: count for mailbox_id, count in held.items()}
            if not gone.keys() <= self.outcome.held.keys():
                self._tell(Held(self._options.address, gone))
            self.outcome.held.update(gone)
            self.outcome.is_complete = False

    # -- mailboxes

    async def _known(self) -> dict[str, Stood]:
        """Of mailboxes that are here as they were: of one that was deleted or renamed here it counts whether mail came to it."""

        def stood(reader: Reader) -> dict[str, Stood]:
            names = {row.mailbox_id: row.name for row in reader.mailboxes(self._account_id)}
            return {
                row.remote_name: Stood(
                    row.uidvalidity, row.uidnext, reader.pair_count(self._account_id, row.mailbox_id), row.object_id
                )
                for row in reader.replicas(self._account_id)
                if row.uidvalidity and names.get(row.mailbox_id) == row.name
            }

        return await self._store.read(stood)

    async def _mailboxes(self, listed: list[Listed]) -> list[Listed]:
        """Carry out what is to be done to whole mailboxes; how they stand then."""
        local = local_mailboxes(self._store, self._account_id)
        base = base_mailboxes(self._store.reader.replicas(self._account_id))
        remote = remote_mailboxes(listed, self._options.wants, self._note)
        names = {mailbox.mailbox_id: mailbox.name for mailbox in local}
        hunks = plan_mailboxes(base, [mailbox for mailbox in local if self._options.wants(mailbox.name)], remote)
        sizes = {mailbox.mailbox_id: mailbox.messages for mailbox in local}
        held = {} if self._options.choices.accepts_deletions else brake(hunks, sizes)
        self._hold(held, names)
        hunks = [hunk for hunk in hunks if not (isinstance(hunk, DeleteLocal) and hunk.mailbox_id in held)]
        if self._options.choices.is_dry_run:
            self._say(hunks, names)
            return listed
        self.names.delimiter = next((mailbox.delimiter for mailbox in listed), "/")
        self.names.uses = {mailbox.remote_name: mailbox.special_use for mailbox in listed}
        await self.names.run(hunks)
        self.apply.again |= any(isinstance(hunk, ForgetMailbox | DeleteLocal) for hunk in hunks)
        has_changed = any(isinstance(hunk, CreateRemote | RenameRemote) for hunk in hunks)
        return await self._remote.mailboxes() if has_changed else listed

    # -- messages

    async def _compare(self, listed: Mapping[str, Listed]) -> list[_Compared]:
        """Every mailbox in which something is different, or may be."""
        compared = []
        for replica in self._store.reader.replicas(self._account_id):
            mailbox = listed.get(replica.remote_name)
            if mailbox is None or self._store.reader.mailbox(self._account_id, replica.mailbox_id) is None:
                continue
            try:
                one = await self._compare_one(replica, mailbox)
            except MailboxRefused as refused:
                self.outcome.is_complete = False
                self._note(f"{replica.name}: the server refused: {refused}")
                continue
            if one is not None:
                compared.append(one)
        await self._recognise(compared)
        return compared

    async def _compare_one(self, replica: Replica, mailbox: Listed) -> _Compared | None:
        where = self._account_id, replica.mailbox_id
        mine = await self._store.read(partial(here.local_changes, account_id=self._account_id, replica=replica))
        total = await self._store.read(lambda reader: reader.pair_count(*where))
        since = Checkpoint(replica.uidvalidity, replica.uidnext, replica.highestmodseq) if replica.uidvalidity else None
        is_same = since is not None and since.highestmodseq > 0 and mailbox.checkpoint == since and mailbox.messages == total
        if is_same and mine.modseq == replica.modseq:
            return None
        if is_same and since is not None:
            state = MailboxState(replica.mailbox_id, mine.pairs, mine.changed, mine.gone, mine.new)
            return _Compared(replica, since, mine.modseq, state, {}, mine.sizes, mailbox.object_id, replica.epochs, total)
        found = await self._look(replica, since, total)
        if found is None:
            return None
        if found.is_new_epoch:
            replica, found = await self._begin_anew(replica, found)
            mine = await self._store.read(partial(here.local_changes, account_id=self._account_id, replica=replica))
        state = await self._store.read(partial(_state, self._account_id, replica, mine, found))
        # another run may find the epoch the same again: then it is one change and not one of a row
        epochs = replica.epochs if found.is_new_epoch else 0
        return _Compared(
            replica, found.checkpoint, mine.modseq, state, found.new, mine.sizes, mailbox.object_id, epochs, found.exists
        )

    async def _look(self, replica: Replica, since: Checkpoint | None, total: int) -> Look | None:
        if replica.epochs >= MOST_EPOCHS and not self._options.choices.accepts_renumbering:
            self.outcome.is_complete = False
            text = "its UIDVALIDITY changes at every run; it is left alone. `postwren sync run --accept-renumbering` tries again"
            self._note(f"{replica.name}: {text}")
            return None
        uids = await self._store.read(lambda reader: reader.paired_uids(self._account_id, replica.mailbox_id))
        return await self._remote.look(replica.remote_name, since, Known(total, lambda: uids))

    async def _begin_anew(self, replica: Replica, found: Look) -> tuple[Replica, Look]:
        """Another UIDVALIDITY: pair anew what is the same; nothing is deleted because of it."""
        state = found.checkpoint
        replica = replica._replace(uidvalidity=state.uidvalidity, uidnext=1, highestmodseq=0, epochs=replica.epochs + 1)
        again = await repair(self._store, self._account_id, self._remote, replica, found.new)
        text = f"the server numbers its messages anew (UIDVALIDITY): {again:,} were found again by their headers"
        self._note(f"{replica.name}: {text}; nothing is deleted because of it")
        uids = await self._store.read(lambda reader: reader.paired_uids(self._account_id, replica.mailbox_id))
        changed = {uid: found.new[uid].flags for uid in uids}
        new = {uid: arrived for uid, arrived in found.new.items() if uid not in changed}
        return replica, replace(found, changed=changed, new=new)

    # -- what is the same on both sides

    async def _recognise(self, compared: Sequence[_Compared]) -> None:
        """Tell which new messages there are ones of ours: moved there, sent by a run that was cut, or there before."""
        moved = {
            pair.email_id
            for one in compared
            for uid, pair in one.state.pairs.items()
            if uid in one.state.remote_gone and uid not in one.state.local_gone
        }
        sizes = await self._store.read(partial(email_sizes, self._account_id, moved))
        for one in compared:
            ours = dict(sizes)
            for uid, message in one.state.local_new.items():
                if message.email_id is not None:
                    ours[message.email_id] = one.sizes_here[uid]
            if not ours or not one.new:
                continue
            name = one.replica.remote_name
            known = await recognise(self._store, self._account_id, self._remote, name, one.new, ours)
            new = {uid: New(message.flags, known.get(uid)) for uid, message in one.state.remote_new.items()}
            one.state = replace(one.state, remote_new=new)

    async def _copies(self, compared: Sequence[_Compared]) -> dict[EmailId, tuple[MailboxId, int]]:
        """Where the server has what is new here already."""
        wanted = {new.email_id for one in compared for new in one.state.local_new.values() if new.email_id is not None}
        gone = {(one.replica.mailbox_id, uid) for one in compared for uid in one.state.remote_gone | one.state.local_gone}
        found = await self._store.read(lambda reader: reader.paired_with(self._account_id, wanted)) if wanted else []
        return {
            pair.email_id: (mailbox_id, pair.remote_uid)
            for mailbox_id, pair in found
            if pair.remote_uid <= LARGEST and (mailbox_id, pair.remote_uid) not in gone
        }


def _unseen(listed: Listed) -> Listed:
    """What was said of it is old."""
    return replace(listed, checkpoint=None)


def _state(account_id: AccountId, replica: Replica, mine: here.Here, found: Look, reader: Reader) -> MailboxState:
    """What both sides say, as the plan takes it; the pairs that either names."""
    flagsets = FlagSets(reader, account_id)
    touched = uidrange.of([*found.changed, *found.gone])
    pairs: dict[int, Agreed] = dict(mine.pairs)
    for pair in reader.pairs(account_id, replica.mailbox_id, touched):
        if pair.remote_uid in found.gone or found.changed[pair.remote_uid] != flagsets[pair.flagset_id]:
            pairs[pair.remote_uid] = here.agreed(pair, flagsets)
    return MailboxState(
        replica.mailbox_id,
        pairs,
        mine.changed,
        mine.gone,
        mine.new,
        {uid: flags for uid, flags in found.changed.items() if uid in pairs},
        frozenset(uid for uid in found.gone if uid in pairs),
        {uid: New(arrived.flags, None) for uid, arrived in found.new.items()},
        found.storable,
    )
