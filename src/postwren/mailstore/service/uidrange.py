"""Sets of UIDs as closed, ascending, disjoint ranges: made, counted, searched."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from postwren.terms import Uid

LARGEST = (1 << 32) - 1
__all__ = ["contains", "of", "union"]


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
