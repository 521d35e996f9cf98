"""DEFLATE on a link, both ways (RFC 4978, RFC 1951): between TLS and the core.

What must stay true (A-48): at most `PIECE` octets are inflated at a time, the rest waits as it came and counts as held; who
sends what
inflates more than `RATIO`-fold over a `WINDOW` of octets is dropped.
"""

import zlib
from typing import Final

__all__ = ["PIECE", "RATIO", "WINDOW", "Compression", "InflationFault"]

PIECE: Final = 65_536
RATIO: Final = 100
WINDOW: Final = 1 << 20
_WBITS, _MEMORY = -13, 6
"""What we send looks back 8 kB: 64 kB of memory a link, not 256."""


class InflationFault(Exception):
    """What came is not DEFLATE, or a bomb."""


class Compression:
    """The two streams of a link."""

    __slots__ = ("_came", "_deflater", "_inflated", "_inflater")

    def __init__(self) -> None:
        self._deflater = zlib.compressobj(wbits=_WBITS, memLevel=_MEMORY)
        self._inflater = zlib.decompressobj(wbits=-15)
        self._came = self._inflated = 0  # of the present window

    @property
    def waiting(self) -> int:
        """Octets that came and are not inflated yet."""
        return len(self._inflater.unconsumed_tail)

    def inflate(self, data: bytes) -> bytes:
        """The next octets, at most `PIECE`; call it with b"" while `waiting`. Raises InflationFault."""
        self._came += len(data)
        tail = self._inflater.unconsumed_tail
        try:
            octets = self._inflater.decompress(tail + data if tail else data, PIECE)
        except zlib.error as error:
            raise InflationFault(str(error)) from error
        if self._inflater.eof:
            raise InflationFault("the stream has an end")
        self._inflated += len(octets)
        if self._inflated > WINDOW:
            if self._inflated > RATIO * (self._came - self.waiting):
                raise InflationFault("a bomb")
            self._came, self._inflated = self.waiting, 0
        return octets

    def next_octets(self, data: bytes) -> bytes:
        """As `inflate`, and b"" only where nothing is left. Raises InflationFault."""
        octets = self.inflate(data) if data else b""
        while not octets and self.waiting:
            octets = self.inflate(b"")
        return octets

    def deflate(self, data: bytes) -> bytes:
        """Octets for the wire, up to the last of `data`."""
        return self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
