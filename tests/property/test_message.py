"""Whatever the octets: nothing raises, offsets nest, and what is rendered is what a strict IMAP client reads."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.message.imaplist import check_body, check_envelope, read_list

from postwren.message.address import parse_addresses
from postwren.message.date import parse_date
from postwren.message.decode import decode_body
from postwren.message.digest import digest
from postwren.message.encodedword import decode_words, encode_words
from postwren.message.limits import Limits
from postwren.message.parameter import parse_content_type
from postwren.message.part import parse_parts
from postwren.message.structure import imap_string
from postwren.message.subject import base_subject

PIECES = [
    b"From: ", b"To: ", b"Subject: ", b"Date: Mon, 3 Jun 2024 10:11:09 +0200", b"Message-ID: <a@b>", b"References: ",
    b"Content-Type: ", b"Content-Disposition: attachment; filename=", b"Content-Transfer-Encoding: base64",
    b"multipart/mixed; boundary=b", b"multipart/digest; boundary=", b"message/rfc822", b"text/html; charset=", b"--b",
    b"--b--", b"--c", b"--", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b'"', b"\\", b"(", b")", b"<",
    b">", b"@", b",", b";", b":", b"[", b"]", b"=?utf-8?q?", b"?=", b"=?x?b?", b"*0*=", b"*1=", b"name", b"=", b"'", b"%",
    b"\xff", b"\xc3\xa4", b"Re: ", b"[fwd:", b"(fwd)", b"&#", b"<script", b"<!--", b"=3D", b"=\r\n", b"YWJj", b"a", b"b",
    b"1", b"utf-7", b"+2AA-", b"{3}",
]  # fmt: skip
SOUP = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=80).map(b"".join)
TIGHT = Limits(
    header_block=200,
    header_field=40,
    header_fields=4,
    addresses=3,
    references=2,
    depth=3,
    parts=5,
    boundary=10,
    preview=10,
    preview_input=50,
)


def check(octets: bytes, limits: Limits) -> None:
    found = digest(octets, limits)
    check_envelope(list(read_list(found.envelope)))
    for text in (
        found.subject,
        found.base_subject,
        found.preview,
        found.message_id or "",
        *found.references,
        found.sent_from.display,
    ):
        text.encode("utf-8")
    assert len(found.preview) <= limits.preview
    parts = parse_parts(octets, None, limits)
    assert check_body(list(read_list(found.body)), False) == len(parts)
    assert check_body(list(read_list(found.bodystructure)), True) == len(parts)
    check_offsets(octets, limits)


def check_offsets(octets: bytes, limits: Limits) -> None:
    parts = parse_parts(octets, None, limits)
    assert len(parts) <= limits.parts
    ends = {-1: 0}  # of the last child, by parent
    for row, part in enumerate(parts):
        assert part.parent < row
        assert part.depth <= limits.depth
        assert part.header_start <= part.header_end <= part.body_start <= part.body_end <= len(octets)
        assert octets[part.header_end : part.body_start] in (b"", b"\n", b"\r\n")
        if row:
            parent = parts[part.parent]
            assert part.depth == parent.depth + 1
            assert parent.body_start <= part.header_start
            assert part.body_end <= parent.body_end
            assert part.header_start >= ends.get(part.parent, 0), "siblings do not overlap"
            if parent.is_message:
                assert (part.header_start, part.body_end) == (parent.body_start, parent.body_end)
        ends[part.parent] = part.body_end
        if part.type.maintype == b"text" or part.is_message:
            assert part.lines == octets.count(b"\n", part.body_start, part.body_end)
    assert parts[0].header_start == 0
    assert parts[0].body_end == len(octets)


@given(st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    check(octets, Limits())


@settings(max_examples=300)
@given(SOUP)
def test_soup_of_mail(octets: bytes) -> None:
    check(octets, Limits())
    check(octets, TIGHT)


@given(SOUP, st.sampled_from(["multipart/mixed", "multipart/digest", "message/rfc822", "text/plain", "text/html"]))
def test_soup_as_a_body(octets: bytes, kind: str) -> None:
    check(f"Subject: x\r\nContent-Type: {kind}; boundary=b\r\n\r\n--b\r\n".encode() + octets, Limits())


@given(SOUP)
def test_soup_in_every_field(octets: bytes) -> None:
    value = octets.replace(b"\n", b"").replace(b"\r", b"")
    names = (
        b"From",
        b"To",
        b"Date",
        b"Subject",
        b"References",
        b"Content-Type",
        b"Content-Disposition",
        b"Content-Language",
        b"Content-ID",
    )
    check(b"".join(b"%b: %b\r\n" % (name, value) for name in names) + b"\r\n", Limits())
    parse_date(value)
    parse_content_type(value)


@given(SOUP)
def test_group_markers_alternate_whatever_the_cap(octets: bytes) -> None:
    for most in (1, 2, 3, 1000):
        found = parse_addresses(octets, Limits(addresses=most))
        assert len(found) <= most
        in_group = False
        for each in found:
            if each.host is None:
                assert in_group == (each.mailbox is None)
                in_group = not in_group
        assert not in_group


@given(st.text())
def test_encoded_text_decodes_to_itself_without_controls(text: str) -> None:
    value = encode_words(text)
    assert value.isascii()
    assert not set(value) & {0, 10, 13}
    if all(c.isprintable() for c in text):
        assert decode_words(value) == text


@given(st.binary())
def test_any_string_is_read_back(value: bytes) -> None:
    assert read_list(b"(" + imap_string(value) + b")") == [value.replace(b"\0", b" ")]


@given(
    st.text(max_size=200) | st.lists(st.sampled_from(["re:", "fwd:", "[a]", "[fwd:", "]", "(fwd)", " ", "x", "["])).map("".join)
)
def test_a_base_subject_is_its_own_base(subject: str) -> None:
    base, _ = base_subject(subject)
    assert base_subject(base).text == base


@given(SOUP, st.sampled_from([b"base64", b"quoted-printable", b"7bit", b"x"]))
def test_any_body_decodes(octets: bytes, encoding: bytes) -> None:
    assert len(decode_body(octets, 0, len(octets), encoding)) <= len(octets)
