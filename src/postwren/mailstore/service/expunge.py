"""Expunge: destroy entries. Each leaves a tombstone, for QRESYNC (RFC 7162 section 3.2.10) and for its recovery.

Octets and references stay until the recovery term ends (`housekeeping`): a tombstone counts as a reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from postwren.mailstore.model import Change, ChangeKind, Entry, Expunged, Mailbox
from postwren.mailstore.port import Transaction, UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import DELETED, SEEN, FlagSets
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.terms import AccountId, MailboxId, ModSeq, Uid

__all__ = ["ExpungeOutcome", "expunge", "take_out"]


@dataclass(frozen=True, slots=True)
class ExpungeOutcome:
    """Which entries went, ascending; `modseq` is the mailbox's highest now."""

    uids: list[Uid]
    modseq: ModSeq


def expunge(
    account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges | None, now: int, *, only_deleted: bool = True
) -> Unit[ExpungeOutcome]:
    """Destroy the entries in these ranges (None: the whole mailbox), `only_deleted`: those with \\Deleted (D-32)."""

    def unit(tx: Transaction) -> ExpungeOutcome:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        if not mailbox.messages or (only_deleted and not mailbox.deleted):
            return ExpungeOutcome([], mailbox.highestmodseq)
        entries = tx.entries(account_id, mailbox_id, uids)
        if only_deleted:
            flagsets = FlagSets(tx, account_id)
            entries = [entry for entry in entries if DELETED in flagsets[entry.flagset_id]]
        if not entries:
            return ExpungeOutcome([], mailbox.highestmodseq)
        modseq = ModSeq(account.modseq + 1)
        tx.insert_expunged([_tombstone(entry, modseq, now) for entry in entries])
        tx.update_mailbox(take_out(tx, mailbox, entries, modseq))
        tx.update_account(account._replace(modseq=modseq, used=account.used - sum(entry.size for entry in entries)))
        return ExpungeOutcome([entry.uid for entry in entries], modseq)

    return unit


def take_out(tx: Transaction, mailbox: Mailbox, entries: Sequence[Entry], modseq: ModSeq) -> Mailbox:
    """Delete these entries of the mailbox and record it; returns the mailbox's row without them, for the caller to write."""
    account_id, mailbox_id = mailbox.account_id, mailbox.mailbox_id
    ranges = uidrange.of([entry.uid for entry in entries])
    tx.delete_entries(account_id, mailbox_id, ranges)
    tx.insert_changes([Change(account_id, modseq, ChangeKind.EXPUNGED, mailbox_id, lo, hi) for lo, hi in ranges])
    flagsets = FlagSets(tx, account_id)
    return mailbox._replace(
        highestmodseq=modseq,
        messages=mailbox.messages - len(entries),
        unseen=mailbox.unseen - sum(SEEN not in flagsets[entry.flagset_id] for entry in entries),
        deleted=mailbox.deleted - sum(DELETED in flagsets[entry.flagset_id] for entry in entries),
        size=mailbox.size - sum(entry.size for entry in entries),
    )


def _tombstone(entry: Entry, modseq: ModSeq, now: int) -> Expunged:
    return Expunged(
        entry.account_id,
        entry.mailbox_id,
        entry.uid,
        modseq,
        now,
        entry.email_id,
        entry.flagset_id,
        entry.internaldate,
        entry.savedate,
        entry.size,
        entry.uidl,
    )
