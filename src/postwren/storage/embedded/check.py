"""What can be wrong on the disk, beyond what `mailstore.invariant` sees through the port; and what can be put right safely.

Both work beside a running server: a check reads one snapshot, a repair is one transaction. A repair changes counters
only, never a UID, and only upwards where clients have seen them. A message whose octets are bad stays listed and is never
served: only a backup can bring it back.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from postwren.mailstore.model import BodyRef
from postwren.storage.embedded.counters import recount_all
from postwren.storage.embedded.index import connect, immediate, reading_vfs, rows, snapshot, value
from postwren.storage.embedded.record import HEADER_SIZE
from postwren.storage.embedded.recovery import is_whole
from postwren.storage.embedded.segment import RETIRED, content_end, segment_path

__all__ = ["DiskCheck", "Finding", "repair"]

PIECE: Final = 1 << 20
LOCK_SECONDS: Final = 30.0


class Finding(NamedTuple):
    """Something that must not be; `rule` is its name, `detail` for people."""

    rule: str
    detail: str


class DiskCheck:
    """One check of a store's folder. The figures are complete when `run` is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments = directory / "segments"
        self.messages = 0  # contents that were read
        self.orphan_octets = 0  # what no row names: harmless, given back by housekeeping
        self.orphan_files = 0

    def run(self) -> Iterator[Finding]:
        path = self._directory / "index.db"
        connection = connect(path, LOCK_SECONDS, reading_vfs(path, LOCK_SECONDS))
        try:
            with snapshot(connection):
                for (text,) in rows(connection, "PRAGMA integrity_check"):
                    if text != "ok":
                        yield Finding("index", text)
                known = set()
                for segment_id, state, synced in rows(connection, "SELECT segment_id, state, synced FROM segment ORDER BY 1"):
                    known.add(segment_id)
                    yield from self._segment(connection, segment_id, state, synced)
                lost = "SELECT DISTINCT segment FROM email WHERE segment NOT IN (SELECT segment_id FROM segment)"
                for (segment_id,) in rows(connection, lost):
                    yield Finding("segment", f"messages are in segment {segment_id}, which the index does not know")
                self._count_orphans(known)
        finally:
            connection.close()

    def _segment(self, connection: apsw.Connection, segment_id: int, state: int, synced: int) -> Iterator[Finding]:
        try:
            fd = os.open(segment_path(self._segments, segment_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if state != RETIRED:
                yield Finding("segment", f"the file of segment {segment_id} is missing")
            return
        try:
            size = os.fstat(fd).st_size
            if size < synced:
                yield Finding("segment", f"segment {segment_id} has {size} octets, and had {synced}")
            yield from self._records(connection, fd, segment_id, size)
        finally:
            os.close(fd)

    def _records(self, connection: apsw.Connection, fd: int, segment_id: int, size: int) -> Iterator[Finding]:
        sql = "SELECT DISTINCT offset, size, crc, content_id FROM email WHERE segment = ? ORDER BY offset"
        end = 0
        for offset, octets, crc, content_id in connection.execute(sql, (segment_id,)):
            assert isinstance(offset, int)
            assert isinstance(octets, int)
            assert isinstance(crc, int)
            assert isinstance(content_id, bytes)
            self.messages += 1
            ref = BodyRef(segment_id, offset, octets, crc)
            if not end and os.pread(fd, 1, 0) == b"\0":  # a hole: this message's beginning was shorter than the room for it
                end = offset - HEADER_SIZE
            if offset - HEADER_SIZE < end:
                yield Finding("body", f"two messages share octets at {offset} of segment {segment_id}")
            self.orphan_octets += max(0, offset - HEADER_SIZE - end)
            end = max(end, offset + octets)
            if not is_whole(fd, ref, content_id) or _digest(fd, ref) != content_id:
                yield Finding("body", f"the octets at {offset} of segment {segment_id} are not the message's")
        self.orphan_octets += max(0, content_end(fd, size) - end)

    def _count_orphans(self, known: set[int]) -> None:
        for path in self._segments.glob("*.seg"):
            if int(path.stem) not in known:
                self.orphan_files += 1
                self.orphan_octets += path.stat().st_size


def _digest(fd: int, ref: BodyRef) -> bytes:
    sha, position, end = hashlib.sha256(), ref.offset, ref.offset + ref.size
    while position < end and (piece := os.pread(fd, min(PIECE, end - position), position)):
        sha.update(piece)
        position += len(piece)
    return sha.digest()


def repair(directory: Path) -> list[Finding]:
    """Put counters right; what was wrong."""
    connection = connect(directory / "index.db", LOCK_SECONDS)
    try:
        with immediate(connection):
            wrong = [Finding("counters", f"account {a}, mailbox {m}: counted again") for a, m in recount_all(connection)]
            wrong += [Finding("references", f"account {a}, email {e}: counted again") for a, e in _references(connection)]
            for table, column, least in LOWER_BOUNDS:
                sql = f"UPDATE {table} SET {column} = ({least}) WHERE {column} < ({least})"  # noqa: S608 - names of ours
                connection.execute(sql)
                if connection.changes():
                    wrong.append(Finding("counters", f"{connection.changes()} times {column} was behind"))
        return wrong
    finally:
        connection.close()


LOWER_BOUNDS: Final = (
    ("mailbox", "uidnext", "SELECT coalesce(max(uid), 0) + 1 FROM entry e WHERE e.account_id = mailbox.account_id"
     " AND e.mailbox_id = mailbox.mailbox_id"),
    ("mailbox", "uidnext", "SELECT coalesce(max(uid), 0) + 1 FROM expunged e WHERE e.account_id = mailbox.account_id"
     " AND e.mailbox_id = mailbox.mailbox_id"),
    ("mailbox", "highestmodseq", "SELECT coalesce(max(modseq), 0) FROM entry e WHERE e.account_id = mailbox.account_id"
     " AND e.mailbox_id = mailbox.mailbox_id"),
    ("account", "modseq", "SELECT coalesce(max(modseq), 0) FROM change c WHERE c.account_id = account.account_id"),
    ("account", "next_email_id", "SELECT coalesce(max(email_id), 0) + 1 FROM email e WHERE e.account_id = account.account_id"),
)  # fmt: skip


def _references(connection: apsw.Connection) -> list[tuple[int, int]]:
    """Count again who names each email; those that were wrong. Emails that nothing names go."""
    wrong: list[tuple[int, int]] = []
    for (account_id,) in rows(connection, "SELECT account_id FROM account ORDER BY 1"):
        sql = (
            "SELECT m.email_id, m.refs, count(n.email_id) FROM email m LEFT JOIN ("
            " SELECT email_id FROM entry WHERE account_id = ?1 UNION ALL"
            " SELECT email_id FROM expunged WHERE account_id = ?1 AND email_id IS NOT NULL"
            ") n ON n.email_id = m.email_id WHERE m.account_id = ?1"
            " GROUP BY m.email_id, m.refs HAVING m.refs != count(n.email_id)"
        )
        for email_id, _, right in rows(connection, sql, account_id):
            key = (account_id, email_id)
            connection.execute("UPDATE email SET refs = ? WHERE account_id = ? AND email_id = ?", (right, *key))
            wrong.append(key)
        if value(connection, "SELECT 1 FROM email WHERE account_id = ? AND refs = 0 LIMIT 1", account_id):
            connection.execute("DELETE FROM email WHERE account_id = ? AND refs = 0", (account_id,))
    return wrong
