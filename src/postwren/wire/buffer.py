"""The receive buffer of every core: lines and counted octets are cut here, before any grammar.

Linear whatever the cut: octets that were searched once are not searched again, and consumed octets are dropped in
bulk. A line longer than its limit is reported without being kept (the limit holds where bytes first arrive).
"""

import enum
from typing import Final

__all__ = ["TOO_LONG", "ReceiveBuffer", "TooLong"]


class TooLong(enum.Enum):
    """The type of `TOO_LONG`."""

    TOO_LONG = "TOO_LONG"


TOO_LONG: Final = TooLong.TOO_LONG


class ReceiveBuffer:
    """Octets received and not yet consumed."""

    __slots__ = ("_data", "_searched", "_skipping", "_start")

    def __init__(self) -> None:
        self._data = b""
        self._start = 0  # what lies before is consumed
        self._searched = 0  # no line feed between _start and here
        self._skipping = False  # inside a line that was reported TOO_LONG

    def __len__(self) -> int:
        return len(self._data) - self._start

    def feed(self, data: bytes) -> None:
        """Append octets."""
        if self._start == len(self._data):
            self._data = data
            self._start = self._searched = 0
        else:
            self._data = self._data[self._start :] + data
            self._searched -= self._start
            self._start = 0

    def line(self, limit: int) -> bytes | TooLong | None:
        """Cut one line, without its LF (a CR before it stays: strictness is the grammar's).

        None: no whole line yet. TOO_LONG: the line has more than `limit` octets without its LF; it is swallowed to its end
        before the next line is cut, and reported once.
        """
        end = self._data.find(b"\n", self._searched)
        if end < 0 or self._skipping:
            return self._part_of_line(end, limit)
        start = self._start
        self._start = self._searched = end + 1
        return TOO_LONG if end - start > limit else self._data[start:end]

    def next_line(self, limit: int) -> bytes | None:
        """Look at the line that `line` would cut; None where there is no whole one, or it is too long."""
        end = self._data.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._data)
        if end < 0 or self._skipping or end - self._start > limit:
            return None
        return self._data[self._start : end]

    def _part_of_line(self, end: int, limit: int) -> bytes | TooLong | None:
        """A line that is not whole yet, or was given up: `end` is where its LF is, or negative."""
        if self._skipping:
            if end < 0:
                self.clear()
                return None
            self._skipping = False
            self._consume_to(end + 1)
            return self.line(limit)
        self._searched = len(self._data)
        if len(self) <= limit:
            return None
        self._skipping = True
        self.clear()
        return TOO_LONG

    def take(self, limit: int) -> bytes:
        """Cut at most `limit` octets (b"" when there are none)."""
        start = self._start
        end = min(start + limit, len(self._data))
        self._consume_to(end)
        return self._data if start == 0 and end == len(self._data) else self._data[start:end]

    def unread(self, data: bytes) -> None:
        """Put octets back in front."""
        self._data = data + self._data[self._start :]
        self._start = self._searched = 0

    def mark(self) -> int:
        """Where `return_to` comes back to, until the next `feed`."""
        return self._start

    def return_to(self, mark: int) -> None:
        """What was cut since then was not."""
        self._start = self._searched = mark

    def clear(self) -> None:
        """Forget everything that waits."""
        self._data = b""
        self._start = self._searched = 0

    def _consume_to(self, position: int) -> None:
        self._start = self._searched = position
