"""Recovery: what was expunged, by whatever protocol, comes back within its term with its flags and dates.

It comes back under a new UID (an expunged one never returns, D-33), for the same email, and with the POP3 unique-id it
had: a device that took it does not take it twice. On a device it stands again for the message that it was a copy of, if that
was not given up meanwhile (docs/sync.md).
"""

from dataclasses import dataclass

from postwren.mailstore.errors import NoSuchMailbox
from postwren.mailstore.model import Expunged, Mailbox
from postwren.mailstore.port import Reader, Transaction, UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import DELETED, FlagSets
from postwren.mailstore.service.lookup import owner
from postwren.mailstore.service.placement import Arrival, check_quota, put_in, uidl_of
from postwren.terms import INBOX, AccountId, MailboxId, ModSeq, Uid, UidValidity

__all__ = ["Recovered", "recover", "recoverable"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where they are now; `source` and `destination` are pairs of UIDs."""

    mailbox_id: MailboxId
    uidvalidity: UidValidity
    source: list[Uid]
    destination: list[Uid]


def recoverable(reader: Reader, account_id: AccountId, mailbox_id: MailboxId | None = None) -> list[Expunged]:
    """What can be brought back, ascending by mailbox and UID."""
    return reader.expunged(account_id, mailbox_id)


def recover(
    account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, now: int, into: MailboxId | None = None
) -> Unit[Recovered]:
    """Bring back what was expunged from `mailbox_id`: there, or `into` another mailbox; what came from a deleted mailbox
    comes to INBOX. UIDs that cannot be recovered (any more) are skipped. Raises OverQuota."""

    def unit(tx: Transaction) -> Recovered:
        account = owner(tx, account_id)
        source = tx.mailbox(account_id, mailbox_id)
        destination = _destination(tx, account_id, source, into)
        rows = tx.take_expunged(account_id, mailbox_id, uids)
        if not rows:
            return Recovered(destination.mailbox_id, destination.uidvalidity, [], [])
        size = sum(row.size for row in rows)
        check_quota(tx, account, size, len(rows))
        modseq = ModSeq(account.modseq + 1)
        new = put_in(tx, destination, _arrivals(tx, account_id, source, rows), now, modseq)
        tx.update_account(account._replace(modseq=modseq, used=account.used + size))
        if source is not None and destination.mailbox_id == source.mailbox_id:
            _pair_again(tx, account_id, mailbox_id, {row.uid: uid for row, uid in zip(rows, new, strict=True)})
        return Recovered(destination.mailbox_id, destination.uidvalidity, [row.uid for row in rows], new)

    return unit


def _pair_again(tx: Transaction, account_id: AccountId, mailbox_id: MailboxId, places: dict[Uid, Uid]) -> None:
    pairs = tx.pairs_of(account_id, mailbox_id, uidrange.of(places))
    tx.put_pairs(account_id, mailbox_id, [pair._replace(uid=places[pair.uid]) for pair in pairs])


def _destination(tx: Transaction, account_id: AccountId, source: Mailbox | None, into: MailboxId | None) -> Mailbox:
    home = source or tx.mailbox_by_name(account_id, INBOX)
    found = home if into is None else tx.mailbox(account_id, into)
    if found is None:
        raise NoSuchMailbox(into or INBOX)
    return found


def _arrivals(tx: Transaction, account_id: AccountId, source: Mailbox | None, rows: list[Expunged]) -> list[Arrival]:
    flagsets = FlagSets(tx, account_id)
    arrivals = []
    for row in rows:
        assert row.email_id is not None, "take_expunged gives rows as they were"
        flags = flagsets[row.flagset_id]
        # \Deleted is how most came here: with it they would go again at the next EXPUNGE
        flagset_id = tx.flagset_id(account_id, flags - {DELETED}) if DELETED in flags else row.flagset_id
        uidl = uidl_of(source, row) if source is not None else row.uidl
        arrivals.append(Arrival(row.email_id, flagset_id, row.internaldate, row.size, uidl))
    return arrivals
