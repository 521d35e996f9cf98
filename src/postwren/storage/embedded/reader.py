"""Row-level reads of the index: one statement each, shared by readers and by the transaction.

Every method reads all its rows before it returns, so that no statement stays open on a connection that others share.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apsw
import msgspec

from postwren.mailstore.columns import Columns, FlagColumns
from postwren.mailstore.model import (
    Account,
    AddressRow,
    BodyRef,
    Change,
    ChangeKind,
    Credentials,
    Email,
    Entry,
    Expunged,
    Grant,
    Mailbox,
    Property,
    ScramKeys,
)
from postwren.mailstore.port import UidRanges
from postwren.mailstore.queue import QUEUE_LOGIN
from postwren.mailstore.service import uidrange
from postwren.storage.embedded.domain import DomainRows
from postwren.storage.embedded.queue import QueueRows
from postwren.storage.embedded.replica import ReplicaRows
from postwren.terms import AccountId, Address, EmailId, FlagSetId, MailboxId, ModSeq, SpecialUse, Uid

__all__ = ["EmbeddedReader", "credentials_text", "ranges_text"]

MOST_REMEMBERED: Final = 1000
PAGE_ROWS: Final = 1000
COLUMN_ROWS: Final = 10_000  # of a page of columns: its texts are parsed in one step of the interpreter
NO_FLAGS: Final[frozenset[str]] = frozenset()

_EMAIL: Final = "SELECT account_id, email_id, content_id, segment, offset, size, crc, has_dot_line, refs FROM email"
_EMAILS_IN: Final = _EMAIL.replace("FROM email", "FROM json_each(?2) r CROSS JOIN email") + (
    " WHERE account_id = ?1 AND email_id BETWEEN r.value ->> 0 AND r.value ->> 1"
)
_BY_RANGE: Final = (
    "SELECT t.* FROM json_each(?3) r CROSS JOIN {} t WHERE t.account_id = ?1 AND t.mailbox_id = ?2"
    " AND t.uid BETWEEN r.value ->> 0 AND r.value ->> 1"
)
ENTRIES_IN: Final = _BY_RANGE.format("entry")
# A third of the time of the statement above, where there is one range.
_ENTRIES_BETWEEN: Final = "SELECT * FROM entry WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid"
# Columns come as one text each: SQLite writes them without holding the interpreter, and a row costs no object.
_COLUMNS: Final = (
    "SELECT json_group_array(uid), json_group_array(email_id), json_group_array(flagset_id), json_group_array(modseq),"
    " json_group_array(internaldate), json_group_array(savedate), json_group_array(size)"
    " FROM (SELECT * FROM entry WHERE account_id = ? AND mailbox_id = ? AND uid > ? ORDER BY uid LIMIT 10000)"
)
_PICK: Final = f"SELECT max(uid), %s FROM ({ENTRIES_IN} LIMIT {COLUMN_ROWS})"  # noqa: S608 - texts of ours
_UIDS_WITH: Final = (
    f"SELECT json_group_array(uid) FROM ({ENTRIES_IN.replace('t.*', 't.uid')}"  # noqa: S608 - texts of ours
    " AND t.flagset_id IN (SELECT value FROM json_each(?4)) LIMIT ?5)"
)
# Ten thousand neighbours that are all alike, as after STORE 1:*, need not be read one by one.
_ALIKE: Final = (
    "SELECT count(*), min(uid), max(uid), min(flagset_id), max(flagset_id), min(modseq), max(modseq) FROM entry"
    " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?"
)
_numbers: Final = msgspec.json.Decoder(list[int]).decode
EXPUNGED_IN: Final = _BY_RANGE.format("expunged")


def ranges_text(uids: UidRanges) -> str:
    """Ranges in the form that `json_each` takes: one statement, however many there are."""
    return json.dumps(list(uids))


def credentials_text(credentials: Credentials) -> str:
    scram = {
        name: [keys.salt.hex(), keys.iterations, keys.stored_key.hex(), keys.server_key.hex()]
        for name, keys in credentials.scram.items()
    }
    return json.dumps([credentials.password_hash, scram])


def _credentials(text: str) -> Credentials:
    password_hash, scram = json.loads(text)
    unhex = bytes.fromhex
    return Credentials(password_hash, {n: ScramKeys(unhex(a), i, unhex(b), unhex(c)) for n, (a, i, b, c) in scram.items()})


def _mailbox(row: tuple[Any, ...]) -> Mailbox:
    *counters, use, is_subscribed, created_modseq = row
    return Mailbox._make((*counters, None if use is None else SpecialUse(use), bool(is_subscribed), created_modseq))


def _email(row: tuple[Any, ...]) -> Email:
    return Email(row[0], row[1], row[2], BodyRef(*row[3:7]), bool(row[7]), row[8])


class EmbeddedReader(ReplicaRows, QueueRows, DomainRows):
    """Reads through one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._credentials: dict[str, Credentials] = {}  # by their text: a login's row is read far more often than it changes
        self._flags: dict[tuple[int, int], frozenset[str]] = {}  # an interned set never changes, nor is its id used again

    def _row(self, sql: str, *bindings: Any) -> tuple[Any, ...] | None:
        return self._execute(sql, bindings).fetchone()

    def _rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        return self._execute(sql, bindings).fetchall()

    # -- directory

    def _account(self, row: tuple[Any, ...] | None) -> Account | None:
        if row is None:
            return None
        text = row[2]
        credentials = self._credentials.get(text)
        if credentials is None:
            if len(self._credentials) >= MOST_REMEMBERED:
                self._credentials.clear()
            credentials = self._credentials[text] = _credentials(text)
        return Account(row[0], row[1], credentials, *row[3:])

    def account(self, account_id: AccountId) -> Account | None:
        return self._account(self._row("SELECT * FROM account WHERE account_id = ?", account_id))

    def account_by_login(self, login: str) -> Account | None:
        return self._account(self._row("SELECT * FROM account WHERE login = ?", login))

    def accounts(self) -> Iterator[Account]:
        for row in self._rows("SELECT * FROM account WHERE login != ? ORDER BY account_id", QUEUE_LOGIN):
            account = self._account(row)
            assert account is not None
            yield account

    def address(self, address: Address) -> AddressRow | None:
        row = self._row("SELECT account_id FROM address WHERE domain = ? AND local = ?", address.domain, address.local)
        return None if row is None else AddressRow(address, row[0])

    def addresses(self, account_id: AccountId | None = None) -> Iterator[AddressRow]:
        sql = "SELECT local, domain, account_id FROM address"
        if account_id is None:
            rows = self._rows(f"{sql} ORDER BY domain, local")
        else:
            rows = self._rows(f"{sql} WHERE account_id = ? ORDER BY domain, local", account_id)
        for local, domain, owner in rows:
            yield AddressRow(Address(local, domain), owner)

    def domain_exists(self, domain: str) -> bool:
        found = self._row("SELECT 1 FROM address WHERE domain = ? LIMIT 1", domain)
        return found is not None or self._row("SELECT 1 FROM domain WHERE name = ?", domain) is not None

    def only_domain(self) -> str | None:
        found = self._row("SELECT min(domain), max(domain) FROM address")
        return found[0] if found is not None and found[0] == found[1] else None

    def granted(self, identifier: str) -> list[Grant]:
        sql = "SELECT * FROM grant_ WHERE identifier = ? ORDER BY account_id, mailbox_id"
        return list(map(Grant._make, self._rows(sql, identifier)))

    def setting(self, name: str) -> bytes | None:
        row = self._row("SELECT value FROM setting WHERE name = ?", name)
        return None if row is None else bytes(row[0])

    # -- one account

    def mailbox(self, account_id: AccountId, mailbox_id: MailboxId) -> Mailbox | None:
        row = self._row("SELECT * FROM mailbox WHERE account_id = ? AND mailbox_id = ?", account_id, mailbox_id)
        return None if row is None else _mailbox(row)

    def mailbox_by_name(self, account_id: AccountId, name: str) -> Mailbox | None:
        row = self._row("SELECT * FROM mailbox WHERE account_id = ? AND name = ?", account_id, name)
        return None if row is None else _mailbox(row)

    def mailboxes(self, account_id: AccountId) -> list[Mailbox]:
        sql = "SELECT * FROM mailbox WHERE account_id = ? ORDER BY mailbox_id"
        return [_mailbox(row) for row in self._rows(sql, account_id)]

    def grants(self, account_id: AccountId, mailbox_id: MailboxId) -> list[Grant]:
        sql = "SELECT * FROM grant_ WHERE account_id = ? AND mailbox_id = ? ORDER BY identifier"
        return list(map(Grant._make, self._rows(sql, account_id, mailbox_id)))

    def properties(self, account_id: AccountId, mailbox_id: MailboxId, kind: str) -> list[Property]:
        sql = "SELECT * FROM property WHERE account_id = ? AND mailbox_id = ? AND kind = ? ORDER BY name"
        return list(map(Property._make, self._rows(sql, account_id, mailbox_id, kind)))

    def property_count(self, account_id: AccountId) -> int:
        row = self._row("SELECT count(*) FROM property WHERE account_id = ?", account_id)
        return 0 if row is None else int(row[0])

    def email(self, account_id: AccountId, email_id: EmailId) -> Email | None:
        row = self._row(f"{_EMAIL} WHERE account_id = ? AND email_id = ?", account_id, email_id)
        return None if row is None else _email(row)

    def email_by_content(self, account_id: AccountId, content_id: bytes) -> Email | None:
        row = self._row(f"{_EMAIL} WHERE account_id = ? AND content_id = ?", account_id, content_id)
        return None if row is None else _email(row)

    def emails_of(self, account_id: AccountId, email_ids: Sequence[int]) -> list[Email]:
        return list(map(_email, self._rows(_EMAILS_IN, account_id, ranges_text(uidrange.of(email_ids)))))

    def emails(self, account_id: AccountId, after: int = 0) -> Iterator[Email]:
        sql = f"{_EMAIL} WHERE account_id = ? AND email_id > ? ORDER BY email_id LIMIT {PAGE_ROWS}"
        while rows := self._rows(sql, account_id, after):
            yield from map(_email, rows)
            after = rows[-1][1]

    def entries(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges | None = None) -> list[Entry]:
        if uids is None:
            sql = "SELECT * FROM entry WHERE account_id = ? AND mailbox_id = ? ORDER BY uid"
            return list(map(Entry._make, self._rows(sql, account_id, mailbox_id)))
        if len(uids) == 1:
            return list(map(Entry._make, self._rows(_ENTRIES_BETWEEN, account_id, mailbox_id, *uids[0])))
        return list(map(Entry._make, self._rows(ENTRIES_IN, account_id, mailbox_id, ranges_text(uids))))

    def columns(self, account_id: AccountId, mailbox_id: MailboxId, above: Uid) -> Columns:
        columns, last = Columns(), above
        while page := self._columns(_COLUMNS, account_id, mailbox_id, last):
            columns.extend(page)
            last = Uid(columns.uids[-1])
            if len(page[0]) < COLUMN_ROWS:  # the usual end: a session follows a delivery at the cost of one statement
                break
        return columns

    def _columns(self, sql: str, *bindings: Any) -> Sequence[Sequence[int]]:
        """The columns of some rows; empty where there are none."""
        row = self._row(sql, *bindings)
        assert row is not None, "an aggregate has one row"
        return [_numbers(text) for text in row] if row[0] != "[]" else []

    def pick(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges | None, names: Sequence[str]
    ) -> "list[array[int]]":
        found = [array(Columns.TYPES[name]) for name in names]  # KeyError for what is no column
        sql = _PICK % ", ".join([f"json_group_array({name})" for name in names])
        left: UidRanges = [(0, uidrange.LARGEST)] if uids is None else uids
        while left and (row := self._row(sql, account_id, mailbox_id, ranges_text(left))) is not None and row[0] is not None:
            before = len(found[0])
            for column, text in zip(found, row[1:], strict=True):
                column.extend(_numbers(text))
            left = uidrange.above(left, row[0]) if len(found[0]) - before == COLUMN_ROWS else ()
        return found

    def uids_with(
        self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges, flagset_ids: Sequence[FlagSetId], limit: int
    ) -> "array[int]":
        sets = json.dumps(list(flagset_ids))
        page = self._columns(_UIDS_WITH, account_id, mailbox_id, ranges_text(uids), sets, limit)
        return array("I", page[0] if page else ())

    def flag_columns(self, account_id: AccountId, mailbox_id: MailboxId, uids: UidRanges) -> FlagColumns:
        if len(uids) == 1:
            row = self._row(_ALIKE, account_id, mailbox_id, *uids[0])
            assert row is not None, "an aggregate has one row"
            count, lo, hi, flagset_id, other_flagset_id, modseq, other_modseq = row
            if count and hi - lo == count - 1 and flagset_id == other_flagset_id and modseq == other_modseq:
                return FlagColumns(array("I", range(lo, hi + 1)), array("I", [flagset_id]) * count, array("Q", [modseq]) * count)
        return FlagColumns(*self.pick(account_id, mailbox_id, uids, ("uid", "flagset_id", "modseq")))

    def maildrop_rows(
        self, account_id: AccountId, mailbox_id: MailboxId
    ) -> list[tuple[Uid, int, str | None, int, int, int, bool]]:
        sql = (
            "SELECT e.uid, e.size, e.uidl, m.segment, m.offset, m.crc, m.has_dot_line FROM entry e CROSS JOIN email m"
            " ON m.account_id = e.account_id AND m.email_id = e.email_id"
            " WHERE e.account_id = ? AND e.mailbox_id = ? ORDER BY e.uid"
        )
        rows = self._rows(sql, account_id, mailbox_id)
        return [(uid, size, uidl, segment, offset, crc, dot == 1) for uid, size, uidl, segment, offset, crc, dot in rows]

    def changed_since(self, account_id: AccountId, mailbox_id: MailboxId, modseq: ModSeq) -> list[Entry]:
        sql = "SELECT * FROM entry WHERE account_id = ? AND mailbox_id = ? AND modseq > ? ORDER BY uid"
        return list(map(Entry._make, self._rows(sql, account_id, mailbox_id, modseq)))

    def expunged_since(self, account_id: AccountId, mailbox_id: MailboxId, modseq: ModSeq) -> list[Uid]:
        sql = "SELECT uid FROM expunged WHERE account_id = ? AND mailbox_id = ? AND modseq > ? ORDER BY uid"
        return [row[0] for row in self._rows(sql, account_id, mailbox_id, modseq)]

    def expunged(self, account_id: AccountId, mailbox_id: MailboxId | None = None) -> list[Expunged]:
        sql = (
            "SELECT * FROM expunged WHERE account_id = ?1 AND (?2 IS NULL OR mailbox_id = ?2) AND email_id IS NOT NULL"
            " ORDER BY mailbox_id, uid"
        )
        return list(map(Expunged._make, self._rows(sql, account_id, mailbox_id)))

    def ending(self, before: int) -> list[AccountId]:
        sql = "SELECT DISTINCT account_id FROM expunged WHERE email_id IS NOT NULL AND expunged < ? ORDER BY account_id"
        return [row[0] for row in self._rows(sql, before)]

    def changes(self, account_id: AccountId, since: ModSeq, limit: int = 1000) -> list[Change]:
        sql = (
            "SELECT account_id, modseq, kind, mailbox_id, uid_lo, uid_hi FROM change WHERE account_id = ? AND modseq {}"
            " ORDER BY modseq, part LIMIT ?"
        )
        rows = self._rows(sql.format("> ?"), account_id, since, limit)
        if rows and len(rows) == limit:  # the changes of one ModSeq come together
            last = rows[-1][1]
            rows = [row for row in rows if row[1] < last]
            rows += self._rows(sql.format("= ?"), account_id, last, -1)
        return [Change(owner, modseq, ChangeKind(kind), mailbox, lo, hi) for owner, modseq, kind, mailbox, lo, hi in rows]

    def flagset(self, account_id: AccountId, flagset_id: FlagSetId) -> frozenset[str]:
        if flagset_id == 0:
            return NO_FLAGS
        known = self._flags.get((account_id, flagset_id))
        if known is not None:
            return known
        row = self._row("SELECT flags FROM flagset WHERE account_id = ? AND flagset_id = ?", account_id, flagset_id)
        if row is None:
            raise KeyError(flagset_id)
        if len(self._flags) >= MOST_REMEMBERED:
            self._flags.clear()
        flags = self._flags[(account_id, flagset_id)] = frozenset(row[0].split(" "))
        return flags

    def flagsets(self, account_id: AccountId) -> dict[FlagSetId, frozenset[str]]:
        rows = self._rows("SELECT flagset_id, flags FROM flagset WHERE account_id = ?", account_id)
        return {FlagSetId(0): NO_FLAGS, **{flagset_id: frozenset(text.split(" ")) for flagset_id, text in rows}}

    # -- segments

    def segments(self, state: int) -> list[tuple[int, int]]:
        """(number, when it was retired) of all segments in this state."""
        return [(row[0], row[1]) for row in self._rows("SELECT segment_id, retired FROM segment WHERE state = ?", state)]

    def is_segment_known(self, segment_id: int) -> bool:
        return self._row("SELECT 1 FROM segment WHERE segment_id = ?", segment_id) is not None

    def records(self, segment_id: int) -> list[BodyRef]:
        """What rows still name in a segment, ascending."""
        sql = "SELECT DISTINCT segment, offset, size, crc FROM email WHERE segment = ? ORDER BY offset"
        return list(map(BodyRef._make, self._rows(sql, segment_id)))
