"""Entries into a mailbox and out of it: the two moves that append, copy, move, expunge and recovery consist of.

Both write the mailbox's row with its counters and record the changes; the account's row is the caller's, who took
the ModSeq from it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from postwren.mailstore.errors import OverQuota
from postwren.mailstore.model import Account, Change, ChangeKind, Entry, Expunged, Mailbox
from postwren.mailstore.port import Transaction, UidRanges
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import DELETED, SEEN, FlagSets
from postwren.terms import EmailId, FlagSetId, ModSeq, Uid

__all__ = ["Arrival", "check_quota", "put_in", "take_out", "uidl_of"]


class Arrival(NamedTuple):
    """A message that is about to be an entry."""

    email_id: EmailId
    flagset_id: FlagSetId
    internaldate: int
    size: int
    uidl: str | None


def check_quota(account: Account, more: int) -> None:
    """Raise OverQuota where `more` octets do not fit. It runs in the unit: neighbours cannot both fit (D-41)."""
    if account.quota and account.used + more > account.quota:
        raise OverQuota(account.quota, account.used)


def put_in(tx: Transaction, mailbox: Mailbox, arrivals: Sequence[Arrival], now: int, modseq: ModSeq) -> list[Uid]:
    """Add entries; they get UIDs in this order (D-33)."""
    account_id, mailbox_id, first = mailbox.account_id, mailbox.mailbox_id, mailbox.uidnext
    flagsets = FlagSets(tx, account_id)
    uids = [Uid(first + i) for i in range(len(arrivals))]
    tx.insert_entries(
        [
            Entry(account_id, mailbox_id, uid, email_id, flagset_id, internaldate, now, modseq, modseq, size, uidl)
            for uid, (email_id, flagset_id, internaldate, size, uidl) in zip(uids, arrivals, strict=True)
        ]
    )
    tx.update_mailbox(
        mailbox._replace(
            uidnext=Uid(first + len(arrivals)),
            highestmodseq=modseq,
            messages=mailbox.messages + len(arrivals),
            unseen=mailbox.unseen + sum(SEEN not in flagsets[arrival.flagset_id] for arrival in arrivals),
            deleted=mailbox.deleted + sum(DELETED in flagsets[arrival.flagset_id] for arrival in arrivals),
            size=mailbox.size + sum(arrival.size for arrival in arrivals),
        )
    )
    tx.insert_changes([Change(account_id, modseq, ChangeKind.APPENDED, mailbox_id, uids[0], uids[-1])])
    return uids


def take_out(
    tx: Transaction, mailbox: Mailbox, uids: UidRanges, modseq: ModSeq, now: int, *, recoverable: bool
) -> tuple[list[Uid], int]:
    """Take the entries in these ranges out of the mailbox and leave tombstones; a recoverable one keeps the entry's reference
    to its email. Returns which went, ascending, and their octets. Where none is there, nothing happens."""
    account_id, mailbox_id = mailbox.account_id, mailbox.mailbox_id
    gone = tx.bury_entries(account_id, mailbox_id, uids, modseq, now, recoverable=recoverable)
    if not gone:
        return [], 0
    uids_gone = [uid for uid, _, _ in gone]
    size = sum(size for _, _, size in gone)
    flagsets = FlagSets(tx, account_id)
    counts = Counter(flagset_id for _, flagset_id, _ in gone)
    tx.update_mailbox(
        mailbox._replace(
            highestmodseq=modseq,
            messages=mailbox.messages - len(gone),
            unseen=mailbox.unseen - sum(count for flagset_id, count in counts.items() if SEEN not in flagsets[flagset_id]),
            deleted=mailbox.deleted - sum(count for flagset_id, count in counts.items() if DELETED in flagsets[flagset_id]),
            size=mailbox.size - size,
        )
    )
    ranges = uidrange.of(uids_gone)
    tx.insert_changes([Change(account_id, modseq, ChangeKind.EXPUNGED, mailbox_id, lo, hi) for lo, hi in ranges])
    return uids_gone, size


def uidl_of(mailbox: Mailbox, row: Entry | Expunged) -> str:
    """POP3's unique-id, kept when the message leaves its place (RFC 1939 section 7)."""
    return row.uidl or f"{mailbox.uidvalidity:x}.{row.uid:x}"
