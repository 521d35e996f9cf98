"""The octets of a message on the wire (RFC 5321 2.3.8, 4.5.2)."""

import itertools
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.protocols.smtp.data import DataReader, LineEndCheck, stuff
from postwren.wire.errors import LocalProtocolError

ALPHABET = [b"\r\n", b"\r", b"\n", b".", b"\0", b"x", b"\r\n.\r\n", b"\r\n."]
wire = st.lists(st.sampled_from(ALPHABET), max_size=14).map(b"".join)


def oracle(stream: bytes) -> tuple[bytes, bool, bytes | None]:
    """(message, is clean, what follows), line by line."""
    message, clean, rest = b"", True, stream
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if end and line == b".":
            return message, clean, rest
        clean = clean and not re.search(rb"[\r\n\0]", line if end else line.removesuffix(b"\r"))
        if not end:
            return message, clean, None
        message += line.removeprefix(b".") + b"\r\n"


def read(pieces: Iterator[bytes] | list[bytes]) -> tuple[bytes, bool, bytes | None]:
    reader, message, rest = DataReader(), b"", None
    for piece in pieces:
        if rest is not None:
            rest += piece
        elif piece:
            octets, rest = reader.feed(piece)
            message += octets
    return message, reader.is_clean, rest


def same(found: tuple[bytes, bool, bytes | None], expected: tuple[bytes, bool, bytes | None]) -> None:
    message, clean, rest = found
    assert rest == expected[2]
    if rest is not None:
        assert clean == expected[1]
        assert not clean or message == expected[0]


def test_every_short_stream_reads_alike_however_it_is_cut() -> None:
    for length in range(1, 8):
        for octets in itertools.product((b"\r", b"\n", b".", b"x"), repeat=length):
            stream = b"".join(octets)
            expected = oracle(stream)
            same(read([stream]), expected)
            same(read([stream[i : i + 1] for i in range(len(stream))]), expected)


@given(wire, st.lists(st.integers(0, 60), max_size=4))
def test_any_cut_reads_alike(stream: bytes, cuts: list[int]) -> None:
    """A-20: the dot at every border."""
    stream += b"\r\n.\r\nRSET\r\n"
    points = [0, *sorted(cuts), len(stream)]
    same(read([stream[a:b] for a, b in itertools.pairwise(points)]), oracle(stream))


def test_nothing_is_handed_out_after_a_fault() -> None:
    reader = DataReader()
    assert reader.feed(b"good\r\nbad\nbad\r\n") == (b"", None)
    assert reader.feed(b"more\r\n.\r") == (b"", None)
    assert reader.feed(b"\nRSET\r\n") == (b"", b"RSET\r\n")


def test_a_bare_cr_before_a_line_end_is_seen_at_once() -> None:
    """It was handed out once: the CR behind it was held back, and the one before it looked like the first half of a pair."""
    reader = DataReader()
    assert reader.feed(b"x\r\r") == (b"", None)
    assert not reader.is_clean
    assert reader.feed(b"\n.\r\n") == (b"", b"")


def test_a_message_in_one_buffer_comes_in_one_piece() -> None:
    body = b"x" * 70 + b"\r\n"
    assert DataReader().feed(body * 60 + b".\r\n") == (body * 60, b"")


@given(wire, st.integers(1, 5))
def test_the_check_sees_the_same_in_any_cut(stream: bytes, size: int) -> None:
    check = LineEndCheck()
    for start in range(0, len(stream), size):
        check.feed(stream[start : start + size])
    assert check.end() == (re.search(rb"(?<!\r)\n|\r(?!\n)|\0", stream) is None)


@given(st.lists(st.sampled_from([b"\r\n", b".", b"x", b"\r\n.", b"..", b"\xff"]), max_size=12).map(b"".join), st.integers(1, 4))
def test_what_is_stuffed_reads_back(message: bytes, size: int) -> None:
    sent = b"".join(stuff([message[i : i + size] for i in range(0, len(message), size)]))
    whole = message if not message or message.endswith(b"\r\n") else message + b"\r\n"
    assert read([sent + b"QUIT"]) == (whole, True, b"QUIT")


@pytest.mark.parametrize("message", [b"a\nb", b"a\rb", b"a\r", b"\0", b"\n.\n", b"a\r\n.\r", b"\n"])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_sender_stops_before_the_octet_that_breaks_the_rule(message: bytes, size: int) -> None:
    """A-20, the sender's side."""
    sent = b""
    pieces = stuff([message[i : i + size] for i in range(0, len(message), size)])
    try:
        for piece in pieces:
            sent += piece
    except LocalProtocolError:
        pass
    else:
        pytest.fail("it was sent")
    assert re.search(rb"(?<!\r)\n|\r(?!\n)|\0", sent) is None
