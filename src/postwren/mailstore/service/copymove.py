"""Copy and move between mailboxes of one account, all or none (RFC 9051 sections 6.4.7 and 6.4.8; D-31).

A copy is an entry of its own for the same email; a move takes the entry's reference along, so its tombstone cannot
be recovered: the message lives on where it went, with its POP3 unique-id.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from postwren.mailstore.errors import NoSuchMailbox
from postwren.mailstore.model import Entry, Mailbox
from postwren.mailstore.port import Transaction, UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.mailstore.service.placement import Arrival, check_quota, put_in, take_out, uidl_of
from postwren.terms import AccountId, EmailId, MailboxId, ModSeq, Uid, UidValidity

__all__ = ["Transferred", "copy", "move", "move_entries"]


@dataclass(frozen=True, slots=True)
class Transferred:
    """Pairs of UIDs, ascending on both sides (RFC 4315 section 3, COPYUID); `uidvalidity` is the destination's."""

    uidvalidity: UidValidity
    source: list[Uid]
    destination: list[Uid]


def copy(account_id: AccountId, source_id: MailboxId, uids: UidRanges, destination_id: MailboxId, now: int) -> Unit[Transferred]:
    """Copy the entries that exist in these ranges, with flags and internal dates. It counts against the quota."""

    def unit(tx: Transaction) -> Transferred:
        account, _ = owner_and_mailbox(tx, account_id, source_id)
        destination = _mailbox(tx, account_id, destination_id)
        entries = tx.entries(account_id, source_id, uids)
        if not entries:
            return Transferred(destination.uidvalidity, [], [])
        size = sum(entry.size for entry in entries)
        check_quota(account, size)
        modseq = ModSeq(account.modseq + 1)
        more: Counter[EmailId] = Counter(entry.email_id for entry in entries)
        tx.add_references(account_id, more.items())
        arrivals = [Arrival(e.email_id, e.flagset_id, e.internaldate, e.size, None) for e in entries]
        new = put_in(tx, destination, arrivals, now, modseq)
        tx.update_account(account._replace(modseq=modseq, used=account.used + size))
        return Transferred(destination.uidvalidity, [entry.uid for entry in entries], new)

    return unit


def move(account_id: AccountId, source_id: MailboxId, uids: UidRanges, destination_id: MailboxId, now: int) -> Unit[Transferred]:
    """Move the entries that exist in these ranges; the destination may be the source (they get new UIDs)."""

    def unit(tx: Transaction) -> Transferred:
        account, source = owner_and_mailbox(tx, account_id, source_id)
        destination = _mailbox(tx, account_id, destination_id)
        entries = tx.entries(account_id, source_id, uids)
        if not entries:
            return Transferred(destination.uidvalidity, [], [])
        modseq = ModSeq(account.modseq + 1)
        new = move_entries(tx, source, entries, destination_id, now, modseq)
        tx.update_account(account._replace(modseq=modseq))
        return Transferred(destination.uidvalidity, [entry.uid for entry in entries], new)

    return unit


def move_entries(
    tx: Transaction, source: Mailbox, entries: Sequence[Entry], destination_id: MailboxId, now: int, modseq: ModSeq
) -> list[Uid]:
    """The rows of a move, under a ModSeq that the caller took; returns the new UIDs."""
    arrivals = [Arrival(e.email_id, e.flagset_id, e.internaldate, e.size, uidl_of(source, e)) for e in entries]
    take_out(tx, source, uidrange.of([entry.uid for entry in entries]), modseq, now, recoverable=False)
    destination = _mailbox(tx, source.account_id, destination_id)  # read here: it may be the source's new row
    return put_in(tx, destination, arrivals, now, modseq)


def _mailbox(tx: Transaction, account_id: AccountId, mailbox_id: MailboxId) -> Mailbox:
    mailbox = tx.mailbox(account_id, mailbox_id)
    if mailbox is None:
        raise NoSuchMailbox(mailbox_id)
    return mailbox
