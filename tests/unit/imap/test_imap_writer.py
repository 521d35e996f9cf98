"""What a client sends: pieces, with waits where a server must ask for a literal (RFC 9051 section 4.3, RFC 7888)."""

import pytest

from postwren.protocols.imap.command import Append, Command, Enable, Fetch, Login, Select, Store
from postwren.protocols.imap.command.append import AppendMessage, Octets
from postwren.protocols.imap.command.fetch import Section, SectionText
from postwren.protocols.imap.command.search import Search, TextKey
from postwren.protocols.imap.command.store import StoreAction
from postwren.protocols.imap.command.table import format_command
from postwren.protocols.imap.writer import WAIT, Literals, MessageBody
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret


def test_a_client_waits_before_each_synchronizing_literal() -> None:
    login = Login("é", Secret("x\ny"))
    assert format_command("a", login) == [b"a LOGIN {2}\r\n", WAIT, b"\xc3\xa9 {3}\r\n", WAIT, b"x\ny\r\n"]
    assert format_command("a", login, Literals.MINUS) == [b"a LOGIN {2+}\r\n\xc3\xa9 {3+}\r\nx\ny\r\n"]


def append(size: int) -> Append:
    return Append("x", (AppendMessage((), None, (Octets(0, size),)),))


def test_a_message_is_a_place_among_the_pieces() -> None:
    assert format_command("a", append(9)) == [b"a APPEND x {9}\r\n", WAIT, MessageBody(0, 9), b"\r\n"]
    assert format_command("a", append(1 << 40), Literals.PLUS) == [
        b"a APPEND x {1099511627776+}\r\n",
        MessageBody(0, 1 << 40),
        b"\r\n",
    ]


@pytest.mark.parametrize(("size", "is_free"), [(4096, True), (4097, False)])
def test_literal_minus_holds_for_4096_octets_and_not_one_more(size: int, is_free: bool) -> None:
    """RFC 7888 section 5."""
    assert (WAIT not in format_command("a", append(size), Literals.MINUS)) is is_free


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("x", b"x"),
        ("", b'""'),
        ("nil", b'"nil"'),
        ("a b", b'"a b"'),
        ('a"\\', b'"a\\"\\\\"'),
        ("a]", b"a]"),
        ("a*", b'"a*"'),
        ("é", b"&AOk-"),
    ],
)
def test_a_name_is_written_as_short_as_it_can_be(name: str, octets: bytes) -> None:
    assert format_command("a", Select(name)) == [b"a SELECT " + octets + b"\r\n"]


def test_a_long_string_goes_as_a_literal_for_servers_with_short_lines() -> None:
    assert WAIT in format_command("a", Select("a b" * 400))


@pytest.mark.parametrize(
    "command",
    [
        Login("a\0", Secret("x")),
        Enable(("X Y",)),
        Enable(("X\r\nb NOOP",)),
        Enable(("é",)),
        Login("\ud800", Secret("x")),
        Store(False, ((1, 1),), StoreAction.ADD, ("a b",)),
        Store(False, ((1, 1),), StoreAction.ADD, ("é",)),
        Store(False, ((1, 1),), StoreAction.ADD, ("a)\r\nb NOOP",)),
        Store(False, (), StoreAction.ADD, ("a",)),
        Fetch(False, ((1, 1),), (Section((), SectionText.HEADER_FIELDS, (b"a\r\nb",)),)),
        Search(False, None, "ISO-8859-1", TextKey(is_body=True, text="日")),
    ],
)
def test_what_has_no_form_on_the_wire_is_our_own_fault(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        format_command("a", command)


def test_texts_of_a_search_are_in_its_charset() -> None:
    command = Search(False, None, "ISO-8859-1", TextKey(is_body=True, text="é"))
    assert format_command("a", command, Literals.PLUS) == [b"a SEARCH CHARSET ISO-8859-1 BODY {1+}\r\n\xe9\r\n"]
