"""SASLprep (RFC 4013 section 3's examples; RFC 3454 section 6 for directions)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.protocols.sasl import NotPreparable, saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),  # soft hyphen mapped to nothing
        ("user", "user"),
        ("USER", "USER"),  # case is kept
        ("\u00aa", "a"),  # NFKC
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),  # a non-ASCII space becomes a space
        ("e\u0301", "\u00e9"),
        ("\u0627\u0661\u0628", "\u0627\u0661\u0628"),
        ("\U0001f426", "\U0001f426"),  # younger than Unicode 3.2
    ],
)
def test_texts_are_prepared(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text", ["", "\u0007", "a\u0000b", "a\u007f", "\u00ad", "\u0627\u0031", "\u0627a\u0628", "\ue000", "\ud800", "a\ufffd"]
)
def test_what_no_password_may_hold_is_refused(text: str) -> None:
    with pytest.raises(NotPreparable):
        saslprep(text)


@given(st.text(max_size=30))
def test_preparing_twice_changes_nothing(text: str) -> None:
    try:
        prepared = saslprep(text)
    except NotPreparable:
        return
    assert saslprep(prepared) == prepared
