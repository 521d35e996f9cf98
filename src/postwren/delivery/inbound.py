"""From the end of the data to the store: the steps every message passes, in order, and the units of work that keep it.

A step sees the arrival and says what is wrong with it, or None. There is one list; what is not in it does not happen. The list of
what only mail from elsewhere passes is in `judging`.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postwren.delivery.envelope import Envelope
from postwren.delivery.trace import HEADER_OCTETS, RECEIVED_FIELDS, HeaderWatch
from postwren.mailstore.errors import MailstoreError, NoSuchAccount, NoSuchMailbox, OverQuota, TooMany
from postwren.mailstore.port import NewBody, Transaction, Unit
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.terms import INBOX, AccountId, SpecialUse

__all__ = ["STEPS", "Arrival", "Objection", "Outcome", "deliver_all", "deliver_as_junk", "deliver_each", "judge"]

JUNK: Final = "Junk"
Outcome = MailstoreError | None
"""What became of one recipient: None is kept."""


class Objection(enum.Enum):
    """Why a message that arrived whole is not taken."""

    HEADER_TOO_BIG = "header too big"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message whose last octet has come."""

    envelope: Envelope
    header: HeaderWatch


def bounded_header(arrival: Arrival) -> Objection | None:
    """A-31: everything that reads headers later may rely on it."""
    return Objection.HEADER_TOO_BIG if arrival.header.octets > HEADER_OCTETS else None


def no_loop(arrival: Arrival) -> Objection | None:
    """D-09, RFC 5321 6.3."""
    return Objection.LOOP if arrival.header.received_fields > RECEIVED_FIELDS else None


STEPS: Final[tuple[tuple[str, Callable[[Arrival], Objection | None]], ...]] = (
    ("bounded header", bounded_header),
    ("no loop", no_loop),
)


def judge(arrival: Arrival) -> Objection | None:
    """The first objection of the steps."""
    for _, step in STEPS:
        objection = step(arrival)
        if objection is not None:
            return objection
    return None


def deliver_all(envelope: Envelope, body: NewBody, now: int) -> Unit[list[Outcome]]:
    """One copy an account, for all recipients or for none (D-02)."""
    unit = deliver([Target(account_id) for account_id in envelope.accounts()], body, now)

    def run(tx: Transaction) -> list[Outcome]:
        unit(tx)
        return [None] * len(envelope.recipients)

    return run


def deliver_as_junk(envelope: Envelope, body: NewBody, now: int) -> Unit[list[Outcome]]:
    """The same, each into the account's mailbox for junk, which is made where there is none."""

    def run(tx: Transaction) -> list[Outcome]:
        targets = [Target(account_id, _junk_mailbox(tx, account_id, now)) for account_id in envelope.accounts()]
        deliver(targets, body, now)(tx)
        return [None] * len(envelope.recipients)

    return run


def _junk_mailbox(tx: Transaction, account_id: AccountId, now: int) -> str:
    """Its name (RFC 6154 section 2)."""
    mailboxes = tx.mailboxes(account_id)
    for mailbox in mailboxes:
        if mailbox.special_use is SpecialUse.JUNK:
            return mailbox.name
    if tx.account(account_id) is None:
        raise NoSuchAccount(account_id)
    if all(mailbox.name != JUNK for mailbox in mailboxes):
        try:
            create_mailbox(account_id, JUNK, now, SpecialUse.JUNK)(tx)
        except TooMany:  # mailboxes: then it goes where all mail goes
            return INBOX
    return JUNK


def deliver_each(envelope: Envelope, body: NewBody, now: int) -> Unit[list[Outcome]]:
    """One copy an account, each account for itself (D-20); an outcome a recipient, in order. One unit of work and one
    body all the same: what an account can be refused for is found before anything is written for it."""
    units = {account_id: deliver([Target(account_id)], body, now) for account_id in envelope.accounts()}

    def run(tx: Transaction) -> list[Outcome]:
        outcomes: dict[AccountId, Outcome] = {}
        for account_id, unit in units.items():
            try:
                unit(tx)
                outcomes[account_id] = None
            except (OverQuota, NoSuchAccount, NoSuchMailbox) as error:
                outcomes[account_id] = error
        return [outcomes[recipient.account_id] for recipient in envelope.recipients]

    return run
