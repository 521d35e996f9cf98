"""Every limit of the server's core at n and at n + 1 (A-06, A-40 to A-42), in any cut."""

from typing import Final

import pytest
from tests.unit.imap.imap_world import core_in, events, output, talk

from postwren.protocols.imap.event import CommandReceived, MessageOffered, PeerDropped
from postwren.protocols.imap.fault import Fault
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.response import Status, Tagged
from postwren.protocols.imap.state import State
from postwren.wire.core import NEED_DATA

BEFORE, AFTER = State.NOT_AUTHENTICATED, State.AUTHENTICATED
DONE: Final = b"a OK done\r\n"
TOO_LONG: Final = b"* BYE %b\r\n" % Fault.TOO_LONG.value.encode()
TOO_BIG: Final = b"a BAD %b\r\n" % Fault.LITERAL_TOO_BIG.value.encode()
TOO_MANY: Final = b"a BAD too many parentheses or too many items\r\n"

AT_AND_BEYOND: Final = [
    ("login_line", Limits(login_line=15), BEFORE, b"a LOGIN abc def", b"a LOGIN abc defg", TOO_LONG),
    ("login_literal", Limits(login_literal=3), BEFORE, b"a LOGIN {3+}\r\nabc d", b"a LOGIN {4+}\r\nabcd d", TOO_BIG),
    (
        "login_literals",
        Limits(login_literals=2),
        BEFORE,
        b'a ID ({1+}\r\na {1+}\r\nb "c" "d")',
        b'a ID ({1+}\r\na {1+}\r\nb {1+}\r\nc "d")',
        TOO_BIG,
    ),
    ("line", Limits(line=15), AFTER, b"a CREATE abcdef", b"a CREATE abcdefg", TOO_LONG),
    ("literal", Limits(literal=3), AFTER, b"a CREATE {3+}\r\nabc", b"a CREATE {4+}\r\nabcd", TOO_BIG),
    ("literals", Limits(literals=1), AFTER, b"a RENAME {1+}\r\na b", b"a RENAME {1+}\r\na {1+}\r\nb", TOO_BIG),
    (
        "command in literals",
        Limits(command=16),
        AFTER,
        b"a RENAME {8+}\r\n12345678 b",
        b"a RENAME {12+}\r\n123456789012 b",
        TOO_BIG,
    ),
    ("command in lines", Limits(command=10), AFTER, b"a RENAME {1+}\r\na bcd", b"a RENAME {1+}\r\na bcdefghi", b"a BAD "),
    ("tag", Limits(tag=1), AFTER, b"a NOOP", b"ab NOOP", b"* BAD "),
    ("depth", Limits(depth=3), State.SELECTED, b"a SEARCH ((ALL))", b"a SEARCH (((ALL)))", TOO_MANY),
    ("depth of NOT", Limits(depth=4), State.SELECTED, b"a SEARCH NOT NOT NOT ALL", b"a SEARCH NOT NOT NOT NOT ALL", TOO_MANY),
    (
        "depth of OR",
        Limits(depth=3),
        State.SELECTED,
        b"a SEARCH OR OR ALL ALL ALL",
        b"a SEARCH OR OR OR ALL ALL ALL ALL",
        TOO_MANY,
    ),
    ("items", Limits(items=4), State.SELECTED, b"a SEARCH ALL ALL ALL ALL", b"a SEARCH ALL ALL ALL ALL ALL", TOO_MANY),
    ("items of a list", Limits(items=4), State.SELECTED, b"a STORE 1 FLAGS (a b c d)", b"a STORE 1 FLAGS (a b c d e)", TOO_MANY),
]


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize(
    ("name", "limits", "state", "at", "beyond", "refusal"), AT_AND_BEYOND, ids=[row[0] for row in AT_AND_BEYOND]
)
def test_a40_a41_a_command_may_take_so_much_and_no_more(
    name: str, limits: Limits, state: State, at: bytes, beyond: bytes, refusal: bytes, step: int | None
) -> None:
    assert talk(core_in(state, limits), at + b"\r\n", step) == DONE, name
    said = talk(core_in(state, limits), beyond + b"\r\na NOOP\r\n", step)
    assert said.startswith(refusal), name
    assert said.endswith(DONE) or refusal is TOO_LONG  # what was refused is read over, and the next command is found


@pytest.mark.parametrize("step", [None, 1, 7])
def test_a40_octets_nobody_waited_for_are_read_over_to_a_limit(step: int | None) -> None:
    for size, is_kept in ((8, True), (9, False)):
        core = core_in(AFTER, Limits(literal=3, discard=5))
        said = talk(core, b"a CREATE {%d+}\r\n%b\r\nb NOOP\r\n" % (size, b"x" * size), step)
        assert said.startswith(TOO_BIG)
        assert said.endswith(b"b OK done\r\n" if is_kept else b"* BYE %b\r\n" % Fault.LITERAL_TOO_BIG.value.encode())


@pytest.mark.parametrize("size", [5, 6])
def test_a40_a_refused_message_is_read_over_to_a_limit(size: int) -> None:
    core = core_in(AFTER, Limits(discard_message=5))
    core.receive_data(b"a APPEND INBOX {%d+}\r\n%b\r\nb NOOP\r\n" % (size, b"x" * size))
    assert isinstance(core.next_event(), MessageOffered)
    core.refuse_message(Tagged("a", Status.NO, "no"))
    event = core.next_event()
    assert isinstance(event, CommandReceived if size == 5 else PeerDropped)


def test_a06_three_bad_commands_before_login_and_not_one_more() -> None:
    core = core_in(BEFORE, Limits(bad_commands=3))
    said = talk(core, b"a NOOP\r\n" + b"a XYZZY\r\n" * 3 + b"a NOOP\r\n")
    assert said == DONE + b"a BAD unknown command\r\n" * 3 + DONE
    told = events(core, b"a XYZZY\r\na NOOP\r\n")
    assert told == [PeerDropped(Fault.TOO_MANY_FAULTS)]
    assert output(core).splitlines()[1:] == [b"* BYE too many errors"]


def test_a42_a_line_without_end_is_not_kept() -> None:
    """Not one octet more than the limit waits for its LF."""
    core = core_in(AFTER, Limits(line=1000))
    core.receive_data(b"a CREATE " + b"x" * 991)
    assert core.next_event() is NEED_DATA
    core.receive_data(b"xx")
    assert core.next_event() == PeerDropped(Fault.TOO_LONG)
