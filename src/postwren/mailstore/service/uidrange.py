"""Sets of UIDs as closed, ascending, disjoint ranges: made, counted, searched."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from postwren.mailstore.model import Mailbox
from postwren.mailstore.port import UidRanges
from postwren.terms import Uid

__all__ = ["LARGEST", "above", "all_of", "contains", "of", "of_ascending", "uids_of", "union"]

LARGEST = (1 << 32) - 1


def of(uids: Iterable[int]) -> list[tuple[Uid, Uid]]:
    """The ranges of these UIDs, which may come in any order and more than once."""
    ranges: list[tuple[Uid, Uid]] = []
    first = last = -1
    for uid in sorted(uids):
        if uid > last + 1 or first < 0:
            if first >= 0:
                ranges.append((Uid(first), Uid(last)))
            first = uid
        last = uid
    if first >= 0:
        ranges.append((Uid(first), Uid(last)))
    return ranges


def of_ascending(uids: Sequence[int]) -> list[tuple[Uid, Uid]]:
    """The ranges of UIDs that ascend."""
    if uids and uids[-1] - uids[0] == len(uids) - 1:
        return [(Uid(uids[0]), Uid(uids[-1]))]
    return of(uids)


def union(ranges: Sequence[tuple[int, int]]) -> list[tuple[Uid, Uid]]:
    """The UIDs of these ranges, which may come in any order and overlap."""
    if len(ranges) == 1:
        return [(Uid(ranges[0][0]), Uid(ranges[0][1]))]
    merged: list[tuple[Uid, Uid]] = []
    for lo, hi in sorted(ranges):
        if merged and lo <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], Uid(max(hi, merged[-1][1]))
        else:
            merged.append((Uid(lo), Uid(hi)))
    return merged


def contains(ranges: Sequence[tuple[int, int]], uid: int) -> bool:
    """Whether a UID is in these (ascending and disjoint) ranges."""
    at = bisect_right(ranges, (uid, LARGEST)) - 1
    return at >= 0 and ranges[at][0] <= uid <= ranges[at][1]


def above(ranges: UidRanges, uid: int) -> list[tuple[int, int]]:
    """What of these (ascending and disjoint) ranges is above a UID."""
    at = bisect_right(ranges, (uid, LARGEST))
    cut = [(uid + 1, ranges[at - 1][1])] if at and ranges[at - 1][1] > uid else []
    return [*cut, *ranges[at:]]


def all_of(mailbox: Mailbox) -> UidRanges:
    """Every UID that the mailbox has given so far."""
    return [(1, mailbox.uidnext - 1)] if mailbox.uidnext > 1 else []


def uids_of(ranges: UidRanges) -> list[Uid]:
    """All UIDs of these ranges, one by one."""
    return [Uid(uid) for lo, hi in ranges for uid in range(lo, hi + 1)]
