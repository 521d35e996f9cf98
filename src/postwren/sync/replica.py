"""The local side: what changed here since the checkpoint, and units of work that change entries and pairs together.

What must stay true: a unit writes the change and what it means for the pairs, or neither. What this side wrote itself is no edit
of the user's: a unit moves the checkpoint past its own change where nobody else's lay between.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.errors import NoSuchMailbox
from postwren.mailstore.model import Entry
from postwren.mailstore.port import Reader, Transaction, Unit
from postwren.mailstore.replica import LARGEST, Pair, Replica
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.append import NewMessage, append
from postwren.mailstore.service.copymove import move
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.flags import FlagAction, FlagSets, change_flags, intern, normal
from postwren.sync.hunk import Change, Flags
from postwren.sync.plan import Agreed, New
from postwren.sync.remote import Pulled
from postwren.terms import AccountId, FlagSetId, MailboxId, ModSeq, Uid

HELD: Final = ((LARGEST + 1, LARGEST + LARGEST),)

__all__ = [
    "HELD",
    "Here",
    "agree",
    "agreed",
    "expunge_pairs",
    "forget",
    "is_waiting",
    "land",
    "local_changes",
    "move_here",
    "move_pairs",
    "pair_up",
    "set_flags",
    "settle",
]


@dataclass(frozen=True, slots=True)
class Here:
    """What differs here: by the pair's remote UID, but for what is new. `modseq`: up to which this is all."""

    modseq: ModSeq
    pairs: dict[int, Agreed]
    changed: dict[int, Flags]
    gone: frozenset[int]
    new: dict[int, New]
    sizes: dict[int, int]  # of the new, by UID


def local_changes(reader: Reader, account_id: AccountId, replica: Replica) -> Here:
    """Since `replica.modseq`, for one mailbox; NoSuchMailbox where it is gone."""
    mailbox = reader.mailbox(account_id, replica.mailbox_id)
    if mailbox is None:
        raise NoSuchMailbox(replica.mailbox_id)
    where = account_id, replica.mailbox_id
    if mailbox.highestmodseq <= replica.modseq:
        return Here(replica.modseq, {}, {}, frozenset(), {}, {})
    flagsets = FlagSets(reader, account_id)
    entries = reader.changed_since(*where, replica.modseq)
    by_uid = {pair.uid: pair for pair in reader.pairs_of(*where, uidrange.of([entry.uid for entry in entries]))}
    pairs: dict[int, Agreed] = {}
    changed: dict[int, Flags] = {}
    new: dict[int, Entry] = {}
    for entry in entries:
        pair = by_uid.get(entry.uid)
        if pair is None:
            new[entry.uid] = entry
        elif pair.flagset_id != entry.flagset_id and pair.remote_uid <= LARGEST:
            pairs[pair.remote_uid] = agreed(pair, flagsets)
            changed[pair.remote_uid] = flagsets[entry.flagset_id]
    dead = reader.pairs_of(*where, uidrange.of(reader.expunged_since(*where, replica.modseq)))
    lost = [pair for pair in dead if pair.remote_uid <= LARGEST]
    pairs.update({pair.remote_uid: agreed(pair, flagsets) for pair in lost})
    return Here(
        mailbox.highestmodseq,
        pairs,
        changed,
        frozenset(pair.remote_uid for pair in lost),
        {uid: New(flagsets[entry.flagset_id], entry.email_id) for uid, entry in new.items()},
        {uid: entry.size for uid, entry in new.items()},
    )


def agreed(pair: Pair, flagsets: Mapping[FlagSetId, Flags]) -> Agreed:
    """A pair as the plan knows it."""
    return Agreed(pair.remote_uid, pair.uid, pair.email_id, flagsets[pair.flagset_id])


# -- units of work


def _advance(tx: Transaction, account_id: AccountId, before: Mapping[MailboxId, ModSeq]) -> None:
    """Move the checkpoint past what this unit wrote, where the user wrote nothing since it."""
    for replica in tx.replicas(account_id):
        if before.get(replica.mailbox_id, replica.modseq + 1) <= replica.modseq:
            mailbox = tx.mailbox(account_id, replica.mailbox_id)
            if mailbox is not None and mailbox.highestmodseq > replica.modseq:
                tx.put_replica(account_id, replica._replace(modseq=mailbox.highestmodseq))


def _before(tx: Transaction, account_id: AccountId, mailbox_ids: Iterable[MailboxId]) -> dict[MailboxId, ModSeq]:
    found = {mailbox_id: tx.mailbox(account_id, mailbox_id) for mailbox_id in mailbox_ids}
    return {mailbox_id: mailbox.highestmodseq for mailbox_id, mailbox in found.items() if mailbox is not None}


def is_waiting(reader: Reader, account_id: AccountId, mailbox_id: MailboxId) -> bool:
    """Whether an entry here has no counterpart: what comes may be that."""
    return bool(reader.unpaired(account_id, mailbox_id) or reader.pairs(account_id, mailbox_id, HELD))


def land(account_id: AccountId, mailbox_id: MailboxId, pulled: Sequence[Pulled], now: int, *, may_be_here: bool) -> Unit[int]:
    """Messages that came, with their pairs; how many are new here. One whose octets are here already without a counterpart is
    paired with that (`may_be_here`: there are such entries): it was sent from here, or lay here before, or is held."""

    def unit(tx: Transaction) -> int:
        before = _before(tx, account_id, [mailbox_id])
        waiting = _waiting_by_content(tx, account_id, mailbox_id) if may_be_here else {}
        pairs: list[Pair] = []
        landing: list[Pulled] = []
        for message in pulled:
            if places := waiting.get(message.body.content_id):
                entry, base = places.pop()
                if base is None:
                    base = intern(tx, account_id, normal(message.flags) & tx.flagset(account_id, entry.flagset_id))
                pairs.append(Pair(message.uid, entry.uid, entry.email_id, base))
            else:
                landing.append(message)
        messages = [NewMessage(message.body, message.internaldate, message.flags) for message in landing]
        appended = append(account_id, mailbox_id, messages, now)(tx)
        for message, uid, email_id in zip(landing, appended.uids, appended.email_ids, strict=True):
            pairs.append(Pair(message.uid, uid, email_id, intern(tx, account_id, normal(message.flags))))
        tx.put_pairs(account_id, mailbox_id, pairs)
        _advance(tx, account_id, before)
        return len(landing)

    return unit


def _waiting_by_content(
    tx: Transaction, account_id: AccountId, mailbox_id: MailboxId
) -> dict[bytes, list[tuple[Entry, FlagSetId | None]]]:
    """Entries without a counterpart, the oldest last; a held one with its base."""
    bases = {pair.uid: pair.flagset_id for pair in tx.pairs(account_id, mailbox_id, HELD)}
    uids = uidrange.of([*tx.unpaired(account_id, mailbox_id), *bases])
    found: dict[bytes, list[tuple[Entry, FlagSetId | None]]] = defaultdict(list)
    for entry in reversed(tx.entries(account_id, mailbox_id, uids)):
        if (email := tx.email(account_id, entry.email_id)) is not None:
            found[email.content_id].append((entry, bases.get(entry.uid)))
    return found


def pair_up(
    account_id: AccountId, mailbox_id: MailboxId, places: Sequence[tuple[int, int]], flags: Mapping[int, Flags]
) -> Unit[int]:
    """(UID there, UID here): these stand for one another. `flags`: those there, by UID there; what both sides have is agreed on.
    An entry that is gone meanwhile is left out; how many were paired."""

    def unit(tx: Transaction) -> int:
        entries = {entry.uid: entry for entry in tx.entries(account_id, mailbox_id, uidrange.of([uid for _, uid in places]))}
        pairs = []
        for remote_uid, uid in places:
            if (entry := entries.get(Uid(uid))) is not None:
                common = normal(flags[remote_uid]) & tx.flagset(account_id, entry.flagset_id)
                pairs.append(Pair(remote_uid, entry.uid, entry.email_id, intern(tx, account_id, common)))
        tx.put_pairs(account_id, mailbox_id, pairs)
        return len(pairs)

    return unit


def move_pairs(
    account_id: AccountId, source_id: MailboxId, mailbox_id: MailboxId, places: Sequence[tuple[int, int, int]]
) -> Unit[None]:
    """Moved here, and now there too: (UID there in the source, UID there in the destination, UID here in the destination). The
    pair keeps its base, so that flags which one side changed meanwhile are merged."""

    def unit(tx: Transaction) -> None:
        old = {pair.remote_uid: pair for pair in tx.pairs(account_id, source_id, uidrange.of([place[0] for place in places]))}
        pairs = [old[was]._replace(remote_uid=remote_uid, uid=Uid(uid)) for was, remote_uid, uid in places if was in old]
        tx.delete_pairs(account_id, source_id, uidrange.of(old))
        tx.put_pairs(account_id, mailbox_id, pairs)

    return unit


def move_here(
    account_id: AccountId, source_id: MailboxId, mailbox_id: MailboxId, places: Mapping[int, int], now: int
) -> Unit[None]:
    """Moved there: {UID there in the source: UID there in the destination}. Entries and pairs move, each with its base."""

    def unit(tx: Transaction) -> None:
        old = {pair.uid: pair for pair in tx.pairs(account_id, source_id, uidrange.of(places))}
        moved = move(account_id, source_id, uidrange.of(old), mailbox_id, now)(tx)
        where = dict(zip(moved.source, moved.destination, strict=True))
        pairs = [pair._replace(remote_uid=places[pair.remote_uid], uid=where[uid]) for uid, pair in old.items() if uid in where]
        tx.delete_pairs(account_id, source_id, uidrange.of([pair.remote_uid for pair in old.values()]))
        tx.put_pairs(account_id, mailbox_id, pairs)

    return unit


def set_flags(account_id: AccountId, mailbox_id: MailboxId, change: Change, remote_uids: Sequence[int]) -> Unit[None]:
    """Flags that were changed there are changed here, and agreed on."""

    def unit(tx: Transaction) -> None:
        before = _before(tx, account_id, [mailbox_id])
        uids = uidrange.of([pair.uid for pair in tx.pairs(account_id, mailbox_id, uidrange.of(remote_uids))])
        for action, flags in ((FlagAction.ADD, change.add), (FlagAction.REMOVE, change.remove)):
            if flags:
                change_flags(account_id, mailbox_id, uids, action, flags)(tx)
        agree(account_id, mailbox_id, change, remote_uids)(tx)
        _advance(tx, account_id, before)

    return unit


def agree(account_id: AccountId, mailbox_id: MailboxId, change: Change, remote_uids: Sequence[int]) -> Unit[None]:
    """Both sides have made this change."""

    def unit(tx: Transaction) -> None:
        flagsets = FlagSets(tx, account_id)
        gone = {flag.lower() for flag in change.remove}
        pairs = []
        for pair in tx.pairs(account_id, mailbox_id, uidrange.of(remote_uids)):
            flags = normal(flag for flag in (*flagsets[pair.flagset_id], *change.add) if flag.lower() not in gone)
            pairs.append(pair._replace(flagset_id=intern(tx, account_id, flags)))
        tx.put_pairs(account_id, mailbox_id, pairs)

    return unit


def expunge_pairs(account_id: AccountId, mailbox_id: MailboxId, remote_uids: Sequence[int], now: int) -> Unit[int]:
    """Gone there: the entries go, recoverable, and their pairs. How many entries went."""

    def unit(tx: Transaction) -> int:
        before = _before(tx, account_id, [mailbox_id])
        uids = [pair.uid for pair in tx.pairs(account_id, mailbox_id, uidrange.of(remote_uids))]
        gone = expunge(account_id, mailbox_id, uidrange.of(uids), now, only_deleted=False)(tx)
        tx.delete_pairs(account_id, mailbox_id, uidrange.of(remote_uids))
        _advance(tx, account_id, before)
        return len(gone.uids)

    return unit


def forget(account_id: AccountId, mailbox_id: MailboxId, remote_uids: Sequence[int]) -> Unit[None]:
    """These pairs stand for nothing any more."""
    return lambda tx: tx.delete_pairs(account_id, mailbox_id, uidrange.of(remote_uids))


def settle(account_id: AccountId, replica: Replica) -> Unit[None]:
    """Both sides were compared and are equal up to here. `replica.modseq` is how far this side was read; what a unit of ours
    moved further stays."""

    def unit(tx: Transaction) -> None:
        known = {row.mailbox_id: row for row in tx.replicas(account_id)}.get(replica.mailbox_id)
        modseq = replica.modseq if known is None else ModSeq(max(known.modseq, replica.modseq))
        tx.put_replica(account_id, replica._replace(modseq=modseq))

    return unit
