"""A session's own numbering of its mailbox (RFC 9051 sections 2.3.1.2 and 7.5.1, RFC 2180, D-36).

The UIDs are an ascending array, shared with the mailbox's snapshot and everybody else's view for as long as this session sees
what the snapshot holds: a view costs a count. The snapshot only ever appends to that array, or makes a new one; the view looks at
the first `count` entries, and keeps an array of its own from the first expunge that one of the two knows and the other does not.

What must stay true: the session's numbers change by `learn` and `expunge` alone, so only when the peer is told; messages that the
peer was not told of do not exist for it, and those that are gone exist until it is told.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from postwren.protocols.imap.numset import SAVED, NumSet, normalize, resolve

__all__ = ["Ranges", "View"]

Ranges = list[tuple[int, int]]
"""Closed, ascending, disjoint."""


class View:
    """Starts with all of `uids`, an ascending array that nobody changes but by appending."""

    __slots__ = ("_is_shared", "_saved", "_uids", "count")

    def __init__(self, uids: "array[int]", count: int | None = None) -> None:
        self._uids = uids
        self._is_shared = True
        self._saved: Ranges = []
        self.count = len(uids) if count is None else count  # what is behind it is not known yet, or, in a new one, not read yet

    # -- look-up

    def uid(self, seqnum: int) -> int | None:
        """The UID at a sequence number; None beyond the view."""
        return self._uids[seqnum - 1] if 0 < seqnum <= self.count else None

    def seqnum(self, uid: int) -> int | None:
        """The sequence number of a UID; None where the peer knows no such message."""
        place = bisect_left(self._uids, uid, 0, self.count)
        return place + 1 if place < self.count and self._uids[place] == uid else None

    @property
    def largest_uid(self) -> int:
        """0 in an empty view."""
        return self._uids[self.count - 1] if self.count else 0

    @property
    def shown(self) -> "array[int]":
        """The array behind it, nobody's to change; the first `count` of it are this view's."""
        return self._uids

    def span(self, low: int, high: int) -> tuple[int, int]:
        """Where the messages of a UID range stand: half-open, 0-based."""
        start = bisect_left(self._uids, low, 0, self.count)
        return start, bisect_right(self._uids, high, start, self.count)

    def uids(self) -> "array[int]":
        """All UIDs; the caller's own."""
        return self._uids[: self.count]

    def resolve(self, numbers: NumSet, *, is_uid: bool) -> Ranges:
        """A set as ranges of UIDs. Each begins and ends at a message of the view; between them UIDs may be missing, but all
        messages of the view that lie there are meant."""
        if numbers is SAVED:
            return [self._clip(low, high) for low, high in self.slices(self._saved)]
        if is_uid:
            return [self._clip(low, high) for low, high in self.slices(resolve(numbers, self.largest_uid))]
        return [self._clip(low - 1, high) for low, high in resolve(numbers, self.count)]

    def _clip(self, start: int, end: int) -> tuple[int, int]:
        return self._uids[start], self._uids[end - 1]

    def slices(self, ranges: Ranges) -> list[tuple[int, int]]:
        """Where the messages of UID ranges stand: half-open, 0-based, none of them empty. The sequence number is one more."""
        found = []
        for low, high in ranges:
            start = bisect_left(self._uids, low, 0, self.count)
            end = bisect_right(self._uids, high, start, self.count)
            if start < end:
                found.append((start, end))
        return found

    # -- the saved result (RFC 5182)

    def save(self, ranges: Iterable[tuple[int, int]]) -> None:
        """What `$` means from now on: messages of the view whose UIDs lie in these ranges. It shrinks as messages go: their UIDs
        never come back."""
        self._saved = normalize(ranges)

    # -- change

    def learn(self, uids: "array[int]") -> int:
        """Take over what was appended: `uids` are the snapshot's now. Gives how many messages are new to this view (tell
        EXISTS)."""
        if self._is_shared and uids is self._uids:
            new, self.count = len(uids) - self.count, len(uids)
            return new
        fresh = uids[bisect_right(uids, self.largest_uid) :]
        if self.count + len(fresh) == len(uids):  # nothing that we still show is gone from the snapshot: the same again
            self._uids, self._is_shared = uids, True
        elif fresh:
            self._uids = self._uids[: self.count] + fresh
            self._is_shared = False
        self.count += len(fresh)
        return len(fresh)

    def expunge(self, uids: Iterable[int]) -> list[int]:
        """Messages go. Gives their sequence numbers, from the last to the first, so that each is true when it is told; UIDs that
        are not in the view are passed over. Linear in the view, whatever the number of messages."""
        seqnums = {seqnum for uid in uids if (seqnum := self.seqnum(uid)) is not None}
        told = sorted(seqnums, reverse=True)
        self.remove([(seqnum - 1, seqnum) for seqnum in reversed(told)])
        return told

    def remove(self, spans: Ranges) -> None:
        """Messages go, by where they stand: half-open, 0-based, ascending, as `slices` gives them."""
        if not spans:
            return
        kept = array(self._uids.typecode)
        start = 0
        for first, end in spans:
            kept += self._uids[start:first]
            start = end
        kept += self._uids[start : self.count]
        self._uids, self._is_shared = kept, False
        self.count = len(kept)
