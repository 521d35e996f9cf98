"""Entries into a mailbox and out of it: the two moves that append, copy, move, expunge and recovery consist of.

Both write the mailbox's row with its counters and record the changes; the account's row is the caller's, who took
the ModSeq from it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from postwren.mailstore.errors import OverQuota
from postwren.mailstore.model import Account, Change, ChangeKind, Entry, Expunged, Mailbox
from postwren.mailstore.port import Transaction
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import DELETED, SEEN, FlagSets
from postwren.terms import EmailId, FlagSetId, ModSeq, Uid

__all__ = ["Arrival", "check_quota", "entomb", "put_in", "take_out", "uidl_of"]


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


def take_out(tx: Transaction, mailbox: Mailbox, entries: Sequence[Entry], modseq: ModSeq) -> Mailbox:
    """Delete these entries of the mailbox; returns its new row. Tombstones are the caller's (`entomb`)."""
    account_id, mailbox_id = mailbox.account_id, mailbox.mailbox_id
    flagsets = FlagSets(tx, account_id)
    ranges = uidrange.of([entry.uid for entry in entries])
    tx.delete_entries(account_id, mailbox_id, ranges)
    after = mailbox._replace(
        highestmodseq=modseq,
        messages=mailbox.messages - len(entries),
        unseen=mailbox.unseen - sum(SEEN not in flagsets[entry.flagset_id] for entry in entries),
        deleted=mailbox.deleted - sum(DELETED in flagsets[entry.flagset_id] for entry in entries),
        size=mailbox.size - sum(entry.size for entry in entries),
    )
    tx.update_mailbox(after)
    tx.insert_changes([Change(account_id, modseq, ChangeKind.EXPUNGED, mailbox_id, lo, hi) for lo, hi in ranges])
    return after


def entomb(tx: Transaction, entries: Sequence[Entry], modseq: ModSeq, now: int, *, recoverable: bool) -> None:
    """Leave tombstones. A recoverable one keeps the entry's reference to its email."""
    tx.insert_expunged(
        [
            Expunged(
                entry.account_id,
                entry.mailbox_id,
                entry.uid,
                modseq,
                now,
                entry.email_id if recoverable else None,
                entry.flagset_id,
                entry.internaldate,
                entry.savedate,
                entry.size,
                entry.uidl,
            )
            for entry in entries
        ]
    )


def uidl_of(mailbox: Mailbox, row: Entry | Expunged) -> str:
    """POP3's unique-id, kept when the message leaves its place (RFC 1939 section 7)."""
    return row.uidl or f"{mailbox.uidvalidity:x}.{row.uid:x}"
