"""A disk that forgets: what a power cut leaves of a store's folder.

Every file's octets are remembered as they were at its last sync, and names as they were at the last sync of their folder. A cut
blends that with what was written since, block by block at random: an unsynced block may be there or not, a file may have any
length in between, a new or removed name may have happened or not. The store works on real files meanwhile.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from postwren.storage.embedded.volume import Volume

BLOCK = 512


class Disk:
    """What is durable of the files under `root`. `cut` is called at every `moments`-th event, on any thread."""

    def __init__(self, root: Path, moments: set[int], cut: Callable[[dict[str, bytes]], None]) -> None:
        self._root = root
        self._moments = moments
        self._cut = cut
        self._random = random.Random(len(moments))
        self._lock = threading.RLock()
        self._octets: dict[int, bytes] = {}  # by inode
        self._reads: dict[int, int] = {}  # the latest of what is synced, by inode
        self._count = 0
        self._names: dict[str, int] = {}
        self.events = 0

    def event(self) -> None:
        with self._lock:
            self.events += 1
            if self.events in self._moments:
                self._cut(self.image())

    def read(self, path: str | int) -> tuple[int, bytes]:
        fd = path if isinstance(path, int) else os.open(path, os.O_RDONLY)
        try:
            return os.fstat(fd).st_ino, os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            if not isinstance(path, int):
                os.close(fd)

    def read_to_sync(self, path: str | int) -> tuple[int, int, bytes]:
        """When, which file, and its octets: a sync that ends behind a later one of the same file takes nothing back."""
        with self._lock:
            self._count += 1
            return self._count, *self.read(path)

    def synced(self, when: int, inode: int, octets: bytes) -> None:
        with self._lock:
            if when > self._reads.get(inode, 0):
                self._octets[inode], self._reads[inode] = octets, when
        self.event()

    def directory_synced(self, directory: Path, only: str | None = None) -> None:
        with self._lock:
            prefix = os.path.relpath(directory, self._root)
            if only is None:
                self._names = {name: inode for name, inode in self._names.items() if os.path.dirname(name) != prefix}
            for path in directory.iterdir():
                if path.is_file() and only in (None, path.name):
                    self._names[os.path.join(prefix, path.name)] = path.stat().st_ino
        self.event()

    def image(self) -> dict[str, bytes]:
        """Files after a cut right now."""
        current = {
            os.path.join(os.path.relpath(path.parent, self._root), path.name): self.read(str(path))
            for path in self._root.rglob("*")
            if path.is_file() and not path.name.endswith("-shm")
        }
        now = dict(current.values())
        found = {}
        for name in sorted({*current, *self._names}):
            inode = self._names.get(name)
            if name in current and current[name][0] != inode and self._random.random() < 0.5:
                inode = current[name][0]
            elif name not in current and self._random.random() < 0.5:
                inode = None
            if inode is not None:
                old = self._octets.get(inode, b"")
                found[name] = self._blend(old, now.get(inode, old))
        return found

    def _blend(self, old: bytes, new: bytes) -> bytes:
        if old == new:
            return old
        size = self._random.randint(min(len(old), len(new)), max(len(old), len(new)))
        taste = self._random.choice((0.0, 0.5, 1.0))
        blocks = []
        for start in range(0, size, BLOCK):
            end = min(start + BLOCK, size)
            source = new if self._random.random() < taste else old
            blocks.append(source[start:end].ljust(end - start, b"\0"))
        return b"".join(blocks)


class ForgetfulVolume(Volume):
    """Tells the disk what happened."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._disk.event()
        return fd

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        super().write(fd, buffers, offset)
        self._disk.event()

    def sync(self, fd: int) -> None:
        read = self._disk.read_to_sync(fd)
        super().sync(fd)
        self._disk.synced(*read)

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self._disk.directory_synced(path)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._disk.event()


class ForgetfulFile(apsw.VFSFile):
    """A file of SQLite's."""

    def __init__(self, name: Any, flags: list[int], disk: Disk) -> None:
        super().__init__("", name, flags)
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._disk.event()

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        read = self._disk.read_to_sync(self._path)
        super().xSync(flags)
        path = Path(self._path)
        self._disk.directory_synced(path.parent, path.name)  # SQLite syncs the folder with a new log
        self._disk.synced(*read)


class ForgetfulVFS(apsw.VFS):
    """Opens files whose syncs are noted."""

    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name, "")
        self._disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> ForgetfulFile:  # noqa: N802 - SQLite's name
        return ForgetfulFile(name, flags, self._disk)


@contextmanager
def sqlite_files(disk: Disk) -> Iterator[str]:
    """The name under which SQLite knows this disk."""
    vfs = ForgetfulVFS(f"forgetful{id(disk)}", disk)
    try:
        yield f"forgetful{id(disk)}"
    finally:
        vfs.unregister()
