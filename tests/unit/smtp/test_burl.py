"""BURL (RFC 4468): a chunk whose octets the session supplies, in the cores of both sides."""

import pytest

from postwren.protocols.smtp import reply as say
from postwren.protocols.smtp.client import Answered, ClientConnection, HelloAnswered, MessageAnswered
from postwren.protocols.smtp.command import Bdat, Burl, Ehlo, Mail, Rcpt
from postwren.protocols.smtp.limits import Limits
from postwren.protocols.smtp.params import Extension, MailParams
from postwren.protocols.smtp.reply import OK, RECIPIENT_OK, SENDER_OK, URL_UNRESOLVED, Reply
from postwren.protocols.smtp.server import CommandRejected, Event, Fault, MessageChunk, MessageEnded, ServerConnection
from postwren.terms import Address
from postwren.wire.core import NEED_DATA, Core
from postwren.wire.errors import LocalProtocolError

URL = "imap://ann@example.org/INBOX;uidvalidity=1/;uid=2/;urlauth=submit+ann:internal:0123456789abcdef"
ANN = Address("ann", "example.org")


def written(core: Core) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else b"".join(piece) for piece in core.data_to_send())


class Desk:
    """A server whose session knows what is behind a URL (None: nothing), and a client that reached RCPT."""

    def __init__(self, behind: list[bytes] | None, extensions: frozenset[Extension] = frozenset(Extension)) -> None:
        self.behind = behind
        self.server = ServerConnection("mx", extensions, Limits(message_size=1000))
        self.client = ClientConnection()
        self.kept = b""
        self.told: list[object] = []
        self.ends: list[MessageEnded] = []
        self.refused: list[Reply] = []
        self.server.open(Reply(220, "", "mx"), is_tls=False, can_start_tls=False)
        for command in (Ehlo("c"), Mail(None), Rcpt(ANN)):
            self.client.send(command)
            self.settle()

    def settle(self) -> None:
        while True:
            up, down = written(self.client), written(self.server)
            if not up and not down:
                return
            if up:
                self.say(up)
            if down:
                self.client.receive_data(down)
                while (told := self.client.next_event()) is not NEED_DATA:
                    self.told.append(told)

    def say(self, octets: bytes) -> None:
        """The client's octets, as they come."""
        self.server.receive_data(octets)
        while (event := self.server.next_event()) is not NEED_DATA:
            self.serve(event)

    def serve(self, event: Event) -> None:
        match event:
            case Ehlo():
                self.server.send(self.server.hello_reply())
            case Mail():
                self.server.send(SENDER_OK)
            case Rcpt():
                self.server.send(RECIPIENT_OK)
            case Burl():
                assert event.url == URL
                self.resolve()
            case MessageChunk(data):
                self.kept += data
            case MessageEnded():
                self.ends.append(event)
                self.server.send(OK if event.fault is None else Reply(554, "5.6.0", "no"))
            case CommandRejected(reply):
                self.refused.append(reply)
                self.server.send(reply)
            case _:
                self.server.send(OK)

    def resolve(self) -> None:
        if self.behind is None:
            self.server.send(URL_UNRESOLVED)
            return
        for piece in self.behind:
            if self.server.supply(piece):
                self.kept += piece
        self.server.supplied()


def test_it_is_offered_with_the_schemes_it_knows() -> None:
    hello = Desk([]).told[1]
    assert isinstance(hello, HelloAnswered)
    assert hello.extensions["BURL"] == ("imap",)


def test_a_message_may_be_all_behind_a_url() -> None:
    desk = Desk([b"Subject: x\r\n", b"\r\nbody\r\n"])
    desk.client.send_url(URL, is_last=True)
    desk.settle()
    assert desk.kept == b"Subject: x\r\n\r\nbody\r\n"
    assert desk.told[-1] == MessageAnswered((OK,))
    assert not desk.server.in_transaction


def test_chunks_and_urls_come_in_any_order() -> None:
    desk = Desk([b"from the store\r\n"])
    desk.client.send_chunk(b"Subject: x\r\n\r\n", is_last=False)
    desk.client.send_url(URL, is_last=False)
    desk.client.send_chunk(b"end\r\n", is_last=True)
    desk.settle()
    assert desk.kept == b"Subject: x\r\n\r\nfrom the store\r\nend\r\n"
    first, second, last = desk.told[-3:]
    assert isinstance(first, Answered)
    assert isinstance(first.command, Bdat)
    assert isinstance(second, Answered)
    assert second.command == Burl(URL, is_last=False)
    assert second.reply.code == 250
    assert last == MessageAnswered((OK,))


def test_a_line_end_that_a_url_cuts_is_one() -> None:
    desk = Desk([b"a\r"])
    desk.say(b"BURL " + URL.encode() + b"\r\nBDAT 4 LAST\r\n\nb\r\n")
    assert desk.ends == [MessageEnded(None)]
    assert desk.kept == b"a\r\nb\r\n"


@pytest.mark.parametrize(
    ("behind", "fault"),
    [
        ([b"x" * 998 + b"\r\n"], None),
        ([b"x" * 999 + b"\r\n"], Fault.TOO_BIG),
        ([b"x" * 600, b"x" * 600], Fault.TOO_BIG),
        ([b"bare\nlf\r\n"], Fault.BARE_LINE_END),
        ([b"at the end\r"], Fault.BARE_LINE_END),
        ([], None),
    ],
)
def test_a20_what_is_behind_a_url_is_judged_like_any_chunk(behind: list[bytes], fault: Fault | None) -> None:
    desk = Desk(behind)
    desk.client.send_url(URL, is_last=True)
    desk.settle()
    assert desk.ends == [MessageEnded(fault)]
    assert desk.kept == (b"".join(behind) if fault is None else desk.kept)


def test_a_url_with_a_fault_that_is_not_the_last_is_refused_at_once_and_the_rest_is_out_of_order() -> None:
    desk = Desk([b"\0"])
    desk.client.send_url(URL, is_last=False)
    desk.client.send_chunk(b"x\r\n", is_last=True)
    desk.settle()
    assert [end.fault for end in desk.ends] == [Fault.BARE_LINE_END]
    refused, rest = desk.told[-2:]
    assert isinstance(refused, Answered)
    assert refused.reply.code == 554
    assert isinstance(rest, MessageAnswered)
    assert rest.replies[0].code == 503
    assert desk.kept == b""


def test_a_url_that_leads_nowhere_ends_the_transaction() -> None:
    desk = Desk(None)
    desk.client.send_url(URL, is_last=True)
    desk.settle()
    assert not desk.server.in_transaction
    desk.client.send(Mail(ANN, MailParams()))
    desk.settle()
    assert desk.told[-2:] == [MessageAnswered((URL_UNRESOLVED,)), Answered(Mail(ANN), SENDER_OK)]


def test_chunks_behind_a_url_that_leads_nowhere_are_out_of_order() -> None:
    desk = Desk(None)
    desk.client.send_url(URL, is_last=False)
    desk.client.send_chunk(b"x\r\n", is_last=True)
    desk.settle()
    assert isinstance(desk.told[-1], MessageAnswered)
    assert desk.told[-1].replies[0].code == 503
    assert desk.kept == b""


@pytest.mark.parametrize(
    "line", [b"BURL", b"BURL ", b"BURL x", b"BURL imap://x y", b"BURL 1:x", b"BURL imap://\xc3\xa4", b"BURL imap:"]
)
def test_what_is_no_absolute_uri_is_refused(line: bytes) -> None:
    desk = Desk([b"x"])
    desk.server.receive_data(line + b"\r\n")
    event = desk.server.next_event()
    assert isinstance(event, CommandRejected)
    assert event.reply.code == 501


def test_it_is_refused_where_it_is_not_offered() -> None:
    desk = Desk([b"x"], extensions=frozenset(Extension) - {Extension.BURL})
    desk.say(b"BURL " + URL.encode() + b"\r\n")
    assert desk.refused == [say.NOT_OFFERED]


def test_it_is_refused_before_a_recipient() -> None:
    desk = Desk([b"x"])
    desk.say(b"RSET\r\nBURL " + URL.encode() + b" LAST\r\n")
    assert [reply.code for reply in desk.refused] == [503]


def test_octets_are_supplied_to_a_url_that_waits_and_to_nothing_else() -> None:
    desk = Desk([])
    with pytest.raises(LocalProtocolError):
        desk.server.supply(b"x")
    with pytest.raises(LocalProtocolError):
        desk.server.supplied()
    desk.server.receive_data(b"BURL " + URL.encode() + b" LAST\r\n")
    assert desk.server.next_event() == Burl(URL, is_last=True)
    with pytest.raises(LocalProtocolError):
        desk.server.send(OK)
