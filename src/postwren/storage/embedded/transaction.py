"""Row-level writes inside a unit of work: the other half of `reader`.

One object lives as long as the writer and remembers the rows of accounts and mailboxes that it read or wrote. They are true
as long as no other process writes and nothing is undone; `forget` drops them then.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import apsw

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
from postwren.mailstore.service import uidrange
from postwren.storage.embedded.body import MemoryBody, SpooledBody, SpoolFile
from postwren.storage.embedded.domain import DomainWrites
from postwren.storage.embedded.index import value
from postwren.storage.embedded.queue import QueueWrites
from postwren.storage.embedded.reader import EXPUNGED_IN, MOST_REMEMBERED, EmbeddedReader, credentials_text, ranges_text
from postwren.storage.embedded.replica import ReplicaWrites
from postwren.storage.embedded.segment import RETIRED, OwnSegment
from postwren.terms import AccountId, Address, EmailId, FlagSetId, MailboxId, ModSeq, Uid

__all__ = ["EmbeddedTransaction"]

OWNED: Final = (
    *("address", "mailbox", "email", "entry", "expunged", "change", "flagset", "grant_", "property"),
    *("replica", "pair", "taken", "submission", "account"),
)
_INSERT: Final = {
    table: f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608 - names of ours
    for table, columns in (("account", 11), ("mailbox", 13), ("email", 9), ("entry", 11), ("expunged", 11), ("change", 7))
}
_TAKE_EMAIL: Final = _INSERT["email"] + " ON CONFLICT (account_id, content_id) DO NOTHING"
_SOME: Final = " FROM entry WHERE account_id = ?1 AND mailbox_id = ?2 AND uid "
_ADD_REFERENCES: Final = "UPDATE email SET refs = refs + ?4 WHERE account_id = ?1 AND email_id BETWEEN ?2 AND ?3"
_ENDS: Final = "SELECT segment, max(offset + size) FROM email WHERE account_id = ? AND email_id BETWEEN ? AND ? GROUP BY segment"
_SET_FLAGSET: Final = "UPDATE entry SET flagset_id = ?5, modseq = ?6 WHERE account_id = ?1 AND mailbox_id = ?2 AND uid "
_COPY: Final = (
    "INSERT INTO entry SELECT account_id, ?5, uid + ?6, email_id, flagset_id, internaldate, ?7, ?8, ?8, size,"
    f" CASE WHEN ?9 NOTNULL THEN coalesce(uidl, printf('%x.%x', ?9, uid)) END{_SOME}BETWEEN ?3 AND ?4"
)
_MANY: Final = "IN (SELECT value FROM json_each(?3))"
_COPY_MANY: Final = _COPY.replace("uid + ?6", "row_number() OVER (ORDER BY uid) + ?6").replace(
    "BETWEEN ?3 AND ?4", f"{_MANY} AND ?4 ISNULL"
)
_BURY: Final = (
    "INSERT INTO expunged SELECT account_id, mailbox_id, uid, ?5, ?6, CASE WHEN ?7 THEN email_id END, flagset_id, internaldate,"
    f" savedate, size, uidl{_SOME}"
)
_DELETE: Final = f"DELETE{_SOME}"
_FEW: Final = 16
"""Ranges that are worth a statement each; many more are mostly single UIDs, which one statement takes together."""


class EmbeddedTransaction(ReplicaWrites, QueueWrites, DomainWrites, EmbeddedReader):
    """The writer's view: `begin` before each unit, `finish` after one that succeeded, `forget` after one that did not."""

    def __init__(self, connection: apsw.Connection, segment: OwnSegment) -> None:
        super().__init__(connection)
        self._segment = segment
        self._accounts: dict[AccountId, Account] = {}
        self._mailboxes: dict[tuple[AccountId, MailboxId], Mailbox] = {}
        self._by_name: dict[tuple[AccountId, str], MailboxId] = {}
        self._flagset_ids: dict[tuple[AccountId, frozenset[str]], FlagSetId] = {}
        self._bodies: set[int] = set()  # by id(); whoever began holds them
        self._placed: dict[int, BodyRef] = {}
        self._unreferenced: list[tuple[AccountId, EmailId]] = []
        self.changed: list[Change] = []

    def begin(self, bodies: Sequence[NewBody]) -> None:
        self._bodies = set(map(id, bodies))
        self._placed.clear()
        self._unreferenced.clear()
        self.changed = []

    def finish(self) -> None:
        """Emails that nothing names any more go with the unit that took their last reference."""
        if self._unreferenced:
            sql = "DELETE FROM email WHERE account_id = ? AND email_id = ? AND refs = 0"
            self._connection.executemany(sql, self._unreferenced)

    def forget(self) -> None:
        """What is remembered may not be true any more."""
        self._accounts.clear()
        self._mailboxes.clear()
        self._by_name.clear()
        self._flagset_ids.clear()
        self._flags.clear()

    # -- directory

    def account(self, account_id: AccountId) -> Account | None:
        account = self._accounts.get(account_id)
        if account is None:
            account = super().account(account_id)
            if account is not None:
                self._remember_account(account)
        return account

    def _remember_account(self, account: Account) -> None:
        if len(self._accounts) >= MOST_REMEMBERED:
            self._accounts.clear()
        self._accounts[account.account_id] = account

    def next_account_id(self) -> AccountId:
        sql = "UPDATE counter SET value = value + 1 WHERE name = 'account' RETURNING value - 1"
        return AccountId(value(self._connection, sql))

    def insert_account(self, account: Account) -> None:
        self._execute(_INSERT["account"], (*account[:2], credentials_text(account.credentials), *account[3:]))

    def update_account(self, account: Account) -> None:
        old = self.account(account.account_id)
        if old is None or old.login != account.login:
            raise KeyError("an account that is not there, or a login that changed")
        if old.credentials is not account.credentials:
            sql = "UPDATE account SET credentials = ? WHERE account_id = ?"
            self._execute(sql, (credentials_text(account.credentials), account.account_id))
        self._execute(
            "UPDATE account SET modseq = ?, next_mailbox_id = ?, next_email_id = ?, next_uidvalidity = ?, used = ?, quota = ?,"
            " message_quota = ? WHERE account_id = ?",
            (*account[4:11], account.account_id),
        )
        self._accounts[account.account_id] = account

    def delete_account(self, account_id: AccountId) -> None:
        for table in OWNED:
            self._execute(f"DELETE FROM {table} WHERE account_id = ?", (account_id,))  # noqa: S608 - names of ours
        self.forget()

    def insert_address(self, row: AddressRow) -> None:
        self._execute("INSERT INTO address VALUES (?, ?, ?)", (row.address.domain, row.address.local, row.account_id))

    def delete_address(self, address: Address) -> None:
        self._execute("DELETE FROM address WHERE domain = ? AND local = ?", (address.domain, address.local))

    def put_setting(self, name: str, value: bytes) -> None:
        self._execute("INSERT INTO setting VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2", (name, value))

    # -- mailboxes

    def mailbox(self, account_id: AccountId, mailbox_id: MailboxId) -> Mailbox | None:
        mailbox = self._mailboxes.get((account_id, mailbox_id))
        return mailbox or self._remember_mailbox(super().mailbox(account_id, mailbox_id))

    def mailbox_by_name(self, account_id: AccountId, name: str) -> Mailbox | None:
        mailbox_id = self._by_name.get((account_id, name))
        if mailbox_id is not None:
            return self.mailbox(account_id, mailbox_id)
        return self._remember_mailbox(super().mailbox_by_name(account_id, name))

    def _remember_mailbox(self, mailbox: Mailbox | None) -> Mailbox | None:
        if mailbox is not None:
            if len(self._mailboxes) >= MOST_REMEMBERED:
                self._mailboxes.clear()
                self._by_name.clear()
            self._mailboxes[mailbox.account_id, mailbox.mailbox_id] = mailbox
            self._by_name[mailbox.account_id, mailbox.name] = mailbox.mailbox_id
        return mailbox

    def insert_mailbox(self, mailbox: Mailbox) -> None:
        use = mailbox.special_use
        self._execute(_INSERT["mailbox"], (*mailbox[:10], use and use.value, mailbox.is_subscribed, mailbox.created_modseq))

    def update_mailbox(self, mailbox: Mailbox) -> None:
        key = mailbox.account_id, mailbox.mailbox_id
        old = self.mailbox(*key)
        if old is None:
            raise KeyError(key)
        if old.name != mailbox.name or old[10:12] != mailbox[10:12]:  # seldom, and it costs the index of names an update
            sql = "UPDATE mailbox SET name = ?, special_use = ?, is_subscribed = ? WHERE account_id = ? AND mailbox_id = ?"
            use = mailbox.special_use
            self._execute(sql, (mailbox.name, use and use.value, mailbox.is_subscribed, *key))
            self._by_name.pop((mailbox.account_id, old.name), None)
        self._execute(
            "UPDATE mailbox SET uidvalidity = ?, uidnext = ?, highestmodseq = ?, messages = ?, unseen = ?, deleted = ?, size = ?"
            " WHERE account_id = ? AND mailbox_id = ?",
            (*mailbox[3:10], *key),
        )
        self._mailboxes[key] = mailbox
        self._by_name[mailbox.account_id, mailbox.name] = mailbox.mailbox_id

    def delete_mailbox(self, account_id: AccountId, mailbox_id: MailboxId) -> None:
        key = account_id, mailbox_id
        if self._row("SELECT 1 FROM entry WHERE account_id = ? AND mailbox_id = ? LIMIT 1", *key) is not None:
            raise KeyError("entries must be expunged before their mailbox")
        for table in ("mailbox", "grant_", "property", "pair"):
            self._execute(f"DELETE FROM {table} WHERE account_id = ? AND mailbox_id = ?", key)  # noqa: S608 - names of ours
        gone = self._mailboxes.pop(key, None)
        if gone is not None:
            self._by_name.pop((account_id, gone.name), None)

    def put_grant(self, grant: Grant) -> None:
        self._execute("INSERT OR REPLACE INTO grant_ VALUES (?, ?, ?, ?)", grant)

    def delete_grant(self, account_id: AccountId, mailbox_id: MailboxId, identifier: str) -> None:
        sql = "DELETE FROM grant_ WHERE account_id = ? AND mailbox_id = ? AND identifier = ?"
        self._execute(sql, (account_id, mailbox_id, identifier))

    def put_property(self, row: Property) -> None:
        self._execute("INSERT OR REPLACE INTO property VALUES (?, ?, ?, ?, ?)", row)

    def delete_property(self, account_id: AccountId, mailbox_id: MailboxId, kind: str, name: str) -> None:
        sql = "DELETE FROM property WHERE account_id = ? AND mailbox_id = ? AND kind = ? AND name = ?"
        self._execute(sql, (account_id, mailbox_id, kind, name))

    def delete_properties(self, kind: str) -> None:
        self._execute("DELETE FROM property WHERE kind = ?", (kind,))

    # -- messages

    def body_ref(self, body: NewBody) -> BodyRef:
        ref = self._placed.get(id(body))
        if ref is None:
            if id(body) not in self._bodies or not isinstance(body, MemoryBody | SpooledBody):
                raise KeyError("not a body of this unit")
            ref = self._placed[id(body)] = self._segment.place(body)
        return ref

    def insert_email(self, email: Email) -> None:
        account_id, email_id, content_id, body, has_dot_line, references = email
        self._execute(_INSERT["email"], (account_id, email_id, content_id, *body, has_dot_line, references))
        self._segment.need_durable(body.segment, body.offset + body.size)  # they may have been there before, for another account

    def take_email(self, account_id: AccountId, email_id: EmailId, body: NewBody) -> EmailId:
        """A short message is taken for a new one, which it nearly always is: one statement instead of two."""
        if isinstance(body, MemoryBody):
            mark, is_placed = self._segment.mark(), id(body) in self._placed
            ref = self.body_ref(body)
            self._execute(_TAKE_EMAIL, (account_id, email_id, body.content_id, *ref, body.has_dot_line, 1))
            if self._connection.changes():
                return email_id
            if not is_placed:
                self._segment.undo(mark)
                del self._placed[id(body)]
        known = self.email_by_content(account_id, body.content_id)
        if known is not None:
            self.add_references(account_id, ((known.email_id, 1),))
            return known.email_id
        self.insert_email(Email(account_id, email_id, body.content_id, self.body_ref(body), body.has_dot_line, 1))
        return email_id

    def add_references(self, account_id: AccountId, counts: Iterable[tuple[EmailId, int]]) -> None:
        by_count: dict[int, list[EmailId]] = {}
        for email_id, count in counts:
            by_count.setdefault(count, []).append(email_id)
        for count, email_ids in by_count.items():
            if count < 0 or len(email_ids) == 1:
                self._add_one_by_one(account_id, email_ids, count)
            else:
                self._add_to_many(account_id, email_ids, count)

    def _add_one_by_one(self, account_id: AccountId, email_ids: Iterable[EmailId], count: int) -> None:
        sql = "UPDATE email SET refs = refs + ? WHERE account_id = ? AND email_id = ? RETURNING refs, segment, offset + size"
        for email_id in email_ids:
            row = self._row(sql, count, account_id, email_id)
            if row is None:
                raise KeyError(email_id)
            if row[0] < 0:
                raise ValueError("fewer than no references")
            if count > 0:
                self._segment.need_durable(row[1], row[2])
            if row[0] == 0:
                self._unreferenced.append((account_id, email_id))

    def _add_to_many(self, account_id: AccountId, email_ids: Sequence[EmailId], count: int) -> None:
        for lo, hi in uidrange.of(email_ids):
            self._execute(_ADD_REFERENCES, (account_id, lo, hi, count))
            if self._connection.changes() != hi - lo + 1:
                raise KeyError((lo, hi))
            for segment, end in self._rows(_ENDS, account_id, lo, hi):
                self._segment.need_durable(segment, end)

    def insert_entries(self, entries: Sequence[Entry]) -> None:
        self._insert_rows("entry", entries)

    def _insert_rows(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if len(rows) == 1:
            self._execute(_INSERT[table], rows[0])
        elif rows:
            self._connection.executemany(_INSERT[table], rows)

    def set_flagset(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, flagset_id: FlagSetId, modseq: ModSeq
    ) -> None:
        self._for_each(_SET_FLAGSET, account_id, mailbox_id, uids, flagset_id, modseq)

    def _for_each(self, sql: str, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, *more: object) -> None:
        """A statement that ends before its condition on the UID, for the entries in these ranges, all of which are there."""
        bindings = cast("tuple[int, ...]", more)
        if len(uids) > _FEW:
            listed = json.dumps(uidrange.uids_of(uids))
            self._execute(f"{sql}{_MANY} AND ?4 ISNULL", (account_id, mailbox_id, listed, None, *bindings))
        else:
            rows = [(account_id, mailbox_id, lo, hi, *bindings) for lo, hi in uids]
            self._connection.executemany(f"{sql} BETWEEN ?3 AND ?4", rows)

    def copy_entries(
        self, source: Mailbox, uids: UidRanges, destination_id: MailboxId, first: Uid, now: int, modseq: ModSeq, *, is_move: bool
    ) -> None:
        usual = source.uidvalidity if is_move else None
        ids = source.account_id, source.mailbox_id
        if len(uids) > _FEW:
            listed = json.dumps(uidrange.uids_of(uids))
            self._execute(_COPY_MANY, (*ids, listed, None, destination_id, first - 1, now, modseq, usual))
            return
        rows, start = [], int(first)
        for lo, hi in uids:
            rows.append((*ids, lo, hi, destination_id, start - lo, now, modseq, usual))
            start += hi - lo + 1
        self._connection.executemany(_COPY, rows)

    def delete_entries(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> None:
        self._for_each(_DELETE, account_id, mailbox_id, uids)

    def insert_expunged(self, rows: Sequence[Expunged]) -> None:
        self._insert_rows("expunged", rows)

    def bury_entries(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, modseq: ModSeq, now: int, *, recoverable: bool
    ) -> None:
        self._for_each(_BURY, account_id, mailbox_id, uids, modseq, now, recoverable)
        self._for_each(_DELETE, account_id, mailbox_id, uids)

    def forget_expunged(self, account_id: AccountId, before: int, limit: int) -> int:
        sql = (
            "SELECT mailbox_id, uid, email_id FROM expunged WHERE account_id = ? AND email_id IS NOT NULL AND expunged < ?"
            " ORDER BY expunged LIMIT ?"
        )
        ended = self._rows(sql, account_id, before, limit)
        self.add_references(account_id, [(email_id, -1) for _, _, email_id in ended])
        self._forget_emails(account_id, [(mailbox_id, uid) for mailbox_id, uid, _ in ended])
        return len(ended)

    def _forget_emails(self, account_id: AccountId, keys: Iterable[tuple[int, int]]) -> None:
        """These tombstones name their email no more."""
        sql = "UPDATE expunged SET email_id = NULL WHERE account_id = ? AND mailbox_id = ? AND uid = ?"
        self._connection.executemany(sql, [(account_id, *key) for key in keys])

    def take_expunged(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> list[Expunged]:
        found = map(Expunged._make, self._rows(EXPUNGED_IN, account_id, mailbox_id, ranges_text(uids)))
        rows = [row for row in found if row.email_id is not None]
        self._forget_emails(account_id, [(mailbox_id, row.uid) for row in rows])
        return rows

    def flagset_id(self, account_id: AccountId, flags: frozenset[str]) -> FlagSetId:
        if not flags:
            return FlagSetId(0)
        known = self._flagset_ids.get((account_id, flags))
        if known is not None:
            return known
        text = " ".join(sorted(flags))
        row = self._row("SELECT flagset_id FROM flagset WHERE account_id = ? AND flags = ?", account_id, text)
        if row is None:
            sql = (
                "INSERT INTO flagset SELECT ?1, coalesce(max(flagset_id), 0) + 1, ?2 FROM flagset WHERE account_id = ?1"
                " RETURNING flagset_id"
            )
            row = self._row(sql, account_id, text)
        assert row is not None
        if len(self._flagset_ids) >= MOST_REMEMBERED:
            self._flagset_ids.clear()
        flagset_id = self._flagset_ids[account_id, flags] = FlagSetId(row[0])
        return flagset_id

    def insert_changes(self, changes: Sequence[Change]) -> None:
        rows = [(c.account_id, c.modseq, part, *c[2:]) for part, c in enumerate(changes, len(self.changed))]
        self._insert_rows("change", rows)
        self.changed.extend(changes)

    def forget_changes(self, account_id: AccountId, up_to: ModSeq) -> None:
        self._execute("DELETE FROM change WHERE account_id = ? AND modseq <= ?", (account_id, up_to))
        self._execute(_INSERT["change"], (account_id, up_to, 0, ChangeKind.SKIPPED, 0, 0, 0))

    # -- housekeeping

    def place_file(self, file: SpoolFile) -> int:
        """The number of the segment that a synced file of records becomes with this unit."""
        return self._segment.place_file(file)

    def move_bodies(self, moves: Iterable[tuple[BodyRef, int, int]]) -> None:
        """Rows that name a body name its copy (segment, offset) from now on."""
        sql = "UPDATE email SET segment = ?, offset = ? WHERE segment = ? AND offset = ? AND size = ?"
        self._connection.executemany(sql, [(segment, offset, *ref[:3]) for ref, segment, offset in moves])

    def retire_segment(self, segment_id: int, now: int) -> None:
        """Nothing names it any more: its file may go some time after `now`."""
        sql = "UPDATE segment SET state = ?, retired = ? WHERE segment_id = ?"
        self._execute(sql, (RETIRED, now, segment_id))

    def delete_segment(self, segment_id: int) -> None:
        """Its file is gone."""
        self._execute("DELETE FROM segment WHERE segment_id = ?", (segment_id,))
