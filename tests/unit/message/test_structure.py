"""ENVELOPE, BODY and BODYSTRUCTURE: RFC 9051 section 7.5.2, read back by a strict reader; A-50's strings."""

import pytest
from tests.unit.message.imaplist import check_body, check_envelope, read_list

from postwren.message.header import read_header
from postwren.message.part import parse_parts
from postwren.message.structure import format_bodies, format_envelope, imap_string


def envelope(octets: bytes) -> bytes:
    wire = format_envelope(read_header(octets))
    check_envelope(list(read_list(wire)))
    return wire


def structure(octets: bytes) -> tuple[bytes, bytes]:
    body, extended = format_bodies(octets, parse_parts(octets))
    check_body(list(read_list(body)), False)
    check_body(list(read_list(extended)), True)
    return body, extended


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b"plain", b'"plain"'),
        (b'a"b\\c', b'"a\\"b\\\\c"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xc3\xa4", b"{2}\r\n\xc3\xa4"),
        (b"a\0b", b'"a b"'),
        (b"\0\xff", b"{2}\r\n \xff"),
        (b"tab\t", b'"tab\t"'),
        (b"\x7f", b"{1}\r\n\x7f"),
    ],
)
def test_strings(value: bytes | None, wire: bytes) -> None:
    assert imap_string(value) == wire


def test_the_envelope_of_rfc_9051_section_8() -> None:
    octets = (
        b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n"
        b"Subject: IMAP4rev2 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n"
        b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\nMessage-Id: <B27397-0100000@cac.washington.ed>\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n"
    )
    gray = b'(("Terry Gray" NIL "gray" "cac.washington.edu"))'
    assert envelope(octets) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" ' + b" ".join([gray] * 3) + b" "
        b'((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")'
        b'("John Klensin" NIL "KLENSIN" "MIT.EDU")) '
        b'NIL NIL "<B27397-0100000@cac.washington.ed>")'
    )


def test_absent_is_nil_and_present_but_empty_is_empty() -> None:
    assert envelope(b"\r\n") == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert envelope(b"Date:\r\nSubject: \r\nTo:\r\nSender: \r\nFrom: a@b\r\nMessage-ID:\r\nIn-Reply-To:\r\n\r\n") == (
        b'("" "" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL "" "")'
    )


def test_groups_of_an_envelope() -> None:
    assert b'((NIL NIL "G" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL))' in envelope(b"To: G: a@b;\r\n\r\n")


def test_a_plain_message() -> None:
    body, extended = structure(
        b"Content-Type: TEXT/PLAIN; CHARSET=utf-8\r\nContent-Transfer-Encoding: 8BIT\r\n\r\none\r\ntwo\r\n"
    )
    assert body == b'("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 10 2)'
    assert extended == b'("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 10 2 NIL NIL NIL NIL)'


def test_no_content_type_is_plain_ascii_text() -> None:
    assert structure(b"\r\nx")[0] == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0)'


def test_all_extension_data() -> None:
    octets = (
        b"Content-Type: image/png; name=x.png\r\nContent-ID: <1@x>\r\nContent-Description: a picture\r\nContent-MD5: Q2hlY2s=\r\n"
        b'Content-Disposition: attachment; filename="x y.png"\r\nContent-Language: en, de (German)\r\n'
        b"Content-Location: http://x/\r\n a\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA"
    )
    body, extended = structure(octets)
    assert body == b'("image" "png" ("name" "x.png") "<1@x>" "a picture" "base64" 4)'
    assert extended == body[:-1] + b' "Q2hlY2s=" ("attachment" ("filename" "x y.png")) ("en" "de") "http://x/a")'


def test_a_multipart_with_a_message() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Subject: in\r\nContent-Type: text/html\r\n\r\n<p>\r\n\r\n--b--\r\n"
    )
    body, extended = structure(octets)
    nils = b" ".join([b"NIL"] * 8)
    assert body == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0)("message" "rfc822" NIL NIL NIL "7bit" 45 (NIL "in" '
        + nils
        + b') ("text" "html" NIL NIL NIL "7bit" 5 1) 4) "mixed")'
    )
    assert extended.endswith(b'4 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)')


def test_extended_parameters_are_decoded_and_keep_their_asterisk() -> None:
    octets = b"Content-Type: a/b; x*0*=iso-8859-1''%E4; x*1=y\r\n\r\n"
    assert b'("x*" {3}\r\n\xc3\xa4y)' in structure(octets)[0]


@pytest.mark.parametrize("text", [b'a"b', b"a\\", b"a\0b", b"a\rb", b"\xff\xfe", b"a)b(", b"{3}", b"NIL", b'" NIL "', b"%0D%0A"])
def test_nothing_in_a_message_ends_a_string_early(text: bytes) -> None:
    """A-50: CR, LF, quotes, NUL and 8-bit octets in file names and envelopes."""
    quoted = b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    octets = (
        b"From: " + quoted + b" <a@b>\r\nSubject: " + text + b"\r\nMessage-ID: " + text + b"\r\nTo: " + text + b"\r\n"
        b"Content-Type: image/png; name=" + quoted + b"; n*=utf-8''" + text + b"\r\nContent-ID: " + text + b"\r\n"
        b"Content-Disposition: " + text + b"; filename=" + quoted + b"\r\nContent-Language: " + text + b"\r\n\r\n"
    )
    envelope(octets)
    structure(octets)
