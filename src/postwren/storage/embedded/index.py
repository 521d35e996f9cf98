"""Connections to the index: how they are opened, and transactions around a block.

`synchronous=FULL`: a commit that returned is on the disk; only the writer's commits of flags are synced later (ADR 0012).
Checkpoints are the writer's business, so that they fall into idle moments.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from postwren.mailstore.errors import MailstoreError, StoreFailed, StoreFull, StoreUnusable
from postwren.storage.embedded.volume import refusal

__all__ = [
    "FAULTS",
    "PAGE",
    "connect",
    "create",
    "immediate",
    "opening_refusal",
    "reading_vfs",
    "refusal_of",
    "roll_back",
    "rows",
    "snapshot",
    "value",
]

PAGE: Final = 4096  # 16 kB scans a little faster, but a single delivery then writes twice the octets to the log
CACHE_KIB: Final = 64 << 10
FAULTS: Final = (apsw.FullError, apsw.IOError, OSError)  # what a volume that is full or broken raises


NOT_OURS: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT))


def refusal_of(error: BaseException) -> MailstoreError:
    """What one of `FAULTS` means."""
    if isinstance(error, OSError):
        return refusal(error)
    # the index's shared memory could not grow: that is lack of space as well
    is_full = isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    return StoreFull(str(error)) if is_full else StoreFailed(str(error))


def opening_refusal(path: Path, error: BaseException) -> MailstoreError:
    """What it means that the index at `path`, or its folder, could not be opened."""
    match error:
        case apsw.NotADBError() | apsw.CorruptError():
            return StoreUnusable(f"{path} is damaged ({error}): put it back from a backup, the messages are in segments/")
        case apsw.BusyError() | apsw.LockedError():
            return StoreUnusable(f"another program keeps {path} to itself; end it, or try again later")
        case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError():
            return StoreUnusable(f"{path} cannot be opened for writing ({error}): whose is it, and which account runs this?")
        case OSError(errno=number) if number in NOT_OURS:
            return StoreUnusable(f"{error.filename or path}: {error.strerror}; the data folder must be this account's own")
    return refusal_of(error)


def connect(path: Path, lock_seconds: float, vfs: str | None = None) -> apsw.Connection:
    """A connection for one thread."""
    create(path)
    connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=200)
    try:
        connection.set_busy_timeout(int(lock_seconds * 1000))
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.wal_autocheckpoint(0)
    except BaseException:
        connection.close()  # one that stays half open would share its shared memory with the next
        raise
    return connection


def reading_vfs(path: Path, lock_seconds: float, vfs: str | None = None) -> str | None:
    """The VFS for one who only reads, be the volume full: where the index's shared memory does not fit on it, one that keeps it
    in this process (and keeps other processes out meanwhile)."""
    try:
        connect(path, lock_seconds, vfs).close()
    except (apsw.FullError, apsw.IOError) as error:
        if not isinstance(refusal_of(error), StoreFull):
            raise
        return "unix-excl"
    return vfs


def create(path: Path) -> None:
    """With this mode, which SQLite then gives its other files. An index that exists is never opened here: closing it would drop
    the locks (POSIX) of this process's connections, and another process's last one would then remove the log under them."""
    if not path.exists():
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return  # another process was faster


@contextmanager
def immediate(connection: apsw.Connection) -> Iterator[None]:
    """A write transaction: committed when the block ends, undone when it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


@contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """Reads inside the block see one state."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        roll_back(connection)


def roll_back(connection: apsw.Connection) -> None:
    """End a transaction that may already have been ended by SQLite (a full disk does that)."""
    if not connection.get_autocommit():
        connection.execute("ROLLBACK")


def rows(connection: apsw.Connection, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
    """All rows of a statement."""
    return connection.execute(sql, bindings).fetchall()


def value(connection: apsw.Connection, sql: str, *bindings: Any) -> Any:
    """The only value of a statement; None when there is no row."""
    row = connection.execute(sql, bindings).fetchone()
    return None if row is None else row[0]
