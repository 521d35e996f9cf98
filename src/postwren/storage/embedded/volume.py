"""The few things a store asks of its volume, behind one small class, so that tests can make each of them fail.

What must stay true: no call is tried a second time after a failed sync (the kernel forgets what it could not write), and a
partial write is continued or reported, never taken for a whole one.
"""

import errno
import fcntl
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from postwren.mailstore.errors import MailstoreError, StoreFailed, StoreFull

__all__ = ["SyncFailed", "Volume", "refusal"]

PASSING: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM))
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
MOST_BUFFERS: Final = 1000  # IOV_MAX is 1024 on Linux


class SyncFailed(OSError):
    """What was written may be lost, whatever the reason; a lack of space, too, is final here."""


def refusal(error: OSError) -> MailstoreError:
    """What a failed write means: a lack (of space, descriptors, memory) passes, anything else does not."""
    if error.errno in PASSING and not isinstance(error, SyncFailed):
        return StoreFull(str(error))
    return StoreFailed(str(error))


class Volume:
    """The real thing."""

    def create(self, path: Path) -> int:
        """A new file for writing and reading, locked for this process; FileExistsError when the name is taken."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        """All of `buffers`, one after the other, from `offset` on."""
        for start in range(0, len(buffers), MOST_BUFFERS):
            some = buffers[start : start + MOST_BUFFERS]
            whole = sum(map(len, some))
            written = os.pwritev(fd, some, offset)
            if written < whole:
                self._write_rest(fd, memoryview(b"".join(some))[written:], offset + written)
            offset += whole

    def _write_rest(self, fd: int, rest: memoryview, offset: int) -> None:
        while rest:
            written = os.pwrite(fd, rest, offset)
            offset += written
            rest = rest[written:]

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Octets and length of a file are on the disk when this returns."""
        try:
            self.fdatasync(fd)
        except OSError as error:
            raise SyncFailed(*error.args) from error

    def sync_directory(self, path: Path) -> None:
        """Names in a directory are on the disk when this returns."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fsync(fd)
        except OSError as error:
            raise SyncFailed(*error.args) from error
        finally:
            os.close(fd)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def boot(self) -> int:
        """Which boot of the machine this is: what another process of the same one wrote is still to be read, synced or not.
        Where nobody can say, each process sees a boot of its own."""
        try:
            return zlib.crc32(BOOT.read_bytes()) + 1
        except OSError:
            return int.from_bytes(os.urandom(4)) + 1

    def free(self, path: Path) -> int:
        """Octets that this process may still fill."""
        figures = os.statvfs(path)
        return figures.f_bavail * figures.f_frsize
