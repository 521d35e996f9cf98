"""What we write is read back by our own parser and by the standard library's, whatever text goes in."""

import email
import email.policy
import re
from email.message import EmailMessage

from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.message.compose import LINE, as_lines, encoded_part, field, mailbox, message, multipart, structured_field, text_part
from postwren.message.decode import decode_body
from postwren.message.encodedword import decode_words
from postwren.message.header import read_header
from postwren.message.part import parse_parts

# Words and white space, hostile pieces between them, and now and then a word that no line holds.
PIECES = st.sampled_from(
    ["a", "word", " ", "  ", "\t", "\r\n", "\n", "\r", "\0", "\x85", "\u2028", "\ud800", "=?", "?=", "=?utf-8?q?x?=", "Grüße",
     "🕊️", "\u202e", "Subject: x\r\n\r\nbody", "x" * 80, "y" * 1500, " " * 1200, "ö" * 700, '"', "\\", "(", "<a@b>",
     "--=_token", "--=_token--"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=20), max_size=12).map("".join)
OCTETS = TEXTS.map(lambda text: text.encode("utf-8", "replace"))


def is_sound(octets: bytes) -> bool:
    """CRLF only, no NUL, no line that is too long."""
    lines = octets.split(b"\r\n")
    return b"\0" not in octets and all(len(line) <= LINE and b"\r" not in line and b"\n" not in line for line in lines)


def cleaned(text: str) -> str:
    return re.sub("[\0-\x08\n-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", " ", text).strip(" \t")


@settings(max_examples=150)
@given(TEXTS, st.booleans())
def test_an_unstructured_field_is_one_field_and_holds_its_text(text: str, is_utf8: bool) -> None:
    octets = field("Subject", text, is_utf8=is_utf8)
    assert is_sound(octets)
    assert is_utf8 or octets.isascii()
    header = read_header(octets + b"\r\nbody")
    assert [f.name for f in header.fields] == [b"subject"]
    read = decode_words(header.first(b"subject") or b"")
    assert read.replace("\t", " ").strip() == cleaned(text).replace("\t", " ").strip()
    oracle = email.message_from_bytes(octets + b"\r\nbody", policy=email.policy.default)
    assert isinstance(oracle, EmailMessage)
    assert oracle.keys() == ["Subject"]


@settings(max_examples=100)
@given(TEXTS)
def test_a_structured_field_is_one_field_and_keeps_its_words(value: str) -> None:
    octets = structured_field("Diagnostic-Code", value)
    assert is_sound(octets)
    header = read_header(octets + b"\r\nbody")
    assert [f.name for f in header.fields] == [b"diagnostic-code"]
    read = (header.first(b"diagnostic-code") or b"").decode()
    assert "".join(read.split()) == "".join(cleaned(value).split())


@settings(max_examples=100)
@given(TEXTS, st.booleans())
def test_a_text_is_read_back_from_its_part(text: str, is_8bit: bool) -> None:
    octets = message([field("Subject", "x")], text_part(text, is_8bit=is_8bit))
    assert is_sound(octets)
    expected = as_lines(
        "\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")).replace("\0", "").encode("utf-8", "replace")
    )
    (part,) = parse_parts(octets)
    assert decode_body(octets, part.body_start, part.body_end, part.encoding) == expected
    oracle = email.message_from_bytes(octets, policy=email.policy.SMTP)
    assert oracle.get_payload(decode=True) == expected


@settings(max_examples=60)
@given(st.lists(OCTETS, min_size=1, max_size=4))
def test_every_part_of_a_multipart_is_read_back_whatever_looks_like_its_boundary(bodies: list[bytes]) -> None:
    lines = [as_lines(body) for body in bodies]
    whole = multipart("report", "token", [encoded_part("message/delivery-status", body) for body in lines], "report-type=x")
    octets = message([], whole)
    assert is_sound(octets)
    top, *parts = parse_parts(octets)
    assert (top.type.maintype, top.type.subtype) == (b"multipart", b"report")
    assert [decode_body(octets, part.body_start, part.body_end, part.encoding) for part in parts] == lines
    oracle = email.message_from_bytes(octets)
    assert len(oracle.get_payload()) == len(lines)


@settings(max_examples=60)
@given(TEXTS)
def test_a_display_name_is_one_phrase_before_its_address(display: str) -> None:
    octets = structured_field("From", mailbox("ann@example.org", display.replace("y" * 1500, "")))
    oracle = email.message_from_bytes(octets + b"\r\n", policy=email.policy.default)
    assert [address.addr_spec for address in oracle["From"].addresses] == ["ann@example.org"]
