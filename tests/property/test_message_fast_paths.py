"""What is quicker for the ordinary case gives what the general case gives."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.mailstore.digests import row_of
from postwren.mailstore.model import BodyRef, Email
from postwren.message.address import ImapAddress
from postwren.message.digest import digest
from postwren.message.glance import HEADER_COLUMNS, MOST, fields_of, glance, header_block, header_columns
from postwren.message.header import find_empty_line, read_header
from postwren.message.part import parse_parts
from postwren.message.preview import preview
from postwren.message.structure import format_envelope, imap_string
from postwren.message.usual import USUAL_FIELDS, select_fields
from postwren.terms import AccountId, EmailId

STRINGS = st.text('ab "\\\t\r\n\0é\x7f', max_size=6).map(str.encode)
_FILLERS = re.compile("[\x00-\x08\x0e-\x1f\x7f]+")


@settings(max_examples=200)
@given(st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"a"]), max_size=12).map(b"".join), st.integers(0, 3), st.integers(0, 2))
def test_the_first_empty_line_is_one_for_bytes_and_views(octets: bytes, start: int, short: int) -> None:
    end = max(len(octets) - short, 0)
    start = min(start, end)
    assert find_empty_line(octets, start, end) == find_empty_line(memoryview(octets), start, end)


@settings(max_examples=200)
@given(st.none() | STRINGS, st.none() | STRINGS, st.none() | STRINGS, st.none() | STRINGS)
def test_an_address_is_its_four_strings(
    name: bytes | None, route: bytes | None, mailbox: bytes | None, host: bytes | None
) -> None:
    address = ImapAddress(name, route, mailbox, host)
    lists = {key: [address] for key in (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")}
    said = b"((%b))" % b" ".join(map(imap_string, address))
    assert format_envelope(read_header(b""), lists) == b"(NIL NIL %b NIL NIL)" % b" ".join([said] * 6)


@settings(max_examples=100)
@given(st.text("".join(map(chr, range(128))), max_size=80))
def test_a_preview_drops_the_same_controls_with_and_without_letters_beyond_ascii(text: str) -> None:
    text = text.replace(">", "")
    plain = preview(octets := b"\r\n" + text.encode(), parse_parts(octets))
    assert plain == " ".join(_FILLERS.sub("", text).split())
    beyond = preview(octets := b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + f"é {text}".encode(), parse_parts(octets))
    assert beyond == f"é {plain}".rstrip()


LINES = st.sampled_from(
    [
        b"Subject: Re: [x] a (fwd)",
        b"subject : b",
        b"SUBJECT:",
        b"Subject",
        b"Subject: \xff\0",
        b"X-Other: Subject: z",
        b"\tSubject: no field",
        b"Date: Mon, 2 Mar 2026 10:00:00 +0200",
        b"date:x",
        b'From: "a, b" <a@b>',
        b"From: c@d",
        b"From x@y Mon Mar  2 10:00:00 2026",
        b"To: f: g@h;",
        b"Cc: =?utf-8?q?=C3=A9?= <e@f>",
        b"Bcc: q@r",
        b"Reply-To: s@t",
        b"Message-ID: <a@b>",
        b"References: <c@d>",
        b"In-Reply-To: <e@f>",
        b" <g@h> folded",
        b": empty",
        b"a b: c",
        b"\xe9: \xff",
        b"",
    ]
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(LINES, st.sampled_from([b"\r\n", b"\n", b"\r"])), max_size=14),
    st.sampled_from([b"", b"body", b"\r\n\r\nx"]),
)
def test_a_glance_at_a_header_is_what_its_digest_says(lines: list[tuple[bytes, bytes]], rest: bytes) -> None:
    octets = b"".join(line + end for line, end in lines) + rest
    row = row_of(Email(AccountId(1), EmailId(1), b"", BodyRef(1, 0, 0, 0), False, 1), digest(octets))
    names = tuple(sorted(HEADER_COLUMNS - {"header"}))
    assert header_columns(octets, names) == tuple(getattr(row, name) for name in names)
    for name in names:
        assert header_columns(octets, (name,)) == (getattr(row, name),)
    header = header_columns(octets, ("header",))[0]
    for wanted in ({b"subject"}, {b"from", b"date"}, {b"bcc", b"to", b"references", b"message-id"}, set(USUAL_FIELDS)):
        assert select_fields(header, frozenset(wanted)) == select_fields(row.header or b"", frozenset(wanted))


@settings(max_examples=200)
@given(st.lists(st.tuples(LINES, st.sampled_from([b"\r\n", b"\n"])), max_size=14), st.sampled_from([b"Subject", b"a", b"from"]))
def test_every_field_of_a_name_is_found_by_a_glance(lines: list[tuple[bytes, bytes]], name: bytes) -> None:
    octets = b"".join(line + end for line, end in lines) + b"\r\nbody"
    block = header_block(octets)
    values = read_header(octets).every(name.lower())
    assert block is None or fields_of(block, frozenset({name.lower()})) == [(name.upper(), value) for value in values]


def test_a_long_header_is_parsed_whole() -> None:
    for octets in (b"X: " + b"y" * n + b"\r\nSubject: z\r\n\r\n" for n in (MOST - 24, MOST - 23, MOST - 22, MOST)):
        assert header_columns(octets, ("subject",)) == ("z",)
        assert glance(octets, frozenset({b"subject"})).first(b"x") in (None, b"y" * (len(octets) - 19))
