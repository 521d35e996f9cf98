"""Append: messages with flags and dates of their own, all or none (RFC 9051 section 6.3.12, RFC 3502; D-30)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from postwren.mailstore.port import NewBody, Transaction, Unit
from postwren.mailstore.service.flags import intern, normal
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.mailstore.service.placement import Arrival, check_quota, put_in
from postwren.terms import AccountId, EmailId, MailboxId, ModSeq, Uid, UidValidity

__all__ = ["Appended", "NewMessage", "append"]


class NewMessage(NamedTuple):
    """A message on its way into a mailbox; `internaldate` in seconds since 1970."""

    body: NewBody
    internaldate: int
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the messages are now, in the order given (RFC 4315 section 3)."""

    uidvalidity: UidValidity
    uids: list[Uid]
    email_ids: list[EmailId]
    modseq: ModSeq


def append(account_id: AccountId, mailbox_id: MailboxId, messages: Sequence[NewMessage], now: int) -> Unit[Appended]:
    """Add one or more messages; an import gives some hundreds at a time."""

    def unit(tx: Transaction) -> Appended:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        size = sum(message.body.size for message in messages)
        check_quota(tx, account, size, len(messages))
        next_email_id = account.next_email_id
        arrivals = []
        for body, internaldate, flags in messages:
            email_id = tx.take_email(account_id, next_email_id, body)
            if email_id == next_email_id:
                next_email_id = EmailId(next_email_id + 1)
            flagset_id = intern(tx, account_id, normal(flags))
            arrivals.append(Arrival(email_id, flagset_id, internaldate, body.size, None))
        if not arrivals:
            return Appended(mailbox.uidvalidity, [], [], mailbox.highestmodseq)
        modseq = ModSeq(account.modseq + 1)
        uids = put_in(tx, mailbox, arrivals, now, modseq)
        tx.update_account(account._replace(modseq=modseq, next_email_id=next_email_id, used=account.used + size))
        return Appended(mailbox.uidvalidity, uids, [arrival.email_id for arrival in arrivals], modseq)

    return unit
