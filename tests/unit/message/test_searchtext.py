"""What SEARCH looks at (RFC 9051 section 6.4.4; RFC 2047, RFC 2045: encodings and charsets are undone)."""

import base64
import quopri
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shared import corpus

from postwren.message.fold import fold
from postwren.message.searchtext import Needle, Place, SearchText, holds, search_text

MESSAGE = (
    b"From: =?iso-8859-1?q?J=FCrgen?= <jj@example.org>\r\n"
    b"Subject: a long\r\n subject\r\nX-Empty:\r\nX-Twice: one\r\nX-Twice: two\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble words\r\n"
    b"--b\r\nContent-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes("Привет, мир".encode("koi8-r"))
    + b"--b\r\nContent-Type: text/html; charset=utf-8; name=page.html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    + b"<p>soft=\r\nwrapped and =C3=A4</p>\r\n"
    b"--b\r\nContent-Type: image/png; name=cat.png\r\nContent-Transfer-Encoding: base64\r\n\r\naGlkZGVu\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?b?w6R1w59lcmVy?=\r\n\r\ninner text\r\n"
    b"--b--\r\nepilogue\r\n"
)
FOUND = search_text(MESSAGE)


def body(text: str) -> bool:
    return holds(FOUND, Needle(Place.BODY, fold(text)))


def anywhere(text: str) -> bool:
    return holds(FOUND, Needle(Place.ANYWHERE, fold(text)))


def header(name: str, text: str) -> bool:
    return holds(FOUND, Needle(Place.FIELD, fold(text), fold(name)))


@pytest.mark.parametrize("text", ["привет", "МИР", "softwrapped", "Ä", "inner text", "äußerer", "<p>", ""])
def test_body_is_the_decoded_text_of_the_parts_and_of_embedded_messages(text: str) -> None:
    assert body(text)
    assert anywhere(text)


@pytest.mark.parametrize("text", ["jürgen", "a long subject", "cat.png", "image/png", "X-Twice: two"])
def test_text_looks_at_the_headers_too_and_body_does_not(text: str) -> None:
    assert anywhere(text)
    assert not body(text)


@pytest.mark.parametrize("text", ["hidden", "aGlkZGVu", "soft=", "=C3", "preamble", "иwrapped", "oneX", "\xff"])
def test_what_is_not_text_is_not_found_nor_is_what_two_parts_make_together(text: str) -> None:
    assert not anywhere(text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("From", "JÜRGEN", True), ("from", "jj@example", True), ("Subject", "long subject", True), ("subject", "äußerer", False),
        ("X-Empty", "", True), ("X-Absent", "", False), ("X-Twice", "two", True), ("X-Twice", "onetwo", False), ("X", "", False),
        ("Content-Type", "image", False), ("Twice", "two", False), ("Subject", "X-Empty", False),
    ],
)  # fmt: skip
def test_header(name: str, text: str, expected: bool) -> None:
    assert header(name, text) == expected


@pytest.mark.parametrize(
    "charset",
    ["utf-8", "windows-1251", "koi8-r", "koi8-u", "iso-8859-5", "x-mac-cyrillic", "utf-16", "utf-7", "gb18030", "big5", "euc-jp",
     "iso-2022-jp", "shift_jis", "euc-kr", "gb2312", "windows-31j", "hz-gb-2312"],
)  # fmt: skip
def test_charsets_of_the_field(charset: str) -> None:
    codec = {"x-mac-cyrillic": "mac_cyrillic", "windows-31j": "cp932", "hz-gb-2312": "hz"}.get(charset, charset)
    text = "Мир" if charset[:3] in ("utf", "win", "koi", "iso", "x-m") and charset != "iso-2022-jp" else "中文"
    octets = base64.encodebytes(("x " * 30 + text).encode(codec))
    message = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\n\n".encode() + octets
    assert holds(search_text(message), Needle(Place.BODY, fold("X " + text.upper())))


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "iso-2022-jp", "cp932"])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_a_long_text_is_read_in_pieces_and_found_across_them(charset: str, encoding: str) -> None:
    text = "あいうえお a b " * 130_000
    octets = text.encode(charset)
    if encoding == "base64":
        octets = base64.encodebytes(octets)
    elif encoding == "quoted-printable":
        octets = quopri.encodestring(octets)
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    found = search_text(head + octets).body
    if encoding != "quoted-printable":  # (its encoder adds a line end)
        assert found == b"\xff" + fold(text)
    assert found.count(fold("お a b あ")) >= 129_990


def test_a_long_text_costs_a_small_multiple_of_itself() -> None:
    octets = b"Content-Type: text/plain; charset=koi8-r\r\n\r\n" + b"\xc1\xc2\xc3 words \r\n" * 700_000
    tracemalloc.start()
    try:
        search_text(octets)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(octets)


@given(st.binary(max_size=300))
def test_it_never_raises_and_gives_utf8_between_marks(octets: bytes) -> None:
    for prefix in (b"", b"Content-Type: text/plain; charset=utf-16\r\n\r\n", b"Subject: =?utf-7?q?+"):
        for text in search_text(prefix + octets):
            text.replace(b"\xff", b"").decode()


def test_a_name_of_a_field_that_is_no_ascii_is_utf8_all_the_same() -> None:
    """The index keeps text: a raw octet in a name must not get into it."""
    assert search_text(b"\xf9: a\r\n\r\n").header == b"\xff\xef\xbf\xbd: A"


def test_whatever_the_corpora_hold_is_found_by_its_own_words() -> None:
    for path in corpus()[::7]:
        found = search_text(path.read_bytes())
        assert isinstance(found, SearchText)
        for text in found.body.split(b"\xff"):
            assert holds(found, Needle(Place.BODY, text[3:40]))


@pytest.mark.parametrize("lines", [3, 40_000])
def test_a_text_of_a_charset_of_our_own_is_found_however_long(lines: int) -> None:
    head = b"Content-Type: text/plain; charset=VISCII\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    message = head + b"Ti\xaang Vi\xaet, ti\xaang Vi\xaet\r\n" * lines
    assert search_text(message).body.count(fold("Việt")) == 2 * lines
