"""The server's core in dialogues: what is owed, literals, messages, exchanges, and what hostile peers get (RFC 9051, RFC 7888,
A-01 to A-44). RFC 2177 (IDLE), RFC 4959 (SASL-IR), RFC 4978 (COMPRESS), RFC 8437 (UNAUTHENTICATE)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.imap.imap_world import core_in, events, output, talk

from postwren.protocols.imap.command import Authenticate, Compress, Idle, Login, Logout, Noop, StartTls
from postwren.protocols.imap.command.append import Append, AppendMessage, Octets, Replace, Url
from postwren.protocols.imap.command.search import TextKey
from postwren.protocols.imap.command.store import Store
from postwren.protocols.imap.event import (
    AuthAborted,
    AuthResponse,
    CommandReceived,
    CommandRejected,
    IdleDone,
    MessageChunk,
    MessageEnded,
    MessageOffered,
    PeerClosed,
    PeerDropped,
)
from postwren.protocols.imap.fault import Fault
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.response import Continuation, Rendered, Status, Tagged
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.server import ServerConnection
from postwren.protocols.imap.state import State
from postwren.wire.core import NEED_DATA, Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

STEPS = [None, 1, 3]


def outside(limits: Limits | None = None) -> ServerConnection:
    return core_in(State.NOT_AUTHENTICATED, limits)


def inside(limits: Limits | None = None) -> ServerConnection:
    return core_in(State.SELECTED, limits)


# -- commands and answers


def test_pipelined_commands_are_answered_in_their_order() -> None:
    assert talk(inside(), b"1 NOOP\r\n2 noop\r\n3 ODD\r\n4 SELECT x\r\n") == (
        b"1 OK done\r\n2 OK done\r\n3 BAD unknown command\r\n4 OK done\r\n"
    )


def test_a_command_must_be_answered_before_the_next() -> None:
    core = inside()
    core.receive_data(b"a NOOP\r\nb NOOP\r\n")
    assert core.next_event() == CommandReceived("a", Noop())
    assert core.waiting_for is Waiting.NOTHING
    with pytest.raises(LocalProtocolError):
        core.next_event()
    with pytest.raises(LocalProtocolError):
        core.send(Tagged("b", Status.OK, "not this one"))
    core.send(Rendered(b"* 1 EXISTS\r\n"))
    core.send_ok(b"done")
    with pytest.raises(LocalProtocolError):
        core.send_ok(b"twice")
    assert output(core) == b"* 1 EXISTS\r\na OK done\r\n"
    assert core.next_event() == CommandReceived("b", Noop())


STORES = b"a NOOP\r\nb STORE 1 FLAGS ()\r\nc UID STORE 2 FLAGS ()\r\n"


def test_commands_that_follow_are_seen_before_their_turn_and_have_it() -> None:
    core = inside()
    core.receive_data(STORES + b"d STORE 3 FLAGS (\r\ne STORE 4 FLAGS ()\r\nf STORE 5")
    core.next_event()
    numbers = [one.numbers if (one := core.following(Store, at)) else None for at in (1, 0, 2, 1)]
    assert numbers == [((2, 2),), ((1, 1),), None, ((2, 2),)]  # the third is no command
    core.send_ok(b"done")
    seen = core.following(Store, 0)
    event = core.next_event()
    assert isinstance(event, CommandReceived)
    assert event.command is seen
    core.send_ok(b"done")
    rest = [event.tag if isinstance(event, CommandReceived) else event for event in events(core, b" FLAGS ()\r\n")]
    assert rest == ["c", CommandRejected(Fault.SYNTAX), "e", "f"]


@pytest.mark.parametrize("line", [b"b NOOP\r\n", b"b STORE 1 FLAGS ()", b'"b STORE 1 FLAGS ()\r\n', b"b STORE {1}\r\n", b""])
def test_what_is_not_a_whole_command_of_that_kind_is_not_touched(line: bytes) -> None:
    core, other = inside(), inside()
    core.receive_data(b"a NOOP\r\n" + line)
    core.next_event()
    assert core.following(Store, 0) is None
    core.send_ok(b"done")
    assert events(core, b"\r\nz NOOP\r\n") == events(other, b"a NOOP\r\n" + line + b"\r\nz NOOP\r\n")[1:]


def test_a_command_before_its_turn_is_refused_when_the_mailbox_was_left_meanwhile() -> None:
    core = inside()
    core.receive_data(STORES)
    core.next_event()
    assert core.following(Store, 1) is not None
    core.enter(State.AUTHENTICATED)
    core.send_ok(b"done")
    assert core.next_event() == core.next_event() == CommandRejected(Fault.NOT_NOW)
    assert core.next_event() is NEED_DATA
    assert output(core).count(b" BAD ") == 2


WHOLE = b"b APPEND x (\\Seen) {3+}\r\nabc\r\n"


def test_an_append_that_has_come_whole_is_taken_before_its_turn_and_has_it() -> None:
    core = inside()
    core.receive_data(b"a NOOP\r\n" + WHOLE + b"c NOOP\r\n")
    core.next_event()
    assert core.take_append(lambda _, __: False) is None
    command = core.take_append(lambda _, octets: octets == b"abc")
    assert command is not None
    assert command.messages[0].flags == ("\\Seen",)
    assert core.take_append(lambda _, __: True) is None  # the next is none
    core.send_ok(b"done")
    assert events(core, b"d NOOP\r\n") == [
        CommandReceived(tag, one) for tag, one in (("b", command), ("c", Noop()), ("d", Noop()))
    ]


@pytest.mark.parametrize("end", range(1, len(WHOLE)))
def test_an_append_that_has_not_come_whole_is_not_touched(end: int) -> None:
    core, other = inside(), inside()
    core.receive_data(b"a NOOP\r\n" + WHOLE[:end])
    core.next_event()
    assert core.take_append(lambda _, __: True) is None
    core.send_ok(b"done")
    assert events(core, WHOLE[end:]) == events(other, WHOLE)


@pytest.mark.parametrize(
    "append",
    [
        b"b APPEND x {3}\r\nabc\r\n",
        b"b APPEND x {3+}\r\nabc {3+}\r\nabc\r\n",
        b"b APPEND x CATENATE (TEXT {3+}\r\nabc)\r\n",
        b"b APPEND x UTF8 (~{3+}\r\nabc)\r\n",
        b"b APPEND {1+}\r\nx {3+}\r\nabc\r\n",
        b"b REPLACE 1 x {3+}\r\nabc\r\n",
        b"b APPEND x ( {3+}\r\nabc\r\n",
        b"b LOGIN x {3+}\r\nabc\r\n",
        b"b APPEND x {99999999999999999999+}\r\nabc\r\n",
        b'"b APPEND x {3+}\r\nabc\r\n',
    ],
)
def test_what_is_no_whole_append_of_one_message_is_not_touched(append: bytes) -> None:
    core, other = inside(), inside()
    core.receive_data(b"a NOOP\r\n" + append)
    core.next_event()
    assert core.take_append(lambda _, __: True) is None
    core.send_ok(b"done")
    assert events(core, b"z NOOP\r\n") == events(other, b"a NOOP\r\n" + append + b"z NOOP\r\n")[1:]


def test_nothing_is_read_before_the_greeting() -> None:
    core = ServerConnection()
    core.receive_data(b"a NOOP\r\n")
    with pytest.raises(LocalProtocolError):
        core.next_event()
    core.greet(Condition(Status.PREAUTH, "you are known"))
    assert core.state is State.AUTHENTICATED
    with pytest.raises(LocalProtocolError):
        core.greet(Condition(Status.OK, "twice"))
    assert core.next_event() == CommandReceived("a", Noop())


def test_after_a_greeting_of_bye_nothing_counts() -> None:
    core = ServerConnection()
    core.greet(Condition(Status.BYE, "too many"))
    assert events(core, b"a NOOP\r\n") == []
    assert core.waiting_for is Waiting.NOTHING


@pytest.mark.parametrize(
    ("state", "line", "is_read"),
    [
        (State.NOT_AUTHENTICATED, b"SELECT x", False),
        (State.NOT_AUTHENTICATED, b"COMPRESS DEFLATE", False),
        (State.NOT_AUTHENTICATED, b"APPEND x {3}", False),
        (State.NOT_AUTHENTICATED, b"CAPABILITY", True),
        (State.NOT_AUTHENTICATED, b"ID NIL", True),
        (State.AUTHENTICATED, b"LOGIN a b", False),
        (State.AUTHENTICATED, b"STARTTLS", False),
        (State.AUTHENTICATED, b"FETCH 1 FLAGS", False),
        (State.AUTHENTICATED, b"EXPUNGE", False),
        (State.AUTHENTICATED, b"ESEARCH IN (personal) ALL", True),
        (State.AUTHENTICATED, b"IDLE", True),
        (State.SELECTED, b"FETCH 1 FLAGS", True),
        (State.SELECTED, b"AUTHENTICATE PLAIN", False),
        (State.SELECTED, b"UNAUTHENTICATE", True),
    ],
)
def test_a_command_counts_in_its_states(state: State, line: bytes, is_read: bool) -> None:
    (event,) = events(core_in(state), b"a " + line + b"\r\n")
    assert isinstance(event, CommandReceived) if is_read else event == CommandRejected(Fault.NOT_NOW)


def test_unauthenticate_forgets_what_was_enabled_and_the_limits_of_the_login() -> None:
    """RFC 8437 section 3."""
    core = inside()
    core.is_utf8 = core.is_uidonly = True
    core.enter(State.NOT_AUTHENTICATED)
    assert (core.is_utf8, core.is_uidonly) == (False, False)
    assert talk(core, b"a LOGIN {600}\r\n") == b"a BAD literal too big\r\n"


def test_logout_is_the_end() -> None:
    core = inside()
    core.receive_data(b"a LOGOUT\r\nb NOOP\r\n")
    assert core.next_event() == CommandReceived("a", Logout())
    core.send(Condition(Status.BYE, "bye"))
    core.send(Tagged("a", Status.OK, "done"))
    core.send(Rendered(b"* 1 EXISTS\r\n"))
    assert output(core) == b"* BYE bye\r\na OK done\r\n"
    assert core.next_event() is NEED_DATA
    assert core.state is State.LOGOUT


def test_a_last_word_ends_the_connection_whatever_is_owed() -> None:
    core = inside()
    core.receive_data(b"a NOOP\r\n")
    core.next_event()
    core.last_word(Condition(Status.BYE, "shutting down"))
    assert output(core) == b"* BYE shutting down\r\n"
    assert core.next_event() is NEED_DATA


def test_the_end_of_the_stream_comes_behind_what_was_sent_before_it() -> None:
    core = inside()
    core.receive_data(b"a NOOP\r\nb NO")
    core.receive_data(b"")
    assert core.next_event() == CommandReceived("a", Noop())
    core.send_ok(b"done")
    assert core.next_event() == PeerClosed()


@pytest.mark.parametrize("line", [b"", b" ", b"NOOP", b"(a NOOP", b"* NOOP", b"a+ NOOP", b'"a" NOOP', b"a\xe9 NOOP", b"\0 NOOP"])
def test_without_a_tag_the_answer_has_none(line: bytes) -> None:
    said = talk(inside(), line + b"\r\n")
    assert said == (b"NOOP BAD unknown command\r\n" if line == b"NOOP" else b"* BAD a tag is missing or wrong\r\n")


# -- literals


@pytest.mark.parametrize("step", STEPS)
def test_a_synchronizing_literal_is_asked_for(step: int | None) -> None:
    core = outside()
    assert talk(core, b"a LOGIN {3}\r\n", step) == b"+ OK\r\n"
    assert talk(core, b"ann {4}\r\n", step) == b"+ OK\r\n"
    assert events(core, b"a {1\r\n", step) == [CommandReceived("a", Login("ann", Secret("a {1")))]


@pytest.mark.parametrize("step", STEPS)
def test_what_is_refused_at_once_is_not_asked_for(step: int | None) -> None:
    core = inside()
    assert talk(core, b"a ODD {3}\r\nb LOGIN {3}\r\nc APPEND (x {3}\r\nd NOOP\r\n", step) == (
        b"a BAD unknown command\r\nb BAD not in this state\r\nc BAD syntax error\r\nd OK done\r\n"
    )


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("line", [b"a ODD", b"a LOGIN", b'a SELECT "x', b"a APPEND (x", b"(", b"a NOOP \0", b"a SEARCH OR"])
def test_a40_octets_of_a_refused_literal_are_never_a_command(line: bytes, step: int | None) -> None:
    """Dovecot 2013: what came behind an error was executed."""
    core = inside()
    found = events(core, line + b" {12+}\r\nx DELETE a\r\n {12+}\r\ny DELETE a\r\n\r\nb NOOP\r\n", step)
    assert found[0] in (
        CommandRejected(Fault.UNKNOWN),
        CommandRejected(Fault.NOT_NOW),
        CommandRejected(Fault.SYNTAX),
        CommandRejected(Fault.TAG),
    )
    assert found[1:] == [CommandReceived("b", Noop())]


def test_a40_who_waits_in_a_refused_command_is_not_kept_waiting() -> None:
    """The rest of a refused command announces a synchronizing literal: its sender reads the answer instead of `+` and goes on."""
    assert talk(inside(), b"a ODD {2+}\r\nxx {5}\r\nb NOOP\r\n") == b"a BAD unknown command\r\nb OK done\r\n"


@pytest.mark.parametrize("size", [b"4294967295", b"9999999999999999999", b"9" * 5000])
def test_a40_a_literal_that_nobody_could_send_ends_the_connection(size: bytes) -> None:
    for core in (inside(), outside()):
        assert events(core, b"a SELECT {" + size + b"+}\r\n")[-1] == PeerDropped(Fault.LITERAL_TOO_BIG)
        assert output(core).endswith(b"* BYE literal too big\r\n")
        assert events(core, b"b NOOP\r\n") == []
    assert talk(inside(), b"a SELECT {" + size + b"}\r\nb NOOP\r\n") == b"a BAD literal too big\r\nb OK done\r\n"


@pytest.mark.parametrize("step", STEPS)
def test_an_announcement_inside_of_a_literal_is_text(step: int | None) -> None:
    found = events(inside(), b"a SEARCH TEXT {8+}\r\n{99+}\r\nx\r\nb NOOP\r\n", step)
    assert found[0].command.key == TextKey(is_body=False, text="{99+}\r\nx")
    assert found[1:] == [CommandReceived("b", Noop())]


# -- messages


MESSAGE = b"Subject: x\r\n\r\n{5+}\r\n"


@pytest.mark.parametrize("step", STEPS)
def test_a_message_streams_and_the_command_follows(step: int | None) -> None:
    data = b'a APPEND x (\\Seen) "01-Jan-2024 00:00:00 +0000" {20+}\r\n' + MESSAGE + b"\r\nb NOOP\r\n"
    literal = Octets(0, 20)
    assert events(inside(), data, step) == [
        MessageOffered("a", "x", literal),
        MessageChunk(MESSAGE),
        MessageEnded(),
        CommandReceived("a", Append("x", (AppendMessage(("\\Seen",), 1704067200, (literal,)),))),
        CommandReceived("b", Noop()),
    ]


def test_a_message_is_asked_for_when_the_session_accepts_it() -> None:
    core = inside()
    core.receive_data(b"a APPEND x {20}\r\n")
    assert isinstance(core.next_event(), MessageOffered)
    assert (output(core), core.waiting_for) == (b"", Waiting.NOTHING)
    with pytest.raises(LocalProtocolError):
        core.next_event()
    with pytest.raises(LocalProtocolError):
        core.send(Tagged("a", Status.OK, "too early"))
    core.accept_message()
    assert (output(core), core.waiting_for) == (b"+ OK\r\n", Waiting.BULK)
    assert core.next_event() is NEED_DATA
    with pytest.raises(LocalProtocolError):
        core.accept_message()


@pytest.mark.parametrize("step", STEPS)
def test_a_refused_message_that_waits_is_never_sent(step: int | None) -> None:
    core = inside()
    core.receive_data(b"a APPEND x {20}\r\n")
    core.next_event()
    with pytest.raises(LocalProtocolError):
        core.refuse_message(Tagged("b", Status.NO, "another"))
    core.refuse_message(Tagged("a", Status.NO, "no such mailbox"))
    assert talk(core, b"b NOOP\r\n", step) == b"a NO no such mailbox\r\nb OK done\r\n"


@pytest.mark.parametrize("step", STEPS)
def test_a_refused_message_that_does_not_wait_is_thrown_away(step: int | None) -> None:
    core = inside()
    core.receive_data(b"a APPEND x {20+}\r\n")
    core.next_event()
    core.refuse_message(Tagged("a", Status.NO, "no such mailbox"))
    assert (
        talk(core, MESSAGE + b" (\\Seen) {20+}\r\n" + MESSAGE + b"\r\nb NOOP\r\n", step)
        == b"a NO no such mailbox\r\nb OK done\r\n"
    )


@pytest.mark.parametrize("step", STEPS)
def test_many_messages_and_parts_in_one_command(step: int | None) -> None:
    """MULTIAPPEND with CATENATE, literal8 and UTF8 (RFC 3502, 4469, 3516, 6855); the mailbox and a URL are literals too."""
    data = b"".join(
        (
            b"a APPEND {1+}\r\nx {3+}\r\none",
            b" CATENATE (URL {2+}\r\n/u TEXT ~{3+}\r\nt\0o UTF8 (~{2+}\r\n\xc3\xa9))",
            b" (f) UTF8 (~{1+}\r\nx)\r\n",
        )
    )
    found = events(inside(), data, step)
    assert [event.data for event in found if isinstance(event, MessageChunk)] == [b"one", b"t\0o", b"\xc3\xa9", b"x"]
    offers = [event.literal for event in found if isinstance(event, MessageOffered)]
    assert [literal.number for literal in offers] == [0, 1, 2, 3]
    assert found[-1] == CommandReceived(
        "a",
        Append(
            "x",
            (
                AppendMessage((), None, (Octets(0, 3),)),
                AppendMessage(
                    (),
                    None,
                    (Url("/u"), Octets(1, 3, is_binary=True), Octets(2, 2, is_binary=True, is_utf8=True)),
                    is_catenate=True,
                ),
                AppendMessage(("f",), None, (Octets(3, 1, is_binary=True, is_utf8=True),)),
            ),
        ),
    )


@pytest.mark.parametrize("step", STEPS)
def test_replace_offers_its_message(step: int | None) -> None:
    found = events(inside(), b"a UID REPLACE 7 x {3+}\r\nabc\r\n", step)
    message = AppendMessage((), None, (Octets(0, 3),))
    assert found[0] == MessageOffered("a", "x", Octets(0, 3), is_replace=True)
    assert found[-1] == CommandReceived("a", Replace(True, 7, "x", message))


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_behind_an_accepted_message_is_told_and_the_step_is_kept(step: int | None) -> None:
    core = inside()
    found = events(core, b"a APPEND x {3+}\r\nabc (odd {3+}\r\nxyz\r\nb NOOP\r\n", step)
    assert found[2:] == [MessageEnded(), CommandRejected(Fault.SYNTAX), CommandReceived("b", Noop())]


def test_an_empty_message_is_offered_like_any_other() -> None:
    """RFC 3502 section 6.3.11: a literal of no octets takes the APPEND back; that is for the session to say."""
    assert events(inside(), b"a APPEND x {0+}\r\n\r\n")[:2] == [MessageOffered("a", "x", Octets(0, 0)), MessageEnded()]


def test_a_thousand_messages_in_one_command_are_linear() -> None:
    core = inside(Limits(items=1 << 20, command=1 << 30))
    core.receive_data(b"a APPEND x" + b" {1+}\r\nm" * 20_000 + b"\r\n")
    count = 0
    while (event := core.next_event()) is not NEED_DATA:
        if isinstance(event, MessageOffered):
            count += 1
            core.accept_message()
        elif isinstance(event, CommandReceived):
            core.send_ok(b"done")
    assert count == 20_000


# -- exchanges


@pytest.mark.parametrize("step", STEPS)
def test_authenticate_with_and_without_an_initial_response(step: int | None) -> None:
    """RFC 9051 section 6.2.2, RFC 4959 section 3."""
    data = b"a authenticate plain\r\nAGEAYg==\r\nb AUTHENTICATE PLAIN =\r\n\r\nc AUTHENTICATE PLAIN AGEAYg==\r\n\r\n"
    assert events(outside(), data, step) == [
        CommandReceived("a", Authenticate("PLAIN")),
        AuthResponse(Secret(b"\0a\0b")),
        CommandReceived("b", Authenticate("PLAIN", Secret(b""))),
        AuthResponse(Secret(b"")),
        CommandReceived("c", Authenticate("PLAIN", Secret(b"\0a\0b"))),
        AuthResponse(Secret(b"")),
    ]


@pytest.mark.parametrize(("line", "fault"), [(b"*", Fault.CANCELLED), (b"a?", Fault.BASE64), (b"QQ=", Fault.BASE64)])
def test_an_exchange_that_breaks_off_is_over(line: bytes, fault: Fault) -> None:
    core = outside()
    found = events(core, b"a AUTHENTICATE PLAIN\r\n" + line + b"\r\nb NOOP\r\n")
    assert found[1:] == [AuthAborted(fault), CommandReceived("b", Noop())]
    assert output(core) == b"+ go on\r\na BAD " + fault.value.encode() + b"\r\nb OK done\r\n"


def test_a_bad_initial_response_is_refused() -> None:
    for initial in (b"AG=", b"a?", b""):
        assert events(outside(), b"a AUTHENTICATE PLAIN " + initial + b"\r\n") == [CommandRejected(Fault.BASE64)]


@pytest.mark.parametrize("step", STEPS)
def test_idle_ends_with_done(step: int | None) -> None:
    core = inside()
    found = events(core, b"a IDLE\r\ndone\r\nb NOOP\r\n", step)
    assert found == [CommandReceived("a", Idle()), IdleDone(), CommandReceived("b", Noop())]
    assert output(core) == b"+ go on\r\na OK done\r\nb OK done\r\n"


def test_an_idling_peer_is_told_news() -> None:
    core = inside()
    events(core, b"a IDLE\r\n")
    assert core.waiting_for is Waiting.COMMAND
    core.send(Rendered(iter([b"* 1 EXISTS\r\n"])))
    assert output(core) == b"+ go on\r\n* 1 EXISTS\r\n"
    core.send(Tagged("a", Status.OK, "long enough"))
    assert talk(core, b"b NOOP\r\n") == b"a OK long enough\r\nb OK done\r\n"


@pytest.mark.parametrize("line", [b"b NOOP", b"DONE ", b"", b"b APPEND x {5+}\r\nDONE\r"])
def test_anything_but_done_ends_an_idle_with_bad(line: bytes) -> None:
    core = inside()
    found = events(core, b"a IDLE\r\n" + line + b"\r\nc NOOP\r\n")
    assert found == [CommandReceived("a", Idle()), CommandRejected(Fault.NOT_DONE), CommandReceived("c", Noop())]
    assert output(core) == b"+ go on\r\na BAD DONE was expected\r\nc OK done\r\n"


def test_only_authenticate_and_idle_are_continued() -> None:
    core = inside()
    core.receive_data(b"a NOOP\r\n")
    core.next_event()
    with pytest.raises(LocalProtocolError):
        core.send(Continuation("what?"))


# -- TLS and compression


@pytest.mark.parametrize("step", STEPS)
def test_starttls_begins_anew(step: int | None) -> None:
    core = outside()
    assert events(core, b"a STARTTLS\r\n", step) == [CommandReceived("a", StartTls())]
    core.tls_started()
    assert events(core, b"a CAPABILITY\r\n", step)
    with pytest.raises(LocalProtocolError):
        core.tls_started()


def test_a_refused_starttls_changes_nothing() -> None:
    core = outside()
    core.receive_data(b"a STARTTLS\r\n")
    core.next_event()
    core.send(Tagged("a", Status.BAD, "no"))
    assert events(core, b"b NOOP\r\n") == [CommandReceived("b", Noop())]


@pytest.mark.parametrize("cut", range(10, 26))
def test_a01_octets_behind_starttls_are_never_a_command(cut: int) -> None:
    core = outside()
    data = b"a STARTTLS\r\nb LOGIN ann x\r\n"
    found = events(core, data[:cut]) + events(core, data[cut:])
    assert found[-1] == PeerDropped(Fault.BEHIND_STARTTLS)
    assert all(isinstance(event, PeerDropped) or event.command == StartTls() for event in found)
    assert core.next_event() is NEED_DATA


def test_octets_behind_compress_end_the_connection() -> None:
    """RFC 4978 section 3: whether they are compressed could only be guessed."""
    core = inside()
    assert events(core, b"a COMPRESS DEFLATE\r\nb NOOP\r\n") == [PeerDropped(Fault.BEHIND_COMPRESS)]
    core = inside()
    assert events(core, b"a COMPRESS DEFLATE\r\n") == [CommandReceived("a", Compress("DEFLATE"))]
    core.compress()
    assert core.is_compressed
    assert events(core, b"b NOOP\r\n") == [CommandReceived("b", Noop())]


# -- hostile peers


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /x", b"PRI * HTTP/2.0", b"\x16\x03\x01"])
@pytest.mark.parametrize("step", [None, 1])
def test_a06_who_speaks_another_protocol_is_dropped_without_an_echo(line: bytes, step: int | None) -> None:
    core = outside()
    assert events(core, line + b"\r\nHost: x\r\n\r\n", step) == [PeerDropped(Fault.FOREIGN)]
    assert output(core) == b""


def test_a06_a_tag_may_be_called_get_behind_the_first_line() -> None:
    assert events(outside(), b"a NOOP\r\nGET NOOP\r\n")[-1] == CommandReceived("GET", Noop())
    assert events(outside(), b"a ODD\r\nGET ODD\r\n")[-1] == CommandRejected(Fault.UNKNOWN)


@pytest.mark.parametrize(
    "line",
    [
        b"SEARCH " + b"(" * 30_000 + b"ALL" + b")" * 30_000,
        b"SEARCH " + b"NOT " * 15_000 + b"ALL",
        b"SEARCH " + b"OR ALL " * 8_000 + b"ALL",
        b"FETCH 1 (" + b"UID " * 15_000 + b"UID)",
        b"SEARCH " + b"ALL " * 15_000 + b"ALL",
        b"FETCH 1 BODY[" + b"1." * 15_000 + b"1]",
        b"STORE 1 FLAGS (" + b"f " * 15_000 + b"f)",
        b"ENABLE" + b" X" * 15_000,
    ],
)
def test_a41_deep_and_long_commands_are_refused(line: bytes) -> None:
    assert events(inside(), b"a " + line + b"\r\nb NOOP\r\n") == [CommandRejected(Fault.TOO_DEEP), CommandReceived("b", Noop())]


WORDS = [
    *(b"a ", b"NOOP", b"APPEND x", b"SEARCH ", b"OR ", b"(", b")", b"{3}", b"{2+}", b"~{1+}", b"{99999+}", b"\r\n", b"abc", b'"'),
    *(b"DONE", b"IDLE", b"REPLACE 1 x ", b"CATENATE (TEXT ", b"*", b" ", b"\0", b"\xff", b"LOGIN ", b"AUTHENTICATE PLAIN", b"="),
]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(WORDS),
        max_size=25,
    ).map(b"".join),
    st.sampled_from([State.NOT_AUTHENTICATED, State.SELECTED]),
    st.integers(1, 5),
)
def test_whatever_comes_every_cut_tells_the_same(data: bytes, state: State, step: int) -> None:
    def play(step: int | None) -> tuple[list[Any], bytes]:
        core = core_in(state, Limits(discard=40, literal=30))
        found = events(core, data, step) if data else []
        return found, output(core)

    assert play(None) == play(step)
