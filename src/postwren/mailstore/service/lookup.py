"""Rows that a unit of work starts from, or the refusal that says which is missing."""

from postwren.mailstore.errors import NoSuchAccount, NoSuchMailbox
from postwren.mailstore.model import Account, Mailbox
from postwren.mailstore.port import Transaction
from postwren.terms import AccountId, MailboxId

__all__ = ["owner", "owner_and_mailbox"]


def owner(tx: Transaction, account_id: AccountId) -> Account:
    """The account."""
    account = tx.account(account_id)
    if account is None:
        raise NoSuchAccount(account_id)
    return account


def owner_and_mailbox(tx: Transaction, account_id: AccountId, mailbox_id: MailboxId) -> tuple[Account, Mailbox]:
    """The account and one of its mailboxes."""
    account = owner(tx, account_id)
    mailbox = tx.mailbox(account_id, mailbox_id)
    if mailbox is None:
        raise NoSuchMailbox(mailbox_id)
    return account, mailbox
