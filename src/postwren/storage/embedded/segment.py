"""Segment files: records (see `record`) one after the other, a message each.

A process appends only to its own segment, which it keeps locked (flock) while it is open. Rows name the octets
by (segment, offset, size, crc); octets that no row names mean nothing and are never delivered (D-03). While it is open
a segment may end in zeros, which the next messages take the place of.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from postwren.mailstore.model import BodyRef
from postwren.storage.embedded.body import MemoryBody, SpooledBody, SpoolFile
from postwren.storage.embedded.index import immediate, value
from postwren.storage.embedded.record import HEADER_SIZE, format_header
from postwren.storage.embedded.volume import Volume

__all__ = ["OPEN", "RETIRED", "SEALED", "OwnSegment", "allocate", "content_end", "lock", "segment_path"]

OPEN: Final = 1
SEALED: Final = 2
RETIRED: Final = 3
PIECE: Final = 1 << 16
SMALL_GROUPS: Final = 16
"""A group this many times smaller than a step of zeros is worth filling for."""
RECORD_STEP: Final = 1 << 18
"""So many octets may be durable without the index knowing: they are checked after a crash. To record each group would cost a
delivery that comes alone a ninth of what it writes."""


def segment_path(directory: Path, segment_id: int) -> Path:
    return directory / f"{segment_id:08d}.seg"


def allocate(connection: apsw.Connection, directory: Path) -> int:
    """The next segment number; inside a write transaction. Numbers whose transaction never ended may have left a file."""
    while True:
        number: int = value(connection, "UPDATE counter SET value = value + 1 WHERE name = 'segment' RETURNING value - 1")
        if not segment_path(directory, number).exists():
            return number


def lock(path: Path) -> int | None:
    """A segment opened for appending, when no process holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def content_end(fd: int, size: int) -> int:
    """Where the zeros begin that a segment of this size may end in."""
    while size:
        piece = os.pread(fd, min(PIECE, size), max(0, size - PIECE)).rstrip(b"\0")
        if piece:
            return max(0, size - PIECE) + len(piece)
        size = max(0, size - PIECE)
    return 0


class Mark(NamedTuple):
    """Where a unit of work began."""

    buffers: int
    position: int
    moves: int


class OwnSegment:
    """The segment that this process appends to. Used by the writer's thread only.

    Within a group: `place` for each body, `mark` and `undo` around a unit, then `write`, and `keep` or `drop`.
    """

    def __init__(self, volume: Volume, directory: Path, connection: apsw.Connection, most: int, fill_step: int) -> None:
        self._volume = volume
        self._directory = directory
        self._connection = connection
        self._most = most
        self._fill_step = fill_step
        self.fd = -1
        self.segment_id = 0
        self.end = 0  # behind the last record that was kept
        self.recorded = 0  # what the index says of it
        self._is_recording = False  # the group's transaction says more
        self._size = 0  # of the file, with its zeros
        self._position = 0
        self._buffers: list[bytes] = []
        self._moves: list[tuple[SpoolFile, Path]] = []
        self._is_written = False

    def adopt(self, fd: int, segment_id: int, end: int) -> None:
        """Go on with a segment whose octets up to `end` are on the disk and recorded as such."""
        self.fd, self.segment_id = fd, segment_id
        self._size = os.fstat(fd).st_size
        self.end = self.recorded = self._position = end

    @property
    def is_ready(self) -> bool:
        """There is a segment with room."""
        return self.fd >= 0 and self.end < self._most

    def make_ready(self) -> None:
        """Before a group with bodies, outside a transaction: see that it `is_ready`."""
        if self.is_ready:
            return
        full, fd, path = self.segment_id, -1, None
        try:
            with immediate(self._connection):
                segment_id = allocate(self._connection, self._directory)
                path = segment_path(self._directory, segment_id)
                fd = self._volume.create(path)
                self._volume.sync_directory(self._directory)
                self._connection.execute(
                    "UPDATE segment SET state = ?, synced = ? WHERE segment_id = ?", (SEALED, self.end, full)
                )
                self._connection.execute("INSERT INTO segment VALUES (?, ?, 0, 0)", (segment_id, OPEN))
        except BaseException as error:
            if fd >= 0 and path is not None:
                os.close(fd)
                if not isinstance(error, apsw.IOError):  # then nobody knows whether the index names it
                    self._volume.unlink(path)
            raise
        self.release()
        self.adopt(fd, segment_id, 0)

    def release(self) -> None:
        """Let go of the file, without its zeros."""
        if self.fd >= 0:
            if self._size > self.end:
                with suppress(OSError):  # they mean nothing
                    self._volume.truncate(self.fd, self.end)
            os.close(self.fd)
        self.fd = -1

    def record_synced(self, step: int = RECORD_STEP) -> None:
        """Inside a group's transaction: what the groups before it made durable, where that is a `step` more than recorded."""
        if self.end - self.recorded >= step:
            self._is_recording = True
            self._connection.execute("UPDATE segment SET synced = ? WHERE segment_id = ?", (self.end, self.segment_id))

    def need_durable(self, segment_id: int, end: int) -> None:
        """A row of this unit names octets that were there before: another process may not have synced them yet."""
        if segment_id == self.segment_id:
            return
        synced = value(self._connection, "SELECT synced FROM segment WHERE segment_id = ?", segment_id)
        if synced is not None and synced < end:
            fd = os.open(segment_path(self._directory, segment_id), os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._volume.sync(fd)
            finally:
                os.close(fd)

    # -- one group

    def place(self, body: MemoryBody | SpooledBody) -> BodyRef:
        """Where this body will be once the group is written."""
        if isinstance(body, SpooledBody):
            return BodyRef(self.place_file(body.file), body.start + HEADER_SIZE, body.size, body.crc)
        offset = self._position + HEADER_SIZE
        self._buffers += (format_header(body.size, body.crc, body.content_id), body.octets)
        self._position = offset + body.size
        return BodyRef(self.segment_id, offset, body.size, body.crc)

    def place_file(self, file: SpoolFile) -> int:
        """The number under which a file, already synced, becomes a segment when the group is written."""
        segment_id = allocate(self._connection, self._directory)
        self._moves.append((file, segment_path(self._directory, segment_id)))
        self._connection.execute("INSERT INTO segment VALUES (?, ?, ?, 0)", (segment_id, SEALED, file.size))
        return segment_id

    def mark(self) -> Mark:
        return Mark(len(self._buffers), self._position, len(self._moves))

    def undo(self, mark: Mark) -> None:
        del self._buffers[mark.buffers :]
        del self._moves[mark.moves :]
        self._position = mark.position

    def write(self) -> bool:
        """Put the group's octets into the segment and its files into their place; whether a sync of `fd` is owed.

        Files were synced in the spool; their new names are on the disk when this returns."""
        for file, path in self._moves:
            self._volume.rename(file.path, path)
            file.path = path
        if self._moves:
            self._volume.sync_directory(self._directory)
        if not self._buffers:
            return False
        self._is_written = True
        self._volume.write(self.fd, self._filled(), self.end)
        self._size = max(self._size, self._position)
        return True

    def _filled(self) -> list[bytes]:
        """The group's octets; with a step of zeros behind them where they are few and the file would have to grow. A sync of
        octets that take the place of zeros writes no new length (4.5 kB beside the commit of a log that is overwritten: 0.32 ms
        instead of 0.54). Large groups go without: they would write nearly as many zeros as octets."""
        size = min(self._position + self._fill_step, self._most)
        if self._position <= self._size or size <= self._position:
            return self._buffers
        if (self._position - self.end) * SMALL_GROUPS > self._fill_step:
            return self._buffers
        zeros, self._size = size - self._position, size
        return [*self._buffers, bytes(zeros)]

    def keep(self) -> None:
        """The group is durable."""
        for file, _ in self._moves:
            file.keep()
        if self._is_recording:
            self.recorded = self.end
        self._clear()
        self.end = self._position

    def drop(self) -> None:
        """The group was undone: its octets go, so that a full volume gets them back."""
        if self._is_written:
            self._size = self.end
            self._volume.truncate(self.fd, self.end)
        self._position = self.end
        self._clear()

    def _clear(self) -> None:
        self._buffers.clear()
        self._moves.clear()
        self._is_written = self._is_recording = False
