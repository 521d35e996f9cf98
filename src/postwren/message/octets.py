"""Searching and cutting that works alike on bytes, memory maps and memoryviews, so that a message need not be read whole."""

import mmap
import re
from typing import TypeAlias

__all__ = ["Octets", "count_lines", "cut", "find"]

Octets: TypeAlias = bytes | memoryview | mmap.mmap

_PIECE = 1 << 18


def cut(octets: Octets, start: int, end: int) -> bytes:
    """A copy of a range."""
    return bytes(octets[start:end])


def find(octets: Octets, what: bytes, start: int, end: int) -> int:
    """The first position of `what` inside the range, or -1."""
    if isinstance(octets, memoryview):
        match = re.compile(re.escape(what)).search(octets, start, end)
        return match.start() if match else -1
    return octets.find(what, start, end)


def count_lines(octets: Octets, start: int, end: int) -> int:
    """The number of line feeds in a range."""
    if isinstance(octets, bytes):
        return octets.count(b"\n", start, end)
    return sum(cut(octets, at, min(at + _PIECE, end)).count(b"\n") for at in range(start, end, _PIECE))
