"""Expunge: destroy entries. Each leaves a tombstone, for QRESYNC (RFC 7162 section 3.2.10) and for its recovery.

Octets and references stay until the recovery term ends (`housekeeping`): a tombstone counts as a reference.
"""

from dataclasses import dataclass

from postwren.mailstore.model import Entry
from postwren.mailstore.port import Transaction, UidRanges, Unit
from postwren.mailstore.service.flags import DELETED, FlagSets
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.mailstore.service.placement import entomb, take_out
from postwren.terms import AccountId, MailboxId, ModSeq, Uid

__all__ = ["ExpungeOutcome", "expunge"]


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
        entries: list[Entry] = []
        if mailbox.deleted if only_deleted else mailbox.messages:
            entries = tx.entries(account_id, mailbox_id, uids)
        if only_deleted:
            flagsets = FlagSets(tx, account_id)
            entries = [entry for entry in entries if DELETED in flagsets[entry.flagset_id]]
        if not entries:
            return ExpungeOutcome([], mailbox.highestmodseq)
        modseq = ModSeq(account.modseq + 1)
        take_out(tx, mailbox, entries, modseq)
        entomb(tx, entries, modseq, now, recoverable=True)
        tx.update_account(account._replace(modseq=modseq, used=account.used - sum(entry.size for entry in entries)))
        return ExpungeOutcome([entry.uid for entry in entries], modseq)

    return unit
