"""The queue's mailbox: messages into it and out of it (`mailstore/queue.py`, docs/exchange.md).

These are moves inside a unit of work; whole units are in `delivery/queue.py`. Each takes the next ModSeq of the queue's account
and records a change of it, so that who delivers wakes up, and so that a unit with a body waits for its octets before it takes
anything away (`storage/embedded/writer.py`).

A message that is done leaves no tombstone: nobody selects this mailbox, and a server that relays 100,000 messages a day must
not grow. Of its changes the last `KEPT_CHANGES` are kept, for those who look now and then what another process did.
"""

from collections.abc import Sequence
from typing import Final

from postwren.mailstore.model import Account, Change, ChangeKind, Credentials, Mailbox
from postwren.mailstore.port import NewBody, Reader, Transaction
from postwren.mailstore.queue import QUEUE_LOGIN, QueuedMessage, QueuedRecipient
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.flags import SEEN, FlagSets
from postwren.terms import INBOX, AccountId, EmailId, MailboxId, ModSeq, Uid, UidValidity

__all__ = ["KEPT_CHANGES", "change_recipients", "enqueue", "queue_mailbox", "take_away"]

KEPT_CHANGES: Final = 1024
_INBOX_ID: Final = MailboxId(1)


def queue_mailbox(reader: Reader) -> tuple[AccountId, MailboxId] | None:
    """Where the queue is; None before its first message."""
    account = reader.account_by_login(QUEUE_LOGIN)
    return None if account is None else (account.account_id, _INBOX_ID)


def enqueue(tx: Transaction, message: QueuedMessage, recipients: Sequence[QueuedRecipient], body: NewBody, now: int) -> Uid:
    """A message into the queue; the uid of all rows is filled in here. It has at least one recipient."""
    account = tx.account_by_login(QUEUE_LOGIN) or _make_account(tx, now)
    account_id = account.account_id
    (delivered,) = deliver([Target(account_id)], body, now)(tx)
    uid = delivered.uid
    tx.insert_queued(message._replace(uid=uid), [row._replace(uid=uid) for row in recipients])
    _forget_old_changes(tx, account_id, ModSeq(account.modseq + 1))
    return uid


def _make_account(tx: Transaction, now: int) -> Account:
    account_id, modseq, validity = tx.next_account_id(), ModSeq(1), UidValidity(max(now, 1))
    nobody = Credentials("", {})
    account = Account(
        account_id, QUEUE_LOGIN, nobody, now, modseq, MailboxId(_INBOX_ID + 1), EmailId(1), UidValidity(validity + 1), 0, 0
    )
    tx.insert_account(account)
    tx.insert_mailbox(Mailbox(account_id, _INBOX_ID, INBOX, validity, Uid(1), modseq, 0, 0, 0, 0, None, True, modseq))
    tx.insert_changes([Change(account_id, modseq, ChangeKind.MAILBOX_CREATED, _INBOX_ID, Uid(0), Uid(0))])
    return account


def change_recipients(tx: Transaction, put: Sequence[QueuedRecipient], gone: Sequence[tuple[Uid, int]]) -> list[Uid]:
    """Rows that are there, replaced, and rows that are done with; a message whose last recipient is gone goes with it. Returns
    which messages went."""
    uids = sorted({row.uid for row in put} | {uid for uid, _ in gone})
    if not uids:
        return []
    tx.put_recipients(put)
    tx.delete_recipients(gone)
    touched = {uid for uid, _ in gone}
    done = [uid for uid in uids if uid in touched and not tx.queued_recipients(uid)]
    kept = [uid for uid in uids if uid not in done]
    account = tx.account_by_login(QUEUE_LOGIN)
    assert account is not None, "a row of the queue without the queue"
    modseq = ModSeq(account.modseq + 1)
    size = take_away(tx, account, done, modseq) if done else 0
    tx.insert_changes([Change(account.account_id, modseq, ChangeKind.QUEUE, _INBOX_ID, uid, uid) for uid in kept])
    tx.update_account(account._replace(modseq=modseq, used=account.used - size))
    _forget_old_changes(tx, account.account_id, modseq)
    return done


def take_away(tx: Transaction, account: Account, uids: Sequence[Uid], modseq: ModSeq) -> int:
    """Messages without recipients leave the queue: rows, entries and, with the last reference, their octets. The account's
    row is the caller's. Returns their octets."""
    account_id = account.account_id
    mailbox = tx.mailbox(account_id, _INBOX_ID)
    assert mailbox is not None, "the queue's account without its mailbox"
    ranges = [(uid, uid) for uid in uids]
    entries = tx.entries(account_id, _INBOX_ID, ranges)
    flagsets = FlagSets(tx, account_id)
    unseen = sum(SEEN not in flagsets[entry.flagset_id] for entry in entries)
    size = sum(entry.size for entry in entries)
    for uid in uids:
        tx.delete_queued(uid)
    tx.delete_entries(account_id, _INBOX_ID, ranges)
    tx.add_references(account_id, [(entry.email_id, -1) for entry in entries])
    tx.update_mailbox(
        mailbox._replace(
            highestmodseq=modseq,
            messages=mailbox.messages - len(entries),
            unseen=mailbox.unseen - unseen,
            size=mailbox.size - size,
        )
    )
    tx.insert_changes([Change(account_id, modseq, ChangeKind.EXPUNGED, _INBOX_ID, uid, uid) for uid in uids])
    return size


def _forget_old_changes(tx: Transaction, account_id: AccountId, modseq: ModSeq) -> None:
    """Now and then, so that it costs a unit next to nothing; a number that is left out is made up for by the next."""
    if modseq % KEPT_CHANGES == 0 and modseq > KEPT_CHANGES:
        tx.forget_changes(account_id, ModSeq(modseq - KEPT_CHANGES))
