"""Lines and literals, before any grammar (RFC 9051 section 4.3, RFC 7888)."""

import pytest

from postwren.protocols.imap.fragment import HUGE, FragmentReader, LiteralAnnounced, announced
from postwren.wire.buffer import TOO_LONG


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"a LOGIN {3}", LiteralAnnounced(3, is_synchronizing=True)),
        (b"a LOGIN {3+}", LiteralAnnounced(3, is_synchronizing=False)),
        (b"a APPEND x ~{3}", LiteralAnnounced(3, is_synchronizing=True, is_binary=True)),
        (b"{0}", LiteralAnnounced(0, is_synchronizing=True)),
        (b'a LOGIN "x{7+}', LiteralAnnounced(7, is_synchronizing=False)),
        (b"a NOOP {99999999999999999999999999+}", LiteralAnnounced(HUGE, is_synchronizing=False)),
        (b"a NOOP {" + b"9" * 60_000 + b"+}", LiteralAnnounced(HUGE, is_synchronizing=False)),
        (b"{12{5}", LiteralAnnounced(5, is_synchronizing=True)),
        (b"a LOGIN {3} ", None),
        (b"a LOGIN {-3}", None),
        (b"a LOGIN {}", None),
        (b"a LOGIN {+}", None),
        (b"a LOGIN {3-}", None),
        (b"a LOGIN {\xb2}", None),
        (b"}", None),
        (b"+}", None),
        (b"", None),
    ],
)
def test_an_announcement_counts_wherever_it_ends_a_line(line: bytes, expected: LiteralAnnounced | None) -> None:
    assert announced(line) == expected


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_lines_and_literals_are_cut_alike_in_every_cut(step: int) -> None:
    reader = FragmentReader()
    data = b"one\r\nabc\r\ndefgtwo\n"
    found: list[object] = []
    in_literal = False
    for start in range(0, len(data), step):
        reader.buffer.feed(data[start : start + step])
        while True:
            piece = reader.gather() if in_literal else reader.line(10)
            if piece is None:
                break
            found.append(piece)
            in_literal = piece == b"one"
            if in_literal:
                reader.begin_literal(9)
    assert found == [b"one", b"abc\r\ndefg", b"two"]


def test_a_line_is_as_long_as_the_limit_with_or_without_its_cr() -> None:
    for line, expected in (
        (b"12345\r\n", b"12345"),
        (b"12345\n", b"12345"),
        (b"123456\r\n", TOO_LONG),
        (b"123456\n", TOO_LONG),
    ):
        reader = FragmentReader()
        reader.buffer.feed(line)
        assert reader.line(5) == expected


def test_a_literal_can_be_taken_as_it_comes() -> None:
    reader = FragmentReader()
    reader.begin_literal(5)
    assert reader.take() == b""
    reader.buffer.feed(b"abc")
    assert (reader.take(), reader.left) == (b"abc", 2)
    reader.buffer.feed(b"defg")
    assert (reader.take(), reader.left) == (b"de", 0)
    assert reader.buffer.take(9) == b"fg"
