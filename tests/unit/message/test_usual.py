"""HEADER.FIELDS from the usual fields is what the message itself would give (RFC 9051 section 6.4.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.message.digest import digest
from postwren.message.header import read_header
from postwren.message.limits import Limits
from postwren.message.usual import MOST, USUAL_FIELDS, select_fields, usual_fields

NAMES = (b"From", b"SUBJECT", b"Date", b"References", b"X-Other", b"Received", b"To", b"Date-Other", b"Subject ")
VALUES = (b" a", b"", b" a\r\n b", b"\tb:c", b" From: x", b" a\r\n\tSubject: no", b" caf\xe9", b" \xc3\xa9")
fields = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES), st.sampled_from((b"\r\n", b"\n")))
messages = st.tuples(
    st.lists(fields, max_size=8), st.sampled_from((b"\r\nSubject: in the body\r\n", b"\r\n", b"", b"no field\r\n"))
).map(lambda parts: b"".join([name + b":" + value + end for name, value, end in parts[0]]) + parts[1])


def from_the_message(octets: bytes, names: frozenset[bytes]) -> bytes:
    header = read_header(octets)
    found = [octets[f.start : min(f.end + 1, header.end)] for f in header.fields if f.name in names]
    return b"".join(found) + b"\r\n"


@given(messages, st.frozensets(st.sampled_from((b"from", b"subject", b"date", b"references", b"to", b"cc"))))
def test_fields_are_cut_as_they_are_and_in_their_order(octets: bytes, names: frozenset[bytes]) -> None:
    usual = usual_fields(octets, read_header(octets))
    assert usual is not None
    assert select_fields(usual, names) == from_the_message(octets, names)


@given(messages)
def test_the_header_ends_where_its_size_says(octets: bytes) -> None:
    found = digest(octets)
    head = octets[: found.header_size]
    assert read_header(head).fields == read_header(octets).fields
    if b"\nSubject: in the body" in octets:
        assert head.endswith(b"\n") or not head


def test_a_field_that_is_not_kept_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="missing"):
        select_fields(b"", frozenset({b"received"}))
    assert all(name == name.lower() for name in USUAL_FIELDS)


@pytest.mark.parametrize("more", [0, 1])
def test_too_much_of_a_header_is_left_to_the_message(more: int) -> None:
    long = b"Subject: " + b"x" * (MOST - 10 + more) + b"\r\n\r\n"
    assert (usual_fields(long, read_header(long)) is None) is bool(more)
    limits = Limits(header_block=20 - more)
    octets = b"Subject: 123456789\r\n\r\n"  # 20 octets of header
    assert (usual_fields(octets, read_header(octets, limits=limits), limits) is None) is bool(more)
