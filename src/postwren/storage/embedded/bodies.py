"""Reading messages from segment files: `pread` on files that stay open, as many as are used most."""

import mmap
import os
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import BodyRef
from postwren.message.octets import Octets
from postwren.storage.embedded.segment import segment_path

__all__ = ["BodyFiles"]

PIECE: Final = 1 << 20


class BodyFiles:
    """`is_known(segment_id)` tells a segment that was deleted because nothing named it any more from one that is lost."""

    def __init__(self, directory: Path, most_open: int, is_known: Callable[[int], bool]) -> None:
        self._directory = directory
        self._most_open = most_open
        self._is_known = is_known
        self._files: OrderedDict[int, int] = OrderedDict()

    def _file(self, segment_id: int) -> int:
        fd = self._files.get(segment_id)
        if fd is not None:
            self._files.move_to_end(segment_id)
            return fd
        try:
            fd = os.open(segment_path(self._directory, segment_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._is_known(segment_id):
                raise BodyCorrupt(f"segment {segment_id} is missing") from None
            raise MessageGone from None
        self._files[segment_id] = fd
        if len(self._files) > self._most_open:
            os.close(self._files.popitem(last=False)[1])
        return fd

    def read(self, ref: BodyRef, offset: int = 0, length: int | None = None) -> bytes:
        offset = min(offset, ref.size)
        length = ref.size - offset if length is None else min(length, ref.size - offset)
        data = _pread(self._file(ref.segment), length, ref.offset + offset)
        if len(data) != length or (length == ref.size and zlib.crc32(data) != ref.crc):
            raise BodyCorrupt(f"segment {ref.segment}, offset {ref.offset}")
        return data

    def pieces(self, ref: BodyRef) -> Iterator[bytes]:
        crc, position, end = 0, ref.offset, ref.offset + ref.size
        while position < end:
            length = min(PIECE, end - position)
            piece = _pread(self._file(ref.segment), length, position)
            crc = zlib.crc32(piece, crc)
            position += length
            if len(piece) != length or (position == end and crc != ref.crc):
                raise BodyCorrupt(f"segment {ref.segment}, offset {ref.offset}")
            yield piece

    def window(self, ref: BodyRef, length: int) -> tuple[int, bytes]:
        return ref.offset, _pread(self._file(ref.segment), length, ref.offset)

    @contextmanager
    def mapped(self, ref: BodyRef) -> Iterator[Octets]:
        skip = ref.offset % mmap.ALLOCATIONGRANULARITY
        if not ref.size:
            yield b""
            return
        fd = self._file(ref.segment)
        if os.fstat(fd).st_size < ref.offset + ref.size:  # beyond the file's end a map is a signal
            raise BodyCorrupt(f"segment {ref.segment}, offset {ref.offset}")
        with (
            mmap.mmap(fd, skip + ref.size, access=mmap.ACCESS_READ, offset=ref.offset - skip) as whole,
            memoryview(whole) as view,
            view[skip:] as body,
        ):
            yield body

    def close_deleted(self) -> None:
        """Give back the space of files that were deleted meanwhile."""
        for segment_id, fd in list(self._files.items()):
            if not os.fstat(fd).st_nlink:
                del self._files[segment_id]
                os.close(fd)

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])


def _pread(fd: int, length: int, offset: int) -> bytes:
    """As many octets as there are up to `length`."""
    data = os.pread(fd, length, offset)
    while 0 < len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
        data += more
    return data
