"""Transfer encodings: RFC 2045 section 6, and what is broken."""

import base64
import quopri

import pytest

from postwren.message.decode import decode_base64, decode_body, decode_quoted_printable, decoded_pieces


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        (b"YWJj", b"abc"),
        (b"YW\r\nJj", b"abc"),
        (b"YWI", b"ab"),
        (b"YWJjZ", b"abc"),
        (b"Y!W\xffI=", b"ab"),
        (b"YQ==YWJj", b"a"),
        (b"=", b""),
        (b"", b""),
    ],
)
def test_base64(data: bytes, octets: bytes) -> None:
    assert decode_base64(data) == octets
    assert decode_body(data, 0, len(data), b"base64") == octets


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        (b"a=3Db", b"a=b"),
        (b"soft=\r\nbreak", b"softbreak"),
        (b"soft= \t\r\nbreak", b"softbreak"),
        (b"soft=\nbreak", b"softbreak"),
        (b"space  \r\nnext \n", b"space\r\nnext\n"),
        (b"tab\t\r\nnext", b"tab\r\nnext"),
        (b"tab\t\nnext", b"tab\nnext"),
        (b"=c3=A4", b"\xc3\xa4"),
        (b"a=ZZb", b"a=ZZb"),
        (b"\xff", b"\xff"),
    ],
)
def test_quoted_printable(data: bytes, octets: bytes) -> None:
    assert decode_quoted_printable(data) == octets
    assert decode_body(data, 0, len(data), b"quoted-printable") == octets


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_pieces_are_the_whole(size: int) -> None:
    octets = bytes(i * 7 % 256 for i in range(size))
    for encoding, data in (
        (b"base64", base64.encodebytes(octets)),
        (b"base64", base64.b64encode(octets)),
        (b"quoted-printable", quopri.encodestring(octets)),
        (b"8bit", octets),
        (b"x-unknown", octets),
    ):
        pieces = list(decoded_pieces(memoryview(data), 0, len(data), encoding))
        assert b"".join(pieces) == (decode_quoted_printable(data) if encoding == b"quoted-printable" else octets)
        assert all(len(piece) <= 140_000 for piece in pieces)


def test_one_line_of_quoted_printable_is_cut_between_escapes() -> None:
    for shift in range(4):
        data = b"x" * shift + b"=C3=A4" * 30_000
        assert decode_body(data, 0, len(data), b"quoted-printable") == b"x" * shift + b"\xc3\xa4" * 30_000


def test_identity_of_a_range() -> None:
    assert decode_body(b"0123456789", 2, 5, b"7bit") == b"234"
