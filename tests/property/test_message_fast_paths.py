"""What is quicker for the ordinary case gives what the general case gives."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.message.address import ImapAddress
from postwren.message.header import find_empty_line, read_header
from postwren.message.part import parse_parts
from postwren.message.preview import preview
from postwren.message.structure import format_envelope, imap_string

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
