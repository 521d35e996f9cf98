"""The server's side of a POP3 connection (RFC 1939, 2449, 2595, 5034, 6856), without I/O.

    core.send(ok("Postwren ready"))                      the greeting
    core.receive_data(data)
    while (event := core.next_event()) is not NEED_DATA:
        a command           -> core.send(...) exactly once before the next event
        AuthResponse        -> core.send(Challenge(...)) or a Reply
        TlsRequested        is the command Stls: core.send(ok()), start TLS, core.tls_started()
        CommandRejected     answered already
        AuthAborted         answered already: forget the exchange
        PeerDropped         answered already where an answer is due: close
        PeerClosed          the peer's end of stream: close
    core.data_to_send()

What must stay true: replies leave in the order of the commands; no octet of the peer is ever echoed (A-06); octets that
came in the clear behind STLS are never a command (A-01); nothing learned before TLS counts behind it (A-02).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from postwren.protocols.pop3.body import ending, stuff, stuff_pieces
from postwren.protocols.pop3.command import Auth, Command, Fault, Stls, decode_base64, parse_command
from postwren.protocols.pop3.limits import Limits
from postwren.protocols.pop3.reply import TERMINATOR, Challenge, Reply, err, format_challenge, format_reply
from postwren.protocols.pop3.state import AFTER, State
from postwren.wire.buffer import TOO_LONG, ReceiveBuffer
from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = [
    "AuthAborted",
    "AuthResponse",
    "CommandRejected",
    "Event",
    "PeerClosed",
    "PeerDropped",
    "SendListing",
    "SendMessage",
    "Sendable",
    "ServerConnection",
]

FOREIGN: Final = re.compile(rb"(GET|POST|PUT|HEAD|OPTIONS|CONNECT|PRI) |\x16")
"""How HTTP and a TLS handshake begin: somebody was led here (A-06)."""
PLAIN_OK: Final = b"+OK\r\n"
_EXCHANGE: Final = State.EXCHANGE  # every command asks for these two, and a member of an enum is slow to look up
_TRANSACTION: Final = State.TRANSACTION


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """A line of an AUTH exchange."""

    response: Secret[bytes]


@dataclass(frozen=True, slots=True)
class AuthAborted:
    """The exchange is over without a login: cancelled, or not readable."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """A line that was no command, or not one for now."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class PeerDropped:
    """The peer went too far: close."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """End of stream; nothing the peer sent before it is left unread but a part of a line."""


Event: TypeAlias = Command | AuthResponse | AuthAborted | CommandRejected | PeerDropped | PeerClosed


@dataclass(frozen=True, slots=True)
class SendListing:
    """A positive reply of several lines; `lines` are ready for the wire, each with CRLF and none beginning with a dot."""

    reply: Reply
    lines: bytes


@dataclass(frozen=True, slots=True)
class SendMessage:
    """The positive reply to RETR and TOP. Where `has_dot_line` is false nothing is scanned or copied."""

    body: bytes | Iterator[bytes]
    has_dot_line: bool


Sendable: TypeAlias = Reply | Challenge | SendListing | SendMessage


class ServerConnection:
    """See the module."""

    __slots__ = (
        "_after",
        "_answers",
        "_bad",
        "_buffer",
        "_commands",
        "_ended",
        "_is_first",
        "_limits",
        "_longest",
        "_out",
        "state",
    )

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._buffer = ReceiveBuffer()
        self._out: list[Output] = []
        self._after: tuple[State, State] | None = (State.AUTHORIZATION, State.CLOSED)  # where the owed answer leads
        self._bad = 0
        self._is_first = True  # no line was read since the connection stood
        self._ended = False
        self._move(State.GREETING)

    def _move(self, state: State) -> None:
        self.state = state
        self._commands = AFTER[state]
        if state is State.CLOSED:
            self._buffer.clear()  # nothing counts any more
        in_clear = state is not State.TRANSACTION
        self._longest = (self._limits.auth_line if in_clear else self._limits.command_line) - 1

    @property
    def waiting_for(self) -> Waiting:
        if self._after is not None and self.state is not State.EXCHANGE:
            return Waiting.NOTHING
        if self.state is State.TRANSACTION:
            return Waiting.COMMAND
        return Waiting.NOTHING if self.state is State.CLOSED else Waiting.LOGIN

    def receive_data(self, data: bytes) -> None:
        """Take octets in any cut; b"" is the end of the stream."""
        if not data:
            self._ended = True
        elif self.state is not State.CLOSED:
            self._buffer.feed(data)

    def next_event(self) -> Event | Literal[NeedData.NEED_DATA]:
        """The next command or fault; LocalProtocolError where the last command has no answer yet."""
        if not self._commands:
            return self._next_of_no_command()
        if self._after is not None:
            raise LocalProtocolError("the last command has no answer")
        line = self._buffer.line(self._longest)
        if line is None:
            return self._end_of_data() if self._ended or self._is_first else NEED_DATA
        if line is TOO_LONG:
            return self._reject(Fault.TOO_LONG)
        command = parse_command(line)
        if isinstance(command, Fault):
            return self._drop(Fault.FOREIGN) if self._is_first and FOREIGN.match(line) else self._reject(command)
        kind = type(command)
        after = self._commands.get(kind)
        if after is None:
            return self._reject(Fault.TOO_LONG if len(line) >= self._limits.command_line else Fault.NOT_NOW)
        if self.state is not _TRANSACTION:
            if len(line) >= self._limits.command_line and kind is not Auth:
                return self._reject(Fault.TOO_LONG)
            if kind is Stls and len(self._buffer):
                return self._drop(Fault.BEHIND_STLS)
        self._is_first = False
        self._after = after
        return command

    def _next_of_no_command(self) -> Event | Literal[NeedData.NEED_DATA]:
        """In a state without commands."""
        if self.state is State.EXCHANGE:
            return self._next_response()
        if self.state is State.CLOSED:
            return NEED_DATA
        if self._after is not None:
            raise LocalProtocolError("the last command has no answer")
        return self._drop(Fault.BEHIND_STLS) if len(self._buffer) else self._end_of_data()

    def _end_of_data(self) -> Event | Literal[NeedData.NEED_DATA]:
        if not self._ended:
            return self._drop(Fault.FOREIGN) if self._is_first and self._begins_with_tls() else NEED_DATA
        self._close()
        return PeerClosed()

    def _begins_with_tls(self) -> bool:
        """A handshake may hold no LF for long: its first octet tells."""
        first = self._buffer.take(1)
        self._buffer.unread(first)
        return first == b"\x16"

    def _next_response(self) -> Event | Literal[NeedData.NEED_DATA]:
        """RFC 5034 section 4: a line of base64, or `*`."""
        if self._after is None:
            raise LocalProtocolError("the exchange has no AUTH")
        line = self._buffer.line(self._limits.auth_line - 1)
        if line is None:
            return self._end_of_data()
        if line is TOO_LONG:
            return self._abort(Fault.TOO_LONG)
        line = line.rstrip(b"\r")
        if line == b"*":
            return self._abort(Fault.CANCELLED)
        response = decode_base64(line)
        if response is None:
            return self._abort(Fault.BASE64)
        self._move(State.AUTHORIZATION)  # until the answer says otherwise: it may be another challenge
        return AuthResponse(Secret(response))

    def _abort(self, fault: Fault) -> AuthAborted | PeerDropped:
        self._after = None
        self._move(State.AUTHORIZATION)
        rejected = self._reject(fault)
        return AuthAborted(fault) if isinstance(rejected, CommandRejected) else rejected

    def _reject(self, fault: Fault) -> CommandRejected | PeerDropped:
        self._is_first = False
        if self.state is not State.TRANSACTION:
            self._bad += 1
            if self._bad > self._limits.bad_commands:
                return self._drop(fault)
        self._out.append(format_reply(err(fault.value)))
        return CommandRejected(fault)

    def _drop(self, fault: Fault) -> PeerDropped:
        if fault is not Fault.FOREIGN:
            self._out.append(format_reply(err(fault.value)))
        self._close()
        return PeerDropped(fault)

    def _close(self) -> None:
        self._after = None
        self._move(State.CLOSED)

    def send(self, item: Sendable) -> None:
        """Answer the last command; LocalProtocolError where none waits for it."""
        after = self._after
        if after is None or self.state is _EXCHANGE:
            raise LocalProtocolError("nothing waits for an answer")
        out = self._out
        if type(item) is SendMessage:
            body = item.body
            if isinstance(body, bytes):
                out += (PLAIN_OK, stuff(body) if item.has_dot_line else body, ending(body))
            else:
                out += (PLAIN_OK, stuff_pieces(body, item.has_dot_line))
        elif type(item) is Reply:
            out.append(format_reply(item))
            if not item.is_ok:
                self._answered(after[1])
                return
        elif type(item) is SendListing:
            out += (format_reply(item.reply), item.lines, TERMINATOR)
        elif type(item) is Challenge:
            out.append(format_challenge(item.data or b""))
            self._move(State.EXCHANGE)
            return
        self._after = None
        if after[0] is not self.state:
            self._move(after[0])

    def _answered(self, state: State) -> None:
        self._after = None
        if state is not self.state:
            self._move(state)

    def last_word(self, reply: Reply) -> None:
        """Say something that nobody asked for, and nothing after it: the session ends from our side."""
        if self.state is not State.CLOSED:
            self._out.append(format_reply(reply))
            self._close()

    def tls_started(self) -> None:
        """TLS is on: forget what came in the clear (RFC 2595 section 4)."""
        if self.state is not State.TLS:
            raise LocalProtocolError("TLS without STLS")
        self._buffer.clear()
        self._bad = 0
        self._is_first = True
        self._move(State.AUTHORIZATION)

    def data_to_send(self) -> list[Output]:
        """Take what must be written, in order."""
        out, self._out = self._out, []
        return out
