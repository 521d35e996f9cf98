"""Octets of messages for RETR and TOP: checked, neighbours read together, large ones in pieces.

Messages that arrived one after the other lie side by side in a segment. From the second message in a row on, what
follows is read ahead in one window; the window goes when it was not used for a while, so that an idle session costs
nothing. Every body that is handed out whole has passed its CRC, wherever it came from.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final
from zlib import crc32

from postwren.mailstore.errors import MessageGone
from postwren.mailstore.model import BodyRef
from postwren.mailstore.port import Store
from postwren.mailstore.service.maildrop import Maildrop
from postwren.server.pop3.maildrop_lock import Alarm, Clock

__all__ = ["BodyReader", "top"]

STREAMED: Final = 262144  # octets: larger bodies go in pieces
WINDOW: Final = 524288
NEAR: Final = 65536  # a gap of this size between two bodies still makes them neighbours
IDLE: Final = 5.0  # seconds until an unused window goes


class BodyReader:
    """One session's reads."""

    __slots__ = ("_alarm", "_clock", "_end", "_octets", "_offset", "_segment", "_store", "_was_used")

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._segment = -1  # of the last body read, and of the window where there is one
        self._end = 0  # where the last body ended
        self._offset = 0
        self._octets = b""
        self._alarm: Alarm | None = None
        self._was_used = False

    def read(self, ref: BodyRef) -> bytes:
        """A whole body; BodyCorrupt where it is not what was stored."""
        if ref.segment == self._segment:
            start = ref.offset - self._offset
            if start >= 0 and start + ref.size <= len(self._octets):
                self._was_used = True
            elif 0 <= ref.offset - self._end <= NEAR:
                self._look_ahead(ref)
                start = 0
            else:
                return self._read_alone(ref)
            self._end = ref.offset + ref.size
            body = self._octets[start : start + ref.size]
            if len(body) == ref.size and crc32(body) == ref.crc:
                return body
        return self._read_alone(ref)

    def _read_alone(self, ref: BodyRef) -> bytes:
        self._segment = ref.segment
        self._end = ref.offset + ref.size
        self._octets = b""
        return self._store.read_body(ref)

    def _look_ahead(self, ref: BodyRef) -> None:
        self._offset, self._octets = self._store.read_window(ref, max(WINDOW, ref.size))
        self._was_used = True
        if self._alarm is None:
            self._alarm = self._clock.call_later(IDLE, self._look)

    def _look(self) -> None:
        self._alarm = None
        if self._was_used:
            self._was_used = False
            self._alarm = self._clock.call_later(IDLE, self._look)
        else:
            self._octets = b""

    def message(self, drop: Maildrop, index: int) -> bytes | Iterator[bytes]:
        """A message, in pieces where it is large (BodyCorrupt comes before the last of them)."""
        offset, size = drop.offsets[index], drop.sizes[index]
        start = offset - self._offset
        end = start + size
        if start >= 0 and end <= len(self._octets) and drop.segments[index] == self._segment and size <= STREAMED:
            body = self._octets[start:end]
            if crc32(body) == drop.crcs[index]:
                self._end = offset + size
                self._was_used = True
                return body
        return self._outside_window(drop, index)

    def _outside_window(self, drop: Maildrop, index: int) -> bytes | Iterator[bytes]:
        """The store may have moved its octets since the maildrop was read: then they are looked up again."""
        try:
            return self._body(drop.body(index))
        except MessageGone:
            uid, reader = drop.uids[index], self._store.reader
            for entry in reader.entries(drop.account_id, drop.mailbox_id, [(uid, uid)]):
                email = reader.email(drop.account_id, entry.email_id)
                if email is not None:
                    return self._body(email.body)
            raise

    def _body(self, ref: BodyRef) -> bytes | Iterator[bytes]:
        if ref.size <= STREAMED:
            return self.read(ref)
        self._store.read_body(ref, 0, 0)  # is it there at all? once +OK is said, nothing can be refused
        return self._store.body_pieces(ref)

    def close(self) -> None:
        """The session ends."""
        self._octets = b""
        if self._alarm is not None:
            self._alarm.cancel()


def top(pieces: Iterable[bytes], lines: int) -> Iterator[bytes]:
    """The header, the empty line, and so many lines of the body (RFC 1939 section 7). Linear in what it hands out."""
    source = iter(pieces)
    tail = b"\n"  # the last octets of what went out: the header may be empty
    for piece in source:
        window = tail + piece
        end = _end_of_header(window)
        if end >= 0:
            start = end - len(tail)
            yield piece[:start]
            yield from _first_lines(piece[start:], source, lines)
            return
        yield piece
        tail = window[-3:]


def _end_of_header(window: bytes) -> int:
    """Behind the empty line, or -1. Old mail may have bare LFs."""
    ends = [found + len(mark) for mark in (b"\n\r\n", b"\n\n") if (found := window.find(mark)) >= 0]
    return min(ends, default=-1)


def _first_lines(piece: bytes, source: Iterator[bytes], lines: int) -> Iterator[bytes]:
    left = lines
    while left > 0:
        count = piece.count(b"\n")
        if count >= left:
            # Found by halves: a loop over lines would be slow where they are short.
            yield piece[: bisect_left(range(len(piece) + 1), left, key=partial(piece.count, b"\n", 0))]
            return
        left -= count
        yield piece
        following = next(source, None)
        if following is None:
            return
        piece = following
