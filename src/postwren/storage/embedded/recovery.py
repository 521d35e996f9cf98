"""What is done when a store is opened after its last process ended in whatever way.

Rows decide. A group's commit also records how far the groups before it had synced their segment, so only rows beyond that are in
doubt, and only in segments whose process is gone. Their octets are checked: whole ones stay; rows whose octets are bad were
never acknowledged, for that takes both syncs, and become tombstones that cannot be recovered. UIDs are never used again.
Octets without rows are left where they are and mean nothing (D-03).
"""

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw

from postwren.mailstore.model import BodyRef, Change, ChangeKind
from postwren.mailstore.queue import QUEUE_LOGIN
from postwren.storage.embedded.counters import recount
from postwren.storage.embedded.index import immediate, rows, value
from postwren.storage.embedded.lag import burn_lag
from postwren.storage.embedded.record import HEADER_SIZE, Record, parse_header
from postwren.storage.embedded.segment import OPEN, SEALED, OwnSegment, content_end, lock, segment_path
from postwren.storage.embedded.volume import Volume

__all__ = ["Recovery", "is_whole", "recover", "sweep_spool", "take_back"]

PIECE: Final = 1 << 20


@dataclass(slots=True)
class Recovery:
    """What was found and done."""

    checked: int = 0  # messages in doubt
    removed: list[tuple[int, int, int]] = field(default_factory=list)  # (account, mailbox, uid) that were never acknowledged
    missing: list[int] = field(default_factory=list)  # segments without their file
    swept: int = 0  # unfinished messages in the spool


def recover(connection: apsw.Connection, volume: Volume, directory: Path, own: OwnSegment, most: int) -> Recovery:
    """Judge the segments nobody holds; `own` goes on with one of them that has room."""
    report = Recovery()
    with immediate(connection):
        # one write in any case: its sync makes durable what an ended process left in the log
        connection.execute("UPDATE counter SET value = value + 1 WHERE name = 'opened'")
        burn_lag(connection, volume.boot())
        sql = "SELECT segment_id, synced FROM segment WHERE state = ? ORDER BY segment_id"
        segments = rows(connection, sql, OPEN)
        for segment_id, synced in segments:
            path = segment_path(directory, segment_id)
            if not path.exists():
                report.missing.append(segment_id)
                continue
            fd = lock(path)
            if fd is not None:
                end = _judge(connection, volume, fd, segment_id, synced, report)
                _take_over(connection, own, fd, segment_id, end, most)
    return report


def _judge(connection: apsw.Connection, volume: Volume, fd: int, segment_id: int, synced: int, report: Recovery) -> int:
    sql = "SELECT account_id, email_id, content_id, offset, size, crc FROM email WHERE segment = ? AND offset >= ?"
    bad = []
    for account_id, email_id, content_id, offset, size, crc in rows(connection, sql, segment_id, synced):
        report.checked += 1
        if not is_whole(fd, BodyRef(segment_id, offset, size, crc), content_id):
            bad.append((account_id, email_id))
    for account_id, email_id in bad:
        report.removed += _remove_email(connection, account_id, email_id)
    volume.sync(fd)
    end = _end(connection, fd, segment_id)
    connection.execute("UPDATE segment SET synced = ? WHERE segment_id = ?", (end, segment_id))
    return end


def _end(connection: apsw.Connection, fd: int, segment_id: int) -> int:
    """Behind the last octet that is not one of the zeros at the end, and behind the last row, whose octets may be zeros."""
    last = value(connection, "SELECT max(offset + size) FROM email WHERE segment = ?", segment_id) or 0
    return max(last, content_end(fd, os.fstat(fd).st_size))


def _take_over(connection: apsw.Connection, own: OwnSegment, fd: int, segment_id: int, end: int, most: int) -> None:
    if own.fd < 0 and end < most:
        own.adopt(fd, segment_id, end)
        return
    if end >= most:
        connection.execute("UPDATE segment SET state = ? WHERE segment_id = ?", (SEALED, segment_id))
    os.close(fd)


def is_whole(fd: int, ref: BodyRef, content_id: bytes) -> bool:
    """Whether the record's header belongs to this row and its octets to the header; reads in pieces."""
    if parse_header(os.pread(fd, HEADER_SIZE, ref.offset - HEADER_SIZE)) != Record(ref.size, ref.crc, content_id):
        return False
    crc, position, end = 0, ref.offset, ref.offset + ref.size
    while position < end:
        piece = os.pread(fd, min(PIECE, end - position), position)
        if not piece:
            return False
        crc = zlib.crc32(piece, crc)
        position += len(piece)
    return crc == ref.crc


def _remove_email(connection: apsw.Connection, account_id: int, email_id: int) -> list[tuple[int, int, int]]:
    """A content with all entries that name it."""
    key = account_id, email_id
    sql = "SELECT mailbox_id, uid FROM entry WHERE account_id = ? AND email_id = ? ORDER BY mailbox_id, uid"
    entries = rows(connection, sql, *key)
    for mailbox_id, uid in entries:
        remove_entries(connection, account_id, mailbox_id, uid, uid)
    connection.execute("UPDATE expunged SET email_id = NULL WHERE account_id = ? AND email_id = ?", key)
    connection.execute("DELETE FROM email WHERE account_id = ? AND email_id = ?", key)
    return [(account_id, mailbox_id, uid) for mailbox_id, uid in entries]


def take_back(connection: apsw.Connection, changes: Iterable[Change]) -> None:
    """Undo, as far as it can be undone, what a group appended that was committed and then refused."""
    connection.execute("UPDATE counter SET value = value + 1 WHERE name = 'opened'")  # overwrites a commit that never synced
    for change in changes:
        if change.kind is ChangeKind.APPENDED:
            remove_entries(connection, change.account_id, change.mailbox_id, change.uid_lo, change.uid_hi)
    emptied = rows(connection, "SELECT DISTINCT segment FROM email WHERE refs = 0")
    connection.execute("DELETE FROM email WHERE refs = 0")
    # a long message is a segment of its own, whose file goes with the refusal
    sql = "DELETE FROM segment WHERE segment_id = ?1 AND state = ?2 AND NOT EXISTS (SELECT 1 FROM email WHERE segment = ?1)"
    for (segment_id,) in emptied:
        connection.execute(sql, (segment_id, SEALED))


def remove_entries(connection: apsw.Connection, account_id: int, mailbox_id: int, lo: int, hi: int) -> None:
    """Expunge without recovery: nobody was told that these entries exist."""
    key = account_id, mailbox_id, lo, hi
    where = "WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?"
    entries = rows(connection, f"SELECT uid, email_id FROM entry {where}", *key)  # noqa: S608 - `where` is above
    if not entries:
        return
    sql = "UPDATE account SET modseq = modseq + 1 WHERE account_id = ? RETURNING modseq"
    modseq = value(connection, sql, account_id)
    connection.execute(
        "INSERT INTO expunged SELECT account_id, mailbox_id, uid, ?5, savedate, NULL, flagset_id, internaldate, savedate, size,"
        " uidl FROM entry WHERE account_id = ?1 AND mailbox_id = ?2 AND uid BETWEEN ?3 AND ?4",
        (*key, modseq),
    )
    is_queue = value(connection, "SELECT login FROM account WHERE account_id = ?", account_id) == QUEUE_LOGIN
    _forget_tokens(connection, where, key, is_queue=is_queue)
    connection.execute(f"DELETE FROM entry {where}", key)  # noqa: S608 - `where` is above
    if is_queue:
        for table in ("queued", "queued_recipient"):
            connection.execute(f"DELETE FROM {table} WHERE uid BETWEEN ? AND ?", (lo, hi))  # noqa: S608 - names of ours
    for _, email_id in entries:
        connection.execute("UPDATE email SET refs = refs - 1 WHERE account_id = ? AND email_id = ?", (account_id, email_id))
    change = (account_id, modseq, 0, ChangeKind.EXPUNGED, mailbox_id, lo, hi)
    connection.execute("INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?)", change)
    connection.execute(
        "UPDATE mailbox SET highestmodseq = ? WHERE account_id = ? AND mailbox_id = ?", (modseq, account_id, mailbox_id)
    )
    recount(connection, account_id, mailbox_id)


def _forget_tokens(connection: apsw.Connection, where: str, key: tuple[int, int, int, int], *, is_queue: bool) -> None:
    """Whoever submits again what is removed here must not hear that it was accepted (ADR 0020). The queue's rows name their
    token; of what was for accounts here alone, all tokens of that second go, but for those whose message waits in the queue:
    then something may be sent twice, which is better than never."""
    named = "queued.account_id = submission.account_id AND queued.token = submission.token"
    if is_queue:
        found = f"SELECT 1 FROM queued WHERE queued.uid BETWEEN ? AND ? AND {named}"  # noqa: S608 - words of ours
        connection.execute(f"DELETE FROM submission WHERE EXISTS ({found})", key[2:])  # noqa: S608 - words of ours
        return
    seconds = f"SELECT savedate FROM entry {where}"  # noqa: S608 - words of ours
    waits = f"SELECT 1 FROM queued WHERE {named}"  # noqa: S608 - words of ours
    sql = f"DELETE FROM submission WHERE submitted IN ({seconds}) AND NOT EXISTS ({waits})"  # noqa: S608 - words of ours
    connection.execute(sql, key)


def sweep_spool(volume: Volume, spool: Path) -> int:
    """Delete unfinished messages of processes that are gone."""
    swept = 0
    for path in sorted(spool.iterdir()):
        try:
            fd = lock(path)
        except FileNotFoundError:  # it became a segment, or its owner discarded it
            continue
        if fd is not None:
            volume.unlink(path)
            os.close(fd)
            swept += 1
    return swept
