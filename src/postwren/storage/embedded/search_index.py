"""The text index: `search.db`, a database of its own, filled behind deliveries, which may be deleted while no server runs.

    said      the folded texts of each email, as `searchtext` made them: what answers are verified against
    trigrams  an FTS5 index of their trigrams, which says where to look; it keeps no positions and no text
    account   how far each account is indexed

A needle of three characters or more is looked up as the AND of (some of) its trigrams, and what that finds is verified; a
shorter one is looked for in all texts. Either way the answer is that of a scan over the messages. It takes as much space as the
text of the messages (attachments are no text) and half as much again for the trigrams.

Not synced (`synchronous=NORMAL` in WAL: after a power cut it is whole, but may lack the newest emails, which are indexed again).
Two connections: one writes, one reads; each is used by one thread at a time.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apsw

from postwren.mailstore.errors import TextIndexFailed
from postwren.message.searchtext import MARK, Needle, Place, SearchText, holds
from postwren.storage.embedded.index import immediate, value
from postwren.terms import AccountId, EmailId

__all__ = ["SearchIndex"]

VERSION: Final = 2
"""Of the tables and of `searchtext`: another one is thrown away and filled anew."""
PAGE: Final = 8192
TOO_LONG: Final = 4 << 20
"""Octets of text beyond which an email is not kept here."""
MOST_TRIGRAMS: Final = 12
"""Of a needle, so many are looked up, spread over its length: more narrow no further what is verified anyway."""
VERIFIED_AT_ONCE: Final = 200

TABLES: Final = """
CREATE TABLE account (
    account_id INTEGER PRIMARY KEY,
    up_to INTEGER NOT NULL,
    content_id BLOB NOT NULL        -- of the email `up_to`: an index that belongs to another store shows by it
);
CREATE TABLE too_long (account_id INTEGER NOT NULL, email_id INTEGER NOT NULL, PRIMARY KEY (account_id, email_id)) WITHOUT ROWID;
CREATE TABLE said (
    id INTEGER PRIMARY KEY,         -- the account's id in the upper half, the email's in the lower
    header BLOB NOT NULL,
    mime BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE VIRTUAL TABLE trigrams USING fts5(
    text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
);
"""
_VERIFY: Final = "SELECT s.id, {} FROM json_each(?) j CROSS JOIN said s ON s.id = j.value"
_COLUMNS: Final = {
    Place.FIELD: "s.header, x'', x''",
    Place.BODY: "x'', x'', s.body",
    Place.ANYWHERE: "s.header, s.mime, s.body",
}


class SearchIndex:
    """A `TextIndex` in a file. A file that cannot be used is replaced by an empty one; it does not grow while fewer than `room`
    octets are free on the volume, for mail comes first."""

    def __init__(self, directory: Path, room: int = 0) -> None:
        self._room = room
        self._path = path = directory / "search.db"
        self._is_damaged = False
        try:
            self._writer = _open(path)
        except (apsw.Error, OldVersion):
            _remove(path)
            self._writer = _open(path)
        self._reader = _connect(path)
        self._writing = threading.Lock()
        self._reading = threading.Lock()

    # -- reading

    def indexed_up_to(self, account_id: AccountId) -> EmailId:
        rows = self._rows("SELECT up_to FROM account WHERE account_id = ?", account_id)
        return EmailId(rows[0][0] if rows else 0)

    def too_long(self, account_id: AccountId) -> frozenset[EmailId]:
        return frozenset(row[0] for row in self._rows("SELECT email_id FROM too_long WHERE account_id = ?", account_id))

    def emails(self, account_id: AccountId) -> list[EmailId]:
        first, last = _ids(account_id)
        sql = (
            "SELECT id & 4294967295 FROM said WHERE id BETWEEN ?1 AND ?2"
            " UNION SELECT email_id FROM too_long WHERE account_id = ?3 ORDER BY 1"
        )
        return [EmailId(row[0]) for row in self._rows(sql, first, last, account_id)]

    def progress(self) -> dict[AccountId, tuple[EmailId, bytes]]:
        rows = self._rows("SELECT account_id, up_to, content_id FROM account")
        return {AccountId(owner): (EmailId(up_to), content_id) for owner, up_to, content_id in rows}

    def find(self, account_id: AccountId, needle: Needle, among: Sequence[EmailId]) -> set[EmailId]:
        if not among:
            return set()
        base = account_id << 32
        ids: Iterable[int] = (base | email_id for email_id in among)
        query = _trigram_query(needle)
        if query is not None:
            sql = "SELECT rowid FROM trigrams WHERE trigrams MATCH ? AND rowid BETWEEN ? AND ?"
            candidates = {row[0] for row in self._rows(sql, query, base | among[0], base | among[-1])}
            ids = [each for each in ids if each in candidates]
        return {EmailId(each & 0xFFFF_FFFF) for each in self._verified(list(ids), needle)}

    def _verified(self, ids: list[int], needle: Needle) -> Iterator[int]:
        sql = _VERIFY.format(_COLUMNS[needle.place])
        for start in range(0, len(ids), VERIFIED_AT_ONCE):
            rows = self._rows(sql, json.dumps(ids[start : start + VERIFIED_AT_ONCE]))
            yield from [row[0] for row in rows if holds(SearchText(*row[1:]), needle)]

    def _rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        with self._reading:
            try:
                return self._reader.execute(sql, bindings).fetchall()
            except apsw.Error as error:
                raise self._failed(error) from error

    # -- writing

    def put(self, account_id: AccountId, texts: Sequence[tuple[EmailId, SearchText | None]], last: tuple[EmailId, bytes]) -> None:
        if shutil.disk_usage(self._path.parent).free < self._room:
            raise TextIndexFailed("the volume is nearly full")
        with self._write() as connection:
            for email_id, text in texts:
                _delete(connection, account_id, email_id)
                if text is None or sum(map(len, text)) > TOO_LONG:
                    connection.execute("INSERT INTO too_long VALUES (?, ?)", (account_id, email_id))
                else:
                    number = account_id << 32 | email_id
                    connection.execute("INSERT INTO said VALUES (?, ?, ?, ?)", (number, *text))
                    sql = "INSERT INTO trigrams (rowid, text) VALUES (?, CAST(? AS TEXT))"
                    connection.execute(sql, (number, _indexable(text)))
            connection.execute("INSERT OR REPLACE INTO account VALUES (?, ?, ?)", (account_id, *last))

    def forget(self, account_id: AccountId, email_ids: Sequence[EmailId] | None = None) -> None:
        every = self.emails(account_id) if email_ids is None else email_ids
        with self._write() as connection:
            for email_id in every:
                _delete(connection, account_id, email_id)
            if email_ids is None:
                connection.execute("DELETE FROM account WHERE account_id = ?", (account_id,))

    @contextmanager
    def _write(self) -> Iterator[apsw.Connection]:
        with self._writing:
            try:
                with immediate(self._writer):
                    yield self._writer
            except (apsw.Error, OSError) as error:
                raise self._failed(error) from error

    def _failed(self, error: Exception) -> TextIndexFailed:
        self._is_damaged |= isinstance(error, apsw.CorruptError | apsw.NotADBError)
        return TextIndexFailed(str(error))

    def close(self) -> None:
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()
            if self._is_damaged:  # the next start fills a new one
                _remove(self._path)


class OldVersion(Exception):
    """The file was made by another version."""


def _delete(connection: apsw.Connection, account_id: AccountId, email_id: EmailId) -> None:
    number = account_id << 32 | email_id
    if connection.execute("DELETE FROM said WHERE id = ? RETURNING 1", (number,)).fetchall():
        connection.execute("DELETE FROM trigrams WHERE rowid = ?", (number,))
    connection.execute("DELETE FROM too_long WHERE account_id = ? AND email_id = ?", (account_id, email_id))


def _ids(account_id: AccountId) -> tuple[int, int]:
    return account_id << 32, account_id << 32 | 0xFFFF_FFFF


def _indexable(text: SearchText) -> bytes:
    """All texts as one that the tokenizer takes: marks, which are no UTF-8, and NUL, where a text may end, become line ends.
    No needle that is looked up has either in it."""
    return b"\n".join(text).replace(MARK, b"\n").replace(b"\0", b"\n")


def _trigram_query(needle: Needle) -> str | None:
    """The FTS5 expression that every email with the needle meets; None where trigrams cannot say."""
    text = needle.text.decode("utf-8", "replace")
    if len(text) < 3 or "\0" in text:
        return None
    trigrams = list(dict.fromkeys(text[at : at + 3] for at in range(len(text) - 2)))
    if len(trigrams) > MOST_TRIGRAMS:
        trigrams = [trigrams[at * (len(trigrams) - 1) // (MOST_TRIGRAMS - 1)] for at in range(MOST_TRIGRAMS)]
    return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)


def _open(path: Path) -> apsw.Connection:
    connection = _connect(path)
    try:
        version = int(value(connection, "PRAGMA user_version"))
        if version not in (0, VERSION):
            raise OldVersion(version)
        if version == 0:
            with immediate(connection):
                connection.execute(TABLES)
                connection.execute(f"PRAGMA user_version = {VERSION}")
        for table in ("account", "too_long", "said", "trigrams"):
            value(connection, f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 (names of ours)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path) -> apsw.Connection:
    if not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(30_000)
    connection.execute(f"PRAGMA page_size = {PAGE}")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
