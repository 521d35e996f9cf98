"""i;unicode-casemap (RFC 5051)."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.message.fold import fold, fold_ascii

SAME = [
    ("Äpfel", "a\u0308PFEL"), ("Straße", "STRAßE"), ("ﬁx", "FIX"), ("ǆ", "DŽ"), ("ǆ", "ǅ"), ("ὈΔΥΣΣΕΎΣ", "ὀδυσσεύς"),
    ("ПРИВЕТ", "привет"), ("ｆｕｌｌ", "full"), ("K", "k"), ("№", "no"), ("①", "1"), ("ė́", "Ė\u0301"),
]  # fmt: skip
DIFFERENT = [("a", "b"), ("ß", "ss"), ("Äpfel", "Apfel"), ("о", "o"), ("한", "한".encode().decode() + "x")]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_the_same(left: str, right: str) -> None:
    assert fold(left) == fold(right)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_not_the_same(left: str, right: str) -> None:
    assert fold(left) != fold(right)


def test_every_character_folds_to_what_folds_to_itself() -> None:
    """Section 2 repeats its steps until nothing changes."""
    for code in (*range(0xD800), *range(0xE000, 0x30000, 3)):
        once = fold(chr(code))
        assert fold(once.decode()) == once, hex(code)


@given(st.text(), st.text())
def test_a_part_of_a_text_is_a_part_of_the_folded_text(left: str, right: str) -> None:
    assert fold(left + right) == fold(left) + fold(right)


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_case_and_composition_make_no_difference(text: str) -> None:
    title = "".join(c.title() if len(c.title()) == 1 else c for c in text)
    assert fold(text) == fold(title)
    composed = unicodedata.normalize("NFC", text)
    if unicodedata.normalize("NFD", text) == unicodedata.normalize("NFD", composed) and not any(map(unicodedata.combining, text)):
        assert fold(composed) == fold(text)


def test_many_and_few_kinds_of_characters_are_folded_alike() -> None:
    many = "".join(map(chr, range(0xC0, 0x180)))
    assert fold(many) == b"".join(map(fold, many))


def test_ascii_is_put_in_upper_case_and_lone_surrogates_become_question_marks() -> None:
    everything = "".join(map(chr, range(128)))
    assert fold(everything) == fold_ascii(everything.encode()) == everything.upper().encode()
    assert fold("a\ud800b") == b"A?B"
