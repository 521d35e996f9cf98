"""Delivery: the hot path. One message into one or more accounts, all or none (D-02), in one unit of work.

A target costs two look-ups, which are remembered, and five statements. A content that an account already holds is kept once.
"""

from collections.abc import Sequence
from typing import NamedTuple

from postwren.mailstore.errors import NoSuchAccount, NoSuchMailbox
from postwren.mailstore.model import Account, Change, ChangeKind, Entry, Mailbox
from postwren.mailstore.port import NewBody, Transaction, Unit
from postwren.mailstore.service.flags import DELETED, SEEN
from postwren.mailstore.service.placement import check_quota
from postwren.terms import INBOX, AccountId, EmailId, FlagSetId, MailboxId, ModSeq, Uid, UidValidity

__all__ = ["Delivered", "Target", "deliver"]

_NO_FLAGS = FlagSetId(0)


class Target(NamedTuple):
    """Where a message goes; a mailbox that does not exist becomes INBOX. `flags` are `flags.normal` ones."""

    account_id: AccountId
    mailbox: str = INBOX
    flags: frozenset[str] = frozenset()


class Delivered(NamedTuple):
    """Where it went."""

    account_id: AccountId
    mailbox_id: MailboxId
    uidvalidity: UidValidity
    uid: Uid
    email_id: EmailId


def deliver(targets: Sequence[Target], body: NewBody, now: int) -> Unit[list[Delivered]]:
    """One entry a target, in order. Raises OverQuota or NoSuchAccount: then nobody got it. What an account is refused for
    is found before anything is written for it: a unit that consists of several deliveries may catch it and go on."""

    def unit(tx: Transaction) -> list[Delivered]:
        return [_deliver_one(tx, target, body, now) for target in targets]

    return unit


def _deliver_one(tx: Transaction, target: Target, body: NewBody, now: int) -> Delivered:
    account_id, name, flags = target
    account = tx.account(account_id)
    if account is None:
        raise NoSuchAccount(account_id)
    mailbox = tx.mailbox_by_name(account_id, name)
    if mailbox is None:
        mailbox = tx.mailbox_by_name(account_id, INBOX)
        if mailbox is None:
            raise NoSuchMailbox(INBOX)
    size = body.size
    if account.quota or account.message_quota:
        check_quota(tx, account, size, 1)
    modseq = ModSeq(account.modseq + 1)
    next_email_id = account.next_email_id
    email_id = tx.take_email(account_id, next_email_id, body)
    if email_id == next_email_id:
        next_email_id = EmailId(next_email_id + 1)
    uid = mailbox.uidnext
    flagset_id = tx.flagset_id(account_id, flags) if flags else _NO_FLAGS
    tx.insert_entries((Entry(account_id, mailbox.mailbox_id, uid, email_id, flagset_id, now, now, modseq, modseq, size, None),))
    tx.update_mailbox(_with_one_more(mailbox, modseq, size, flags))
    tx.update_account(_with_used(account, modseq, next_email_id, account.used + size))
    tx.insert_changes((Change(account_id, modseq, ChangeKind.APPENDED, mailbox.mailbox_id, uid, uid),))
    return Delivered(account_id, mailbox.mailbox_id, mailbox.uidvalidity, uid, email_id)


def _with_one_more(mailbox: Mailbox, modseq: ModSeq, size: int, flags: frozenset[str]) -> Mailbox:
    # built in place: `_replace` costs three times as much, and this runs for every message
    return Mailbox(
        mailbox.account_id,
        mailbox.mailbox_id,
        mailbox.name,
        mailbox.uidvalidity,
        Uid(mailbox.uidnext + 1),
        modseq,
        mailbox.messages + 1,
        mailbox.unseen + (SEEN not in flags),
        mailbox.deleted + (DELETED in flags),
        mailbox.size + size,
        mailbox.special_use,
        mailbox.is_subscribed,
        mailbox.created_modseq,
    )


def _with_used(account: Account, modseq: ModSeq, next_email_id: EmailId, used: int) -> Account:
    return Account(
        account.account_id,
        account.login,
        account.credentials,
        account.created,
        modseq,
        account.next_mailbox_id,
        next_email_id,
        account.next_uidvalidity,
        used,
        account.quota,
        account.message_quota,
    )
