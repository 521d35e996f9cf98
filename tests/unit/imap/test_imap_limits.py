"""Every limit of the server's core at n and at n + 1 (A-06, A-40 to A-42), whole and octet by octet."""

import pytest
from tests.unit.imap.imap_world import core_in, events, output, talk

from postwren.protocols.imap.command import Append, Noop
from postwren.protocols.imap.event import CommandReceived, CommandRejected, MessageOffered, PeerDropped
from postwren.protocols.imap.fault import Fault
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.response import Status, Tagged
from postwren.protocols.imap.server import ServerConnection
from postwren.protocols.imap.state import State

STEPS = [None, 1]
TOO_BIG = CommandRejected(Fault.LITERAL_TOO_BIG)
NEXT = CommandReceived("b", Noop())


def outside(**limits: int) -> ServerConnection:
    return core_in(State.NOT_AUTHENTICATED, Limits(**limits))


def inside(**limits: int) -> ServerConnection:
    return core_in(State.SELECTED, Limits(**limits))


def is_taken(core: ServerConnection, data: bytes, step: int | None = None) -> bool:
    """Whether this is a command; whatever it is, the next one must be read behind it."""
    first, last = events(core, data + b"\r\nb NOOP\r\n", step)
    assert last == NEXT
    return isinstance(first, CommandReceived)


@pytest.mark.parametrize("step", STEPS)
def test_a42_a_line_before_login_has_its_limit(step: int | None) -> None:
    line = b"a AUTHENTICATE PLAIN " + b"QUJD" * 3
    assert events(outside(login_line=len(line)), line + b"\r\n", step)[0].tag == "a"
    core = outside(login_line=len(line) - 1)
    assert events(core, line + b"\r\nb NOOP\r\n", step) == [PeerDropped(Fault.TOO_LONG)]
    assert output(core) == b"* BYE line too long\r\n"


@pytest.mark.parametrize("step", STEPS)
def test_a42_a_line_after_login_has_its_limit(step: int | None) -> None:
    line = b"a FETCH 1:2,7 (FLAGS)"
    assert is_taken(inside(line=len(line)), line, step)
    assert events(inside(line=len(line) - 1), line + b"\r\nb NOOP\r\n", step) == [PeerDropped(Fault.TOO_LONG)]


@pytest.mark.parametrize("step", STEPS)
def test_a42_a_line_that_never_ends_is_not_kept(step: int | None) -> None:
    """A tag of a megabyte, or `NOOP ((((`."""
    core = inside(line=1000)
    assert events(core, b"x" * 2000, step) == [PeerDropped(Fault.TOO_LONG)]
    assert len(core._fragments.buffer) == 0


@pytest.mark.parametrize("step", STEPS)
def test_a40_a_literal_before_login_has_512_octets_and_not_one_more(step: int | None) -> None:
    assert is_taken(outside(), b"a LOGIN {512+}\r\n" + b"x" * 512 + b" x", step)
    assert not is_taken(outside(), b"a LOGIN {513+}\r\n" + b"x" * 513 + b" x", step)
    assert talk(outside(), b"a LOGIN {512}\r\n", step) == b"+ OK\r\n"
    assert talk(outside(), b"a LOGIN {513}\r\nb NOOP\r\n", step) == b"a BAD literal too big\r\nb OK done\r\n"


@pytest.mark.parametrize("step", STEPS)
def test_a40_a_command_before_login_has_four_literals_and_not_one_more(step: int | None) -> None:
    four = b"a ID (" + b" ".join([b"{1+}\r\nx"] * 4) + b")"
    assert is_taken(outside(), four, step)
    assert not is_taken(outside(), four[:-1] + b" {1+}\r\nx NIL)", step)


@pytest.mark.parametrize("step", STEPS)
def test_a40_a_literal_after_login_has_its_limit(step: int | None) -> None:
    assert is_taken(inside(literal=50), b"a SELECT {50+}\r\n" + b"x" * 50, step)
    assert not is_taken(inside(literal=50), b"a SELECT {51+}\r\n" + b"x" * 51, step)
    assert Limits().literal == 100_000


@pytest.mark.parametrize("step", STEPS)
def test_a40_a_command_after_login_has_so_many_literals(step: int | None) -> None:
    line = b"a LIST {0+}\r\n (" + b" ".join([b"{1+}\r\nx"] * 7) + b")"
    assert is_taken(inside(literals=8), line, step)
    assert not is_taken(inside(literals=7), line, step)
    assert Limits().literals == 1_000


@pytest.mark.parametrize("step", STEPS)
def test_a40_a_command_has_so_many_octets_in_all(step: int | None) -> None:
    literals = b" BODY {30+}\r\n" + b"x" * 30 + b" BODY {30+}\r\n" + b"x" * 30
    line = b"a SEARCH" + literals + b" SEEN"
    octets = len(line) - 4 - len(b"a SEARCH")  # without CRLFs, and from behind the keyword
    assert is_taken(inside(command=octets), line, step)
    assert not is_taken(inside(command=octets - 1), line, step)
    assert not is_taken(inside(command=60), line, step)  # the second literal is refused
    assert Limits().command == 1_000_000


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("size", [139, 140, 141])
def test_a40_so_much_beyond_the_limit_is_thrown_away(size: int, step: int | None) -> None:
    core = inside(literal=100, discard=40)
    found = events(core, b"a SELECT {%d+}\r\n" % size + b"x" * size + b"\r\nb NOOP\r\n", step)
    assert found == ([TOO_BIG, NEXT] if size <= 140 else [TOO_BIG, PeerDropped(Fault.LITERAL_TOO_BIG)])


@pytest.mark.parametrize("step", STEPS)
def test_a40_many_small_literals_behind_a_fault_count_together(step: int | None) -> None:
    line = b"a ODD" + b" {10+}\r\n" + b" {10+}\r\n".join([b"x" * 10] * 4) + b"\r\nb NOOP\r\n"
    octets = 4 * 10 + 3 * len(b" {10+}")
    assert events(inside(literal=0, discard=octets), line, step)[-1] == NEXT
    assert events(inside(literal=0, discard=octets - 1), line, step)[-1] == PeerDropped(Fault.LITERAL_TOO_BIG)


@pytest.mark.parametrize("size", [70, 71])
def test_a_refused_message_is_thrown_away_to_its_limit(size: int) -> None:
    core = inside(discard_message=70)
    core.receive_data(b"a APPEND x {%d+}\r\n" % size)
    assert isinstance(core.next_event(), MessageOffered)
    core.refuse_message(Tagged("a", Status.NO, "no"))
    last = events(core, b"x" * size + b"\r\nb NOOP\r\n")[-1]
    assert last == (NEXT if size == 70 else PeerDropped(Fault.LITERAL_TOO_BIG))


def test_messages_count_in_no_limit_of_a_command() -> None:
    found = events(inside(literal=1, literals=0, command=100), b"a APPEND x {5000+}\r\n" + b"m" * 5000 + b"\r\n")
    assert isinstance(found[-1].command, Append)


def test_a42_a_tag_has_its_limit() -> None:
    assert events(inside(tag=5), b"aaaaa NOOP\r\n") == [CommandReceived("aaaaa", Noop())]
    core = inside(tag=5)
    assert events(core, b"aaaaaa NOOP\r\n") == [CommandRejected(Fault.TAG)]
    assert output(core) == b"* BAD a tag is missing or wrong\r\n"


@pytest.mark.parametrize("word", [b"NOT ", b"(", b"FUZZY ", b"OR ALL "])
def test_a41_a_key_is_so_deep(word: bytes) -> None:
    for depth, is_allowed in ((31, True), (32, False)):
        line = b"a SEARCH " + word * depth + b"ALL" + (b")" * depth if word == b"(" else b"")
        assert is_taken(inside(), line) is is_allowed


@pytest.mark.parametrize(
    ("begin", "item", "between", "end", "others"),
    [
        (b"FETCH 1 (", b"UID", b" ", b")", 0),
        (b"SEARCH ", b"ALL", b" ", b"", -1),
        (b"STORE 1 FLAGS (", b"f", b" ", b")", -1),
        (b'LIST "" (', b"x", b" ", b")", 0),
        (b"ENABLE ", b"X", b" ", b"", -1),
        (b"FETCH 1 BODY[", b"1", b".", b"]", -1),
    ],
)
def test_a41_lists_have_so_many_items(begin: bytes, item: bytes, between: bytes, end: bytes, others: int) -> None:
    """`others`: whether the first item of the list counts."""
    for items, is_allowed in ((10, True), (11, False)):
        line = b"a " + begin + between.join([item] * items) + end
        assert is_taken(inside(items=10 + (0 if others else -1)), line) is is_allowed


def test_a06_three_bad_commands_before_login_and_not_one_more() -> None:
    core = outside()
    assert events(core, b"a ODD\r\n" * 3 + b"b NOOP\r\n") == [CommandRejected(Fault.UNKNOWN)] * 3 + [NEXT]
    assert events(core, b"a ODD\r\nb NOOP\r\n") == [PeerDropped(Fault.TOO_MANY_FAULTS)]
    assert output(core).endswith(b"a BAD unknown command\r\n* BYE too many errors\r\n")
    assert events(inside(), b"a ODD\r\n" * 50)[-1] == CommandRejected(Fault.UNKNOWN)


def test_a06_bad_exchanges_count_too() -> None:
    core = outside(bad_commands=1)
    assert events(core, b"a AUTHENTICATE PLAIN\r\n*\r\na AUTHENTICATE PLAIN\r\n?\r\n")[-1] == PeerDropped(Fault.TOO_MANY_FAULTS)
