"""The client's core against lines of servers: what it sends, what it tells, what it refuses."""

from typing import Any

import pytest

from postwren.protocols.imap import code as codes
from postwren.protocols.imap.client import (
    Challenged,
    ClientConnection,
    Completed,
    Flaw,
    Greeted,
    IdleBegan,
    LiteralBegan,
    LiteralEnded,
    LiteralReceived,
    Received,
    ServerClosed,
    ServerFault,
    Unreadable,
)
from postwren.protocols.imap.command import (
    Append,
    Authenticate,
    Capability,
    Compress,
    Create,
    Enable,
    Fetch,
    Idle,
    List,
    Login,
    Logout,
    Noop,
    Select,
    StartTls,
)
from postwren.protocols.imap.command.append import AppendMessage, Octets
from postwren.protocols.imap.command.fetch import Section
from postwren.protocols.imap.limits import ClientLimits
from postwren.protocols.imap.reader import Streamed
from postwren.protocols.imap.response import Status, Tagged
from postwren.protocols.imap.response.capability import CapabilityList
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.fetch import Fetched, SectionData
from postwren.protocols.imap.response.list import ListEntry
from postwren.protocols.imap.response.size import Exists
from postwren.protocols.imap.state import State
from postwren.wire.core import NEED_DATA, Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

LOGIN = Login("ann", Secret("pw"))


def hear(core: ClientConnection, *lines: bytes) -> list[Any]:
    """What is told of these lines."""
    events: list[Any] = []
    for line in lines:
        core.receive_data(line)
        while (event := core.next_event()) is not NEED_DATA:
            events.append(event)
    return events


def said(core: ClientConnection) -> bytes:
    return b"".join([piece if isinstance(piece, bytes) else b"".join(piece) for piece in core.data_to_send()])


def connected(*capabilities: str, needs_tls: bool = False) -> ClientConnection:
    core = ClientConnection(needs_tls=needs_tls)
    hear(core, f"* OK [CAPABILITY IMAP4rev1 {' '.join(capabilities)}] hello\r\n".encode())
    return core


def logged_in(*capabilities: str) -> ClientConnection:
    core = connected()
    core.send(LOGIN)
    hear(core, f"p1 OK [CAPABILITY IMAP4rev1 {' '.join(capabilities)}] in\r\n".encode())
    said(core)
    return core


def selected(*capabilities: str, limits: ClientLimits | None = None) -> ClientConnection:
    core = logged_in(*capabilities)
    core.send(Select("INBOX"))
    hear(core, b"p2 OK [READ-WRITE] there\r\n")
    said(core)
    if limits:
        core._incoming._limits = limits
    return core


def test_commands_go_ahead_of_their_answers() -> None:
    core = connected()
    assert core.capabilities == frozenset({"IMAP4REV1"})
    core.send(LOGIN)
    core.send(Select("INBOX"))
    core.send(Noop())
    assert said(core) == b"p1 LOGIN ann pw\r\np2 SELECT INBOX\r\np3 NOOP\r\n"
    events = hear(core, b"p1 OK in\r\n* 3 EXISTS\r\np2 OK [READ-WRITE] there\r\np3 OK\r\n")
    assert events == [
        Completed(LOGIN, Tagged("p1", Status.OK, "in")),
        Received(Exists(3)),
        Completed(Select("INBOX"), Tagged("p2", Status.OK, "there", codes.READ_WRITE)),
        Completed(Noop(), Tagged("p3", Status.OK, "")),
    ]
    assert core.state is State.SELECTED
    assert core.capabilities is None  # those of before the login are worth nothing


def test_a_refused_select_leaves_nothing_selected() -> None:
    core = selected()
    core.send(Select("Gone"))
    hear(core, b"p3 NO [NONEXISTENT] no\r\n")
    assert core.state is State.AUTHENTICATED
    with pytest.raises(LocalProtocolError):
        core.send(Fetch(False, ((1, 1),), ()))


def test_a_literal_waits_and_holds_up_what_is_behind_it() -> None:
    core = logged_in()
    core.send(Create("a b" * 400))
    core.send(Noop())
    assert said(core) == b"p2 CREATE {1200}\r\n"
    hear(core, b"+ go\r\n")
    assert said(core) == b"a b" * 400 + b"\r\np3 NOOP\r\n"


def test_a_refused_literal_is_not_sent() -> None:
    core = logged_in()
    core.send(Append("INBOX", (AppendMessage((), None, (Octets(0, 5),)),)), [b"hello"])
    core.send(Noop())
    assert said(core) == b"p2 APPEND INBOX {5}\r\n"
    assert [type(event) for event in hear(core, b"p2 NO [OVERQUOTA] full\r\n")] == [Completed]
    assert said(core) == b"p3 NOOP\r\n"


@pytest.mark.parametrize(("capability", "announcement"), [("LITERAL+", b"{5+}"), ("LITERAL-", b"{5+}"), ("IMAP4rev2", b"{5+}")])
def test_literals_that_need_no_leave(capability: str, announcement: bytes) -> None:
    core = logged_in(capability)
    core.send(Append("INBOX", (AppendMessage((), None, (Octets(0, 5),)),)), [iter([b"he", b"llo"])])
    assert said(core) == b"p2 APPEND INBOX " + announcement + b"\r\nhello\r\n"


def test_a_message_has_the_size_that_was_announced() -> None:
    for body in (b"hell", b"hello!"):
        core = logged_in("LITERAL+")
        core.send(Append("INBOX", (AppendMessage((), None, (Octets(0, 5),)),)), [iter([body])])
        with pytest.raises(LocalProtocolError):
            said(core)
        with pytest.raises(LocalProtocolError):
            core.send(Append("INBOX", (AppendMessage((), None, (Octets(0, 5),)),)), [body])


def test_a_large_section_comes_in_pieces_and_a_small_one_does_not() -> None:
    core = selected(limits=ClientLimits(section=4))
    core.send(Fetch(True, ((1, 9),), (Section(),)))
    said(core)
    events = hear(
        core,
        b"* 1 FETCH (UID 7 BODY[] {5}\r\nhe",
        b"ll",
        b"o FLAGS (\\Seen) BODY[1.MIME]<3> {4}\r\nabcd)\r\n",
        b'* 2 FETCH (ENVELOPE (NIL "UID 99" NIL NIL NIL NIL NIL NIL NIL NIL) RFC822 {6}\r\n123456 UID 8)\r\np3 OK\r\n',
    )
    assert events[:6] == [
        LiteralBegan(1, 7, "BODY", "", None, 5),
        LiteralReceived(b"he"),
        LiteralReceived(b"ll"),
        LiteralReceived(b"o"),
        LiteralEnded(),
        Received(
            Fetched(1, uid=7, flags=("\\Seen",), sections=(SectionData("", Streamed(5)), SectionData("1.MIME", b"abcd", 3)))
        ),
    ]
    assert events[6:9] == [LiteralBegan(2, None, "RFC822", "", None, 6), LiteralReceived(b"123456"), LiteralEnded()]
    assert events[9].response.uid == 8
    assert isinstance(events[10], Completed)


def test_the_text_of_a_status_is_no_literal() -> None:
    core = connected()
    assert hear(core, b"* OK see {3}\r\n* NO {5}\r\n") == [
        Received(Condition(Status.OK, "see {3}")),
        Received(Condition(Status.NO, "{5}")),
    ]


def test_idle_begins_with_plus_and_ends_with_done() -> None:
    core = selected("IDLE")
    core.send(Idle())
    with pytest.raises(LocalProtocolError):
        core.send(Noop())
    with pytest.raises(LocalProtocolError):
        core.done()
    assert hear(core, b"+ idling\r\n* 4 EXISTS\r\n") == [IdleBegan(), Received(Exists(4))]
    assert core.waiting_for is Waiting.NOTHING
    core.done()
    assert said(core) == b"p3 IDLE\r\nDONE\r\n"
    hear(core, b"p3 OK\r\n")
    core.send(Noop())


def test_an_exchange_with_and_without_initial_response() -> None:
    for capabilities, sent in (((), b"p1 AUTHENTICATE PLAIN\r\n"), (("SASL-IR",), b"p1 AUTHENTICATE PLAIN AGEAYg==\r\n")):
        core = connected(*capabilities)
        core.send(Authenticate("PLAIN", Secret(b"\0a\0b")))
        assert said(core) == sent
        if not capabilities:
            assert hear(core, b"+ \r\n") == []
            assert said(core) == b"AGEAYg==\r\n"
        assert hear(core, b"+ Y2hhbGxlbmdl\r\n") == [Challenged(b"challenge")]
        core.respond(None)
        assert said(core) == b"*\r\n"
        hear(core, b"p1 BAD cancelled\r\n")
        assert core.state is State.NOT_AUTHENTICATED


def test_a03_octets_behind_the_answer_to_starttls_are_an_error() -> None:
    for cut in (1, 2):
        core = connected(needs_tls=True)
        core.send(StartTls())
        lines = [b"p1 OK go\r\n* OK [CAPABILITY AUTH=PLAIN] injected\r\n"] if cut == 1 else [b"p1 OK go\r\n", b"p2 OK\r\n"]
        assert hear(core, *lines)[-1] == ServerFault(Flaw.BEHIND_STARTTLS)


def test_a04_no_login_without_tls() -> None:
    core = connected(needs_tls=True)
    for command in (LOGIN, Authenticate("PLAIN", Secret(b"x"))):
        with pytest.raises(LocalProtocolError):
            core.send(command)
    core.send(StartTls())
    hear(core, b"p1 NO not today\r\n")
    with pytest.raises(LocalProtocolError):
        core.send(LOGIN)
    assert said(core) == b"p1 STARTTLS\r\n"


def test_a05_nothing_that_is_said_in_the_clear_counts() -> None:
    core = connected("STARTTLS", needs_tls=True)
    forged = (
        b'* LIST () "/" x\r\n* STATUS x (MESSAGES 1)\r\n* SEARCH 1\r\n* FLAGS ()\r\n* 1 EXISTS\r\n* 1 EXPUNGE\r\n',
        b"* 1 FETCH (UID 3)\r\n* OK [ALERT] send money\r\n* NO [REFERRAL imap://evil/] go\r\n+ hm\r\n* garbage\r\n",
        b"* 1 FETCH (BODY[] {20000}\r\n" + b"x" * 20000 + b")\r\n",
    )
    assert hear(core, *forged) == []
    core.send(StartTls())
    hear(core, b"p1 OK go\r\n")
    core.tls_started()
    assert core.capabilities is None
    core.send(LOGIN)


def test_a05_a_greeting_that_says_we_are_in_ends_it() -> None:
    core = ClientConnection(needs_tls=True)
    assert hear(core, b"* PREAUTH welcome\r\n") == [ServerFault(Flaw.PREAUTH_WITHOUT_TLS)]
    core = ClientConnection()
    assert hear(core, b"* PREAUTH welcome\r\n") == [Greeted(Condition(Status.PREAUTH, "welcome"))]
    core.send(Select("INBOX"))


@pytest.mark.parametrize("line", [b"220 smtp\r\n", b"+OK pop\r\n", b"* 1 EXISTS\r\n", b"p1 OK\r\n", b"* NO\r\n", b"\r\n"])
def test_what_is_no_greeting_ends_it(line: bytes) -> None:
    assert hear(ClientConnection(), line) == [ServerFault(Flaw.NOT_IMAP)]


def test_an_answer_to_nothing_ends_it() -> None:
    core = connected()
    core.send(Noop())
    assert hear(core, b"p9 OK\r\n") == [ServerFault(Flaw.UNASKED)]
    with pytest.raises(LocalProtocolError):
        core.send(Noop())


def test_unreadable_lines_do_not_end_it() -> None:
    core = logged_in()
    events = hear(core, b"* 1 FETCH (UID zero)\r\n* X-WHAT is this\r\n\r\n* 2 EXISTS\r\n")
    assert [type(event) for event in events] == [Unreadable, Unreadable, Unreadable, Received]


def test_what_has_no_answer_is_told_at_the_end() -> None:
    core = logged_in()
    core.send(Noop())
    core.send(Create("x"))
    assert hear(core, b"* BYE going\r\n", b"") == [
        Received(Condition(Status.BYE, "going")),
        ServerClosed((Noop(), Create("x"))),
    ]


def test_compression_begins_behind_the_answer() -> None:
    core = logged_in("COMPRESS=DEFLATE")
    core.send(Compress("DEFLATE"))
    hear(core, b"p2 OK active\r\n\x01\x02")
    assert core.compression_started() == b"\x01\x02"
    assert hear(core, b"* 1 EXISTS\r\n") == [Received(Exists(1))]


def test_utf8_is_on_when_it_was_asked_for_and_enabled() -> None:
    core = logged_in("ENABLE", "UTF8=ACCEPT")
    hear(core, b"* ENABLED UTF8=ACCEPT\r\n")
    assert said(core) == b""
    before = core.is_utf8
    core.send(Enable(("UTF8=ACCEPT",)))
    hear(core, b"* ENABLED UTF8=ACCEPT\r\np2 OK\r\n")
    assert (before, core.is_utf8) == (False, True)
    core.send(Create("ä"))
    assert said(core).endswith('p3 CREATE "ä"\r\n'.encode())
    assert hear(core, '* LIST () "/" "ö"\r\n'.encode()) == [Received(ListEntry("ö"))]


def test_capabilities_are_learned_wherever_they_are_said() -> None:
    core = connected("AUTH=PLAIN", "LOGINDISABLED")
    with pytest.raises(LocalProtocolError):
        core.send(LOGIN)
    core.send(Capability())
    assert hear(core, b"* CAPABILITY IMAP4rev1 idle\r\np1 OK\r\n")[0] == Received(CapabilityList(("IMAP4rev1", "idle")))
    assert core.capabilities == frozenset({"IMAP4REV1", "IDLE"})


def test_logout_is_the_end() -> None:
    core = logged_in()
    core.send(Logout())
    hear(core, b"* BYE\r\np2 OK\r\n")
    assert core.state is State.LOGOUT
    with pytest.raises(LocalProtocolError):
        core.send(List("", ("*",)))


@pytest.mark.parametrize(
    ("limits", "at", "beyond", "flaw"),
    [
        (ClientLimits(line=20), b"* X " + b"a" * 16, b"* X " + b"a" * 17, Flaw.LINE_TOO_LONG),
        (ClientLimits(literal=3), b"* X {3}\r\nabc", b"* X {4}\r\n", Flaw.LITERAL_TOO_BIG),
        (ClientLimits(literals=2), b"* X {1}\r\na {1}\r\nb", b"* X {1}\r\na {1}\r\nb {1}\r\n", Flaw.RESPONSE_TOO_LONG),
        (ClientLimits(response=20), b"* X {3}\r\nabc 1234", b"* X {3}\r\nabc 1234567\r\n", Flaw.RESPONSE_TOO_LONG),
        (ClientLimits(section=3, literal=3), b"* 1 FETCH (BODY[] {3}\r\nabc)", b"* 1 FETCH (X {4}\r\n", Flaw.LITERAL_TOO_BIG),
        (
            ClientLimits(section=3, message=5),
            b"* 1 FETCH (BODY[] {5}\r\nabcde)",
            b"* 1 FETCH (BODY[] {6}\r\n",
            Flaw.LITERAL_TOO_BIG,
        ),
    ],
)
def test_a90_a_server_has_its_limits(limits: ClientLimits, at: bytes, beyond: bytes, flaw: Flaw) -> None:
    core = selected(limits=limits)
    assert not any(isinstance(event, ServerFault) for event in hear(core, at + b"\r\n* 1 EXISTS\r\n"))
    core = selected(limits=limits)
    assert hear(core, beyond + b"\r\n")[-1] == ServerFault(flaw)


def test_a90_a_greeting_has_its_limit() -> None:
    for length, is_taken in ((20, True), (21, False)):
        core = ClientConnection(ClientLimits(greeting_line=20))
        (event,) = hear(core, b"* OK ".ljust(length, b"x") + b"\r\n")
        assert isinstance(event, Greeted) is is_taken
