"""The two cores of POP3, driving each other and driven by hand (RFC 1939, RFC 1734 as RFC 5034 replaced it, RFC 2595)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.protocols.pop3 import client as c
from postwren.protocols.pop3.body import Unstuffer, ending, stuff, stuff_pieces
from postwren.protocols.pop3.capability import Capabilities
from postwren.protocols.pop3.command import (
    Auth,
    Capa,
    Command,
    Dele,
    Fault,
    Lang,
    List,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
    format_command,
    parse_command,
)
from postwren.protocols.pop3.reply import (
    Challenge,
    Reply,
    err,
    format_reply,
    ok,
    parse_challenge,
    parse_numbers,
    parse_reply,
    parse_uidl_line,
)
from postwren.protocols.pop3.server import AuthResponse, PeerClosed, PeerDropped, SendListing, SendMessage, ServerConnection
from postwren.protocols.pop3.state import AFTER, State
from postwren.wire.core import NEED_DATA, Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

NUMBERS = st.integers(0, 9_999_999_999)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=60)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(List, st.none() | NUMBERS),
    st.builds(Uidl, st.none() | NUMBERS),
    st.builds(Retr, NUMBERS),
    st.builds(Dele, NUMBERS),
    st.builds(Top, NUMBERS, NUMBERS),
    st.builds(User, WORDS.map(str.strip).filter(bool).filter(lambda name: not name.startswith(" "))),
    st.builds(Pass, st.builds(Secret, WORDS)),
    st.builds(Auth, st.sampled_from(["PLAIN", "SCRAM-SHA-256"]), st.none() | st.builds(Secret, st.binary(max_size=99))),
    st.builds(Lang, st.sampled_from([None, "*", "en", "de-AT"])),
    st.sampled_from([Capa(), Stls(), Stat(), Noop(), Rset(), Quit(), Utf8()]),
)


@given(COMMANDS)
def test_a_command_is_read_as_it_was_written(command: Command) -> None:
    line = format_command(command)
    assert line.endswith(b"\r\n")
    assert parse_command(line[:-1]) == command


@given(st.binary(max_size=60))
def test_any_line_is_a_command_or_a_fault(line: bytes) -> None:
    parsed = parse_command(line)
    assert isinstance(parsed, Fault | Command)


@pytest.mark.parametrize("command", [User("a\r\nDELE 1"), Pass(Secret("a\nb")), User("a\0")])
def test_an_argument_cannot_break_its_line(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        format_command(command)


@pytest.mark.parametrize("reply", [ok("[x] y"), ok("two\r\nlines"), err("x\n"), ok("x" * 508)])
def test_a_reply_cannot_break_its_line(reply: Reply) -> None:
    with pytest.raises(LocalProtocolError):
        format_reply(reply)


def test_a_status_line_has_512_octets() -> None:
    assert len(format_reply(ok("x" * 506))) == 512
    with pytest.raises(LocalProtocolError):
        format_reply(ok("x" * 507))


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"+OK\r", ok()),
        (b"+ok done", ok("done")),
        (b"-ERR [IN-USE] locked\r", err("locked", "IN-USE")),
        (b"-ERR [sys/temp]later", err("later", "SYS/TEMP")),
        (b"-ERR [not a code] text", err("[not a code] text")),
        (b"+OK [", ok("[")),
        (b"+OK caf\xe9", ok("caf\ufffd")),
        (b"+OKAY", None),
        (b"OK", None),
        (b"* OK IMAP4rev1", None),
        (b"220 smtp", None),
        (b"", None),
    ],
)
def test_what_servers_say_as_a_reply(line: bytes, reply: Reply | None) -> None:
    assert parse_reply(line) == reply


@pytest.mark.parametrize(
    ("line", "challenge"),
    [(b"+ \r", b""), (b"+\r", b""), (b"+ eHl6", b"xyz"), (b"+ !", None)],
)
def test_what_servers_say_as_a_challenge(line: bytes, challenge: bytes | None) -> None:
    assert parse_challenge(line) == Challenge(challenge)


def test_a96_numbers_of_servers_are_never_negative_or_huge() -> None:
    assert parse_numbers(b"3 120") == (3, 120)
    assert parse_numbers(b"3 120 (more)") == (3, 120)
    for text in (b"-3 120", b"3 -120", b"3", b"", b"a b", b"3 " + b"9" * 19):
        assert parse_numbers(text) is None
    assert parse_uidl_line(b"7 a b\r") == (7, b"a b")
    for text in (b"7", b"7 ", b"-7 a", b"a", b""):
        assert parse_uidl_line(text) is None


def test_capabilities_are_read_as_they_were_written() -> None:
    capabilities = Capabilities({"TOP": (), "SASL": ("PLAIN", "LOGIN"), "EXPIRE": ("NEVER",)})
    assert Capabilities.parse(capabilities.format().splitlines()) == capabilities
    odd = Capabilities.parse([b"sasl PLAIN", b"", b"SASL LOGIN", b"\xff", b"IMPLEMENTATION a b"])
    assert odd.parameters("SASL") == ("PLAIN", "LOGIN")
    assert "TOP" not in odd
    assert odd.parameters("TOP") == ()


BODIES = st.lists(
    st.sampled_from([b".", b"..", b"\r\n", b"\n", b"\r", b"x", b"\r\n.\r\n", b"\n.\r\n", b"\r\n.\n"]), max_size=12
).map(b"".join)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    return [*pieces, data[start:]]


SIZES = st.lists(st.integers(0, 5), max_size=12)


@given(BODIES, SIZES, SIZES)
@settings(max_examples=300)
def test_a_stuffed_body_comes_out_as_it_went_in(body: bytes, sizes: list[int], reads: list[int]) -> None:
    whole = stuff(body) + ending(body[-2:])
    assert b"".join(stuff_pieces(cut(body, sizes), True)) == whole
    unstuffer = Unstuffer()
    taken = b"".join(unstuffer.feed(piece) for piece in cut(whole + b"+OK next\r\n", reads) if unstuffer.rest is None)
    got_rest = unstuffer.rest
    assert got_rest is not None
    assert b"+OK next\r\n".startswith(got_rest)
    assert taken == (body if not body or body.endswith(b"\r\n") else body + b"\r\n")


def test_without_dot_lines_nothing_is_copied() -> None:
    body = b"Subject: x\r\n\r\n" + b"y" * 1000 + b"\r\n"
    core = _transaction()
    core.receive_data(b"RETR 1\r\n")
    core.next_event()
    core.send(SendMessage(body, has_dot_line=False))
    assert any(piece is body for piece in core.data_to_send())


def test_a_run_of_dots_is_not_held_back() -> None:
    unstuffer = Unstuffer()
    given = b"".join(unstuffer.feed(b"." * 1000) for _ in range(100))
    assert len(given) >= 99_990


# -- states


def test_every_command_has_a_place() -> None:
    placed = {kind for row in AFTER.values() for kind in row}
    assert placed == set(Command.__args__)
    assert set(AFTER) == set(State)


def test_only_quit_leads_out_of_transaction() -> None:
    ways_out = {kind for kind, after in AFTER[State.TRANSACTION].items() if set(after) != {State.TRANSACTION}}
    assert ways_out == {Quit}


# -- the server by hand


def _transaction() -> ServerConnection:
    core = ServerConnection()
    core.send(ok())
    for line in (b"USER ann\r\n", b"PASS secret\r\n"):
        core.receive_data(line)
        core.next_event()
        core.send(ok())
    core.data_to_send()
    return core


def test_a_command_is_answered_once() -> None:
    core = _transaction()
    core.receive_data(b"NOOP\r\nNOOP\r\n")
    assert core.next_event() == Noop()
    with pytest.raises(LocalProtocolError):
        core.next_event()
    core.send(ok())
    with pytest.raises(LocalProtocolError):
        core.send(ok())


def test_tls_is_started_after_stls_only() -> None:
    with pytest.raises(LocalProtocolError):
        _transaction().tls_started()


def test_a01_octets_in_the_clear_after_the_answer_to_stls_end_the_connection() -> None:
    core = ServerConnection()
    core.send(ok())
    core.receive_data(b"STLS\r\n")
    assert core.next_event() == Stls()
    core.send(ok())
    core.receive_data(b"CAPA\r\n")
    assert core.next_event() == PeerDropped(Fault.BEHIND_STLS)


def test_the_server_waits_for_what_is_due() -> None:
    core = ServerConnection()
    waits = [core.waiting_for]
    core.send(ok())
    waits.append(core.waiting_for)
    core.receive_data(b"AUTH PLAIN\r\n")
    core.next_event()
    waits.append(core.waiting_for)
    core.send(Challenge(b""))
    waits.append(core.waiting_for)
    assert waits == [Waiting.NOTHING, Waiting.LOGIN, Waiting.NOTHING, Waiting.LOGIN]
    assert _transaction().waiting_for is Waiting.COMMAND


def test_a_last_word_is_the_last() -> None:
    core = _transaction()
    core.last_word(err("bye"))
    core.receive_data(b"NOOP\r\n")
    assert core.next_event() is NEED_DATA
    core.last_word(err("bye again"))
    assert core.data_to_send() == [b"-ERR bye\r\n"]


def test_a_large_body_goes_in_pieces_as_they_are_asked_for() -> None:
    core = _transaction()
    core.receive_data(b"RETR 1\r\n")
    core.next_event()
    read: list[int] = []

    def pieces() -> Any:
        for number in range(3):
            read.append(number)
            yield b".%d\r\n" % number

    core.send(SendMessage(pieces(), has_dot_line=True))
    status, body = core.data_to_send()
    assert status == b"+OK\r\n"
    assert not isinstance(body, bytes)
    assert read == []
    assert [next(body), next(body)] == [b"..0\r\n", b"..1\r\n"]
    assert read == [0, 1]
    assert list(body) == [b"..2\r\n", b".\r\n"]


# -- the client by hand


def _client(*lines: bytes, commands: tuple[Command, ...] = ()) -> c.ClientConnection:
    core = c.ClientConnection()
    core.receive_data(b"+OK hello\r\n")
    assert core.next_event() == c.Greeting(ok("hello"))
    for command in commands:
        core.send(command)
    if lines:
        core.receive_data(b"".join(lines))
    return core


def _events(core: c.ClientConnection) -> list[Any]:
    found = []
    while (event := core.next_event()) is not NEED_DATA:
        found.append(event)
    return found


LOGIN: tuple[Command, ...] = (User("ann"), Pass(Secret("secret")))


def test_the_client_does_not_send_what_is_out_of_place() -> None:
    core = _client()
    with pytest.raises(LocalProtocolError):
        core.send(Stat())
    core.send(Auth("PLAIN"))
    with pytest.raises(LocalProtocolError):
        core.send(Capa())
    with pytest.raises(LocalProtocolError):
        core.send(c.Respond(None))


def test_stls_stands_alone() -> None:
    core = _client(commands=(Capa(),))
    with pytest.raises(LocalProtocolError):
        core.send(Stls())
    core = _client(commands=(Stls(),))
    with pytest.raises(LocalProtocolError):
        core.send(Capa())


def test_a01_the_client_takes_nothing_from_behind_the_answer_to_stls() -> None:
    core = _client(b"+OK\r\n+OK injected\r\n", commands=(Stls(),))
    assert _events(core) == [c.ReplyReceived(Stls(), ok()), c.ServerFault(c.Flaw.BEHIND_STLS)]


def test_a_failed_login_takes_back_what_the_client_hoped_for() -> None:
    core = _client(b"+OK\r\n-ERR no\r\n-ERR no\r\n", commands=(*LOGIN, Stat()))
    assert [event.reply.is_ok for event in _events(core)] == [True, False, False]
    assert core.state is State.AUTHORIZATION
    with pytest.raises(LocalProtocolError):
        core.send(Stat())
    core.send(User("ann"))


@pytest.mark.parametrize("said", [b"220 smtp\r\n", b"* OK imap\r\n", b"+ eHl6\r\n", b"\r\n", b"\x16\x03\x01\n"])
def test_what_is_no_reply_is_a_fault(said: bytes) -> None:
    core = _client(said, commands=(Capa(),))
    assert _events(core) == [c.ServerFault(c.Flaw.NOT_A_REPLY)]
    core.receive_data(b"+OK\r\n")
    assert _events(core) == []


def test_a_reply_that_nothing_asked_for() -> None:
    assert _events(_client(b"+OK surprise\r\n")) == [c.ServerFault(c.Flaw.UNASKED)]
    assert _events(_client(b"-ERR [SYS/TEMP] bye\r\n")) == [c.LastWord(err("bye", "SYS/TEMP"))]


def test_a_body_that_ends_early_is_not_whole() -> None:
    core = _client(b"+OK\r\n+OK\r\n+OK\r\nSubject: x\r\n\r\nhalf", commands=(*LOGIN, Retr(1)))
    core.receive_data(b"")
    found = _events(core)
    assert c.ReplyEnded(Retr(1)) not in found
    assert found[-1] == c.ServerClosed((Retr(1),))


def test_a_long_initial_response_waits_for_the_first_challenge() -> None:
    for size, lines in ((100, 1), (300, 2)):
        core = _client()
        core.data_to_send()
        core.send(Auth("PLAIN", Secret(b"x" * size)))
        sent = core.data_to_send()
        if lines == 2:
            assert sent == [b"AUTH PLAIN\r\n"]
            core.receive_data(b"+ \r\n")
            assert _events(core) == []
            sent = core.data_to_send()
        assert len(sent) == 1
        core.receive_data(b"+OK\r\n")
        assert len(_events(core)) == 1
        assert core.state is State.TRANSACTION


# -- both

MAILDROP = [b"Subject: a\r\n\r\n.dot\r\n", b"", b"no end", b"\r\n.\r\n..\r\n", b"x" * 3000 + b"\r\n", b"bare\n.\r\nlf\r\n"]
SCRIPT: list[Command] = [
    *LOGIN,
    Stat(),
    List(),
    Uidl(),
    Capa(),
    *(Retr(n + 1) for n in range(len(MAILDROP))),
    Top(1, 0),
    Retr(99),
    List(2),
    Dele(1),
    Rset(),
    Noop(),
    Lang(),
    Quit(),
]


def _answer(command: Command) -> Any:
    match command:
        case Retr(number) | Top(number, _):
            if number > len(MAILDROP):
                return err("no such message")
            body = MAILDROP[number - 1]
            return SendMessage(iter((body[:3], body[3:])) if number % 2 else body, has_dot_line=True)
        case List(None) | Uidl(None):
            return SendListing(ok(), b"".join(b"%d x%d\r\n" % (n, n) for n in range(1, 5)))
        case Capa() | Lang(None):
            return SendListing(ok(), b"TOP\r\nUIDL\r\n")
        case _:
            return ok("done")


def _pour(source: Any, target: Any, size: int) -> list[Any]:
    """Hand over what `source` wants sent, `size` octets a read; what `target` makes of it."""
    octets = b"".join(piece if isinstance(piece, bytes) else b"".join(piece) for piece in source.data_to_send())
    found = []
    for start in range(0, len(octets), size):
        target.receive_data(octets[start : start + size])
        while (event := target.next_event()) is not NEED_DATA:
            found.append(event)
            if isinstance(target, ServerConnection) and not isinstance(event, PeerDropped | PeerClosed):
                target.send(Challenge(b"?") if isinstance(event, Auth) else _answer(event))
    return found


@pytest.mark.parametrize("size", [*range(1, 25), 64, 1000, 100_000])
@pytest.mark.parametrize("pipelined", [True, False])
def test_the_client_reads_whatever_the_server_says(size: int, pipelined: bool) -> None:
    server, client = ServerConnection(), c.ClientConnection()
    server.send(ok("ready"))
    assert _pour(server, client, size) == [c.Greeting(ok("ready"))]
    asked, said = [], []
    for command in SCRIPT:
        client.send(command)
        if not pipelined or command is SCRIPT[-1]:
            asked += _pour(client, server, size)
            said += _pour(server, client, size)
    assert asked == SCRIPT
    assert [event.command for event in said if isinstance(event, c.ReplyReceived)] == SCRIPT
    for number, body in enumerate(MAILDROP, 1):
        got = b"".join(event.data for event in said if isinstance(event, c.BodyReceived) and event.command == Retr(number))
        assert got == (body if not body or body.endswith(b"\r\n") else body + b"\r\n")
        assert said.count(c.ReplyEnded(Retr(number))) == 1
    lines = [line for event in said if isinstance(event, c.ListingReceived) and event.command == Uidl() for line in event.lines]
    assert lines == [b"1 x1", b"2 x2", b"3 x3", b"4 x4"]
    assert client.state is server.state is State.CLOSED


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_an_exchange_between_both_roles(size: int) -> None:
    server, client = ServerConnection(), c.ClientConnection()
    server.send(ok())
    _pour(server, client, size)
    client.send(Auth("PLAIN"))
    assert _pour(client, server, size) == [Auth("PLAIN")]
    assert _pour(server, client, size) == [c.Challenged(Challenge(b"?"))]
    client.send(c.Respond(Secret(b"!")))
    assert _pour(client, server, size) == [AuthResponse(Secret(b"!"))]
    assert _pour(server, client, size) == [c.ReplyReceived(Auth("PLAIN"), ok("done"))]
    assert client.state is server.state is State.TRANSACTION
