"""Entries of a mailbox as parallel arrays, ascending by UID: 48 octets a message and no object.

`uids` is never changed in place but by appending at its end, so whoever numbers messages by it may keep it and remember how many
he knows: after an expunge the old array is still as it was. The other columns belong to their owner: a position in them
holds until the next `await`. Nobody keeps a memoryview of them, which would forbid appending.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import ClassVar, Final, NamedTuple

__all__ = ["Columns", "FlagColumns"]

_FEW: Final = 64
"""Ranges that are cut out one by one; of more, what stays is picked in one pass."""


class FlagColumns(NamedTuple):
    """What a change of flags changes, ascending by UID."""

    uids: "array[int]"
    flagset_ids: "array[int]"
    modseqs: "array[int]"


class Columns:
    """All that is asked of thousands of entries at once."""

    TYPES: ClassVar[dict[str, str]] = {
        "uid": "I",
        "email_id": "Q",
        "flagset_id": "I",
        "modseq": "Q",
        "internaldate": "q",
        "savedate": "q",
        "size": "Q",
    }
    """The columns by the names of `Entry`, with their arrays' type codes."""
    __slots__ = ("email_ids", "flagset_ids", "internaldates", "modseqs", "savedates", "sizes", "uids")

    def __init__(self) -> None:
        self.uids = array("I")
        self.email_ids = array("Q")
        self.flagset_ids = array("I")
        self.modseqs = array("Q")
        self.internaldates = array("q")
        self.savedates = array("q")
        self.sizes = array("Q")

    def __len__(self) -> int:
        return len(self.uids)

    def _arrays(self) -> tuple["array[int]", ...]:
        """In the order in which `extend` takes them; `uids` comes first."""
        return self.uids, self.email_ids, self.flagset_ids, self.modseqs, self.internaldates, self.savedates, self.sizes

    def extend(self, columns: Sequence[Iterable[int]]) -> None:
        """Add entries above those that are here, as seven parallel columns: UIDs, email ids, flag sets, ModSeqs,
        internal dates, save dates, sizes."""
        for mine, more in zip(self._arrays(), columns, strict=True):
            mine.extend(more)

    def extend_from(self, other: "Columns") -> None:
        """Add the entries of another one, which are above those that are here."""
        self.extend(other._arrays())

    def take_over(self, other: "Columns") -> None:
        """Be filled, while empty, with another one's arrays, which are nobody else's: a million entries are not copied. But
        `uids` is filled in place, for others may hold it already."""
        self.uids.extend(other.uids)
        self.email_ids, self.flagset_ids, self.modseqs = other.email_ids, other.flagset_ids, other.modseqs
        self.internaldates, self.savedates, self.sizes = other.internaldates, other.savedates, other.sizes

    def find(self, uid: int) -> int | None:
        """The position of a UID."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else None

    def span(self, lo: int, hi: int) -> tuple[int, int]:
        """The positions of the UIDs in a closed range, as start and end of a slice."""
        return bisect_left(self.uids, lo), bisect_right(self.uids, hi)

    def remove(self, ranges: Sequence[tuple[int, int]]) -> int:
        """Take the entries in these ranges out; returns how many there were. `uids` is a new array then."""
        spans = [span for span in (self.span(lo, hi) for lo, hi in ranges) if span[0] < span[1]]
        if not spans:
            return 0
        if len(spans) > _FEW:
            self._pick(spans)
        else:
            self.uids = array("I", self.uids)  # a copy: others number by the old one
            for start, end in reversed(spans):
                for column in self._arrays():
                    del column[start:end]
        return sum(end - start for start, end in spans)

    def _pick(self, spans: Sequence[tuple[int, int]]) -> None:
        stays = bytearray(b"\1") * len(self)
        for start, end in spans:
            stays[start:end] = bytes(end - start)
        self.uids = array("I", compress(self.uids, stays))
        self.email_ids = array("Q", compress(self.email_ids, stays))
        self.flagset_ids = array("I", compress(self.flagset_ids, stays))
        self.modseqs = array("Q", compress(self.modseqs, stays))
        self.internaldates = array("q", compress(self.internaldates, stays))
        self.savedates = array("q", compress(self.savedates, stays))
        self.sizes = array("Q", compress(self.sizes, stays))

    def set_flags(self, news: FlagColumns) -> None:
        """Take over flags and ModSeqs; UIDs that are not here are passed over."""
        uids, flagset_ids, modseqs = news
        if not uids:
            return
        start, end = self.span(uids[0], uids[-1])
        if self.uids[start:end] == uids:  # neighbours, as after STORE 1:*
            self.flagset_ids[start:end] = flagset_ids
            self.modseqs[start:end] = modseqs
            return
        for uid, flagset_id, modseq in zip(uids, flagset_ids, modseqs, strict=True):
            at = self.find(uid)
            if at is not None:
                self.flagset_ids[at] = flagset_id
                self.modseqs[at] = modseq

    def set_flagset(self, ranges: Sequence[tuple[int, int]], flagset_id: int, modseq: int) -> None:
        """Give what is here of these UIDs a set, but for entries that are newer than `modseq` already."""
        for lo, hi in ranges:
            start, end = self.span(lo, hi)
            for at in range(start, end):
                if self.modseqs[at] < modseq:
                    self.flagset_ids[at] = flagset_id
                    self.modseqs[at] = modseq
