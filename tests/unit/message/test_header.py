"""Header fields: RFC 5322 section 2.2 and the obsolete forms of section 4.5."""

from postwren.message.header import read_header
from postwren.message.limits import Limits


def test_fields_are_offsets_into_the_octets() -> None:
    octets = b"From: a@b\r\nSubject: folded\r\n  value\r\n\r\nbody"
    header = read_header(octets)
    assert [octets[f.start : f.end] for f in header.fields] == [b"From: a@b\r", b"Subject: folded\r\n  value\r"]
    assert header.first(b"subject") == b"folded  value"
    assert octets[header.body_start :] == b"body"
    assert octets[header.end :] == b"\r\nbody"


def test_bare_line_feeds_end_lines_too() -> None:
    header = read_header(b"A: 1\nB: 2\n 3\n\nbody: no\n")
    assert [f.name for f in header.fields] == [b"a", b"b"]
    assert header.first(b"b") == b"2 3"
    assert header.body_start == 14


def test_names_ignore_case_and_space_before_the_colon() -> None:
    assert read_header(b"SUBJECT \t: x\r\n\r\n").first(b"subject") == b"x"


def test_the_first_of_equal_fields_is_first_and_every_gives_all() -> None:
    header = read_header(b"To: 1\r\nX: 0\r\nto: 2\r\n\r\n")
    assert header.first(b"to") == b"1"
    assert header.every(b"to") == [b"1", b"2"]
    assert b"to" in header
    assert b"cc" not in header
    assert header.first(b"cc") is None


def test_a_line_without_a_colon_is_passed_over() -> None:
    header = read_header(b"From someone Thu Jan 1\r\nA: 1\r\nnonsense here\r\nB: 2\r\n\r\n")
    assert [f.name for f in header.fields] == [b"a", b"b"]


def test_octets_that_do_not_begin_like_a_header_are_all_body() -> None:
    header = read_header(b"Hello there\r\n\r\nA: 1\r\n")
    assert (header.fields, header.body_start) == ([], 0)


def test_an_empty_first_line_ends_an_empty_header() -> None:
    assert read_header(b"\r\nA: 1\r\n").body_start == 2
    assert read_header(b"\nA: 1\r\n").body_start == 1


def test_a_header_without_end_takes_everything() -> None:
    octets = b"A: 1\r\nB: 2"
    header = read_header(octets)
    assert (header.end, header.body_start) == (len(octets), len(octets))
    assert header.first(b"b") == b"2"


def test_white_space_alone_folds_and_does_not_end_a_header() -> None:
    header = read_header(b"A: 1\r\n \r\nB: 2\r\n\r\n")
    assert header.first(b"b") == b"2"


def test_eight_bit_octets_stay() -> None:
    assert read_header("Subject: Grüße\r\n\r\n".encode()).first(b"subject") == "Grüße".encode()


def test_a_field_is_cut_at_its_cap() -> None:
    limits = Limits(header_field=10)
    assert read_header(b"A:" + b"x" * 10 + b"\r\n\r\n", limits=limits).first(b"a") == b"x" * 10
    assert read_header(b"A:" + b"x" * 11 + b"\r\n\r\n", limits=limits).first(b"a") == b"x" * 10


def test_fields_beyond_the_caps_are_not_parsed() -> None:
    limits = Limits(header_fields=3)
    assert len(read_header(b"A: 1\r\n" * 3 + b"\r\n", limits=limits).fields) == 3
    assert len(read_header(b"A: 1\r\n" * 4 + b"\r\n", limits=limits).fields) == 3
    octets = b"A: 1\r\nB: 2\r\n\r\nbody"
    header = read_header(octets, limits=Limits(header_block=6))
    assert [f.name for f in header.fields] == [b"a"]
    assert octets[header.body_start :] == b"body"


def test_memory_views_are_read_like_bytes() -> None:
    octets = b"A: 1\r\nB: 2\r\n\r\nbody"
    assert read_header(memoryview(octets)).fields == read_header(octets).fields
