"""The tables as dicts; reads over them, and writes that keep an undo journal.

A row is inserted once and updated only where it is: a service that breaks this gets a KeyError, as SQL would refuse.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from postwren.mailstore.columns import Columns, FlagColumns
from postwren.mailstore.model import (
    Account,
    AddressRow,
    BodyRef,
    Change,
    ChangeKind,
    Email,
    Entry,
    Expunged,
    Grant,
    Mailbox,
    Property,
)
from postwren.mailstore.port import NewBody, UidRanges
from postwren.mailstore.queue import QUEUE_LOGIN
from postwren.storage.memory.body import MemoryBody, Segments
from postwren.storage.memory.domain import DomainRows, DomainTables, DomainWrites
from postwren.storage.memory.queue import QueueRows, QueueTables, QueueWrites
from postwren.storage.memory.replica import ReplicaRows, ReplicaTables, ReplicaWrites
from postwren.terms import AccountId, Address, EmailId, FlagSetId, MailboxId, ModSeq, Uid

__all__ = ["MemoryReader", "MemoryTransaction", "Tables"]

K = TypeVar("K")
V = TypeVar("V")


class AccountTables:
    """What one account owns."""

    __slots__ = (
        "changes",
        "contents",
        "emails",
        "entries",
        "expunged",
        "flagset_ids",
        "flagsets",
        "mailboxes",
        "names",
        "properties",
        "replica",
    )

    def __init__(self) -> None:
        self.mailboxes: dict[MailboxId, Mailbox] = {}
        self.names: dict[str, MailboxId] = {}
        self.emails: dict[EmailId, Email] = {}
        self.contents: dict[bytes, EmailId] = {}
        self.entries: dict[MailboxId, dict[Uid, Entry]] = {}
        self.expunged: dict[MailboxId, dict[Uid, Expunged]] = {}
        self.flagsets: dict[FlagSetId, frozenset[str]] = {FlagSetId(0): frozenset()}
        self.flagset_ids: dict[frozenset[str], FlagSetId] = {frozenset(): FlagSetId(0)}
        self.properties: dict[tuple[MailboxId, str, str], Property] = {}  # by mailbox, kind, name
        self.changes: list[Change] = []
        self.replica = ReplicaTables()


_NOTHING = AccountTables()
"""What an account that does not exist owns; never written."""


class Tables:
    """Everything that is known."""

    __slots__ = ("accounts", "addresses", "counters", "domains", "grants", "logins", "own_domains", "owned", "queue", "settings")

    def __init__(self) -> None:
        self.accounts: dict[AccountId, Account] = {}
        self.logins: dict[str, AccountId] = {}
        self.owned: dict[AccountId, AccountTables] = {}
        self.addresses: dict[Address, AddressRow] = {}
        self.domains: dict[str, int] = {}  # addresses in it
        self.grants: dict[tuple[AccountId, MailboxId, str], Grant] = {}
        self.settings: dict[str, bytes] = {}
        self.counters: dict[str, int] = {"account": 1}
        self.queue = QueueTables()
        self.own_domains = DomainTables()


class MemoryReader(ReplicaRows, QueueRows, DomainRows):
    """Reads; between two units of work all of it is committed."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def _of(self, account_id: AccountId) -> AccountTables:
        return self._tables.owned.get(account_id, _NOTHING)

    # -- directory

    def account(self, account_id: AccountId) -> Account | None:
        return self._tables.accounts.get(account_id)

    def account_by_login(self, login: str) -> Account | None:
        account_id = self._tables.logins.get(login)
        return None if account_id is None else self._tables.accounts[account_id]

    def accounts(self) -> Iterator[Account]:
        return iter([account for account in self._tables.accounts.values() if account.login != QUEUE_LOGIN])

    def address(self, address: Address) -> AddressRow | None:
        return self._tables.addresses.get(address)

    def addresses(self, account_id: AccountId | None = None) -> Iterator[AddressRow]:
        return iter([row for row in self._tables.addresses.values() if account_id in (None, row.account_id)])

    def domain_exists(self, domain: str) -> bool:
        return domain in self._tables.domains or domain in self._tables.own_domains.rows

    def only_domain(self) -> str | None:
        domains = self._tables.domains
        return next(iter(domains)) if len(domains) == 1 else None

    def granted(self, identifier: str) -> list[Grant]:
        return sorted(grant for grant in self._tables.grants.values() if grant.identifier == identifier)

    def setting(self, name: str) -> bytes | None:
        return self._tables.settings.get(name)

    # -- one account

    def mailbox(self, account_id: AccountId, mailbox_id: MailboxId) -> Mailbox | None:
        return self._of(account_id).mailboxes.get(mailbox_id)

    def mailbox_by_name(self, account_id: AccountId, name: str) -> Mailbox | None:
        mine = self._of(account_id)
        mailbox_id = mine.names.get(name)
        return None if mailbox_id is None else mine.mailboxes[mailbox_id]

    def mailboxes(self, account_id: AccountId) -> list[Mailbox]:
        return sorted(self._of(account_id).mailboxes.values(), key=lambda m: m.mailbox_id)

    def grants(self, account_id: AccountId, mailbox_id: MailboxId) -> list[Grant]:
        return sorted(grant for grant in self._tables.grants.values() if grant[:2] == (account_id, mailbox_id))

    def properties(self, account_id: AccountId, mailbox_id: MailboxId, kind: str) -> list[Property]:
        rows = self._of(account_id).properties
        return [rows[key] for key in sorted(rows) if key[:2] == (mailbox_id, kind)]

    def property_count(self, account_id: AccountId) -> int:
        return len(self._of(account_id).properties)

    def email(self, account_id: AccountId, email_id: EmailId) -> Email | None:
        return self._of(account_id).emails.get(email_id)

    def email_by_content(self, account_id: AccountId, content_id: bytes) -> Email | None:
        mine = self._of(account_id)
        email_id = mine.contents.get(content_id)
        return None if email_id is None else mine.emails[email_id]

    def emails_of(self, account_id: AccountId, email_ids: Sequence[int]) -> list[Email]:
        emails = self._of(account_id).emails
        return [emails[EmailId(each)] for each in sorted(set(email_ids)) if each in emails]

    def emails(self, account_id: AccountId, after: int = 0) -> Iterator[Email]:
        emails = self._of(account_id).emails
        return iter([emails[email_id] for email_id in sorted(emails) if email_id > after])

    def entries(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges | None = None) -> list[Entry]:
        rows = self._of(account_id).entries.get(mailbox_id, {})
        return [rows[uid] for uid in _within(rows, uids)]

    def columns(self, account_id: AccountId, mailbox_id: MailboxId, above: Uid) -> Columns:
        columns = Columns()
        columns.extend(self.pick(account_id, mailbox_id, [(above + 1, 2**32 - 1)], tuple(Columns.TYPES)))
        return columns

    def pick(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges | None, names: Sequence[str]
    ) -> "list[array[int]]":
        rows = self.entries(account_id, mailbox_id, uids)
        positions = [Entry._fields.index(name) for name in names]
        return [array(Columns.TYPES[name], [row[at] for row in rows]) for name, at in zip(names, positions, strict=True)]  # type: ignore[misc]

    def uids_with(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, flagset_ids: Sequence[FlagSetId], limit: int
    ) -> "array[int]":
        found = [entry.uid for entry in self.entries(account_id, mailbox_id, uids) if entry.flagset_id in flagset_ids]
        return array("I", found[:limit])

    def flag_columns(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> FlagColumns:
        return FlagColumns(*self.pick(account_id, mailbox_id, uids, ("uid", "flagset_id", "modseq")))

    def maildrop_rows(
        self, account_id: AccountId, mailbox_id: MailboxId
    ) -> list[tuple[Uid, int, str | None, int, int, int, bool]]:
        emails = self._of(account_id).emails
        drop = []
        for entry in self.entries(account_id, mailbox_id):
            email = emails[entry.email_id]
            body = email.body
            drop.append((entry.uid, entry.size, entry.uidl, body.segment, body.offset, body.crc, email.has_dot_line))
        return drop

    def changed_since(self, account_id: AccountId, mailbox_id: MailboxId, modseq: ModSeq) -> list[Entry]:
        return [entry for entry in self.entries(account_id, mailbox_id) if entry.modseq > modseq]

    def expunged_since(self, account_id: AccountId, mailbox_id: MailboxId, modseq: ModSeq) -> list[Uid]:
        rows = self._of(account_id).expunged.get(mailbox_id, {})
        return sorted(uid for uid, row in rows.items() if row.modseq > modseq)

    def expunged(self, account_id: AccountId, mailbox_id: MailboxId | None = None) -> list[Expunged]:
        tables = self._of(account_id).expunged
        wanted = sorted(tables) if mailbox_id is None else [mailbox_id]
        rows = [row for key in wanted for row in tables.get(key, {}).values() if row.email_id is not None]
        return sorted(rows, key=lambda row: (row.mailbox_id, row.uid))

    def ending(self, before: int) -> list[AccountId]:
        accounts = sorted(self._tables.accounts)
        return [a for a in accounts if any(row.expunged < before for row in self.expunged(a))]

    def changes(self, account_id: AccountId, since: ModSeq, limit: int = 1000) -> list[Change]:
        found: list[Change] = []
        for change in self._of(account_id).changes:
            if change.modseq <= since:
                continue
            if len(found) >= limit and change.modseq != found[-1].modseq:
                break
            found.append(change)
        return found

    def flagset(self, account_id: AccountId, flagset_id: FlagSetId) -> frozenset[str]:
        return self._of(account_id).flagsets[flagset_id]

    def flagsets(self, account_id: AccountId) -> dict[FlagSetId, frozenset[str]]:
        return dict(self._of(account_id).flagsets)


class MemoryTransaction(ReplicaWrites, QueueWrites, DomainWrites, MemoryReader):
    """Writes of one unit of work: `commit` or `roll_back` ends it."""

    __slots__ = ("_bodies", "_gone", "_journal", "_kept", "_named", "_segments", "_unnamed", "changed")

    def __init__(self, tables: Tables, segments: Segments, bodies: Sequence[NewBody]) -> None:
        super().__init__(tables)
        self._segments = segments
        self._bodies = bodies
        self._kept: dict[int, BodyRef] = {}  # by id of the body
        self._gone: dict[tuple[AccountId, EmailId], None] = {}  # emails whose references reached 0
        self._named: list[BodyRef] = []  # bodies that an email took
        self._unnamed: list[BodyRef] = []  # bodies that lost their email
        self._journal: list[Callable[[], object]] = []
        self.changed: list[Change] = []

    def commit(self) -> None:
        """Keep it all; emails that nothing names are dropped now, and bodies that no email names."""
        for ref in self._named:
            self._segments.name(ref)
        for account_id, email_id in self._gone:
            mine = self._of(account_id)
            email = mine.emails.get(email_id)
            if email is not None and email.references == 0:
                del mine.emails[email_id], mine.contents[email.content_id]
                self._unnamed.append(email.body)
        self._unnamed.extend(ref for ref in self._kept.values() if ref not in self._named)
        for ref in self._unnamed:
            self._segments.release(ref)

    def roll_back(self) -> None:
        """Nothing happened."""
        for undo in reversed(self._journal):
            undo()
        for ref in self._kept.values():
            self._segments.release(ref)

    # -- tables that remember

    def _insert(self, table: dict[K, V], key: K, value: V) -> None:
        if key in table:
            raise KeyError(f"there is a row {key!r}")
        table[key] = value
        self._journal.append(lambda: table.pop(key))

    def _put(self, table: dict[K, V], key: K, value: V) -> None:
        if key in table:
            self._update(table, key, value)
        else:
            self._insert(table, key, value)

    def _update(self, table: dict[K, V], key: K, value: V) -> None:
        old = table[key]
        table[key] = value
        self._journal.append(lambda: table.__setitem__(key, old))

    def _delete(self, table: dict[K, V], key: K) -> V:
        old = table.pop(key)
        self._journal.append(lambda: table.__setitem__(key, old))
        return old

    # -- directory

    def next_account_id(self) -> AccountId:
        counters = self._tables.counters
        account_id = AccountId(counters["account"])
        self._update(counters, "account", account_id + 1)
        return account_id

    def insert_account(self, account: Account) -> None:
        self._insert(self._tables.logins, account.login, account.account_id)
        self._insert(self._tables.accounts, account.account_id, account)
        self._insert(self._tables.owned, account.account_id, AccountTables())

    def update_account(self, account: Account) -> None:
        if self._tables.accounts[account.account_id].login != account.login:
            raise KeyError("a login does not change")
        self._update(self._tables.accounts, account.account_id, account)

    def delete_account(self, account_id: AccountId) -> None:
        account = self._delete(self._tables.accounts, account_id)
        self._delete(self._tables.logins, account.login)
        for row in self.addresses(account_id):
            self.delete_address(row.address)
        for grant in [grant for grant in self._tables.grants.values() if grant.account_id == account_id]:
            self.delete_grant(*grant[:3])
        tokens = self._tables.queue.tokens
        for key in [key for key in tokens if key[0] == account_id]:
            self._delete(tokens, key)
        mine = self._delete(self._tables.owned, account_id)
        self._unnamed.extend(email.body for email in mine.emails.values())

    def insert_address(self, row: AddressRow) -> None:
        self._insert(self._tables.addresses, row.address, row)
        domains, domain = self._tables.domains, row.address.domain
        if domain in domains:
            self._update(domains, domain, domains[domain] + 1)
        else:
            self._insert(domains, domain, 1)

    def delete_address(self, address: Address) -> None:
        self._delete(self._tables.addresses, address)
        domains, domain = self._tables.domains, address.domain
        if domains[domain] > 1:
            self._update(domains, domain, domains[domain] - 1)
        else:
            self._delete(domains, domain)

    def put_setting(self, name: str, value: bytes) -> None:
        self._put(self._tables.settings, name, value)

    # -- one account

    def insert_mailbox(self, mailbox: Mailbox) -> None:
        mine = self._tables.owned[mailbox.account_id]
        self._insert(mine.names, mailbox.name, mailbox.mailbox_id)
        self._insert(mine.mailboxes, mailbox.mailbox_id, mailbox)
        self._insert(mine.entries, mailbox.mailbox_id, {})
        self._insert(mine.expunged, mailbox.mailbox_id, {})

    def update_mailbox(self, mailbox: Mailbox) -> None:
        mine = self._of(mailbox.account_id)
        old = mine.mailboxes[mailbox.mailbox_id]
        if old.name != mailbox.name:
            self._delete(mine.names, old.name)
            self._insert(mine.names, mailbox.name, mailbox.mailbox_id)
        self._update(mine.mailboxes, mailbox.mailbox_id, mailbox)

    def delete_mailbox(self, account_id: AccountId, mailbox_id: MailboxId) -> None:
        mine = self._of(account_id)
        if mine.entries[mailbox_id]:
            raise KeyError("entries must be expunged before their mailbox")
        self._delete(mine.names, mine.mailboxes[mailbox_id].name)
        self._delete(mine.mailboxes, mailbox_id)
        self._delete(mine.entries, mailbox_id)
        for grant in self.grants(account_id, mailbox_id):
            self.delete_grant(*grant[:3])
        tables: tuple[dict[Any, Any], ...] = (mine.properties, mine.replica.pairs)
        for rows in tables:
            for key in [key for key in rows if key[0] == mailbox_id]:
                self._delete(rows, key)

    def put_grant(self, grant: Grant) -> None:
        self._put(self._tables.grants, grant[:3], grant)

    def delete_grant(self, account_id: AccountId, mailbox_id: MailboxId, identifier: str) -> None:
        if (account_id, mailbox_id, identifier) in self._tables.grants:
            self._delete(self._tables.grants, (account_id, mailbox_id, identifier))

    def put_property(self, row: Property) -> None:
        self._put(self._tables.owned[row.account_id].properties, row[1:4], row)

    def delete_property(self, account_id: AccountId, mailbox_id: MailboxId, kind: str, name: str) -> None:
        mine = self._of(account_id)
        if (mailbox_id, kind, name) in mine.properties:
            self._delete(mine.properties, (mailbox_id, kind, name))

    def delete_properties(self, kind: str) -> None:
        for mine in self._tables.owned.values():
            for key in [key for key in mine.properties if key[1] == kind]:
                self._delete(mine.properties, key)

    def body_ref(self, body: NewBody) -> BodyRef:
        ref = self._kept.get(id(body))
        if ref is None:
            if not any(body is mine for mine in self._bodies):
                raise KeyError("not a body of this unit")
            if not isinstance(body, MemoryBody) or body.data is None:
                raise KeyError("a body that was written or discarded")
            ref = self._kept[id(body)] = self._segments.keep(body.data)
        return ref

    def insert_email(self, email: Email) -> None:
        mine = self._tables.owned[email.account_id]
        self._insert(mine.contents, email.content_id, email.email_id)
        self._insert(mine.emails, email.email_id, email)
        self._named.append(email.body)

    def take_email(self, account_id: AccountId, email_id: EmailId, body: NewBody) -> EmailId:
        known = self.email_by_content(account_id, body.content_id)
        if known is not None:
            self.add_references(account_id, ((known.email_id, 1),))
            return known.email_id
        self.insert_email(Email(account_id, email_id, body.content_id, self.body_ref(body), body.has_dot_line, 1))
        return email_id

    def add_references(self, account_id: AccountId, counts: Iterable[tuple[EmailId, int]]) -> None:
        emails = self._of(account_id).emails
        for email_id, count in counts:
            email = emails[email_id]
            references = email.references + count
            if references < 0:
                raise ValueError("fewer than no references")
            self._update(emails, email_id, email._replace(references=references))
            if references == 0:
                self._gone[account_id, email_id] = None

    def insert_entries(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._insert(self._of(entry.account_id).entries[entry.mailbox_id], entry.uid, entry)

    def set_flagset(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, flagset_id: FlagSetId, modseq: ModSeq
    ) -> None:
        entries = self._of(account_id).entries[mailbox_id]
        for uid in _within(entries, uids):
            self._update(entries, uid, entries[uid]._replace(flagset_id=flagset_id, modseq=modseq))

    def copy_entries(
        self, source: Mailbox, uids: UidRanges, destination_id: MailboxId, first: Uid, now: int, modseq: ModSeq, *, is_move: bool
    ) -> None:
        usual = f"{source.uidvalidity:x}."
        copies = [
            entry._replace(
                mailbox_id=destination_id,
                uid=Uid(uid),
                savedate=now,
                modseq=modseq,
                created_modseq=modseq,
                uidl=(entry.uidl or f"{usual}{entry.uid:x}") if is_move else None,
            )
            for uid, entry in enumerate(self.entries(source.account_id, source.mailbox_id, uids), first)
        ]
        self.insert_entries(copies)

    def delete_entries(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> None:
        entries = self._of(account_id).entries[mailbox_id]
        for uid in _within(entries, uids):
            self._delete(entries, uid)

    def insert_expunged(self, rows: Sequence[Expunged]) -> None:
        for row in rows:
            self._insert(self._of(row.account_id).expunged[row.mailbox_id], row.uid, row)

    def bury_entries(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, modseq: ModSeq, now: int, *, recoverable: bool
    ) -> None:
        entries = self.entries(account_id, mailbox_id, uids)
        self.delete_entries(account_id, mailbox_id, uids)
        self.insert_expunged([_tombstone(entry, modseq, now, recoverable) for entry in entries])

    def forget_expunged(self, account_id: AccountId, before: int, limit: int) -> int:
        ended = [row for row in self.expunged(account_id) if row.expunged < before][:limit]
        self.add_references(account_id, [(EmailId(row.email_id or 0), -1) for row in ended])
        self._end_recovery(ended)
        return len(ended)

    def take_expunged(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> list[Expunged]:
        rows = self._of(account_id).expunged.get(mailbox_id, {})
        taken = [rows[uid] for uid in _within(rows, uids) if rows[uid].email_id is not None]
        self._end_recovery(taken)
        return taken

    def _end_recovery(self, rows: Iterable[Expunged]) -> None:
        for row in rows:
            self._update(self._of(row.account_id).expunged[row.mailbox_id], row.uid, row._replace(email_id=None))

    def flagset_id(self, account_id: AccountId, flags: frozenset[str]) -> FlagSetId:
        mine = self._tables.owned[account_id]
        known = mine.flagset_ids.get(flags)
        if known is None:
            known = FlagSetId(len(mine.flagsets))
            self._insert(mine.flagset_ids, flags, known)
            self._insert(mine.flagsets, known, flags)
        return known

    def insert_changes(self, changes: Sequence[Change]) -> None:
        for change in changes:
            log = self._tables.owned[change.account_id].changes
            log.append(change)
            self._journal.append(log.pop)
        self.changed.extend(changes)

    def forget_changes(self, account_id: AccountId, up_to: ModSeq) -> None:
        log = self._tables.owned[account_id].changes
        old = log[:]
        skipped = Change(account_id, up_to, ChangeKind.SKIPPED, MailboxId(0), Uid(0), Uid(0))
        log[:] = [skipped, *[change for change in old if change.modseq > up_to]]
        self._journal.append(lambda: log.__setitem__(slice(None), old))


def _tombstone(entry: Entry, modseq: ModSeq, now: int, recoverable: bool) -> Expunged:
    email_id = entry.email_id if recoverable else None
    key = entry.account_id, entry.mailbox_id, entry.uid
    return Expunged(*key, modseq, now, email_id, entry.flagset_id, entry.internaldate, entry.savedate, entry.size, entry.uidl)


def _within(rows: dict[Uid, V], uids: UidRanges | None) -> list[Uid]:
    """The keys in these ranges, ascending, by whichever side is smaller."""
    if uids is None:
        return sorted(rows)
    if sum(hi - lo + 1 for lo, hi in uids) <= len(rows):
        return [Uid(uid) for lo, hi in uids for uid in range(lo, hi + 1) if uid in rows]
    ordered = sorted(rows)
    return [uid for lo, hi in uids for uid in ordered[bisect_left(ordered, lo) : bisect_right(ordered, hi)]]
