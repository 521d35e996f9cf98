"""The rows of the mailstore: what is known of accounts, mailboxes and messages.

Invariants over them are in `invariant`. Times are seconds since 1970 in UTC. Rows are named tuples: they come in
tens of thousands, and unpack at the speed of tuples.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from postwren.terms import (
    AccountId,
    Address,
    EmailId,
    FlagSetId,
    MailboxId,
    ModSeq,
    SpecialUse,
    Uid,
    UidValidity,
)

__all__ = [
    "Account",
    "AddressRow",
    "BodyRef",
    "Change",
    "ChangeKind",
    "Credentials",
    "Email",
    "Entry",
    "Expunged",
    "Grant",
    "Mailbox",
    "Property",
    "ScramKeys",
]


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps for SCRAM (RFC 5802 section 3): never the password."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a login proves itself. `password_hash` is argon2's encoded form; `scram` by hash name ("sha-256")."""

    password_hash: str
    scram: dict[str, ScramKeys]


class Account(NamedTuple):
    """Who owns mail. Every counter is a row: ids and ModSeq are handed out from here and never go back."""

    account_id: AccountId
    login: str  # canonical: an address in lower case
    credentials: Credentials
    created: int
    modseq: ModSeq  # the highest handed out
    next_mailbox_id: MailboxId
    next_email_id: EmailId
    next_uidvalidity: UidValidity
    used: int  # octets of live entries
    quota: int  # octets; 0 is no limit
    message_quota: int = 0  # live entries of all mailboxes; 0 is no limit


class AddressRow(NamedTuple):
    """An address that reaches an account; an empty `local` is the domain's catch-all."""

    address: Address
    account_id: AccountId


class Mailbox(NamedTuple):
    """A named collection of messages. The counters are kept, never counted."""

    account_id: AccountId
    mailbox_id: MailboxId
    name: str  # NFC, levels joined by "/"
    uidvalidity: UidValidity
    uidnext: Uid
    highestmodseq: ModSeq
    messages: int
    unseen: int
    deleted: int  # entries with \\Deleted
    size: int  # octets
    special_use: SpecialUse | None
    is_subscribed: bool
    created_modseq: ModSeq


class BodyRef(NamedTuple):
    """Where the octets of a message are: the same form for a local segment and a pack object."""

    segment: int
    offset: int  # of the octets, behind the record's header
    size: int
    crc: int  # CRC-32 of the octets


class Email(NamedTuple):
    """One content of one account, however many mailboxes hold it."""

    account_id: AccountId
    email_id: EmailId
    content_id: bytes  # SHA-256
    body: BodyRef
    has_dot_line: bool  # a dot comes first or after a LF: POP3 must stuff it
    references: int  # entries and recoverable expunged entries that name it


class Entry(NamedTuple):
    """A message in a mailbox."""

    account_id: AccountId
    mailbox_id: MailboxId
    uid: Uid
    email_id: EmailId
    flagset_id: FlagSetId
    internaldate: int
    savedate: int
    modseq: ModSeq
    created_modseq: ModSeq
    size: int
    uidl: str | None  # POP3's unique-id where it is not the usual one (recovered or migrated mail)


class Expunged(NamedTuple):
    """A tombstone, and all it takes to bring the entry back until its term ends (`email_id` is None from then on:
    the tombstone stays for QRESYNC)."""

    account_id: AccountId
    mailbox_id: MailboxId
    uid: Uid
    modseq: ModSeq
    expunged: int  # when
    email_id: EmailId | None
    flagset_id: FlagSetId
    internaldate: int
    savedate: int
    size: int
    uidl: str | None


class Grant(NamedTuple):
    """What somebody may do with a mailbox (RFC 4314): `identifier` is a login, `anyone`, or one of these behind "-" for what
    they may not; `rights` are letters in the order of `service.acl.RIGHTS`."""

    account_id: AccountId
    mailbox_id: MailboxId
    identifier: str
    rights: str


class Property(NamedTuple):
    """A named value of a mailbox, or of the account where `mailbox_id` is 0. `kind` says whose word it is
    (`service.metadata`, `service.mailboxes`)."""

    account_id: AccountId
    mailbox_id: MailboxId
    kind: str
    name: str
    value: bytes


class ChangeKind(enum.IntEnum):
    """What happened."""

    APPENDED = 1
    FLAGS = 2
    EXPUNGED = 3
    MAILBOX_CREATED = 4
    MAILBOX_CHANGED = 5  # renamed, subscribed, special use, shared otherwise
    MAILBOX_DELETED = 6
    METADATA = 7  # of a mailbox, or of the account where the mailbox is 0
    SKIPPED = 8  # nothing, but that the ModSeqs before this one, back to the last change, are nobody's
    QUEUE = 9  # of what is to be done for a queued message: the rows beside it (mailstore/queue.py)


class Change(NamedTuple):
    """One event of an account's feed, ordered by ModSeq; the UIDs are a closed range (0, 0 for mailbox events)."""

    account_id: AccountId
    modseq: ModSeq
    kind: ChangeKind
    mailbox_id: MailboxId
    uid_lo: Uid
    uid_hi: Uid
