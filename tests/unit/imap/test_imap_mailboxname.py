"""Mailbox names on the wire (RFC 3501 section 5.1.3, RFC 6855 section 3, A-44)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.mailboxname import decode, encode

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"INBOX", "INBOX"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"R&-D", "R&D"),
        (b"&-&-", "&&"),
        (b"Entw&APw-rfe", "Entwürfe"),
        (b"&2D3eAA-", "\U0001f600"),
        (b"&AOkA6Q-", "éé"),
        (b"a&AAo-b", "a\nb"),
        (b"", ""),
    ],
)
def test_names_in_modified_utf_7(octets: bytes, name: str) -> None:
    assert decode(octets, is_utf8=False) == name
    assert encode(name, is_utf8=False) == octets


@pytest.mark.parametrize(
    "octets",
    [
        b"&AGE-",  # "a", which stands for itself
        b"&ACY-",  # "&"
        b"R&D",  # a shift that never ends
        b"&AOk",
        b"&AOk-&AOk-",  # two shifts that could be one
        b"&AOl-",  # left over in the last sextet
        b"&AOkA-",
        b"&2D0-",  # half a surrogate pair
        b"&3gA-",
        b"&AOk=-",
        b"&AO/-",  # the slash of base64 is a comma here
        b"&AOk A-",
        b"Entw\xc3\xbcrfe",  # 8-bit
        b"\xff",
        b"&AOk-\xff",
    ],
)
def test_a44_one_name_has_one_form(octets: bytes) -> None:
    with pytest.raises(Unparsable):
        decode(octets, is_utf8=False)


def test_in_utf_8_nothing_is_shifted() -> None:
    assert decode("Entwürfe".encode(), is_utf8=True) == "Entwürfe"
    assert decode(b"&AGE-", is_utf8=True) == "&AGE-"
    assert encode("R&D ü", is_utf8=True) == "R&D ü".encode()
    for octets in (b"\xff", b"\xed\xa0\x80", b"\xc0\xaf"):
        with pytest.raises(Unparsable):
            decode(octets, is_utf8=True)


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_every_name_comes_back(name: str) -> None:
    for is_utf8 in (False, True):
        assert decode(encode(name, is_utf8=is_utf8), is_utf8=is_utf8) == name
    assert encode(name, is_utf8=False).isascii()


@settings(max_examples=200, deadline=None)
@given(st.text("&-AGEOk,+/aé\t", max_size=12).map(str.encode))
def test_what_is_read_is_what_would_be_written(octets: bytes) -> None:
    try:
        name = decode(octets, is_utf8=False)
    except Unparsable:
        return
    assert encode(name, is_utf8=False) == octets
