"""The client's core: against our server over any cut, and against servers that misbehave."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.protocols.smtp import reply as say
from postwren.protocols.smtp.client import (
    Answered,
    Broken,
    Challenged,
    ClientConnection,
    Greeted,
    HelloAnswered,
    MessageAnswered,
    ServerClosed,
    TlsReady,
)
from postwren.protocols.smtp.command import Auth, Command, Data, Ehlo, Helo, Lhlo, Mail, Quit, Rcpt, Rset, StartTls
from postwren.protocols.smtp.lmtp import LMTP
from postwren.protocols.smtp.params import Body, Extension, MailParams
from postwren.protocols.smtp.reply import Reply
from postwren.protocols.smtp.server import CommandRejected, MessageChunk, MessageEnded, ServerConnection
from postwren.protocols.smtp.state import SMTP, Variant
from postwren.terms import Address
from postwren.wire.core import NEED_DATA, Core
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

ANN, BOB, EVE = (Address(name, "example.org") for name in ("ann", "bob", "eve"))


def written(core: Core) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else b"".join(piece) for piece in core.data_to_send())


class Pair:
    """Our client and our server, and a wire that cuts."""

    def __init__(self, cuts: Iterator[int], variant: Variant = SMTP, extensions: frozenset[Extension] = frozenset(Extension)):
        self.cuts = cuts
        self.server = ServerConnection("mx", extensions, variant=variant)
        self.server.open(Reply(220, "", "mx"), is_tls=False, can_start_tls=True)
        self.client = ClientConnection(variant=variant)
        self.messages: list[bytes] = []
        self.message = b""
        self.refused: list[Command] = []
        self.told: list[object] = []

    def settle(self) -> None:
        """Carry octets both ways until both wait."""
        while True:
            up, down = written(self.client), written(self.server)
            if not up and not down:
                return
            self._carry(up, self.server, self._serve)
            self._carry(down, self.client, self.told.append)

    def _carry(self, data: bytes, core: Core, receive: Callable[[object], None]) -> None:
        while data:
            size = next(self.cuts)
            core.receive_data(data[:size])
            data = data[size:]
            while (event := core.next_event()) is not NEED_DATA:
                receive(event)

    def _serve(self, event: object) -> None:
        send = self.server.send
        match event:
            case Ehlo() | Lhlo():
                send(self.server.hello_reply(["PLAIN"]))
            case Rcpt() if event.forward_path == EVE:
                send(Reply(550, "5.1.1", "no"))
            case CommandRejected():
                send(event.reply)
            case Data():
                send(say.START_DATA)
            case MessageChunk():
                self.message += event.data
            case MessageEnded():
                self.messages.append(self.message)
                self.message = b""
                for _ in range(event.replies):
                    send(Reply(250, "2.0.0", "kept") if event.fault is None else say.BARE_LINE_END)
            case StartTls():
                send(say.READY_FOR_TLS)
            case _:
                send(say.OK)

    def take(self) -> list[object]:
        self.settle()
        told, self.told = self.told, []
        return told


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=30).map(lambda numbers: Turns(numbers))


class Turns:
    """The same sizes over and over."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers

    def __iter__(self) -> "Turns":
        return self

    def __next__(self) -> int:
        self.numbers.append(self.numbers.pop(0))
        return self.numbers[-1]

    def __repr__(self) -> str:
        return f"Turns({self.numbers})"


bodies = st.lists(st.sampled_from([b"\r\n", b".", b"x", b"\r\n.", b"..", b"\xff"]), max_size=12).map(b"".join)
NO_PIPELINING = frozenset(Extension) - {Extension.PIPELINING}


def open_and_name(pair: Pair, *recipients: Address, params: MailParams = MailParams()) -> None:  # noqa: B008
    hello = Lhlo("c") if pair.server.variant is LMTP else Ehlo("c")
    pair.client.send(hello)
    assert [type(event) for event in pair.take()] == [Greeted, HelloAnswered]
    pair.client.send(Mail(ANN, params))
    for recipient in recipients:
        pair.client.send(Rcpt(recipient))


@given(sizes, bodies, st.sampled_from([SMTP, LMTP]), st.sampled_from([frozenset(Extension), NO_PIPELINING]))
def test_a_message_arrives_over_any_cut(cuts: Turns, body: bytes, variant: Variant, extensions: frozenset[Extension]) -> None:
    pair = Pair(cuts, variant, extensions)
    for turn in range(2):
        if turn == 0:
            open_and_name(pair, ANN, EVE, BOB)
        else:
            for command in (Mail(ANN), Rcpt(ANN), Rcpt(EVE), Rcpt(BOB)):
                pair.client.send(command)
        pair.client.send(Data())
        codes = [event.reply.code for event in pair.take() if isinstance(event, Answered)]
        assert codes == [250, 250, 550, 250, 354]
        pair.client.send_body([body[:3], body[3:]])
        answers = pair.take()
        assert answers == [MessageAnswered((Reply(250, "2.0.0", "kept"),) * (2 if variant is LMTP else 1))]
    whole = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert pair.messages == [whole, whole]


@given(sizes, st.lists(st.binary(max_size=9), max_size=5), st.sampled_from([SMTP, LMTP]))
def test_chunks_arrive_over_any_cut(cuts: Turns, chunks: list[bytes], variant: Variant) -> None:
    """RFC 3030 2 and 3; several chunks are on their way at once."""
    pair = Pair(cuts, variant)
    open_and_name(pair, ANN, BOB, params=MailParams(body=Body.BINARY))
    pair.take()
    for chunk in chunks:
        pair.client.send_chunk(chunk, is_last=False)
    pair.client.send_chunk(b"end", is_last=True)
    *before, last = pair.take()
    assert [event.reply.code for event in before if isinstance(event, Answered)] == [250] * len(chunks)
    assert last == MessageAnswered((Reply(250, "2.0.0", "kept"),) * (2 if variant is LMTP else 1))
    assert pair.messages == [b"".join(chunks) + b"end"]


def test_many_empty_chunks_are_no_recursion() -> None:
    server = ServerConnection("mx")
    server.open(Reply(220, "", "mx"), is_tls=False, can_start_tls=False)
    for line, reply in ((b"EHLO c", say.OK), (b"MAIL FROM:<>", say.OK), (b"RCPT TO:<a@x>", say.OK)):
        server.receive_data(line + b"\r\n")
        server.next_event()
        server.send(reply)
    server.receive_data(b"BDAT 0\r\n" * 5000)
    assert server.next_event() is NEED_DATA
    assert written(server).count(b"\r\n250") == 5003


class Server:
    """A server that says what it is told to; the greeting is said."""

    def __init__(self, variant: Variant = SMTP) -> None:
        self.client = ClientConnection(variant=variant)
        assert self.hear("220 mx") == [Greeted(Reply(220, "", "mx"))]

    def hear(self, *lines: str) -> list[object]:
        self.client.receive_data("".join(f"{line}\r\n" for line in lines).encode())
        events: list[object] = []
        while (event := self.client.next_event()) is not NEED_DATA:
            events.append(event)
        return events

    def hello(self, *words: str) -> None:
        self.client.send(Ehlo("c"))
        assert written(self.client) == b"EHLO c\r\n"
        lines = [f"250-{word}" for word in ("mx", *words)]
        self.hear(*lines, "250 HELP")


def test_helo_is_tried_where_ehlo_is_not_known() -> None:
    """RFC 5321 3.2."""
    server = Server()
    server.client.send(Ehlo("c"))
    assert server.hear("502 what?") == []
    assert written(server.client) == b"EHLO c\r\nHELO c\r\n"
    assert server.hear("250 mx") == [HelloAnswered(Reply(250, "", "mx"), {})]
    server.client.send(Mail(None))
    server.client.send(Rcpt(ANN))
    assert written(server.client) == b"MAIL FROM:<>\r\n"  # no pipelining without the offer


def test_the_envelope_goes_in_one_write_where_that_is_offered() -> None:
    """RFC 2920 3.1: DATA ends the group."""
    server = Server()
    server.hello("PIPELINING")
    for command in (Mail(None), Rcpt(ANN), Rcpt(BOB), Data(), Rset()):
        server.client.send(command)
    assert written(server.client) == b"MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"


def test_data_that_nobody_receives_is_ended_at_once() -> None:
    """RFC 2920 3.1."""
    server = Server()
    server.hello("PIPELINING")
    for command in (Mail(None), Rcpt(EVE), Data()):
        server.client.send(command)
    written(server.client)
    events = server.hear("250 ok", "550 no", "354 go")
    assert [event.reply.code for event in events if isinstance(event, Answered)] == [250, 550, 354]
    assert written(server.client) == b".\r\n"
    assert server.hear("554 nobody") == [MessageAnswered((Reply(554, "", "nobody"),))]


@pytest.mark.parametrize("behind", ["250 evil", "\x16\x03", "220 again"])
def test_octets_behind_the_answer_to_starttls_end_it(behind: str) -> None:
    """A-03, CVE-2020-15685."""
    server = Server()
    server.hello("STARTTLS")
    server.client.send(StartTls())
    written(server.client)
    (event,) = server.hear("220 go", behind)
    assert isinstance(event, Broken)
    with pytest.raises(LocalProtocolError):
        server.client.send(Auth("PLAIN", Secret(b"\0a\0b")))
    assert written(server.client) == b""


def test_octets_between_the_answer_and_tls_end_it() -> None:
    """A-03."""
    server = Server()
    server.hello("STARTTLS")
    server.client.send(StartTls())
    assert server.hear("220 go") == [TlsReady()]
    (event,) = server.hear("250 evil")
    assert isinstance(event, Broken)


def test_what_was_offered_in_the_clear_is_forgotten() -> None:
    """RFC 3207 4.2."""
    server = Server()
    server.hello("STARTTLS", "PIPELINING")
    server.client.send(StartTls())
    server.hear("220 go")
    server.client.tls_started()
    with pytest.raises(LocalProtocolError):
        server.client.send(Mail(None))
    server.client.send(Ehlo("c"))
    assert written(server.client).endswith(b"EHLO c\r\n")


def test_starttls_refused_is_an_answer_and_no_tls() -> None:
    """A-04."""
    server = Server()
    server.hello("STARTTLS")
    server.client.send(StartTls())
    assert server.hear("454 no") == [Answered(StartTls(), Reply(454, "", "no"))]


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (None, ["250 unasked"]),
        (Mail(None), ["354 go"]),
        (Mail(None), ["334 "]),
        (Mail(None), ["hello"]),
        (Mail(None), ["250-a", "550 b"]),
        (Mail(None), ["250 " + "x" * 3000]),
        (Mail(None), ["250-x"] * 201),
        (Mail(None), ["421 bye"]),
        (Mail(None), ["250 ok", "250 too much"]),
        (Auth("PLAIN"), ["334 !!!"]),
    ],
)
def test_absurd_replies_are_events(said: Command | None, lines: list[str]) -> None:
    server = Server()
    server.hello()
    if said is not None:
        server.client.send(said)
    assert isinstance(server.hear(*lines)[-1], Broken)


def test_an_answer_before_the_end_of_the_message_is_no_answer_to_it() -> None:
    server = Server()
    server.hello()
    for command, reply in ((Mail(None), "250 ok"), (Rcpt(ANN), "250 ok"), (Data(), "354 go")):
        server.client.send(command)
        server.hear(reply)
    server.client.send_body(b"x\r\n")
    (event,) = server.hear("250 kept")
    assert isinstance(event, Broken)


def test_a_challenge_is_answered() -> None:
    """RFC 4954 4."""
    server = Server()
    server.hello("AUTH LOGIN")
    server.client.send(Auth("LOGIN"))
    assert server.hear("334 VXNlcjo=") == [Challenged(b"User:")]
    written(server.client)
    server.client.send_auth_response(b"ann")
    server.client.send_auth_response(None)
    assert written(server.client) == b"YW5u\r\n*\r\n"
    assert server.hear("501 cancelled") == [Answered(Auth("LOGIN"), Reply(501, "", "cancelled"))]


def test_what_is_unanswered_at_the_end_is_told() -> None:
    """D-21: its fate is unknown."""
    server = Server()
    server.hello()
    server.client.send(Quit())
    server.client.receive_data(b"")
    assert server.client.next_event() == ServerClosed(1)


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"a\r", b"\0"])
def test_a_message_with_bare_line_ends_is_not_begun(body: bytes) -> None:
    """A-20, the sender's side."""
    server = Server()
    server.hello("CHUNKING")
    for command, reply in ((Mail(None), "250 ok"), (Rcpt(ANN), "250 ok")):
        server.client.send(command)
        server.hear(reply)
    written(server.client)
    with pytest.raises(LocalProtocolError):
        server.client.send_chunk(body, is_last=True)
    server.client.send(Data())
    server.hear("354 go")
    written(server.client)
    with pytest.raises(LocalProtocolError):
        server.client.send_body(body)
    assert written(server.client) == b""


def test_our_own_faults_raise() -> None:
    client = ClientConnection()
    client.receive_data(b"220 mx\r\n")
    client.next_event()
    with pytest.raises(LocalProtocolError):
        client.send(Mail(None))
    with pytest.raises(LocalProtocolError):
        client.send_body(b"")
    with pytest.raises(LocalProtocolError):
        client.send_chunk(b"", is_last=True)
    with pytest.raises(LocalProtocolError):
        client.send_auth_response(b"")
    with pytest.raises(LocalProtocolError):
        client.send(Helo("a b\n"))


def test_a_server_that_is_talked_to_before_its_greeting_drops() -> None:
    """A-21."""
    server = ServerConnection("mx")
    server.receive_data(b"EHLO c\r\n")
    assert server.next_event() is NEED_DATA
    server.open(Reply(220, "", "mx"), is_tls=False, can_start_tls=False)
    assert server.next_event() == CommandRejected(say.PIPELINED, is_fatal=True)


@pytest.mark.parametrize(
    ("before", "command", "reply", "fault"),
    [
        (b"", b"EHLO c\r\n", say.OK, say.PIPELINED),
        (b"EHLO c\r\n", b"AUTH PLAIN AGEAYg==\r\n", Reply(235, "2.7.0", "welcome"), say.PIPELINED),
        (b"EHLO c\r\n", b"AUTH PLAIN AGEAYg==\r\n", Reply(535, "5.7.8", "no"), say.PIPELINED),
        (b"EHLO c\r\n", b"STARTTLS\r\n", say.READY_FOR_TLS, say.TLS_PIPELINED),
        (b"EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\n", b"DATA\r\n", say.START_DATA, say.PIPELINED),
    ],
)
def test_a21_what_comes_before_the_reply_that_must_be_waited_for_drops(
    before: bytes, command: bytes, reply: Reply, fault: Reply
) -> None:
    server = ServerConnection("mx")
    server.open(Reply(220, "", "mx"), is_tls=False, can_start_tls=True)
    for line in before.splitlines(keepends=True):
        server.receive_data(line)
        server.next_event()
        server.send(say.OK)
    server.receive_data(command)
    server.next_event()
    server.receive_data(b"RSET\r\n")
    server.send(reply)
    assert server.next_event() == CommandRejected(fault, is_fatal=True)


def test_octets_between_starttls_and_tls_drop() -> None:
    """A-01, in two segments."""
    server = ServerConnection("mx")
    server.open(Reply(220, "", "mx"), is_tls=False, can_start_tls=True)
    server.receive_data(b"EHLO c\r\n")
    server.next_event()
    server.send(say.OK)
    server.receive_data(b"STARTTLS\r\n")
    assert server.next_event() == StartTls()
    server.send(say.READY_FOR_TLS)
    assert server.next_event() is NEED_DATA
    server.receive_data(b"RSET\r\n")
    assert server.next_event() == CommandRejected(say.TLS_PIPELINED, is_fatal=True)
    server.send(say.TLS_PIPELINED)
    server.receive_data(b"RSET\r\n")
    assert server.next_event() is NEED_DATA


def test_a_reply_that_nobody_waits_for_is_our_fault() -> None:
    server = ServerConnection("mx")
    server.open(Reply(220, "", "mx"), is_tls=False, can_start_tls=True)
    with pytest.raises(LocalProtocolError):
        server.send(say.OK)
