"""The ports of the mailstore: what a storage adapter must offer. `storage/memory` is the reference.

    reader = store.reader                     short look-ups, on the loop's thread, always the last committed state
    await store.read(unit)                    bulk reads, off the loop, on one consistent snapshot
    store.write(unit, bodies, done)           one unit of work; done(outcome) on the loop's thread once it is durable
    await store.perform(unit, bodies)         the same as a coroutine

A unit of work is a plain function of a `Transaction`. It runs alone, on the loop's thread or off it, may run together with
others in one group commit, and either happens whole or (when it raises) not at all. It must not keep the transaction, do
I/O or read a clock. What it writes is published to subscribers after the commit, in commit order, and before `done` is called.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, TypeVar

from postwren.mailstore.columns import Columns, FlagColumns
from postwren.mailstore.digests import Digests
from postwren.mailstore.domain import DomainReader, DomainWriter
from postwren.mailstore.model import (
    Account,
    AddressRow,
    BodyRef,
    Change,
    Email,
    Entry,
    Expunged,
    Grant,
    Mailbox,
    Property,
)
from postwren.mailstore.queue import QueueReader, QueueWriter
from postwren.mailstore.replica import ReplicaReader, ReplicaWriter
from postwren.message.octets import Octets
from postwren.message.searchtext import Needle, SearchText
from postwren.terms import AccountId, Address, EmailId, FlagSetId, MailboxId, ModSeq, Uid

__all__ = [
    "BodyWriter",
    "NewBody",
    "Reader",
    "Store",
    "Subscription",
    "TextIndex",
    "Transaction",
    "UidRanges",
    "Unit",
    "WriteDone",
]

T = TypeVar("T")
UidRanges: TypeAlias = Sequence[tuple[int, int]]
"""Closed, ascending, disjoint ranges of UIDs: the only form in which sets of UIDs travel."""


class Reader(ReplicaReader, QueueReader, DomainReader, Protocol):
    """Row-level reads. `account_id` comes first in everything: no read spans accounts but the directory's."""

    # -- directory
    def account(self, account_id: AccountId) -> Account | None: ...
    def account_by_login(self, login: str) -> Account | None: ...
    def accounts(self) -> Iterator[Account]:
        """All but the store's own (`queue.QUEUE_LOGIN`)."""

    def address(self, address: Address) -> AddressRow | None: ...
    def addresses(self, account_id: AccountId | None = None) -> Iterator[AddressRow]: ...
    def domain_exists(self, domain: str) -> bool:
        """Whether any address is in this domain, or it has a row of its own."""

    def only_domain(self) -> str | None:
        """The domain of all addresses where there is exactly one domain."""

    def granted(self, identifier: str) -> list[Grant]:
        """What this identifier was granted in anybody's mailboxes, by account and mailbox."""

    def setting(self, name: str) -> bytes | None:
        """A fact about the store itself (its identity, the secret behind answers for unknown logins)."""

    # -- one account
    def mailbox(self, account_id: AccountId, mailbox_id: MailboxId) -> Mailbox | None: ...
    def mailbox_by_name(self, account_id: AccountId, name: str) -> Mailbox | None: ...
    def mailboxes(self, account_id: AccountId) -> list[Mailbox]: ...
    def grants(self, account_id: AccountId, mailbox_id: MailboxId) -> list[Grant]:
        """By identifier."""

    def properties(self, account_id: AccountId, mailbox_id: MailboxId, kind: str) -> list[Property]:
        """By name; `mailbox_id` 0: the account's."""

    def property_count(self, account_id: AccountId) -> int:
        """How many properties an account keeps, of any mailbox and kind."""

    def email(self, account_id: AccountId, email_id: EmailId) -> Email | None: ...
    def email_by_content(self, account_id: AccountId, content_id: bytes) -> Email | None: ...
    def emails_of(self, account_id: AccountId, email_ids: Sequence[int]) -> list[Email]:
        """Those of these ids that exist, ascending by id."""

    def emails(self, account_id: AccountId, after: int = 0) -> Iterator[Email]:
        """All above `after`, ascending by id; it streams."""

    def entries(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges | None = None) -> list[Entry]:
        """In ascending order of UID; None is all."""

    def columns(self, account_id: AccountId, mailbox_id: MailboxId, above: Uid) -> Columns:
        """All entries above this UID, as columns: for a whole mailbox, whatever its size."""

    def pick(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges | None, names: Sequence[str]
    ) -> "list[array[int]]":
        """Some columns of `Columns.TYPES` of the entries in these ranges (None is all), ascending by UID."""

    def uids_with(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, flagset_ids: Sequence[FlagSetId], limit: int
    ) -> "array[int]":
        """The first entries in these ranges, up to `limit`, that have one of these sets: their UIDs, ascending."""

    def flag_columns(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> FlagColumns:
        """The flags of the entries in these ranges."""

    def maildrop_rows(
        self, account_id: AccountId, mailbox_id: MailboxId
    ) -> list[tuple[Uid, int, str | None, int, int, int, bool]]:
        """(uid, size, uidl, segment, offset, crc, has_dot_line) of all entries, ascending: what POP3 serves from."""

    def changed_since(self, account_id: AccountId, mailbox_id: MailboxId, modseq: ModSeq) -> list[Entry]:
        """Entries whose modseq is above `modseq`, ascending by UID (RFC 7162 section 3.1.4)."""

    def expunged_since(self, account_id: AccountId, mailbox_id: MailboxId, modseq: ModSeq) -> list[Uid]:
        """UIDs expunged after `modseq` (RFC 7162 section 3.2.10)."""

    def expunged(self, account_id: AccountId, mailbox_id: MailboxId | None = None) -> list[Expunged]:
        """What can be brought back (email_id not None), ascending by (mailbox, uid)."""

    def ending(self, before: int) -> list[AccountId]:
        """Accounts with something that was expunged before then (seconds since 1970) and can still be brought back."""

    def changes(self, account_id: AccountId, since: ModSeq, limit: int = 1000) -> list[Change]:
        """The feed above `since`, ascending. The changes of one ModSeq happened at once: they come together, beyond
        `limit` if need be, in no particular order. The last one's ModSeq is where to go on."""

    def flagset(self, account_id: AccountId, flagset_id: FlagSetId) -> frozenset[str]:
        """The flags of an interned set (KeyError where there is no such id)."""

    def flagsets(self, account_id: AccountId) -> dict[FlagSetId, frozenset[str]]:
        """All interned sets of the account, the empty one too."""


class Transaction(Reader, ReplicaWriter, QueueWriter, DomainWriter, Protocol):
    """Row-level writes inside a unit of work; they see their own effects. Rows are replaced whole."""

    def insert_account(self, account: Account) -> None: ...
    def next_account_id(self) -> AccountId: ...
    def update_account(self, account: Account) -> None: ...
    def delete_account(self, account_id: AccountId) -> None:
        """The account with all that it owns."""

    def insert_address(self, row: AddressRow) -> None: ...
    def delete_address(self, address: Address) -> None: ...
    def put_setting(self, name: str, value: bytes) -> None: ...

    def insert_mailbox(self, mailbox: Mailbox) -> None: ...
    def update_mailbox(self, mailbox: Mailbox) -> None: ...
    def delete_mailbox(self, account_id: AccountId, mailbox_id: MailboxId) -> None:
        """The mailbox's row with its grants, properties and pairs; its entries must be expunged before, its tombstones stay."""

    def put_grant(self, grant: Grant) -> None:
        """In place of what the identifier had there."""

    def delete_grant(self, account_id: AccountId, mailbox_id: MailboxId, identifier: str) -> None:
        """Harmless where there is none."""

    def put_property(self, row: Property) -> None:
        """In place of the value it had."""

    def delete_property(self, account_id: AccountId, mailbox_id: MailboxId, kind: str, name: str) -> None:
        """Harmless where there is none."""

    def delete_properties(self, kind: str) -> None:
        """All of this kind, whoever's mailboxes they are of: it looks at every property there is."""

    def body_ref(self, body: "NewBody") -> BodyRef:
        """Where one of the unit's `bodies` was put."""

    def insert_email(self, email: Email) -> None: ...
    def take_email(self, account_id: AccountId, email_id: EmailId, body: "NewBody") -> EmailId:
        """One reference more to this content: to the email that the account holds, or to a new one with this id."""

    def add_references(self, account_id: AccountId, counts: Iterable[tuple[EmailId, int]]) -> None:
        """Change reference counts by these amounts; an email that reaches 0 is gone with the unit's commit."""

    def insert_entries(self, entries: Sequence[Entry]) -> None: ...
    def set_flagset(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, flagset_id: FlagSetId, modseq: ModSeq
    ) -> None:
        """Give the entries in these ranges this set. Every UID of the ranges is there."""

    def copy_entries(
        self, source: Mailbox, uids: UidRanges, destination_id: MailboxId, first: Uid, now: int, modseq: ModSeq, *, is_move: bool
    ) -> None:
        """New entries for the same emails in a mailbox of the same account, with UIDs from `first` on. Every UID of the ranges
        is there. A move keeps POP3's unique-id. References are the caller's."""

    def delete_entries(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> None:
        """Every UID of the ranges is there."""

    def insert_expunged(self, rows: Sequence[Expunged]) -> None: ...
    def bury_entries(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, modseq: ModSeq, now: int, *, recoverable: bool
    ) -> None:
        """The entries in these ranges become tombstones of this ModSeq: a recoverable one keeps its entry's reference to the
        email. Every UID of the ranges is there."""

    def forget_expunged(self, account_id: AccountId, before: int, limit: int) -> int:
        """End the recovery term of up to `limit` tombstones older than `before` (seconds since 1970): their email_id becomes
        None and their references end. Returns how many."""

    def take_expunged(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> list[Expunged]:
        """Tombstones that are being brought back: their email_id becomes None (references move to the caller)."""

    def flagset_id(self, account_id: AccountId, flags: frozenset[str]) -> FlagSetId:
        """The id of this set, interned when it is new."""

    def insert_changes(self, changes: Sequence[Change]) -> None:
        """Record and, after the commit, publish."""

    def forget_changes(self, account_id: AccountId, up_to: ModSeq) -> None:
        """What happened up to this ModSeq, which was handed out, becomes one SKIPPED. Nothing is published."""


Unit: TypeAlias = Callable[[Transaction], T]
WriteDone: TypeAlias = Callable[[T | None, BaseException | None], None]
"""Called with (result, None) once durable, or (None, error): a `MailstoreError`, or a bug."""


class NewBody(Protocol):
    """A whole message on its way in: it is in memory or in the spool, not yet durable. It belongs to one `write`
    at a time; `discard` it if it is never written, or after a write that failed."""

    @property
    def size(self) -> int: ...
    @property
    def content_id(self) -> bytes:
        """Of a body that was begun with room: in its unit of work and later only."""

    @property
    def has_dot_line(self) -> bool: ...
    def discard(self) -> None:
        """Give its space back; harmless after it was written, and when called twice."""


class BodyWriter(Protocol):
    """Takes a message as it arrives. Small ones stay in memory, others go to the spool (StoreFull may be raised)."""

    @property
    def size(self) -> int:
        """Octets so far."""

    def write(self, data: bytes) -> None: ...
    def finish(self, prefix: bytes = b"") -> NewBody:
        """Nothing more comes. `prefix` is put in front; it ends a line, and there is `room` for it (ValueError)."""

    def discard(self) -> None: ...


class Subscription(Protocol):
    """A subscriber's handle."""

    def cancel(self) -> None:
        """No more calls after this returns."""


class TextIndex(Protocol):
    """What emails say, kept apart from the store and rebuildable from it (`service/indexer.py` fills it behind deliveries). An
    email never changes and its id is never used again: nothing goes stale, it can only be incomplete. Any thread may call; each
    method may raise TextIndexFailed."""

    def indexed_up_to(self, account_id: AccountId) -> EmailId:
        """Every email up to and with this one is in the index, unless it is gone or `is_too_long`. 0: none."""

    def too_long(self, account_id: AccountId) -> frozenset[EmailId]:
        """Emails up to there that are not in the index, for their text is too long to be kept twice."""

    def find(self, account_id: AccountId, needle: Needle, among: Sequence[EmailId]) -> set[EmailId]:
        """Those of `among` (ascending, all of them indexed) that hold the needle: exactly what `searchtext.holds` says."""

    def put(self, account_id: AccountId, texts: Sequence[tuple[EmailId, SearchText | None]], last: tuple[EmailId, bytes]) -> None:
        """Add emails (None: too long). `last` is the email up to which the index is complete then, with its content id."""

    def emails(self, account_id: AccountId) -> list[EmailId]:
        """All that it has of an account, ascending."""

    def progress(self) -> dict[AccountId, tuple[EmailId, bytes]]:
        """The `last` of the last `put` of all accounts."""

    def forget(self, account_id: AccountId, email_ids: Sequence[EmailId] | None = None) -> None:
        """Drop these emails; None: the account."""

    def close(self) -> None: ...


class Store(Protocol):
    """One store, opened. All methods are called on the loop's thread."""

    @property
    def reader(self) -> Reader:
        """For short look-ups between two awaits."""

    async def read(self, unit: Callable[[Reader], T]) -> T:
        """Run a bulk read off the loop on one consistent snapshot."""

    def write(self, unit: Unit[T], bodies: Sequence[NewBody], done: WriteDone[T]) -> None:
        """Queue a unit of work; `bodies` are durable before any row that names them is acknowledged. Never raises:
        `StoreFull`, `StoreClosed` and what the unit raised go to `done`, on the loop's thread, never before this returns.
        Units run in the order in which they were queued, but for one with a long message: others may overtake it while its
        octets are synced. A unit may run twice, when its first run was undone (so it keeps no state of its own)."""

    async def perform(self, unit: Unit[T], bodies: Sequence[NewBody] = (), *, is_small: bool = False) -> T:
        """`write` as a coroutine. Cancelling the wait does not undo the unit. `is_small`: it reads and writes a few rows, and
        may hold the loop for as long as that takes."""

    def perform_now(self, unit: Unit[T]) -> tuple[T] | None:
        """Run a unit that does nothing but change flags, before this returns: its outcome is visible at once and outlives this
        process; it outlives the machine within 100 ms. None: not now (others wait, or flags are to be synced first); then
        nothing happened, and it is `perform`ed. What the unit raises is raised."""

    def new_body(self, room: int = 0) -> BodyWriter:
        """A writer for a message on its way in."""

    def read_body(self, ref: BodyRef, offset: int = 0, length: int | None = None) -> bytes:
        """Octets of a body; a whole body is checked against its checksum (BodyCorrupt), a part is not."""

    def body_pieces(self, ref: BodyRef) -> Iterator[bytes]:
        """A body in pieces of up to 1 MB, read as they are asked for; the checksum is checked before the last piece is
        handed out (BodyCorrupt), so that a bad body never looks complete."""

    def read_window(self, ref: BodyRef, length: int) -> tuple[int, bytes]:
        """(offset, octets): up to `length` octets of `ref.segment` from `ref.offset` on, unchecked, for reading neighbours
        together; the caller checks each body's CRC."""

    def mapped_body(self, ref: BodyRef) -> AbstractContextManager[Octets]:
        """A whole body of any size as octets that are read as they are looked at, unchecked. They end with the block."""

    @property
    def digests(self) -> Digests:
        """What was rendered of each email, as far as it was."""

    def observe(self, receive: Callable[[Sequence[Change]], None]) -> Subscription:
        """`receive(changes)` on the loop's thread after every commit of this process, whatever account: for work that goes on
        behind deliveries. It must be quick."""

    def subscribe(self, account_id: AccountId, receive: Callable[[Sequence[Change]], None]) -> Subscription:
        """`receive(changes)` on the loop's thread after every commit that changed the account, whoever made it (a change
        by another process of the same machine arrives within a second)."""

    def close(self) -> None:
        """Finish what is queued, then release everything; blocks. `done` of what was queued is still called."""
