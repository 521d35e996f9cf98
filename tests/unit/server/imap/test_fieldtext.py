"""Header fields in memory: right, asked for once, bounded."""

from collections.abc import Sequence

from postwren.server.imap.fieldtext import OVERHEAD, FieldTexts
from postwren.terms import AccountId

ANN, BEN = AccountId(1), AccountId(2)
FROM, DATE = frozenset({b"from"}), frozenset({b"date"})


class Picker:
    """Notes what it is asked for."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.asked: list[int] = []

    def __call__(self, email_ids: Sequence[int]) -> list[bytes] | None:
        self.asked += email_ids
        return None if 13 in email_ids else [b"%b%d" % (self.name, email_id) for email_id in email_ids]


def test_every_account_and_set_of_names_has_its_own_texts_and_each_is_picked_once() -> None:
    texts = FieldTexts()
    for account_id, names in ((ANN, FROM), (ANN, DATE), (BEN, FROM)):
        picker = Picker(b"%d%b" % (account_id, min(names)))
        assert texts.of(account_id, names, [1, 2], picker) == [b"%b%d" % (picker.name, n) for n in (1, 2)]
        assert texts.of(account_id, names, [3, 2, 1, 3], picker) == [b"%b%d" % (picker.name, n) for n in (3, 2, 1, 3)]
        assert picker.asked == [1, 2, 3, 3]


def test_what_cannot_be_picked_is_asked_for_again() -> None:
    texts, picker = FieldTexts(), Picker(b"")
    assert texts.of(ANN, FROM, [12, 13], picker) is None
    assert texts.of(ANN, FROM, [12], picker) == [b"12"]
    assert picker.asked == [12, 13, 12]


def test_the_octets_are_bounded_and_those_asked_for_last_stay() -> None:
    texts = FieldTexts(most_octets=4 * (OVERHEAD + 2))
    first, second, third = Picker(b"a"), Picker(b"b"), Picker(b"c")
    texts.of(ANN, FROM, [1, 2], first)
    texts.of(ANN, DATE, [1, 2], second)
    texts.of(ANN, FROM, [1, 2], first)
    texts.of(BEN, FROM, [1, 2], third)
    texts.of(ANN, FROM, [1, 2], first)
    texts.of(ANN, DATE, [1, 2], second)
    assert (first.asked, second.asked, third.asked) == ([1, 2], [1, 2, 1, 2], [1, 2])
    assert texts.octets <= 4 * (OVERHEAD + 2)
    many = Picker(b"d")
    assert texts.of(BEN, DATE, range(20, 30), many) == [b"d%d" % n for n in range(20, 30)]
    assert texts.octets == 4 * (OVERHEAD + 2)
