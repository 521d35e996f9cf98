"""What was rendered of each email, in a database of its own beside the index, `derived.db`.

It may be deleted at any time. Nothing in it is acknowledged, so its commits are not synced (`synchronous=NORMAL`: a power
cut costs the last of them and never mixes rows), and its writes never meet the index's: the index is attached only to be
read, for the content ids that rows are checked against. A row is checked once a process and then known to be right, as an
email id is never used for another content while the store is open.

Every thread has a connection of its own. A database that is damaged is removed and begun again.
"""

import contextlib
import threading
from array import array
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import apsw

from postwren.mailstore.digests import RENDERED, DigestRow
from postwren.mailstore.service import uidrange
from postwren.message.digest import VERSION
from postwren.storage.embedded.index import create, immediate, roll_back, value
from postwren.storage.embedded.reader import ranges_text
from postwren.terms import AccountId, EmailId

__all__ = ["EmbeddedDigests"]

T = TypeVar("T")
LAYOUT: Final = 2
"""Of the tables: others are dropped and begun again."""
BITS: Final = 40
"""A row's key is one number, account and email, so that rows of neighbours lie side by side."""
PAGE: Final = 16384
CACHE_KIB: Final = 16 << 10
MOST_KNOWN: Final = 64 << 20
LOCK_MILLISECONDS: Final = 5_000
KEPT: Final = DigestRow._fields[2:]

SHORT: Final = tuple(name for name in KEPT if name not in (*RENDERED, "header", "preview"))
"""Kept once more, in a table of their own: what sorts a mailbox is a tenth of what shows it, and so are the pages."""


def _table(name: str, columns: tuple[str, ...]) -> str:
    texts = ", ".join(f'"{column}"' for column in columns)
    return f"CREATE TABLE main.{name} (key INTEGER PRIMARY KEY, version INTEGER NOT NULL, {texts})"


TABLES: Final = {"digest": _table("digest", KEPT), "short": _table("short", SHORT)}
INSERT: Final = {
    name: f"INSERT OR REPLACE INTO main.{name} VALUES ({', '.join('?' * (2 + len(columns)))})"  # noqa: S608 - a number of places
    for name, columns in (("digest", KEPT), ("short", SHORT))
}
TOGETHER: Final = {
    name: f"SELECT CAST(group_concat({name}, x'00') AS BLOB), count(*) FROM main.digest WHERE key BETWEEN ? AND ?"  # noqa: S608
    for name in RENDERED
}
SELECT: Final = (
    "SELECT d.key, * FROM json_each(?1) r CROSS JOIN main.digest d"
    " WHERE d.key BETWEEN (r.value ->> 0) + ?2 AND (r.value ->> 1) + ?2"
)
CHECK: Final = (
    "SELECT d.key & ?3 FROM json_each(?1) r CROSS JOIN main.short d CROSS JOIN store.email e"
    " WHERE d.key BETWEEN (r.value ->> 0) + ?2 AND (r.value ->> 1) + ?2 AND d.version = ?4"
    " AND e.account_id = ?5 AND e.email_id = d.key - ?2 AND substr(e.content_id, 1, 8) = d.content"
)
PRUNE: Final = tuple(
    f"DELETE FROM main.{name} WHERE key BETWEEN ?1 AND ?2 AND NOT EXISTS"  # noqa: S608 - one of ours
    f" (SELECT 1 FROM store.email WHERE account_id = ?3 AND email_id = {name}.key - ?1)"
    for name in TABLES
)


_SHORT: Final = frozenset(SHORT)
_short: Final = itemgetter(*[2 + KEPT.index(name) for name in SHORT])


def _key(account_id: int) -> int:
    return account_id << BITS


class EmbeddedDigests:
    """`Digests` in a folder with an index. `vfs` is the index's, which tests make fail."""

    def __init__(self, directory: Path, vfs: str | None = None) -> None:
        self._path = directory / "derived.db"
        self._index = directory / "index.db"
        self._vfs = vfs
        self._here = threading.local()
        self._lock = threading.Lock()
        self._connections: list[apsw.Connection] = []
        self._is_broken = False
        self._known: dict[AccountId, bytearray] = {}  # by email id: 1 where the row is there and right
        self._is_closed = False

    # -- reading

    def column(self, account_id: AccountId, email_ids: Sequence[int], name: str) -> list[bytes | None]:
        if name not in RENDERED:
            raise KeyError(name)
        if self._is_run(account_id, email_ids):
            # one text for all: SQLite puts it together without holding the interpreter, at half the cost of rows
            span = _key(account_id) + email_ids[0], _key(account_id) + email_ids[-1]
            for octets, count in self._rows(TOGETHER[name], *span):
                if count == len(email_ids):
                    return list(octets.split(b"\0"))
        return [None if row is None else row[0] for row in self.columns(account_id, email_ids, (name,))]

    def _is_run(self, account_id: AccountId, email_ids: Sequence[int]) -> bool:
        """Whether these are ascending without gaps, and all known."""
        if not email_ids:
            return False
        first, last = email_ids[0], email_ids[-1]
        if last - first != len(email_ids) - 1 or array("Q", email_ids) != array("Q", range(first, last + 1)):
            return False
        return self._check(account_id, email_ids).count(1, first, last + 1) == len(email_ids)

    def columns(self, account_id: AccountId, email_ids: Sequence[int], names: Sequence[str]) -> list[tuple[Any, ...] | None]:
        if not set(names) <= set(KEPT):
            raise KeyError(names)
        known = self._check(account_id, email_ids)
        wanted = [email_id for email_id in email_ids if email_id < len(known) and known[email_id]]
        base = _key(account_id)
        chosen = ", ".join(f'd."{name}"' for name in names)
        sql = SELECT.replace("*", chosen)
        if set(names) <= _SHORT:
            sql = sql.replace("main.digest", "main.short")
        found = {row[0] - base: row[1:] for row in self._rows(sql, ranges_text(uidrange.of(wanted)), base)}
        return [found.get(email_id) for email_id in email_ids]

    def missing(self, account_id: AccountId, email_ids: Sequence[int]) -> list[EmailId]:
        known = self._check(account_id, email_ids)
        return [EmailId(email_id) for email_id in email_ids if email_id >= len(known) or not known[email_id]]

    def _check(self, account_id: AccountId, email_ids: Sequence[int]) -> bytearray:
        """What is known of the account once these have been looked at."""
        known = self._known_of(account_id, max(email_ids, default=0))
        doubtful = [email_id for email_id in email_ids if not known[email_id]]
        if doubtful:
            base = _key(account_id)
            bindings = (ranges_text(uidrange.of(doubtful)), base, (1 << BITS) - 1, VERSION, account_id)
            for (email_id,) in self._rows(CHECK, *bindings):
                if email_id < len(known):
                    known[email_id] = 1
        return known

    def _known_of(self, account_id: AccountId, highest: int) -> bytearray:
        with self._lock:
            known = self._known.get(account_id)
            if known is None:
                if sum(map(len, self._known.values())) > MOST_KNOWN:
                    self._known.clear()
                known = self._known[account_id] = bytearray()
            if highest >= len(known):
                known.extend(bytes(highest + 1 - len(known) + (len(known) >> 2)))
            return known

    # -- writing

    def put(self, rows: Sequence[DigestRow]) -> bool:
        if not rows:
            return True
        records = [(_key(row[0]) + row[1], VERSION, *row[2:]) for row in rows]
        shorts = [(*record[:2], *_short(record)) for record in records]

        def write(connection: apsw.Connection) -> bool:
            with immediate(connection):
                connection.executemany(INSERT["digest"], records)
                connection.executemany(INSERT["short"], shorts)
            return True

        if not self._use(write, False):
            return False
        for account_id in {row.account_id for row in rows}:
            mine = [row.email_id for row in rows if row.account_id == account_id]
            known = self._known_of(account_id, max(mine))
            for email_id in mine:
                known[email_id] = 1
        return True

    def accounts(self) -> list[AccountId]:
        found: list[AccountId] = []
        first = 0
        while (row := self._rows("SELECT min(key) FROM main.digest WHERE key >= ?", first)) and row[0][0] is not None:
            found.append(AccountId(row[0][0] >> BITS))
            first = _key(found[-1] + 1)
        return found

    def prune(self, account_id: AccountId) -> None:
        base = _key(account_id)
        for sql in PRUNE:
            self._rows(sql, base, base + (1 << BITS) - 1, account_id)

    # -- connections

    def _use(self, work: Callable[[apsw.Connection], T], otherwise: T) -> T:
        """Do it, or do without."""
        if self._is_broken:
            return otherwise
        try:
            return work(self._connection())
        except (apsw.CorruptError, apsw.NotADBError):
            self._begin_again()
        except (apsw.Error, OSError):
            connection = getattr(self._here, "connection", None)
            if connection is not None:
                with contextlib.suppress(apsw.Error):
                    roll_back(connection)
        return otherwise

    def _rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        def work(connection: apsw.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(sql, bindings).fetchall()

        return self._use(work, [])

    def _connection(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._here, "connection", None)
        if connection is None:
            connection = self._here.connection = self._connect()
        return connection

    def _connect(self) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        with self._lock:
            if self._is_closed:
                raise apsw.CantOpenError("the store is closed")
            create(self._path)
            connection = apsw.Connection(str(self._path), flags=flags, statementcachesize=50)
            self._connections.append(connection)
        self._here.connection = connection
        connection.set_busy_timeout(LOCK_MILLISECONDS)
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        vfs = f"?vfs={self._vfs}" if self._vfs else ""
        connection.execute("ATTACH ? AS store", (f"file:{quote(str(self._index))}{vfs}",))
        with immediate(connection):
            if value(connection, "PRAGMA main.user_version") != LAYOUT:
                for name, table in TABLES.items():
                    connection.execute(f"DROP TABLE IF EXISTS main.{name}")
                    connection.execute(table)
                connection.execute(f"PRAGMA main.user_version = {LAYOUT}")
        return connection

    def _begin_again(self) -> None:
        """The file is damaged: remove it. Where other threads have it open, this process goes on without; the next one begins it
        again (SQLite ignores the log of a database that is new)."""
        connection, self._here.connection = getattr(self._here, "connection", None), None
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
                connection.close(True)
            self._known.clear()
            self._is_broken = bool(self._connections)
            for ending in ("",) if self._is_broken else ("", "-wal", "-shm"):
                Path(f"{self._path}{ending}").unlink(missing_ok=True)

    def close(self) -> None:
        """When no other thread uses it any more, and before the index is closed."""
        with self._lock:
            self._is_closed = True
            for connection in self._connections:
                connection.close(True)
            self._connections.clear()
        self._here.connection = None
