"""Messages on their way in, and the segments that keep them: the same form as on disk, in memory.

A segment is append-only and is dropped when nothing in it is named any more.
"""

import hashlib
import zlib
from collections import Counter
from typing import Final

from postwren.mailstore.errors import BodyCorrupt, MessageGone, StoreFull
from postwren.mailstore.model import BodyRef

__all__ = ["MemoryBody", "MemoryBodyWriter", "Segments"]

SEGMENT_SIZE: Final = 1 << 20
RECORD_HEADER: Final = b"\0" * 16
"""Neighbours do not touch, as they do not on disk."""


class MemoryBody:
    """A whole message that is not kept yet."""

    __slots__ = ("content_id", "data", "has_dot_line", "size")

    def __init__(self, data: bytes, content_id: bytes, has_dot_line: bool) -> None:
        self.data: bytes | None = data
        self.size = len(data)
        self.content_id = content_id
        self.has_dot_line = has_dot_line

    def discard(self) -> None:
        """Give its space back."""
        self.data = None


class MemoryBodyWriter:
    """Takes a message as it arrives."""

    __slots__ = ("_has_dot_line", "_last", "_pieces", "_room", "size")

    def __init__(self, room: int = 0) -> None:
        self._pieces: list[bytes] = []
        self._room = room
        self._has_dot_line = False
        self._last = b"\n"
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next octets."""
        if not data:
            return
        if not self._has_dot_line:  # a line may begin in this piece while its dot comes in the next
            self._has_dot_line = b"\n." in data or (self._last == b"\n" and data[:1] == b".")
            self._last = data[-1:]
        self._pieces.append(bytes(data))
        self.size += len(data)

    def finish(self, prefix: bytes = b"") -> MemoryBody:
        """The message is complete."""
        if len(prefix) > self._room:
            raise ValueError(f"{len(prefix)} octets in front, and room for {self._room}")
        data = b"".join((prefix, *self._pieces))
        has_dot_line = self._has_dot_line or prefix[:1] == b"." or b"\n." in prefix
        return MemoryBody(data, hashlib.sha256(data).digest(), has_dot_line)

    def discard(self) -> None:
        """It will not be complete."""
        self._pieces.clear()


class Segments:
    """Bodies that are kept. `capacity` is the size of the imagined volume."""

    __slots__ = ("_capacity", "_kept", "_live", "_names", "_segments", "_writing")

    def __init__(self, capacity: int | None) -> None:
        self._capacity = capacity
        self._kept = 0
        self._segments: dict[int, bytearray] = {1: bytearray()}
        self._live: dict[int, int] = {1: 0}  # bodies that are kept, by segment
        self._names: Counter[BodyRef] = Counter()  # emails of all accounts that name a body
        self._writing = 1

    def keep(self, data: bytes) -> BodyRef:
        """Append a body."""
        if self._capacity is not None and self._kept + len(data) > self._capacity:
            raise StoreFull
        if len(self._segments[self._writing]) >= SEGMENT_SIZE:
            self._writing += 1
            self._segments[self._writing] = bytearray()
            self._live[self._writing] = 0
        segment = self._segments[self._writing]
        segment += RECORD_HEADER
        ref = BodyRef(self._writing, len(segment), len(data), zlib.crc32(data))
        segment += data
        self._live[self._writing] += 1
        self._kept += len(data)
        return ref

    def name(self, ref: BodyRef) -> None:
        """One more email names this body."""
        self._names[ref] += 1

    def release(self, ref: BodyRef) -> None:
        """One fewer email names this body; with the last one it goes."""
        self._names[ref] -= 1
        if self._names[ref] > 0:
            return
        del self._names[ref]
        self._kept -= ref.size
        self._live[ref.segment] -= 1
        if not self._live[ref.segment] and ref.segment != self._writing:
            del self._segments[ref.segment], self._live[ref.segment]

    def read(self, ref: BodyRef, offset: int, length: int | None) -> bytes:
        """Octets of a body; the whole is checked."""
        start = ref.offset + min(offset, ref.size)
        end = ref.offset + ref.size if length is None else min(start + length, ref.offset + ref.size)
        data = bytes(self._segment(ref)[start:end])
        if len(data) == ref.size and zlib.crc32(data) != ref.crc:
            raise BodyCorrupt
        return data

    def window(self, ref: BodyRef, length: int) -> tuple[int, bytes]:
        """Unchecked octets of the segment from the body on."""
        return ref.offset, bytes(self._segment(ref)[ref.offset : ref.offset + length])

    def _segment(self, ref: BodyRef) -> bytearray:
        try:
            return self._segments[ref.segment]
        except KeyError:
            raise MessageGone from None
