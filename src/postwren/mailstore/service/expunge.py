"""Expunge: destroy entries. Each leaves a tombstone, for QRESYNC (RFC 7162 section 3.2.10) and for its recovery.

Octets and references stay until the recovery term ends (`housekeeping`): a tombstone counts as a reference.
"""

from dataclasses import dataclass

from postwren.mailstore.model import Mailbox
from postwren.mailstore.port import Transaction, UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import DELETED, FlagSets
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.mailstore.service.placement import take_out
from postwren.terms import AccountId, FlagSetId, MailboxId, ModSeq, Uid

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
        ranges = _deleted_in(tx, mailbox, uids) if only_deleted else uidrange.all_of(mailbox) if uids is None else uids
        modseq = ModSeq(account.modseq + 1)
        gone, size = take_out(tx, mailbox, ranges, modseq, now, recoverable=True)
        if not gone:
            return ExpungeOutcome([], mailbox.highestmodseq)
        tx.update_account(account._replace(modseq=modseq, used=account.used - size))
        return ExpungeOutcome(gone, modseq)

    return unit


def _deleted_in(tx: Transaction, mailbox: Mailbox, uids: UidRanges | None) -> UidRanges:
    """What has \\Deleted in these ranges."""
    if not mailbox.deleted:
        return []
    flagsets = FlagSets(tx, mailbox.account_id)
    found, flagset_ids = tx.pick(mailbox.account_id, mailbox.mailbox_id, uids, ("uid", "flagset_id"))
    deleted = {flagset_id for flagset_id in set(flagset_ids) if DELETED in flagsets[FlagSetId(flagset_id)]}
    return uidrange.of_ascending([uid for uid, flagset_id in zip(found, flagset_ids, strict=True) if flagset_id in deleted])
