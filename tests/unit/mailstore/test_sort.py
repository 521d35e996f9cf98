"""SORT (RFC 5256 section 3, RFC 5957; RFC 6203 for relevance)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.mailstore.model import BodyRef, Email
from postwren.mailstore.port import Reader
from postwren.mailstore.service import keys as keys_module
from postwren.mailstore.service.keys import Key, Keys, Linked, thread_id
from postwren.mailstore.service.order import AT_ONCE, in_order
from postwren.mailstore.service.sort import SortKey, keys_for, relevance, sort
from postwren.message.fold import fold
from postwren.terms import AccountId, EmailId

MESSAGES = [
    b"From: Zoe <ann@x>\r\nTo: \xc3\xa4b@x\r\nCc: b@x\r\nSubject: Re: beta\r\nDate: Sun, 31 Dec 2000 16:01:33 -0800\r\n\r\n",
    b"From: =?utf-8?q?=C3=84nne?= <zed@x>\r\nTo: Az <c@x>\r\nSubject: ALPHA\r\nDate: Mon, 1 Jan 2001 00:01:32 +0000\r\n\r\n",
    b"From: <Bob@x>\r\nSubject: [list] Beta (fwd)\r\n\r\n",
    b"To: undisclosed:;\r\nSubject: \xc3\x84pfel\r\nDate: Mon, 1 Jan 2001 02:01:34 +0200\r\n\r\n",
]
ARRIVED = [40, 10, 30, 20]
SIZES = [3, 1, 1, 2]


class Mailbox:
    """The messages of an account, as `Keys` wants them."""

    def email(self, account_id: AccountId, email_id: EmailId) -> Email:
        return Email(account_id, email_id, b"", BodyRef(1, email_id, len(MESSAGES[email_id]), 0), False, 1)

    def read_body(self, ref: BodyRef, offset: int, length: int | None) -> bytes:
        return MESSAGES[ref.offset]


KEYS = Keys(Mailbox().read_body)


def column(key: Key) -> list[Any]:
    return KEYS.column(cast(Reader, Mailbox()), AccountId(1), range(4), key)


def order(*keys: SortKey | str) -> list[int]:
    wanted, is_reversed = [], False
    for key in keys:
        if key == "REVERSE":
            is_reversed = True
        else:
            wanted.append((SortKey(key), is_reversed))
            is_reversed = False
    return sort(wanted, ARRIVED, SIZES, column)


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


def test_a_key_that_comes_again_decides_nothing() -> None:
    assert order(*["SIZE", "REVERSE", "SIZE", "ARRIVAL"] * 1000) == order("SIZE", "ARRIVAL")


def test_keys_of_messages_are_asked_for_only_where_they_are_needed() -> None:
    assert keys_for([(SortKey.SIZE, False), (SortKey.RELEVANCY, True), (SortKey.ARRIVAL, False)]) == []
    assert keys_for([(SortKey.DATE, False), (SortKey.SIZE, False), (SortKey.DATE, True)]) == [Key.SENT]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from([b"", b"A", b"B"]))),
    st.lists(st.tuples(st.sampled_from([SortKey.ARRIVAL, SortKey.SIZE, SortKey.SUBJECT]), st.booleans()), max_size=3),
)
def test_it_is_one_stable_sort_by_all_keys(messages: list[tuple[int, int, bytes]], wanted: list[tuple[SortKey, bool]]) -> None:
    arrived, sizes, subjects = ([message[at] for message in messages] for at in range(3))
    found = sort(wanted, arrived, sizes, lambda _: subjects)  # type: ignore[arg-type]
    columns: dict[SortKey, Sequence[Any]] = {SortKey.ARRIVAL: arrived, SortKey.SIZE: sizes, SortKey.SUBJECT: subjects}

    def before(left: int, right: int) -> bool:
        for key, is_reversed in wanted:
            values = columns[key]
            if values[left] != values[right]:
                return bool(values[left] < values[right]) != is_reversed
        return left < right

    assert sorted(found) == list(range(len(messages)))
    assert all(before(left, right) for left, right in pairwise(found))


@pytest.mark.parametrize("is_reversed", [False, True])
def test_what_is_long_is_sorted_in_runs_and_stays_stable(is_reversed: bool) -> None:
    items = [(n * 7919 % 1000, n) for n in range(2 * AT_ONCE + 1)]
    expected = sorted(items, key=lambda item: item[0], reverse=is_reversed)
    assert in_order(items, lambda item: item[0], is_reversed) == expected


def test_scores_use_the_whole_range_and_follow_the_order() -> None:
    assert relevance(ARRIVED) == [100, 1, 67, 34]
    assert relevance([7]) == [100]
    assert relevance([]) == []


def test_thread_ids_are_those_of_the_first_ancestor() -> None:
    """RFC 8474 section 5.2."""
    root = thread_id("a@x", ())
    assert root is not None
    assert root == thread_id("c@x", ("a@x", "b@x"))
    assert root != thread_id("b@x", ())
    assert thread_id(None, ("a@x",)) == root
    assert thread_id(None, ()) is None
    assert root.isalnum()
    assert len(root) < 255


class Stored:
    """Digests of the even emails."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []

    def columns(self, account_id: AccountId, email_ids: Sequence[int], names: Sequence[str]) -> list[tuple[Any, ...] | None]:
        self.asked.append(email_ids)
        row = {"sent_date": 7, "sent_offset": 60, "base_subject": "Äh", "is_reply": 1, "message_id": "m", "references": "a\nb",
               "from_mailbox": "x", "from_display": "x", "to_mailbox": "x", "to_display": "x", "cc_mailbox": "x"}  # fmt: skip
        return [None if email_id % 2 else tuple(row[name] for name in names) for email_id in email_ids]


def test_keys_come_from_stored_digests_else_from_the_message_and_are_kept() -> None:
    stored, box = Stored(), Mailbox()
    keys = Keys(box.read_body, stored)
    reader = cast(Reader, box)
    assert keys.column(reader, AccountId(1), [0, 1, 2], Key.SUBJECT) == [fold("äh"), b"ALPHA", fold("äh")]
    assert keys.column(reader, AccountId(1), [2, 3, 2], Key.SUBJECT) == [fold("äh"), fold("Äpfel"), fold("äh")]
    assert keys.column(reader, AccountId(1), [0], Key.SENT_THERE) == [3607]
    assert keys.column(reader, AccountId(2), [0], Key.LINKED) == [Linked(7, fold("äh"), True, "m", ("a", "b"))]
    assert stored.asked == [[0, 1, 2], [3], [0], [0]]


@pytest.mark.parametrize("key", Key)
def test_every_key_can_be_read_from_digests_and_from_messages(key: Key) -> None:
    box = Mailbox()
    both = Keys(box.read_body, Stored()).column(cast(Reader, box), AccountId(1), [0, 1], key)
    assert len(both) == 2
    assert type(both[0]) is type(both[1]) or both[1] is None


def test_no_more_keys_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "MOST_KEPT", 5)
    stored, box = Stored(), Mailbox()
    keys = Keys(box.read_body, stored)
    reader = cast(Reader, box)
    for ids, key in [([0, 2], Key.FROM), ([0, 2], Key.TO), ([0, 2], Key.FROM), ([0, 2], Key.CC), ([0, 2], Key.FROM)]:
        keys.column(reader, AccountId(1), ids, key)
    assert len(stored.asked) == 3  # CC took the place of TO, which was not used for longest
    keys.column(reader, AccountId(1), [0, 2], Key.TO)
    assert len(stored.asked) == 4
    keys.column(reader, AccountId(1), [0, 2, 4, 6, 8, 10], Key.DISPLAY_TO)  # longer than all there is room for
    keys.column(reader, AccountId(1), [0, 2], Key.TO)
    assert len(stored.asked) == 5
