"""SORT (RFC 5256 section 3, RFC 5957; RFC 6203 for relevance)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.mailstore.service.keys import Keys, keys_of
from postwren.mailstore.service.sort import SortKey, needs_keys, relevance, sort
from postwren.message.digest import digest

MESSAGES = [
    b"From: Zoe <ann@x>\r\nTo: \xc3\xa4b@x\r\nCc: b@x\r\nSubject: Re: beta\r\nDate: Sun, 31 Dec 2000 16:01:33 -0800\r\n\r\n",
    b"From: =?utf-8?q?=C3=84nne?= <zed@x>\r\nTo: Az <c@x>\r\nSubject: ALPHA\r\nDate: Mon, 1 Jan 2001 00:01:32 +0000\r\n\r\n",
    b"From: <Bob@x>\r\nSubject: [list] Beta (fwd)\r\n\r\n",
    b"To: undisclosed:;\r\nSubject: \xc3\x84pfel\r\nDate: Mon, 1 Jan 2001 02:01:34 +0200\r\n\r\n",
]
KEYS = [keys_of(digest(octets)) for octets in MESSAGES]
ARRIVED = [40, 10, 30, 20]
SIZES = [3, 1, 1, 2]


def order(*keys: SortKey | str, rows: Sequence[int] = range(4)) -> list[int]:
    wanted, is_reversed = [], False
    for key in keys:
        if key == "REVERSE":
            is_reversed = True
        else:
            wanted.append((SortKey(key), is_reversed))
            is_reversed = False
    return sort(rows, wanted, ARRIVED, SIZES, KEYS.__getitem__)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("ARRIVAL",), [1, 3, 2, 0]),
        (("REVERSE", "ARRIVAL"), [0, 2, 3, 1]),
        (("SIZE",), [1, 2, 3, 0]),
        (("REVERSE", "SIZE"), [0, 3, 1, 2]),  # what is equal stays in mailbox order
        (("SIZE", "ARRIVAL"), [1, 2, 3, 0]),
        (("SIZE", "REVERSE", "ARRIVAL"), [2, 1, 3, 0]),
        (("SUBJECT",), [1, 3, 0, 2]),  # ALPHA, A with its dots, BETA twice
        (("DATE",), [2, 1, 0, 3]),  # zones are taken off; without a date it is the internal one
        (("FROM",), [3, 0, 2, 1]),  # nothing, ANN, BOB, ZED
        (("TO",), [2, 0, 1, 3]),  # nothing, A with dots: a letter A and its dots come before a letter C; a group's name
        (("CC",), [1, 2, 3, 0]),
        (("DISPLAYFROM",), [3, 1, 2, 0]),  # nothing, A with dots, BOB@X, ZOE
        (("DISPLAYTO",), [2, 1, 0, 3]),
        (("RELEVANCY",), [0, 2, 3, 1]),
    ],
)
def test_every_key(keys: tuple[str, ...], expected: list[int]) -> None:
    assert order(*keys) == expected


def test_only_the_rows_that_were_found_are_sorted() -> None:
    assert order("ARRIVAL", rows=[0, 2]) == [2, 0]


def test_a_key_that_comes_again_decides_nothing() -> None:
    assert order(*["SIZE", "REVERSE", "SIZE", "ARRIVAL"] * 1000) == order("SIZE", "ARRIVAL")


def test_keys_of_messages_are_asked_for_only_where_they_are_needed() -> None:
    assert not needs_keys([(SortKey.SIZE, False), (SortKey.RELEVANCY, True), (SortKey.ARRIVAL, False)])
    assert needs_keys([(SortKey.SIZE, False), (SortKey.DATE, False)])


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from([b"", b"A", b"B"]))),
    st.lists(st.tuples(st.sampled_from([SortKey.ARRIVAL, SortKey.SIZE, SortKey.SUBJECT]), st.booleans()), max_size=3),
)
def test_it_is_one_stable_sort_by_all_keys(messages: list[tuple[int, int, bytes]], wanted: list[tuple[SortKey, bool]]) -> None:
    arrived, sizes = [m[0] for m in messages], [m[1] for m in messages]
    subjects = [m[2] for m in messages]
    keys = [KEYS[0]._replace(subject=subject) for subject in subjects]
    found = sort(range(len(messages)), wanted, arrived, sizes, keys.__getitem__)

    columns: dict[SortKey, Sequence[Any]] = {SortKey.ARRIVAL: arrived, SortKey.SIZE: sizes, SortKey.SUBJECT: subjects}

    def before(left: int, right: int) -> bool:
        for key, is_reversed in wanted:
            column: Sequence[Any] = columns[key]
            if column[left] != column[right]:
                return bool(column[left] < column[right]) != is_reversed
        return left < right

    assert sorted(found) == list(range(len(messages)))
    assert all(before(left, right) for left, right in pairwise(found))


def test_scores_use_the_whole_range_and_follow_the_order() -> None:
    assert relevance([0, 1, 2, 3], ARRIVED) == [100, 1, 67, 34]
    assert relevance([2], ARRIVED) == [100]
    assert relevance([], ARRIVED) == []


def test_thread_ids_are_those_of_the_first_ancestor() -> None:
    def keys(octets: bytes) -> Keys:
        return keys_of(digest(octets))

    root = keys(b"Message-ID: <a@x>\r\n\r\n").thread_id
    assert root is not None
    assert root == keys(b"Message-ID: <c@x>\r\nReferences: <a@x> <b@x>\r\n\r\n").thread_id
    assert root == keys(b'Message-ID: <d@x>\r\nIn-Reply-To: <"a"@x>\r\n\r\n').thread_id
    assert root != keys(b"Message-ID: <b@x>\r\n\r\n").thread_id
    assert keys(b"Subject: x\r\n\r\n").thread_id is None
