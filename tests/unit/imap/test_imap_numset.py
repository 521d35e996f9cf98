"""Sets of numbers (RFC 9051 section 9; RFC 5182 for `$`)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.numset import SAVED, STAR, NumSet, format_numset, normalize, parse_numset, ranges_of, resolve
from postwren.wire.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"1", ((1, 1),)),
        (b"*", ((STAR, STAR),)),
        (b"2,4:7,9,12:*", ((2, 2), (4, 7), (9, 9), (12, STAR))),
        (b"*:4,5:7", ((STAR, 4), (5, 7))),
        (b"4294967295", ((4294967295, 4294967295),)),
        (b"$", SAVED),
    ],
)
def test_sets_are_read_as_they_were_written(octets: bytes, expected: NumSet) -> None:
    assert parse_numset(octets) == expected
    assert format_numset(expected) == octets


@pytest.mark.parametrize(
    "octets",
    [b"", b"0", b"01", b"1:0", b"1,", b",1", b"1:", b":1", b"1:2:3", b"4294967296", b"99999999999", b"$,1", b"1-2", b"**"],
)
def test_what_is_no_set_is_refused(octets: bytes) -> None:
    with pytest.raises(Unparsable):
        parse_numset(octets)


def test_the_empty_set_has_no_form() -> None:
    with pytest.raises(LocalProtocolError):
        format_numset(())


def test_the_examples_of_the_standard() -> None:
    """RFC 9051 section 9, sequence-set and seq-range."""
    assert resolve(((2, 2), (4, 7), (9, 9), (12, STAR)), 15) == [(2, 2), (4, 7), (9, 9), (12, 15)]
    assert resolve(((STAR, 4), (5, 7)), 10) == [(4, 10)]
    assert resolve(((3291, STAR),), 17) == [(17, 17)]
    assert resolve(((1, STAR),), 0) == []


def naive(numbers: tuple[tuple[int, int], ...], maximum: int) -> set[int]:
    found: set[int] = set()
    for ends in numbers:
        low, high = sorted(maximum if end == STAR else end for end in ends)
        found |= set(range(low, high + 1))
    return {number for number in found if 1 <= number <= maximum}


ENDS = st.integers(1, 30) | st.just(STAR)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=6).map(tuple), st.integers(0, 25))
def test_ranges_come_ascending_and_disjoint_and_mean_the_same(numbers: tuple[tuple[int, int], ...], maximum: int) -> None:
    ranges = resolve(numbers, maximum)
    assert {number for low, high in ranges for number in range(low, high + 1)} == naive(numbers, maximum)
    assert all(low <= high for low, high in ranges)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(ranges))


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(1, 40)))
def test_numbers_become_the_fewest_ranges(numbers: set[int]) -> None:
    ranges = ranges_of(sorted(numbers))
    assert [number for low, high in ranges for number in range(low, high + 1)] == sorted(numbers)
    assert list(ranges) == normalize((number, number) for number in numbers)


def test_a_thousand_times_everything_is_one_range() -> None:
    """A-41."""
    assert resolve(parse_numset(b",".join([b"1:*"] * 10_000)), 50) == [(1, 50)]  # type: ignore[arg-type]
