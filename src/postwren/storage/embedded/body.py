"""Messages on their way in: short ones stay in memory, long ones go straight into a file that becomes a segment of its own,
so that nothing is copied. Hashes are computed as the octets pass; those of a long message whose beginning is not known before its
end (`room`) by the thread that syncs it: its record begins behind a hole in the file, which takes no space.
"""

import errno
import os
import re
import secrets
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from postwren.mailstore.errors import MailstoreError, StoreFailed, StoreFull
from postwren.storage.embedded.record import HEADER_SIZE, format_header
from postwren.storage.embedded.volume import Volume, refusal

__all__ = ["EmbeddedBodyWriter", "MemoryBody", "SpoolFile", "SpooledBody"]

PIECE: Final = 1 << 20
_DOT_LINE: Final = re.compile(rb"\n\.")  # half the time of `in`


class SpoolFile:
    """A file in the spool: locked while its process lives, gone unless it becomes a segment."""

    def __init__(self, volume: Volume, directory: Path) -> None:
        self._volume = volume
        self._fd = -1
        self._is_kept = False
        self.size = 0
        while True:
            self.path = directory / f"{secrets.token_hex(8)}.new"
            try:
                self._fd = volume.create(self.path)
            except BlockingIOError:  # another process sweeps the spool and was between our two steps
                continue
            if os.fstat(self._fd).st_nlink:
                break
            os.close(self._fd)

    def append(self, data: bytes) -> None:
        self._volume.write(self._fd, (data,), self.size)
        self.size += len(data)

    def skip(self, length: int) -> None:
        """Leave so much unwritten."""
        self.size += length

    def put(self, data: bytes, offset: int) -> None:
        """Overwrite what was left blank."""
        self._volume.write(self._fd, (data,), offset)

    def read(self, offset: int, length: int) -> bytes:
        """What was written; shorter at the end."""
        return os.pread(self._fd, length, offset)

    def sync(self) -> None:
        self._volume.sync(self._fd)

    def keep(self) -> None:
        """It is a segment now."""
        self._is_kept = True
        self._close()

    def discard(self) -> None:
        if not self._is_kept and self._fd >= 0:
            self._volume.unlink(self.path)
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.discard()


class MemoryBody:
    """A message in memory."""

    __slots__ = ("content_id", "crc", "has_dot_line", "octets", "size")

    def __init__(self, octets: bytes, content_id: bytes, crc: int, has_dot_line: bool) -> None:
        self.octets = octets
        self.size = len(octets)
        self.content_id = content_id
        self.crc = crc
        self.has_dot_line = has_dot_line

    def discard(self) -> None:
        """Nothing but memory is held, and that until the last reference goes."""


class SpooledBody:
    """A message in a file that is a whole segment already, but for its name. Its record begins at `start`. Without a `content_id`
    it is hashed in `sync`."""

    __slots__ = ("content_id", "crc", "file", "has_dot_line", "size", "start")

    def __init__(self, file: SpoolFile, start: int, size: int, content_id: bytes, crc: int, has_dot_line: bool) -> None:
        self.file = file
        self.start = start
        self.size = size
        self.content_id = content_id
        self.crc = crc
        self.has_dot_line = has_dot_line

    def sync(self) -> None:
        """Make it durable; not on the loop's thread. Raises OSError."""
        if not self.content_id:
            self._hash()
        self.file.sync()

    def _hash(self) -> None:
        sha, crc, at = sha256(), 0, self.start + HEADER_SIZE
        end = at + self.size
        while at < end:
            piece = self.file.read(at, min(PIECE, end - at))
            if not piece:
                raise OSError(errno.EIO, "a message in the spool lost octets")
            sha.update(piece)
            crc = zlib.crc32(piece, crc)
            at += len(piece)
        content_id = sha.digest()
        self.file.put(format_header(self.size, crc, content_id), self.start)
        self.crc, self.content_id = crc, content_id

    def discard(self) -> None:
        self.file.discard()


class EmbeddedBodyWriter:
    """Takes a message as it arrives."""

    __slots__ = (
        "_crc",
        "_failed",
        "_file",
        "_has_dot_line",
        "_is_line_start",
        "_parts",
        "_reserve",
        "_room",
        "_sha",
        "_size",
        "_spool",
        "_spool_above",
        "_volume",
    )

    def __init__(
        self,
        volume: Volume,
        spool: Path,
        spool_above: int,
        reserve: int,
        failed: Callable[[StoreFailed], None],
        room: int = 0,
    ) -> None:
        self._volume = volume
        self._spool = spool
        self._spool_above = spool_above
        self._reserve = reserve
        self._failed = failed
        self._room = room
        self._parts: list[bytes] = []
        self._file: SpoolFile | None = None
        self._size = 0
        self._sha = sha256()
        self._crc = 0
        self._is_line_start = True
        self._has_dot_line = False

    @property
    def size(self) -> int:
        return self._size

    def write(self, data: bytes) -> None:
        """StoreFull when the spool cannot take it; the writer is then of no more use."""
        if not data:
            return
        self._size += len(data)
        if self._file is not None:
            self._look_at(data)
            self._append(self._file, data)
            return
        self._parts.append(bytes(data))
        if self._size > self._spool_above:
            self._start_file()

    def _look_at(self, data: bytes) -> None:
        """The next octets, for what is known of the whole: once for a short message, as they come for a long one."""
        if not (self._room and self._file is not None):
            self._sha.update(data)
            self._crc = zlib.crc32(data, self._crc)
        if not self._has_dot_line:
            self._has_dot_line = (self._is_line_start and data[:1] == b".") or _DOT_LINE.search(data) is not None
            self._is_line_start = data[-1:] == b"\n"

    def _start_file(self) -> None:
        if self._volume.free(self._spool) < self._reserve:
            raise StoreFull("less than the reserve is free")
        try:
            self._file = SpoolFile(self._volume, self._spool)
        except OSError as error:
            raise self._refuse(error) from error
        octets = b"".join(self._parts)
        self._parts.clear()
        self._look_at(octets)
        if self._room:
            self._file.skip(HEADER_SIZE + self._room)
            self._append(self._file, octets)
        else:
            self._append(self._file, bytes(HEADER_SIZE) + octets)

    def _append(self, file: SpoolFile, data: bytes) -> None:
        try:
            file.append(data)
        except OSError as error:
            raise self._refuse(error) from error

    def _refuse(self, error: OSError) -> MailstoreError:
        self.discard()
        refused = refusal(error)
        if isinstance(refused, StoreFailed):
            self._failed(refused)
        return refused

    def finish(self, prefix: bytes = b"") -> MemoryBody | SpooledBody:
        if len(prefix) > self._room:
            raise ValueError(f"{len(prefix)} octets in front, and room for {self._room}")
        if self._file is None:
            octets = b"".join((prefix, *self._parts))
            self._look_at(octets)
            return MemoryBody(octets, self._sha.digest(), self._crc, self._has_dot_line)
        start = self._room - len(prefix)
        size = self._size + len(prefix)
        content_id = b"" if self._room else self._sha.digest()
        header = bytes(HEADER_SIZE) if self._room else format_header(size, self._crc, content_id)
        try:  # the blank one too, so that what is said of a full volume is said now
            self._file.put(header + prefix, start)
        except OSError as error:
            raise self._refuse(error) from error
        has_dot_line = self._has_dot_line or prefix[:1] == b"." or _DOT_LINE.search(prefix) is not None
        return SpooledBody(self._file, start, size, content_id, self._crc, has_dot_line)

    def discard(self) -> None:
        self._parts.clear()
        if self._file is not None:
            self._file.discard()
