"""Expunge: destroy entries. Each leaves a tombstone, for QRESYNC (RFC 7162 section 3.2.10) and for its recovery.

Octets and references stay until the recovery term ends (`housekeeping`): a tombstone counts as a reference.
"""

from dataclasses import dataclass

from postwren.mailstore.model import Mailbox
from postwren.mailstore.port import Transaction, UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import DELETED
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.mailstore.service.placement import take_out
from postwren.terms import AccountId, MailboxId, ModSeq, Uid

__all__ = ["ExpungeOutcome", "expunge"]


@dataclass(frozen=True, slots=True)
class ExpungeOutcome:
    """Which entries went, ascending; `modseq` is the mailbox's highest now. `is_more`: as many as were allowed, so that others
    above them may have to go still."""

    uids: list[Uid]
    modseq: ModSeq
    is_more: bool = False


def expunge(
    account_id: AccountId,
    mailbox_id: MailboxId,
    uids: UidRanges | None,
    now: int,
    *,
    only_deleted: bool = True,
    most: int = uidrange.LARGEST,
) -> Unit[ExpungeOutcome]:
    """Destroy the entries in these ranges (None: the whole mailbox), `only_deleted`: those with \\Deleted (D-32), and of these
    not more than `most`."""

    def unit(tx: Transaction) -> ExpungeOutcome:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        ranges = uidrange.all_of(mailbox) if uids is None else uids
        if only_deleted:
            ranges = _deleted_in(tx, mailbox, ranges, most)
        modseq = ModSeq(account.modseq + 1)
        gone, size = take_out(tx, mailbox, ranges, modseq, now, recoverable=True)
        if not gone:
            return ExpungeOutcome([], mailbox.highestmodseq)
        tx.update_account(account._replace(modseq=modseq, used=account.used - size))
        return ExpungeOutcome(gone, modseq, only_deleted and len(gone) == most)

    return unit


def _deleted_in(tx: Transaction, mailbox: Mailbox, uids: UidRanges, most: int) -> UidRanges:
    """What has \\Deleted in these ranges. The store looks for it: of a large mailbox most has not."""
    if not mailbox.deleted:
        return []
    deleted = [flagset_id for flagset_id, flags in tx.flagsets(mailbox.account_id).items() if DELETED in flags]
    return uidrange.of_ascending(tx.uids_with(mailbox.account_id, mailbox.mailbox_id, uids, deleted, most))
