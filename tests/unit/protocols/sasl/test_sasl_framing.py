"""SASL as lines of base64 (A-29; RFC 4954 section 4, RFC 5034 section 4). Base64 is that of RFC 4648 section 4."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.protocols.sasl import Fault, Limits, decode_initial, decode_response, encode_challenge, encode_initial


@given(st.binary(max_size=300))
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    assert decode_response(encode_challenge(data)) == data
    assert decode_initial(encode_initial(data)) == data


@pytest.mark.parametrize(
    "line",
    [
        b"?",
        b"AA",
        b"AAA",
        b"A===",
        b"AA==AA==",
        b"AAAA=",
        b" AAAA",
        b"AAAA ",
        b"AA\r\nAA",
        b"AAAA\r",
        b"AAA\xff",
        b"AB==",
        b"AAB=",
        b"=",
        b"-_==",
        b"**",
    ],
)
def test_a29_garbage_is_refused(line: bytes) -> None:
    assert decode_response(line) is Fault.MALFORMED


def test_a29_a_star_cancels() -> None:
    assert decode_response(b"*") is Fault.CANCELLED
    assert decode_initial(b"*") is Fault.CANCELLED


def test_a29_the_line_ends_at_its_limit() -> None:
    limit = Limits().response_line
    longest = b"A" * (limit // 4 * 4)
    assert isinstance(decode_response(longest), bytes)
    assert decode_response(b"A" * 8, Limits(response_line=8)) == base64.b64decode(b"A" * 8)
    assert decode_response(b"A" * 8, Limits(response_line=7)) is Fault.MALFORMED
    assert decode_response(b"A" * 1_000_000) is Fault.MALFORMED


def test_a29_nothing_is_a_response_but_no_initial_response() -> None:
    assert decode_response(b"") == b""
    assert decode_initial(b"=") == b""
    assert decode_initial(b"") is Fault.MALFORMED
    assert encode_initial(b"") == b"="
    assert encode_challenge(b"") == b""


@given(st.binary(max_size=100))
def test_no_line_raises_and_every_accepted_line_has_one_spelling(line: bytes) -> None:
    octets = decode_response(line)
    assert isinstance(octets, Fault) or encode_challenge(octets) == line
