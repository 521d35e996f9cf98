"""The queue: mail on its way to other hosts (docs/exchange.md).

The queue is a mailbox: the INBOX of an account of the store's own (`QUEUE_LOGIN`, which is no address and has none, so nobody can
log in to it or write to it; `Reader.accounts` leaves it out). A queued message is an entry there, and its UID is its queue id:
octets, references, crashes, changes and checks are those of any other mail. What only the queue knows is in the rows here.

A message that is done leaves nothing behind: no tombstone, and of the account's changes only the last ones are kept.

Times of the schedule are seconds of the queue's own clock, which runs with the monotonic clock while a server runs and by at most
`delivery.retry.LONGEST_GAP` across a restart: no jump of the system's clock lets mail expire or freezes it (D-08).
"""

import enum
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from postwren.terms import AccountId, Uid

__all__ = [
    "NEVER",
    "QUEUE_LOGIN",
    "DeliveryState",
    "QueueReader",
    "QueueWriter",
    "QueuedMessage",
    "QueuedRecipient",
    "is_of_outbox",
    "outbox_of",
]

QUEUE_LOGIN: Final = "-queue"
NEVER: Final = 1 << 40
"""`expires` of what is not given up by itself: what waits in an outbox."""
_OUTBOX: Final = "outbox:"


def outbox_of(login: str) -> str:
    """`domain` of what an account of a device hands in: it leaves by that account's own server (docs/sync.md). No domain is
    called so."""
    return _OUTBOX + login


def is_of_outbox(domain: str) -> bool:
    """Whether it is no domain but an outbox."""
    return domain.startswith(_OUTBOX)


class DeliveryState(enum.IntEnum):
    """What is to be done for a recipient. Who is done with has no row."""

    WAITING = 1  # an attempt is due at `next_attempt`
    HELD = 2  # until somebody lets it go
    HANDED_OVER = 3  # of an outbox: its octets are on their way, and no answer is written down yet
    DOUBTFUL = 4  # of an outbox: it may have been sent, and is not sent again before somebody says so (RFC 1047)


class QueuedMessage(NamedTuple):
    """A message that has recipients left. `account_id`: whose submission it is, 0 where it is nobody's (a report, a forward).
    `token`: what its sender calls this submission, so that a repeated one is recognised (b"" where it has none)."""

    uid: Uid
    reverse_path: str  # as on the wire without brackets; "" for <>
    account_id: AccountId
    queued: int  # seconds since 1970, for people
    envid: str  # RFC 3461 section 4.4
    ret: str  # "FULL", "HDRS" or ""
    body: str  # "7BIT", "8BITMIME" or "BINARYMIME": what the octets need
    is_utf8: bool  # SMTPUTF8
    requires_tls: bool  # RFC 8689
    token: bytes


class QueuedRecipient(NamedTuple):
    """One recipient of it. `domain` is the next hop's key: rows of one domain share connections and fate. It is given up after
    `expires`; `warned`: the sender was told that it takes long."""

    uid: Uid
    number: int  # from 1, in the order of the envelope
    address: str  # as on the wire without brackets
    domain: str
    notify: str  # RFC 3461 section 4.1: "", "NEVER" or a list of "SUCCESS,FAILURE,DELAY"
    orcpt: str  # "rfc822;ann@example.org", decoded; "" where there is none
    state: DeliveryState
    attempts: int
    next_attempt: int
    expires: int
    warned: bool
    reply: str  # the last thing heard about it: "450 4.2.0 ... (mx.example.org)"; "" before the first attempt


class QueueReader(Protocol):
    """Reads."""

    def queued_message(self, uid: Uid) -> QueuedMessage | None: ...
    def queued_messages(self, after: Uid, limit: int) -> list[QueuedMessage]:
        """Ascending above `after`."""

    def queued_recipients(self, uid: Uid) -> list[QueuedRecipient]:
        """By number."""

    def due_recipients(self, domain: str, now: int, limit: int) -> list[QueuedRecipient]:
        """WAITING ones of a domain whose attempt is due, the longest due first."""

    def next_due(self) -> list[tuple[str, int]]:
        """Every domain that has a WAITING recipient, with the earliest `next_attempt` there. One look-up a domain."""

    def expiring_recipients(self, domain: str, now: int, limit: int) -> list[QueuedRecipient]:
        """WAITING ones of a domain that are past `expires`, due or not."""

    def unwarned_recipients(self, domain: str, before: int, limit: int) -> list[QueuedRecipient]:
        """WAITING ones of a domain whose `expires` is before then and whose sender was not told yet that it takes long."""

    def queue_size(self) -> tuple[int, int]:
        """Messages and recipients. It counts them."""

    def submission_by_token(self, account_id: AccountId, token: bytes) -> bool:
        """Whether the account used this token before: the token outlives its message."""


class QueueWriter(QueueReader, Protocol):
    """Writes inside a unit of work."""

    def insert_queued(self, message: QueuedMessage, recipients: Sequence[QueuedRecipient]) -> None:
        """Beside the entry of the same UID in the queue's mailbox."""

    def put_recipients(self, rows: Sequence[QueuedRecipient]) -> None:
        """In place of the rows of the same uid and number, which are there."""

    def delete_recipients(self, keys: Iterable[tuple[Uid, int]]) -> None:
        """Harmless where there is none."""

    def delete_queued(self, uid: Uid) -> None:
        """The message's row; its recipients are gone before, its entry goes in the same unit."""

    def put_token(self, account_id: AccountId, token: bytes, now: int) -> None:
        """The account submitted something under this token."""

    def forget_tokens(self, before: int) -> None:
        """Those put before then (seconds since 1970)."""
