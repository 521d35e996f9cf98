"""A session's numbering (RFC 9051 section 7.5.1, RFC 2180, RFC 5182, D-36)."""

import time
from array import array
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.protocols.imap.numset import SAVED, STAR, parse_numset
from postwren.protocols.imap.view import View


def view_of(*uids: int) -> View:
    return View(array("Q", uids))


def test_numbers_and_uids_of_a_view() -> None:
    view = view_of(3, 5, 9)
    assert [view.uid(seqnum) for seqnum in (0, 1, 3, 4)] == [None, 3, 9, None]
    assert [view.seqnum(uid) for uid in (3, 4, 9, 10)] == [1, None, 3, None]
    assert (view.largest_uid, view.count, list(view.uids())) == (9, 3, [3, 5, 9])


@pytest.mark.parametrize(
    ("octets", "by_seqnum", "by_uid"),
    [
        (b"1:*", [(3, 20)], [(3, 20)]),
        (b"2", [(5, 5)], []),
        (b"2:3,5", [(5, 9), (20, 20)], [(3, 3), (5, 5)]),
        (b"*", [(20, 20)], [(20, 20)]),
        (b"100:*", [(20, 20)], [(20, 20)]),
        (b"4:8", [(12, 20)], [(5, 5)]),
        (b"6:8", [], []),
    ],
)
def test_sets_become_ranges_of_uids(octets: bytes, by_seqnum: list[tuple[int, int]], by_uid: list[tuple[int, int]]) -> None:
    view = view_of(3, 5, 9, 12, 20)
    assert view.resolve(parse_numset(octets), is_uid=False) == by_seqnum
    assert view.resolve(parse_numset(octets), is_uid=True) == by_uid


def test_nothing_is_meant_in_an_empty_mailbox() -> None:
    view = view_of()
    for octets in (b"*", b"1:*", b"7"):
        assert view.resolve(parse_numset(octets), is_uid=False) == view.resolve(parse_numset(octets), is_uid=True) == []
    assert (view.largest_uid, view.uid(1), view.seqnum(1)) == (0, None, None)


def test_slices_are_where_the_messages_stand() -> None:
    view = view_of(3, 5, 9, 12, 20)
    assert view.slices([(1, 4), (6, 8), (9, 12), (20, 99)]) == [(0, 1), (2, 4), (4, 5)]


def test_d36_what_the_peer_was_not_told_of_does_not_exist_for_it() -> None:
    uids = array("Q", [1, 2])
    view = View(uids)
    uids.append(3)
    assert view.resolve(((1, STAR),), is_uid=True) == [(1, 2)]
    assert view.resolve(((3, 3),), is_uid=True) == view.resolve(((3, 3),), is_uid=False) == []
    assert (view.uid(3), view.seqnum(3)) == (None, None)
    assert view.learn(uids) == 1
    assert view.seqnum(3) == 3


def test_expunged_messages_are_told_from_the_last_to_the_first() -> None:
    view = view_of(3, 5, 9, 12, 20)
    assert view.expunge([5, 20, 7, 3, 5]) == [5, 2, 1]
    assert list(view.uids()) == [9, 12]
    assert view.expunge([5]) == []


def test_an_expunge_leaves_the_arrays_of_others_alone() -> None:
    uids = array("Q", [1, 2, 3])
    mine, other = View(uids), View(uids)
    mine.expunge([2])
    assert (list(uids), list(other.uids()), list(mine.uids())) == ([1, 2, 3], [1, 2, 3], [1, 3])


def test_the_saved_result_shrinks_with_expunges() -> None:
    """RFC 5182 section 2.1: messages that are expunged are removed from it."""
    view = view_of(3, 5, 9, 12)
    assert view.resolve(SAVED, is_uid=True) == []
    view.save([(9, 12), (3, 3)])
    assert view.resolve(SAVED, is_uid=True) == view.resolve(SAVED, is_uid=False) == [(3, 3), (9, 12)]
    view.expunge([12, 3])
    assert view.resolve(SAVED, is_uid=True) == [(9, 9)]
    view.learn(array("Q", [5, 9, 13]))
    assert view.resolve(SAVED, is_uid=True) == [(9, 9)]


def test_ten_thousand_at_once_are_linear() -> None:
    """Of 400,000 messages: the slow way moves 16 GB."""
    view = View(array("Q", range(1, 400_001)))
    began = time.perf_counter()
    assert len(view.expunge(range(2, 20_002, 2))) == 10_000
    assert time.perf_counter() - began < 1
    assert view.count == 390_000


class Model:
    """The same numbering as plain lists: what the mailbox holds, and what the peer knows."""

    def __init__(self, uids: Iterable[int]) -> None:
        self.mailbox = list(uids)
        self.known = list(uids)
        self.snapshot = array("Q", self.mailbox)

    def append(self, count: int) -> None:
        first = max([*self.mailbox, *self.known, self.largest]) + 1
        self.mailbox += range(first, first + count)
        self.snapshot.extend(range(first, first + count))
        self.largest = self.mailbox[-1] if count else self.largest

    def remove(self, places: Iterable[int]) -> None:
        gone = {self.mailbox[place % len(self.mailbox)] for place in places} if self.mailbox else set()
        self.mailbox = [uid for uid in self.mailbox if uid not in gone]
        self.snapshot = array("Q", self.mailbox)

    largest = 0


STEPS = st.lists(
    st.tuples(st.just("append"), st.integers(0, 3))
    | st.tuples(st.just("remove"), st.lists(st.integers(0, 20), max_size=3))
    | st.just(("learn", None))
    | st.just(("expunge", None)),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(st.sets(st.integers(1, 30)), STEPS)
def test_the_view_is_what_the_peer_was_told(uids: set[int], steps: list[tuple[str, object]]) -> None:
    model = Model(sorted(uids))
    model.largest = max(uids, default=0)
    view = View(model.snapshot)
    for step, argument in steps:
        match step, argument:
            case "append", int(count):
                model.append(count)
            case "remove", list(places):
                model.remove(places)
            case "learn", _:
                last = model.known[-1] if model.known else 0
                new = [uid for uid in model.mailbox if uid > last]
                model.known += new
                assert view.learn(model.snapshot) == len(new)
            case _:
                gone = [uid for uid in model.known if uid not in model.mailbox]
                for seqnum in view.expunge(gone):
                    del model.known[seqnum - 1]
        assert list(view.uids()) == model.known
        assert [view.seqnum(uid) for uid in model.known] == list(range(1, len(model.known) + 1))


def test_a_view_that_knows_all_again_shares_the_snapshots_array() -> None:
    first, second = array("Q", [1, 2, 3]), array("Q", [1, 3, 4])
    view = View(first)
    assert view.learn(second) == 1  # 2 is gone and not told yet
    assert list(view.uids()) == [1, 2, 3, 4]
    view.expunge([2])
    assert view.learn(second) == 0
    second.append(5)
    assert list(view.uids()) == [1, 3, 4]
    assert view.learn(second) == 1
    assert view._uids is second
