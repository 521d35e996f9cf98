"""A session's own numbering of a mailbox (RFC 9051 section 2.3.1.2): what it was told of, and in which order.

`uids` is shared with the mailbox's snapshot while both agree: it is never changed in place here, and what is behind `count` in it does
not exist yet.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import compress

from postwren.protocols.imap.numset import SAVED, STAR, NumSet, normalize, resolve

__all__ = ["View"]


class View:
    """See the module."""

    __slots__ = ("count", "uids")

    def __init__(self, uids: "array[int]", count: int) -> None:
        self.uids = uids
        self.count = count

    @property
    def last_uid(self) -> int:
        """The highest UID; 0 where there is none."""
        return self.uids[self.count - 1] if self.count else 0

    def seqnum(self, uid: int) -> int | None:
        """The number of a message."""
        at = bisect_left(self.uids, uid, 0, self.count)
        return at + 1 if at < self.count and self.uids[at] == uid else None

    def uid(self, seqnum: int) -> int:
        """The UID of a number that exists."""
        return self.uids[seqnum - 1]

    def span(self, lo: int, hi: int) -> tuple[int, int]:
        """Start and end of the positions of the UIDs in a closed range."""
        return bisect_left(self.uids, lo, 0, self.count), bisect_right(self.uids, hi, 0, self.count)

    def has(self, numbers: NumSet) -> bool:
        """Whether all these sequence numbers exist (`*` of an empty mailbox does not)."""
        if numbers is SAVED:
            return True
        return all((end <= self.count or end == STAR) and self.count for one in numbers for end in one)

    def resolve(self, numbers: NumSet, is_uid: bool, saved: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Closed, ascending ranges of UIDs; they may span UIDs that do not exist, never ones beyond the view (D-36)."""
        if numbers is SAVED:
            return [(lo, hi) for lo, hi in saved if lo <= self.last_uid]
        if not is_uid:
            return [(self.uids[lo - 1], self.uids[hi - 1]) for lo, hi in resolve(numbers, self.count)]
        last = self.last_uid
        if not last:
            return []
        placed = [sorted(min(end, last) if end == STAR else end for end in one) for one in numbers]
        return normalize((lo, min(hi, last)) for lo, hi in placed if lo <= last)

    def expunge(self, ranges: Sequence[tuple[int, int]]) -> list[int]:
        """Take the messages in these UID ranges out; returns the numbers to tell, in this order: each counts without those before."""
        spans = [span for span in (self.span(lo, hi) for lo, hi in ranges) if span[0] < span[1]]
        if not spans:
            return []
        stays = bytearray(b"\1") * self.count
        for start, end in spans:
            stays[start:end] = bytes(end - start)
        self.uids = array("I", compress(self.uids, stays))
        self.count = len(self.uids)
        # From the end: no number that is still to come changes.
        return [at for start, end in reversed(spans) for at in range(end, start, -1)]

    def grow(self, uids: Sequence[int]) -> None:
        """Add messages behind those that are here, where the snapshot's array is not ours."""
        self.uids = self.uids[: self.count]
        self.uids.extend(uids)
        self.count = len(self.uids)

    def share(self, uids: "array[int]", count: int) -> None:
        """The snapshot's array holds the same messages: use it."""
        self.uids = uids
        self.count = count
