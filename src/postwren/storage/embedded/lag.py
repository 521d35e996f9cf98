"""Flags that are answered before they are synced (ADR 0012): the sync that follows, and what a power cut must not undo.

What must stay true: a change of flags that was answered is in the log, where kill -9 cannot reach it, and on the disk after
`lag_seconds`; a ModSeq that a client may have seen is never given to another change (RFC 7162 section 3.1.2: who has seen it
would not ask again). A power cut can take the rows of the last moment, and with them their ModSeqs: so the first change says
on the disk in which boot of the machine others may follow unsynced, and who opens the store in another boot skips some.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from postwren.mailstore.model import ChangeKind
from postwren.storage.embedded.index import value
from postwren.storage.embedded.volume import Volume

__all__ = ["BURNT", "LogSync", "burn_lag", "lengthen", "mark_lag"]

BURNT: Final = 1 << 20
"""ModSeqs that are skipped: far more than there can be between two syncs."""


def mark_lag(connection: apsw.Connection, boot: int) -> None:
    """Inside a transaction whose commit is synced: from here on ModSeqs may be told before they are."""
    connection.execute("INSERT INTO counter VALUES ('lag', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1", (boot,))


def burn_lag(connection: apsw.Connection, boot: int) -> None:
    """Inside the transaction of the recovery: skip what may have been told before the machine went down."""
    marked = value(connection, "SELECT value FROM counter WHERE name = 'lag'")
    if marked in (None, 0, boot):
        return
    connection.execute("UPDATE account SET modseq = modseq + ?", (BURNT,))
    skipped = "INSERT INTO change SELECT account_id, modseq, 0, ?, 0, 0, 0 FROM account"
    connection.execute(skipped, (ChangeKind.SKIPPED,))
    mark_lag(connection, 0)


class LogSync:
    """Syncs the index's log behind commits that did not, from a thread of its own: the writer may be busy for longer.
    `failed` is called on that thread, once."""

    def __init__(self, volume: Volume, directory: Path, delay: float, failed: Callable[[OSError], None]) -> None:
        self._volume = volume
        self._path = directory / "index.db-wal"
        self._delay = delay
        self._failed = failed
        self._due = threading.Event()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Something was committed and is not synced."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="postwren-log", daemon=True)
            self._thread.start()
        if not self._due.is_set():
            self._due.set()

    def end(self) -> None:
        """What is owed is synced when this returns."""
        self._ends.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        fd = -1
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            while self._due.wait():
                self._ends.wait(self._delay)
                self._due.clear()  # before the sync: what is committed from here on is owed another one
                ends = self._ends.is_set()  # asked behind the clear, which may have taken the mark that `end` had just set
                self._volume.sync(fd)
                if ends:
                    return
        except OSError as error:
            self._failed(error)
        finally:
            if fd >= 0:
                os.close(fd)


def lengthen(volume: Volume, fd: int, size: int, wanted: int) -> None:
    """Give the log its full length, in zeros, or leave it as it was."""
    try:
        volume.write(fd, (bytes(wanted - size),), size)
        volume.sync(fd)
    except OSError:
        os.ftruncate(fd, size)  # the last of the room is for mail
        raise
