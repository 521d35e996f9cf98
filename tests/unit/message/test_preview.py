"""Previews: RFC 8970 section 3.3."""

import base64

from postwren.message.part import parse_parts
from postwren.message.preview import preview, text_of_html


def shown(octets: bytes) -> str:
    return preview(octets, parse_parts(octets))


def test_white_space_is_collapsed_and_quoted_lines_are_passed_over() -> None:
    assert shown(b"\r\n> you said\r\n>> and\r\n\r\nI   say\r\n\tthis\r\n") == "I say this"
    assert shown(b"\r\n> only quoted\r\n") == "> only quoted"


def test_two_hundred_characters_at_most() -> None:
    assert len(shown(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "ä".encode() * 5000)) == 200
    assert shown(b"\r\n" + b" " * 5000 + b"late") == "late"


def test_encodings_and_charsets() -> None:
    assert (
        shown(b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe")
        == "Grüße"
    )
    data = base64.encodebytes("Grüße ".encode() * 2000)
    assert (
        shown(b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + data)
        == ("Grüße " * 34)[:200].strip()
    )


def test_html_where_there_is_no_plain_text() -> None:
    page = b"<html><head><title>t</title><style>p{}</style></head><!-- c -->"
    page += b"<body><p>Hi&nbsp;<b>Ann</b>,<br>5 &lt; 6</p><script>x<y</script>bye"
    assert shown(b"Content-Type: text/html\r\n\r\n" + page) == "Hi Ann, 5 < 6 bye"
    both = b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
    both += b"--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n--b\r\n\r\nplain\r\n--b--"
    assert shown(both) == "plain"


def test_attachments_and_other_types_give_none() -> None:
    assert shown(b"Content-Disposition: attachment\r\n\r\ntext") == ""
    assert shown(b"Content-Type: image/png\r\n\r\nPNG") == ""
    assert shown(b"") == ""


def test_the_own_text_goes_before_that_of_an_embedded_message() -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>own\r\n"
    head += b"--b\r\nContent-Type: message/rfc822\r\n"
    assert shown(head + b"\r\nSubject: x\r\n\r\nembedded\r\n--b--") == "own"
    encoded = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDo=\r\n"
    assert shown(encoded) == ""


def test_fillers_and_direction_overrides_are_dropped() -> None:
    """A-33: U+202E and control characters."""
    assert shown(b"Content-Type: text/plain; charset=utf-8\r\n\r\na\xe2\x80\x8b\xe2\x80\xaeb\x1b[1m\x00") == "ab[1m"


def test_html_that_never_ends() -> None:
    for source in ("<", "<p", "<!--", "<!-- -", "<script>", "a<script", "&#" + "9" * 5000, "<3 you", "&#x" + "f" * 5000 + ";"):
        text_of_html(source).encode()
    assert text_of_html("I <3 you") == "I <3 you"
