"""Copy and move between mailboxes, all or none (RFC 9051 sections 6.4.7 and 6.4.8; D-31).

A copy is an entry of its own for the same email; a move takes the entry's reference along, so its tombstone cannot
be recovered: the message lives on where it went, with its POP3 unique-id.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from postwren.mailstore.errors import NoSuchMailbox
from postwren.mailstore.model import Account, Mailbox
from postwren.mailstore.port import Transaction, UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import FlagSets, intern
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.mailstore.service.placement import Arrival, check_quota, count_in, put_in, take_out
from postwren.terms import AccountId, EmailId, FlagSetId, MailboxId, ModSeq, Uid, UidValidity

__all__ = ["Transferred", "copy", "copy_across", "move", "move_entries"]


@dataclass(frozen=True, slots=True)
class Transferred:
    """Pairs of UIDs, ascending on both sides (RFC 4315 section 3, COPYUID); `uidvalidity` is the destination's."""

    uidvalidity: UidValidity
    source: list[Uid]
    destination: list[Uid]


def copy(account_id: AccountId, source_id: MailboxId, uids: UidRanges, destination_id: MailboxId, now: int) -> Unit[Transferred]:
    """Copy the entries that exist in these ranges, with flags and internal dates. It counts against the quota."""

    def unit(tx: Transaction) -> Transferred:
        account, source = owner_and_mailbox(tx, account_id, source_id)
        destination = _mailbox(tx, account_id, destination_id)
        found, email_ids, flagset_ids, sizes = tx.pick(account_id, source_id, uids, ("uid", "email_id", "flagset_id", "size"))
        if not found:
            return Transferred(destination.uidvalidity, [], [])
        size = sum(sizes)
        check_quota(tx, account, size, len(found))
        modseq = ModSeq(account.modseq + 1)
        more: Counter[EmailId] = Counter(map(EmailId, email_ids))
        tx.add_references(account_id, more.items())
        ranges = uidrange.of_ascending(found)
        tx.copy_entries(source, ranges, destination_id, destination.uidnext, now, modseq, is_move=False)
        new = count_in(tx, destination, Counter(map(FlagSetId, flagset_ids)), size, modseq)
        tx.update_account(account._replace(modseq=modseq, used=account.used + size))
        return Transferred(destination.uidvalidity, list(map(Uid, found)), new)

    return unit


def move(account_id: AccountId, source_id: MailboxId, uids: UidRanges, destination_id: MailboxId, now: int) -> Unit[Transferred]:
    """Move the entries that exist in these ranges; the destination may be the source (they get new UIDs)."""

    def unit(tx: Transaction) -> Transferred:
        account, source = owner_and_mailbox(tx, account_id, source_id)
        destination = _mailbox(tx, account_id, destination_id)
        modseq = ModSeq(account.modseq + 1)
        gone, new = move_entries(tx, source, uids, destination_id, now, modseq)
        if gone:
            tx.update_account(account._replace(modseq=modseq))
        return Transferred(destination.uidvalidity, gone, new)

    return unit


def move_entries(
    tx: Transaction, source: Mailbox, uids: UidRanges | None, destination_id: MailboxId, now: int, modseq: ModSeq
) -> tuple[list[Uid], list[Uid]]:
    """The rows of a move, under a ModSeq that the caller took; returns the old and the new UIDs."""
    account_id = source.account_id
    found, flagset_ids = tx.pick(account_id, source.mailbox_id, uids, ("uid", "flagset_id"))
    if not found:
        return [], []
    ranges = uidrange.of_ascending(found)
    first = _mailbox(tx, account_id, destination_id).uidnext
    tx.copy_entries(source, ranges, destination_id, first, now, modseq, is_move=True)
    gone, size = take_out(tx, source, ranges, modseq, now, recoverable=False)
    destination = _mailbox(tx, account_id, destination_id)  # read now: it may be the source's new row
    return gone, count_in(tx, destination, Counter(map(FlagSetId, flagset_ids)), size, modseq)


def copy_across(
    account_id: AccountId,
    source_id: MailboxId,
    uids: UidRanges,
    to: AccountId,
    destination_id: MailboxId,
    now: int,
    kept: Callable[[frozenset[str]], Iterable[str]] = lambda flags: flags,
) -> Unit[Transferred]:
    """Copy into a mailbox of another account, with the flags that are `kept` there, against that account's quota. A content
    that it holds already is kept once; of
    others it gets an email of its own that names the same octets."""

    def unit(tx: Transaction) -> Transferred:
        owner_and_mailbox(tx, account_id, source_id)
        account, destination = owner_and_mailbox(tx, to, destination_id)
        entries = tx.entries(account_id, source_id, uids)
        if not entries:
            return Transferred(destination.uidvalidity, [], [])
        size = sum(entry.size for entry in entries)
        check_quota(tx, account, size, len(entries))
        email_ids, next_email_id = _emails_across(tx, account_id, [entry.email_id for entry in entries], account)
        flagsets = FlagSets(tx, account_id)
        sets = {
            flagset_id: intern(tx, to, frozenset(kept(flagsets[flagset_id]))) for flagset_id in {e.flagset_id for e in entries}
        }
        arrivals = [Arrival(email_ids[e.email_id], sets[e.flagset_id], e.internaldate, e.size, None) for e in entries]
        modseq = ModSeq(account.modseq + 1)
        new = put_in(tx, destination, arrivals, now, modseq)
        account = account._replace(modseq=modseq, used=account.used + size, next_email_id=next_email_id)
        tx.update_account(account)
        return Transferred(destination.uidvalidity, [entry.uid for entry in entries], new)

    return unit


def _emails_across(
    tx: Transaction, account_id: AccountId, email_ids: Sequence[EmailId], to: Account
) -> tuple[dict[EmailId, EmailId], EmailId]:
    """Emails of one account as emails of another, with references for each time they are named; and the next id there."""
    found: dict[EmailId, EmailId] = {}
    more: Counter[EmailId] = Counter()
    next_email_id = to.next_email_id
    for email in tx.emails_of(account_id, email_ids):
        known = tx.email_by_content(to.account_id, email.content_id)
        if known is None:
            tx.insert_email(email._replace(account_id=to.account_id, email_id=next_email_id, references=1))
            found[email.email_id], next_email_id = next_email_id, EmailId(next_email_id + 1)
            more[found[email.email_id]] = -1  # that one counts already
        else:
            found[email.email_id] = known.email_id
    for email_id in email_ids:
        more[found[email_id]] += 1
    tx.add_references(to.account_id, [(email_id, count) for email_id, count in more.items() if count])
    return found, next_email_id


def _mailbox(tx: Transaction, account_id: AccountId, mailbox_id: MailboxId) -> Mailbox:
    mailbox = tx.mailbox(account_id, mailbox_id)
    if mailbox is None:
        raise NoSuchMailbox(mailbox_id)
    return mailbox
