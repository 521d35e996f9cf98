"""Whatever our server can say, our strict reader reads, and reads as what was said (A-50)."""

import pytest
from hypothesis import example, given, settings
from tests.unit.imap.response_strategies import RESPONSES

from postwren.protocols.imap import code as codes
from postwren.protocols.imap.response import (
    Response,
    Status,
    Tagged,
    Unreadable,
    format_fetch_flags,
    format_response,
    parse_response,
)
from postwren.protocols.imap.response.condition import Condition, Continuation
from postwren.protocols.imap.response.fetch import Fetched
from postwren.protocols.imap.response.list import ListEntry
from postwren.protocols.imap.response.sharing import Metadata
from postwren.protocols.imap.response.thread import ThreadResult


@settings(max_examples=400, deadline=None)
@given(RESPONSES)
@example(ListEntry("a\r\n* BYE"))
@example(ListEntry("", old_name="]"))
@example(Metadata("", (("/private/comment", b"\0\r\n"),)))
def test_a_strict_reader_reads_what_was_written(response: Response) -> None:
    for is_utf8 in (False, True):
        octets = format_response(response, is_utf8)
        assert octets.endswith(b"\r\n")
        for is_strict in (True, False):
            assert parse_response(octets[:-2], is_utf8=is_utf8, is_strict=is_strict) == response, (octets, is_strict)


def test_a_status_text_is_one_line_and_shows_no_code() -> None:
    octets = format_response(Condition(Status.NO, "a\r\n* BYE\0 [b"), False)
    assert octets == b"* NO a * BYE  [b\r\n"
    octets = format_response(Tagged("a", Status.NO, "[ALERT] send money"), False)
    assert parse_response(octets[:-2], is_strict=True) == Tagged("a", Status.NO, "(ALERT] send money")
    assert format_response(Condition(Status.OK, "für"), False) == b"* OK f?r\r\n"
    assert format_response(Condition(Status.OK, "für"), True) == "* OK für\r\n".encode()


def test_a_peers_words_cannot_end_a_code() -> None:
    octets = format_response(Condition(Status.NO, "x", codes.BadUrl("imap://]\r\n* BYE")), False)
    assert octets == b"* NO [BADURL imap://* BYE] x\r\n"


def test_a_text_of_many_octets_is_cut() -> None:
    assert len(format_response(Condition(Status.OK, "ä" * 3000), True)) < 1020


def test_continuations() -> None:
    assert format_response(Continuation(), False) == b"+ \r\n"
    assert format_response(Continuation("idling"), False) == b"+ idling\r\n"
    assert format_response(Continuation(data=b"a"), False) == b"+ YQ==\r\n"
    assert parse_response(b"+ YQ==") == Continuation("YQ==", b"a")
    assert parse_response(b"+") == Continuation("", b"")
    assert parse_response(b"+ idling") == Continuation("idling", None)


def test_changes_of_flags_are_small_fetches() -> None:
    octets = format_fetch_flags(3, 9, ("\\Seen",), 7)
    assert octets == b"* 3 FETCH (UID 9 FLAGS (\\Seen) MODSEQ (7))\r\n"
    assert parse_response(octets[:-2], is_strict=True) == Fetched(3, uid=9, flags=("\\Seen",), modseq=7)
    octets = format_fetch_flags(9, 9, (), 7, is_uidonly=True)  # RFC 9586 section 3.3
    assert octets == b"* 9 UIDFETCH (FLAGS () MODSEQ (7))\r\n"
    assert parse_response(octets[:-2], is_strict=True) == Fetched(9, True, uid=9, flags=(), modseq=7)


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("(2)(3 6 (4 23)(44 7 96))", ((0, 2), (0, 3), (1, 6), (2, 4), (3, 23), (2, 44), (3, 7), (4, 96))),
        ("((3)(5))", ((0, 0), (1, 3), (1, 5))),
    ],
)  # RFC 5256 section 4
def test_threads_of_the_standard(line: str, rows: tuple[tuple[int, int], ...]) -> None:
    octets = f"* THREAD {line}".encode()
    assert parse_response(octets, is_strict=True) == ThreadResult(rows)
    assert format_response(ThreadResult(rows), False) == octets + b"\r\n"


def test_a_thread_of_100000_replies_is_read_and_written() -> None:
    chain = ThreadResult(tuple((depth, depth + 1) for depth in range(100_000)))
    assert parse_response(format_response(chain, False)[:-2]) == chain
    deep = b"* THREAD " + b"(1 (2)" * 100_000 + b"(3)" + b")" * 100_000
    read = parse_response(deep)
    assert isinstance(read, ThreadResult)
    assert len(read.rows) == 200_001
    assert parse_response(format_response(read, False)[:-2]) == read


@pytest.mark.parametrize("opening", [b"(" * 100_000, b'(("a" ' * 100_000, b"* 1 FETCH (BODYSTRUCTURE " + b"(" * 100_000])
def test_parentheses_without_end_are_unreadable_and_no_more(opening: bytes) -> None:
    for line in (b"* 1 FETCH (ENVELOPE " + opening, b"* NAMESPACE " + opening, b"* THREAD " + opening):
        assert isinstance(parse_response(line), Unreadable)
