"""Entries into a mailbox and out of it: the two moves that append, copy, move, expunge and recovery consist of.

Both write the mailbox's row with its counters and record the changes; the account's row is the caller's, who took
the ModSeq from it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from postwren.mailstore.errors import OverQuota
from postwren.mailstore.model import Account, Change, ChangeKind, Entry, Expunged, Mailbox
from postwren.mailstore.port import Reader, Transaction, UidRanges
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import DELETED, SEEN, FlagSets
from postwren.terms import EmailId, FlagSetId, ModSeq, Uid

__all__ = ["Arrival", "check_quota", "count_in", "messages_of", "put_in", "take_out", "uidl_of"]


class Arrival(NamedTuple):
    """A message that is about to be an entry."""

    email_id: EmailId
    flagset_id: FlagSetId
    internaldate: int
    size: int
    uidl: str | None


def check_quota(reader: Reader, account: Account, more: int, messages: int) -> None:
    """Raise OverQuota where so many `more` octets, or so many messages, do not fit. It runs in the unit: neighbours cannot both
    fit (D-41)."""
    if account.quota and account.used + more > account.quota:
        raise OverQuota(account.quota, account.used)
    if account.message_quota and (kept := messages_of(reader, account)) + messages > account.message_quota:
        raise OverQuota(account.message_quota, kept, is_messages=True)


def messages_of(reader: Reader, account: Account) -> int:
    """Live entries of an account, from the counters of its mailboxes."""
    return sum(mailbox.messages for mailbox in reader.mailboxes(account.account_id))


def put_in(tx: Transaction, mailbox: Mailbox, arrivals: Sequence[Arrival], now: int, modseq: ModSeq) -> list[Uid]:
    """Add entries; they get UIDs in this order (D-33)."""
    account_id, mailbox_id, first = mailbox.account_id, mailbox.mailbox_id, mailbox.uidnext
    tx.insert_entries(
        [
            Entry(account_id, mailbox_id, Uid(uid), email_id, flagset_id, internaldate, now, modseq, modseq, size, uidl)
            for uid, (email_id, flagset_id, internaldate, size, uidl) in enumerate(arrivals, first)
        ]
    )
    counts = Counter(arrival.flagset_id for arrival in arrivals)
    return count_in(tx, mailbox, counts, sum(arrival.size for arrival in arrivals), modseq)


def count_in(tx: Transaction, mailbox: Mailbox, counts: Counter[FlagSetId], size: int, modseq: ModSeq) -> list[Uid]:
    """The mailbox's row and the change for entries that were added from `uidnext` on, counted by set; returns their UIDs."""
    messages, unseen, deleted = _tally(tx, mailbox, counts)
    end = mailbox.uidnext + messages
    tx.update_mailbox(
        mailbox._replace(
            uidnext=Uid(end),
            highestmodseq=modseq,
            messages=mailbox.messages + messages,
            unseen=mailbox.unseen + unseen,
            deleted=mailbox.deleted + deleted,
            size=mailbox.size + size,
        )
    )
    change = Change(mailbox.account_id, modseq, ChangeKind.APPENDED, mailbox.mailbox_id, mailbox.uidnext, Uid(end - 1))
    tx.insert_changes([change])
    return [Uid(uid) for uid in range(mailbox.uidnext, end)]


def _tally(tx: Transaction, mailbox: Mailbox, counts: Counter[FlagSetId]) -> tuple[int, int, int]:
    """Entries, unseen ones and those with \\Deleted, from counts by set."""
    flagsets = FlagSets(tx, mailbox.account_id)
    unseen = sum(count for flagset_id, count in counts.items() if SEEN not in flagsets[flagset_id])
    deleted = sum(count for flagset_id, count in counts.items() if DELETED in flagsets[flagset_id])
    return sum(counts.values()), unseen, deleted


def take_out(
    tx: Transaction, mailbox: Mailbox, uids: UidRanges, modseq: ModSeq, now: int, *, recoverable: bool
) -> tuple[list[Uid], int]:
    """Take the entries in these ranges out of the mailbox and leave tombstones; a recoverable one keeps the entry's reference
    to its email. Returns which went, ascending, and their octets. Where none is there, nothing happens."""
    account_id, mailbox_id = mailbox.account_id, mailbox.mailbox_id
    found, flagset_ids, sizes = tx.pick(account_id, mailbox_id, uids, ("uid", "flagset_id", "size"))
    if not found:
        return [], 0
    ranges = uidrange.of_ascending(found)
    tx.bury_entries(account_id, mailbox_id, ranges, modseq, now, recoverable=recoverable)
    size = sum(sizes)
    messages, unseen, deleted = _tally(tx, mailbox, Counter(map(FlagSetId, flagset_ids)))
    tx.update_mailbox(
        mailbox._replace(
            highestmodseq=modseq,
            messages=mailbox.messages - messages,
            unseen=mailbox.unseen - unseen,
            deleted=mailbox.deleted - deleted,
            size=mailbox.size - size,
        )
    )
    tx.insert_changes([Change(account_id, modseq, ChangeKind.EXPUNGED, mailbox_id, lo, hi) for lo, hi in ranges])
    return list(map(Uid, found)), size


def uidl_of(mailbox: Mailbox, row: Entry | Expunged) -> str:
    """POP3's unique-id, kept when the message leaves its place (RFC 1939 section 7)."""
    return row.uidl or f"{mailbox.uidvalidity:x}.{row.uid:x}"
