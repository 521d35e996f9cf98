"""A-94: whatever somebody put into a name, a flag, a text or a password, it stays the argument that it is."""

import re

import pytest

from postwren.protocols.imap.command import Append, Command, Create, List, Login, Search, Select, Store
from postwren.protocols.imap.command.append import AppendMessage, Octets
from postwren.protocols.imap.command.search import TextKey
from postwren.protocols.imap.command.store import StoreAction
from postwren.protocols.imap.command.table import format_command
from postwren.protocols.imap.writer import WAIT, Literals, MessageBody
from postwren.protocols.pop3.command import Pass, User
from postwren.protocols.pop3.command import format_command as format_pop3
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

HOSTILE = [
    "a\r\nb LOGOUT",
    "a\nb",
    "a\rb",
    'a" b LOGOUT "',
    "a\\",
    "{3}",
    "{3+}\r\nabc",
    "a\0b",
    "(",
    ")",
    "*",
    "%",
    "",
    "]",
    "ü\r\nDELE 1",
]
LITERAL = re.compile(rb"\{(\d+)\+?\}\r\n")


def outside_of_literals(octets: bytes) -> bytes:
    """What the server reads as lines."""
    told, at = b"", 0
    while match := LITERAL.search(octets, at):
        told += octets[at : match.start()]
        at = match.end() + int(match[1])
    return told + octets[at:]


def commands(text: str) -> list[Command]:
    message = AppendMessage((text,), 0, (Octets(0, 3),))
    return [
        *(
            Select(text),
            Create(text),
            List("", (text,)),
            Login(text, Secret(text)),
            Search(True, None, "UTF-8", TextKey(True, text)),
        ),
        *(Store(True, ((1, 1),), StoreAction.ADD, (text,)), Append("INBOX", (message,))),
    ]


@pytest.mark.parametrize("literals", list(Literals))
@pytest.mark.parametrize("text", HOSTILE)
def test_a94_an_imap_command_is_one_line_whatever_is_in_it(text: str, literals: Literals) -> None:
    for command in commands(text):
        try:
            pieces = format_command("t", command, literals, is_utf8=False)
        except LocalProtocolError:
            continue  # it has no form: nothing is sent
        octets = b"".join(b"" if piece is WAIT else b"..." if isinstance(piece, MessageBody) else piece for piece in pieces)
        line = outside_of_literals(octets)
        assert line.endswith(b"\r\n")
        assert not re.search(rb"[\r\n\0]", line[:-2]), (command, octets)


@pytest.mark.parametrize("text", ["a\r\nDELE 1", "a\nDELE 1", "a\rb", "a\0b"])
def test_a94_a_login_by_pop3_is_one_line_or_none(text: str) -> None:
    for command in (User(text), Pass(Secret(text))):
        with pytest.raises(LocalProtocolError):
            format_pop3(command)
