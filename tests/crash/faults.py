"""Faults on demand: the N-th write, sync or rename of a store fails, whoever makes it (segment, spool or SQLite)."""

import errno
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from postwren.storage.embedded.volume import Volume

_names = itertools.count()


class Fault:
    """Fails the N-th call of a kind once it is armed, and all later ones when it `lasts`."""

    def __init__(self, kind: str, nth: int, number: int, lasts: bool = False) -> None:
        self.kind = kind
        self.nth = nth
        self.number = number
        self.lasts = lasts
        self.is_armed = False
        self.count = 0

    @property
    def fired(self) -> bool:
        return self.count >= self.nth

    def hits(self, kind: str) -> bool:
        """Count a call; whether it is to fail."""
        if not self.is_armed or kind != self.kind:
            return False
        self.count += 1
        return self.count == self.nth or (self.lasts and self.count > self.nth)

    def error(self) -> OSError:
        return OSError(self.number, os.strerror(self.number))

    def sqlite_error(self, what: str) -> apsw.Error:
        if self.number == errno.ENOSPC and what == "write":
            return apsw.FullError("full")
        return apsw.IOError("failed")


class FaultyVolume(Volume):
    """Half of a failing write reaches the file."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def create(self, path: Path) -> int:
        if self.fault.hits("create"):
            raise self.fault.error()
        return super().create(path)

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        if self.fault.hits("write"):
            data = b"".join(buffers)
            os.pwrite(fd, data[: len(data) // 2], offset)
            raise self.fault.error()
        super().write(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        if self.fault.hits("sync"):
            raise self.fault.error()
        super().fdatasync(fd)

    def fsync(self, fd: int) -> None:
        if self.fault.hits("sync"):
            raise self.fault.error()
        super().fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        if self.fault.hits("rename"):
            raise self.fault.error()
        super().rename(source, target)


class FaultyFile(apsw.VFSFile):
    """A file of SQLite's."""

    def __init__(self, name: Any, flags: list[int], fault: Fault) -> None:
        super().__init__("", name, flags)
        self._fault = fault

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._fault.hits("write"):
            super().xWrite(bytes(data)[: len(data) // 2], offset)
            raise self._fault.sqlite_error("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self._fault.hits("sync"):
            raise self._fault.sqlite_error("sync")
        super().xSync(flags)


class FaultyVFS(apsw.VFS):
    """Opens files that fail."""

    def __init__(self, name: str, fault: Fault) -> None:
        super().__init__(name, "")
        self._fault = fault

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:  # noqa: N802 - SQLite's name
        return FaultyFile(name, flags, self._fault)


@contextmanager
def sqlite_files(fault: Fault) -> Iterator[str]:
    """The name under which SQLite knows files with this fault."""
    name = f"faulty{next(_names)}"
    vfs = FaultyVFS(name, fault)
    try:
        yield name
    finally:
        vfs.unregister()
