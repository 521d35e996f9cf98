"""The client's side of a POP3 connection, without I/O: pipelining, and whatever real servers say, within limits.

    core.receive_data(data)
    while (event := core.next_event()) is not NEED_DATA: ...
    core.send(command)          any number ahead of their replies (RFC 2449 section 6.6), but none behind AUTH or STLS
    core.data_to_send()

Events come in the order of the commands: `ReplyReceived`, and for a positive reply of several lines then `ListingReceived`
or `BodyReceived` as the octets come (nothing is gathered here), closed by `ReplyEnded`. After `ServerFault` the connection
is out of step: drop it.
"""

import enum
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from postwren.protocols.pop3.body import Unstuffer
from postwren.protocols.pop3.command import Auth, Capa, Command, Lang, List, Retr, Stls, Top, Uidl, encode_base64, format_command
from postwren.protocols.pop3.limits import Limits
from postwren.protocols.pop3.reply import Challenge, Reply, parse_challenge, parse_reply
from postwren.protocols.pop3.state import AFTER, State
from postwren.wire.buffer import TOO_LONG, ReceiveBuffer, TooLong
from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = [
    "BodyReceived",
    "Challenged",
    "ClientConnection",
    "Event",
    "Flaw",
    "Greeting",
    "LastWord",
    "ListingReceived",
    "ReplyEnded",
    "ReplyReceived",
    "Respond",
    "ServerClosed",
    "ServerFault",
]


class Flaw(enum.Enum):
    """How a server can lose us."""

    NOT_A_REPLY = "not a POP3 reply"
    LINE_TOO_LONG = "a line is too long"
    LISTING_TOO_LONG = "a listing has too many lines"
    UNASKED = "a reply that nothing asked for"
    BEHIND_STLS = "octets behind the answer to STLS"


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server's first line; a negative one ends the connection."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """The status line for a command."""

    command: Command
    reply: Reply


@dataclass(frozen=True, slots=True)
class ListingReceived:
    """Lines of a listing as they came, without their ends."""

    command: Command
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class BodyReceived:
    """Octets of a message, unstuffed."""

    command: Command
    data: bytes


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The end of a reply of several lines."""

    command: Command


@dataclass(frozen=True, slots=True)
class Challenged:
    """The server wants a response: `send(Respond(...))`."""

    challenge: Challenge


@dataclass(frozen=True, slots=True)
class LastWord:
    """A refusal that nothing asked for, as servers say it before they close."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ServerFault:
    """The server broke the protocol."""

    flaw: Flaw


@dataclass(frozen=True, slots=True)
class ServerClosed:
    """End of stream; these commands have no (whole) answer."""

    unanswered: tuple[Command, ...]


Event: TypeAlias = (
    Greeting | ReplyReceived | ListingReceived | BodyReceived | ReplyEnded | Challenged | LastWord | ServerFault | ServerClosed
)


@dataclass(frozen=True, slots=True)
class Respond:
    """What the client says to a challenge; None cancels the exchange (RFC 5034 section 4)."""

    response: Secret[bytes] | None


LONGEST_AUTH: Final = 255  # octets with CRLF: a longer initial response waits for the first challenge (RFC 5034 section 4)
LINES_AT_ONCE: Final = 1024


class ClientConnection:
    """See the module."""

    __slots__ = (
        "_ahead",
        "_body",
        "_buffer",
        "_ended",
        "_held_response",
        "_in_listing",
        "_limits",
        "_lines",
        "_out",
        "_outstanding",
        "state",
    )

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._buffer = ReceiveBuffer()
        self._out: list[Output] = []
        self._outstanding: deque[Command] = deque()
        self._body: Unstuffer | None = None  # inside a message
        self._in_listing = False
        self._lines = 0  # of this listing
        self._held_response: Secret[bytes] | None = None
        self._ended = False
        self.state = State.GREETING
        self._ahead = State.AUTHORIZATION  # where we are once all that is outstanding has succeeded

    @property
    def waiting_for(self) -> Waiting:
        if self._body is not None:
            return Waiting.BULK
        owed = self._outstanding or self.state is State.GREETING
        return Waiting.COMMAND if owed and self.state is not State.EXCHANGE else Waiting.NOTHING

    def send(self, item: Command | Respond) -> None:
        """Queue a command, or the response to a challenge; LocalProtocolError where it is out of place."""
        if isinstance(item, Respond):
            self._respond(item.response)
            return
        if self._outstanding and isinstance(self._outstanding[-1], Auth | Stls):
            raise LocalProtocolError("nothing may follow AUTH or STLS before its answer")
        if isinstance(item, Stls) and self._outstanding:
            raise LocalProtocolError("STLS stands alone")
        after = AFTER[self._ahead].get(type(item))
        if after is None:
            raise LocalProtocolError(f"{type(item).__name__} is out of place in {self._ahead.value}")
        line = format_command(item)
        if isinstance(item, Auth) and item.initial is not None and len(line) > LONGEST_AUTH:
            self._held_response = item.initial
            line = format_command(Auth(item.mechanism))
        self._out.append(line)
        self._outstanding.append(item)
        self._ahead = after[0]

    def _respond(self, response: Secret[bytes] | None) -> None:
        if self.state is not State.EXCHANGE:
            raise LocalProtocolError("no challenge waits for a response")
        self._out.append(b"*\r\n" if response is None else encode_base64(response.reveal()) + b"\r\n")
        self.state = State.AUTHORIZATION

    def tls_started(self) -> None:
        """TLS is on: what the server said in the clear is forgotten; ask CAPA again (RFC 2595 section 4)."""
        if self.state is not State.TLS:
            raise LocalProtocolError("TLS without STLS")
        self._buffer.clear()
        self.state = self._ahead = State.AUTHORIZATION

    def receive_data(self, data: bytes) -> None:
        """Take octets in any cut; b"" is the end of the stream."""
        if not data:
            self._ended = True
        elif self.state is not State.CLOSED:
            self._buffer.feed(data)

    def next_event(self) -> Event | Literal[NeedData.NEED_DATA]:
        """The next thing the server said."""
        if self._body is not None:
            return self._next_body(self._body)
        if self.state is State.TLS and len(self._buffer):
            return self._fault(Flaw.BEHIND_STLS)
        if self.state is State.CLOSED:
            return self._end_of_data()
        if self._in_listing:
            return self._next_lines()
        line = self._buffer.line(self._limits.reply_line - 1)
        if line is None:
            return self._end_of_data()
        if line is TOO_LONG:
            return self._fault(Flaw.LINE_TOO_LONG)
        reply = parse_reply(line)
        if reply is not None:
            return self._replied(reply)
        challenge = parse_challenge(line)
        if challenge is None or not self._outstanding or not isinstance(self._outstanding[0], Auth):
            return self._fault(Flaw.NOT_A_REPLY)
        return self._challenged(challenge)

    def _challenged(self, challenge: Challenge) -> Event | Literal[NeedData.NEED_DATA]:
        self.state = State.EXCHANGE
        held, self._held_response = self._held_response, None
        if held is not None and challenge.data == b"":
            self._respond(held)
            return self.next_event()
        return Challenged(challenge)

    def _replied(self, reply: Reply) -> Event:
        if self.state is State.GREETING:
            self.state = State.AUTHORIZATION
            if not reply.is_ok:
                self._close()
            return Greeting(reply)
        if not self._outstanding:
            if reply.is_ok:
                return self._fault(Flaw.UNASKED)
            self._close()
            return LastWord(reply)
        command = self._outstanding[0]
        if self.state is State.EXCHANGE:
            self.state = State.AUTHORIZATION  # the last word came before our response
        if reply.is_ok and _has_body(command):
            self._body = Unstuffer()
        elif reply.is_ok and _has_listing(command):
            self._in_listing = True
            self._lines = 0
        else:
            self._outstanding.popleft()
        self._answered(command, reply.is_ok)
        return ReplyReceived(command, reply)

    def _answered(self, command: Command, is_ok: bool) -> None:
        self._held_response = None
        after = AFTER[self.state].get(type(command))
        if after is not None:
            self.state = after[0] if is_ok else after[1]
        if not is_ok:
            self._ahead = self.state
            for waiting in self._outstanding:
                self._ahead = AFTER[self._ahead].get(type(waiting), (self._ahead,))[0]
        if self.state is State.CLOSED:
            self._close()

    def _next_body(self, body: Unstuffer) -> Event | Literal[NeedData.NEED_DATA]:
        command = self._outstanding[0]
        while body.rest is None:
            data = self._buffer.take(len(self._buffer))
            if not data:
                return self._end_of_data()
            octets = body.feed(data)
            if octets:
                return BodyReceived(command, octets)
        self._buffer.unread(body.rest)
        self._body = None
        self._outstanding.popleft()
        return ReplyEnded(command)

    def _next_lines(self) -> Event | Literal[NeedData.NEED_DATA]:
        """As many lines as have come, up to LINES_AT_ONCE; the end of the listing where it is next."""
        command = self._outstanding[0]
        lines: list[bytes] = []
        limit = self._limits.listing_line - 1
        line: bytes | TooLong | None
        while len(lines) < LINES_AT_ONCE and (line := self._buffer.line(limit)) is not None:
            if line is TOO_LONG:
                return self._fault(Flaw.LINE_TOO_LONG)
            if line.endswith(b"\r"):
                line = line[:-1]
            if line == b".":
                if lines:
                    self._buffer.unread(b".\r\n")
                    return ListingReceived(command, lines)
                self._in_listing = False
                self._outstanding.popleft()
                return ReplyEnded(command)
            self._lines += 1
            if self._lines > self._limits.listing_lines:
                return self._fault(Flaw.LISTING_TOO_LONG)
            lines.append(line[1:] if line.startswith(b".") else line)
        return ListingReceived(command, lines) if lines else self._end_of_data()

    def _end_of_data(self) -> Event | Literal[NeedData.NEED_DATA]:
        if not self._ended:
            return NEED_DATA
        self._ended = False
        unanswered = tuple(self._outstanding)
        self._close()
        return ServerClosed(unanswered)

    def _fault(self, flaw: Flaw) -> ServerFault:
        self._close()
        return ServerFault(flaw)

    def _close(self) -> None:
        self.state = self._ahead = State.CLOSED
        self._buffer.clear()
        self._outstanding.clear()
        self._body = None
        self._in_listing = False

    def data_to_send(self) -> list[Output]:
        """Take what must be written, in order."""
        out, self._out = self._out, []
        return out


def _has_body(command: Command) -> bool:
    return isinstance(command, Retr | Top)


def _has_listing(command: Command) -> bool:
    match command:
        case Capa():
            return True
        case List(number) | Uidl(number):
            return number is None
        case Lang(language):
            return language is None
        case _:
            return False
