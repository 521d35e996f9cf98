"""Ranges of UIDs name exactly the UIDs they were made of."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from postwren.mailstore.service import uidrange


@given(st.lists(st.integers(1, 40)))
def test_ranges_are_closed_ascending_disjoint_and_as_few_as_can_be(uids: list[int]) -> None:
    ranges = uidrange.of(uids)
    assert [uid for lo, hi in ranges for uid in range(lo, hi + 1)] == sorted(set(uids))
    assert all(a[1] + 1 < b[0] for a, b in pairwise(ranges))


@given(st.lists(st.integers(1, 40)), st.integers(0, 41))
def test_what_is_above_a_uid_is_what_is_left(uids: list[int], uid: int) -> None:
    assert uidrange.above(uidrange.of(uids), uid) == uidrange.of([each for each in uids if each > uid])
