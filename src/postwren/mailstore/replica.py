"""What makes an account the copy of another one (docs/sync.md): rows that are written in the same unit of work as the change they
speak of, so that after a crash the store itself says what was agreed.

They are a device's. A server's accounts have none of them.
"""

import enum
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from postwren.terms import AccountId, EmailId, FlagSetId, MailboxId, ModSeq, Uid

LARGEST: Final = (1 << 32) - 1

__all__ = ["LARGEST", "Pair", "Replica", "ReplicaReader", "ReplicaWriter", "Taken", "TakenState"]


class Pair(NamedTuple):
    """Which entry stands for which message of the remote mailbox. `flagset_id`: the flags that both last agreed on. The entry may
    be gone meanwhile; then its tombstone is there. A remote UID above `LARGEST` stands for none: the message has lost its
    counterpart and is *held*, neither sent nor deleted."""

    remote_uid: int
    uid: Uid
    email_id: EmailId
    flagset_id: FlagSetId


class TakenState(enum.IntEnum):
    """Where a message that was taken is, as far as the server's listings tell."""

    LISTED = 0
    MISSING = 1  # not listed any more, without our doing
    REMOVED = 2  # we deleted it, and the server said that it did


class Taken(NamedTuple):
    """A message of a POP3 maildrop that is kept here. The row outlives the message there for a while, so that a server that
    forgets its list, or a deletion, for a session gives nothing twice. `taken`: when; `since`: when it came to this state
    (seconds since 1970). A message that no UIDL tells from others has one of ours, which begins with a NUL."""

    uidl: bytes
    size: int  # as LIST has it there
    content_id: bytes
    mailbox_id: MailboxId
    uid: Uid
    taken: int
    state: TakenState
    since: int


class Replica(NamedTuple):
    """A mailbox and the remote one whose copy it is, as both stood when they were last compared. `modseq`: how far this side's
    changes are known. `epochs`: changes of UIDVALIDITY in a row. The row stays when the mailbox is deleted."""

    mailbox_id: MailboxId
    name: str
    remote_name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    modseq: ModSeq
    epochs: int
    object_id: str | None


class ReplicaReader(Protocol):
    """Reads. `remote_uids` and `uids` are closed, ascending, disjoint ranges; None is all."""

    def replicas(self, account_id: AccountId) -> list[Replica]:
        """By mailbox."""

    def pairs(
        self, account_id: AccountId, mailbox_id: MailboxId, remote_uids: Sequence[tuple[int, int]] | None = None
    ) -> list[Pair]:
        """Ascending by remote UID."""

    def pairs_of(self, account_id: AccountId, mailbox_id: MailboxId, uids: Sequence[tuple[int, int]]) -> list[Pair]:
        """Those of these entries, ascending by remote UID."""

    def paired_uids(self, account_id: AccountId, mailbox_id: MailboxId) -> "array[int]":
        """All remote UIDs but of those that are held, ascending."""

    def pair_count(self, account_id: AccountId, mailbox_id: MailboxId) -> int:
        """How many these are."""

    def paired_with(self, account_id: AccountId, email_ids: Iterable[EmailId]) -> list[tuple[MailboxId, Pair]]:
        """The pairs of these emails in any mailbox."""

    def unpaired(self, account_id: AccountId, mailbox_id: MailboxId) -> list[Uid]:
        """Entries without a pair, ascending."""

    def taken(self, account_id: AccountId) -> list[Taken]:
        """By UIDL."""


class ReplicaWriter(ReplicaReader, Protocol):
    """Writes inside a unit of work. What is deleted and not there is no fault."""

    def put_replica(self, account_id: AccountId, replica: Replica) -> None: ...
    def delete_replica(self, account_id: AccountId, mailbox_id: MailboxId) -> None:
        """With the pairs of the mailbox."""

    def put_pairs(self, account_id: AccountId, mailbox_id: MailboxId, pairs: Sequence[Pair]) -> None:
        """In place of pairs of the same remote UIDs; an entry has one pair at most."""

    def delete_pairs(self, account_id: AccountId, mailbox_id: MailboxId, remote_uids: Sequence[tuple[int, int]]) -> None: ...
    def put_taken(self, account_id: AccountId, rows: Sequence[Taken]) -> None: ...
    def delete_taken(self, account_id: AccountId, uidls: Iterable[bytes]) -> None: ...
