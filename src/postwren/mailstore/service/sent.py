"""A copy of what an account submits, in its mailbox for sent mail, where the account wants one.

The wish is an annotation of the account (RFC 5464): `postwren account sent` sets it, and so may any client with METADATA.
"""

from typing import Final

from postwren.mailstore.model import Mailbox
from postwren.mailstore.port import Reader, Transaction, Unit
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.mailstore.service.metadata import private_kind, set_entries
from postwren.terms import AccountId, MailboxId, SpecialUse

__all__ = ["SENT", "WISH", "is_for_sent", "sent_mailbox", "set_wish", "wants_copy"]

SENT: Final = "Sent"
WISH: Final = "/private/vendor/vendor.postwren/sent-copy"
_ON: Final = frozenset((b"on", b"yes", b"true", b"1"))


def wants_copy(reader: Reader, account_id: AccountId, login: str) -> bool:
    """Whether the account asked for it."""
    rows = reader.properties(account_id, MailboxId(0), private_kind(login))
    return any(row.name == WISH and row.value.lower() in _ON for row in rows)


def set_wish(account_id: AccountId, login: str, is_wanted: bool) -> Unit[None]:
    """Ask for it, or no longer."""
    return set_entries(account_id, MailboxId(0), login, {WISH: b"on" if is_wanted else None})


def is_for_sent(mailbox: Mailbox) -> bool:
    """Whether what its account submitted is kept there."""
    return mailbox.special_use is SpecialUse.SENT or mailbox.name == SENT


def sent_mailbox(tx: Transaction, account_id: AccountId, now: int) -> Mailbox:
    """Where it goes: the mailbox with this special use (RFC 6154), else the one of this name, made when it is missing."""
    for mailbox in tx.mailboxes(account_id):
        if mailbox.special_use is SpecialUse.SENT:
            return mailbox
    found = tx.mailbox_by_name(account_id, SENT)
    return found if found is not None else create_mailbox(account_id, SENT, now, SpecialUse.SENT)(tx)
