"""The MIME tree: RFC 2046 section 5.1 with its examples, and A-50's hostile shapes."""

from postwren.message.limits import Limits
from postwren.message.part import Part, parse_parts

HEAD = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'


def kinds(octets: bytes, limits: Limits | None = None) -> list[str]:
    """Each row as depth and type."""
    parts = parse_parts(octets, None, limits or Limits())
    return [f"{p.depth} {p.type.maintype.decode()}/{p.type.subtype.decode()}" for p in parts]


def bodies(octets: bytes) -> list[bytes]:
    return [octets[p.body_start : p.body_end] for p in parse_parts(octets) if not p.children]


def nested(levels: int) -> bytes:
    text = b""
    for level in range(levels):
        text += b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level)
    return text + b"Content-Type: text/html\r\n\r\ndeep"


def test_the_example_of_rfc_2046() -> None:
    octets = (
        b'From: n@x\r\nContent-type: multipart/mixed; boundary="simple boundary"\r\n\r\n'
        b"This is the preamble.\r\n\r\n--simple boundary\r\n\r\nimplicitly typed, no line end.\r\n--simple boundary\r\n"
        b"Content-type: text/plain; charset=us-ascii\r\n\r\nexplicitly typed, ends with one.\r\n\r\n"
        b"--simple boundary--\r\n\r\nThis is the epilogue."
    )
    assert kinds(octets) == ["0 multipart/mixed", "1 text/plain", "1 text/plain"]
    assert bodies(octets) == [b"implicitly typed, no line end.", b"explicitly typed, ends with one.\r\n"]


def test_offsets_and_lines() -> None:
    octets = HEAD + b"--b\r\nContent-ID: <1>\r\n\r\none\r\ntwo\r\n\r\n--b--\r\n"
    root, leaf = parse_parts(octets)
    assert (root.parent, leaf.parent, root.children) == (-1, 0, 1)
    assert octets[leaf.header_start : leaf.header_end] == b"Content-ID: <1>\r\n"
    assert octets[leaf.header_start : leaf.body_start] == b"Content-ID: <1>\r\n\r\n"
    assert leaf.lines == 2
    assert leaf.fields == {b"content-id": b"<1>"}
    assert root.body_end == len(octets)


def test_bare_line_feeds_divide_too() -> None:
    octets = HEAD.replace(b"\r", b"") + b"--b\nContent-Type: text/html\n\n<p>\n--b--\n"
    assert kinds(octets) == ["0 multipart/mixed", "1 text/html"]
    assert bodies(octets) == [b"<p>"]


def test_a_message_in_a_message() -> None:
    octets = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: text/html\r\n\r\n<p>\r\n"
    outer, inner = parse_parts(octets)
    assert outer.is_message
    assert (outer.lines, inner.lines) == (4, 1)
    assert inner.header_start == outer.body_start
    assert octets[inner.body_start : inner.body_end] == b"<p>\r\n"


def test_parts_of_a_digest_are_messages() -> None:
    octets = (
        HEAD.replace(b"mixed", b"digest")
        + b"--b\r\n\r\nSubject: one\r\n\r\n1\r\n--b\r\nContent-Type: text/plain\r\n\r\n2\r\n--b--\r\n"
    )
    assert kinds(octets) == ["0 multipart/digest", "1 message/rfc822", "2 text/plain", "1 text/plain"]


def test_an_outer_delimiter_ends_inner_parts_that_never_close() -> None:
    octets = (
        HEAD + b"--b\r\n" + HEAD.replace(b'"b"', b'"c"') + b"--c\r\n\r\ninner\r\n--b\r\n\r\nouter\r\n--c\r\nstill outer\r\n--b--"
    )
    assert kinds(octets) == ["0 multipart/mixed", "1 multipart/mixed", "2 text/plain", "1 text/plain"]
    assert bodies(octets) == [b"inner", b"outer\r\n--c\r\nstill outer"]


def test_a_boundary_that_begins_like_another_is_another() -> None:
    octets = HEAD + b"--b\r\n" + HEAD.replace(b'"b"', b'"b1"') + b"--b1\r\n\r\n--b2\r\n--b1--\r\n--b--"
    assert kinds(octets) == ["0 multipart/mixed", "1 multipart/mixed", "2 text/plain"]
    assert bodies(octets) == [b"--b2"]


def test_a_boundary_of_an_outer_part_used_again_inside() -> None:
    octets = HEAD + b"--b\r\n" + HEAD + b"--b\r\n\r\ninner\r\n--b--\r\n--b\r\n\r\nouter\r\n--b--\r\n"
    assert kinds(octets) == ["0 multipart/mixed", "1 multipart/mixed", "2 text/plain", "1 text/plain"]


def test_a_delimiter_may_end_in_white_space() -> None:
    assert kinds(HEAD + b"--b \t\r\n\r\nx\r\n--b-- \r\nepilogue\r\n--b\r\n") == ["0 multipart/mixed", "1 text/plain"]


def test_a_delimiter_in_a_header_ends_it() -> None:
    octets = HEAD + b"--b\r\nContent-Type: text/html\r\n--b\r\nContent-Type: text/x\r\n\r\ny\r\n--b--"
    assert kinds(octets) == ["0 multipart/mixed", "1 text/html", "1 text/x"]
    assert bodies(octets) == [b"", b"y"]


def test_empty_parts() -> None:
    octets = HEAD + b"--b\r\n--b\r\n\r\n--b\r\nContent-ID: x\r\n\r\n--b--"
    assert kinds(octets) == ["0 multipart/mixed"] + ["1 text/plain"] * 3
    assert bodies(octets) == [b"", b"", b""]


def test_a_part_without_its_empty_line_is_text() -> None:
    assert bodies(HEAD + b"--b\r\nno header here\r\nreally\r\n--b--") == [b"no header here\r\nreally"]


def test_a_multipart_that_cannot_be_divided_is_plain_text() -> None:
    """A-50: no boundary, an empty one, one that never comes."""
    for value in (b"multipart/mixed", b'multipart/mixed; boundary=""', b"multipart/mixed; boundary=never", b"nonsense", b""):
        octets = b"Content-Type: " + value + b"\r\n\r\n--\r\n\r\nx\r\n----\r\n"
        assert kinds(octets) == ["0 text/plain"], value


def test_the_first_of_two_content_types_counts() -> None:
    assert kinds(b"Content-Type: text/html\r\nContent-Type: text/plain\r\n\r\n") == ["0 text/html"]


def test_boundaries_at_and_over_the_cap() -> None:
    """A-50: a boundary of 10 kB."""
    for size, expected in ((200, 2), (201, 1), (10_000, 1)):
        boundary = b"x" * size
        parts = parse_parts(
            HEAD.replace(b'"b"', b'"' + boundary + b'"') + b"--" + boundary + b"\r\n\r\ny\r\n--" + boundary + b"--\r\n"
        )
        assert len(parts) == expected
        assert (parts[0].type.maintype == b"multipart") == (expected == 2)


def test_depth_at_and_over_the_cap() -> None:
    limits = Limits(depth=5)
    assert kinds(nested(5), limits)[-1] == "5 text/html"
    assert kinds(nested(6), limits)[-1] == "5 application/octet-stream"
    messages = b"Content-Type: message/rfc822\r\n\r\n" * 6
    assert kinds(messages[: 32 * 5], limits)[-1] == "5 text/plain"
    assert kinds(messages, limits)[-1] == "5 application/octet-stream"


def test_number_of_parts_at_and_over_the_cap() -> None:
    limits = Limits(parts=5)
    four = HEAD + b"--b\r\n\r\nx\r\n" * 3 + b"--b--\r\n"
    assert kinds(four, limits) == ["0 multipart/mixed"] + ["1 text/plain"] * 3
    many = HEAD + b"--b\r\n\r\nx\r\n" * 50 + b"--b--\r\n"
    parts = parse_parts(many, None, limits)
    assert len(parts) == 5
    assert parts[-1].type.subtype == b"octet-stream"
    assert many[parts[-1].body_start : parts[-1].body_end].count(b"--b\r\n") == 46


def test_every_kind_of_octets_gives_the_same_rows() -> None:
    octets = HEAD + b"--b\r\n\r\nx\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nc\r\n--b--\r\n"
    rows: list[Part] = parse_parts(octets)
    assert parse_parts(memoryview(octets)) == rows
