"""The server's side of an SMTP or LMTP connection (RFC 5321, 2033, 2920, 3030, 3207, 4468, 4865, 4954).

An event that is a command, `CommandRejected`, `AuthResponse`, `AuthAborted` or `MessageEnded` is answered by `send` before
the next event comes: by one reply, `MessageEnded` by as many as it says, `CommandRejected` and `AuthAborted` by the reply
that they carry. `MessageChunk` is not answered. The greeting is owed from the start. `Burl` is answered by `send` with a refusal,
or by `supply` for the octets behind its URL and `supplied` at their end.

The core judges grammar, order, limits and line ends; the session judges who may write to whom.
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from postwren.protocols.smtp.command import Auth, Bdat, Burl, Command, Data, Ehlo, Helo, Lhlo, Mail, Rcpt, StartTls, decode_base64
from postwren.protocols.smtp.data import DataReader, LineEndCheck
from postwren.protocols.smtp.hold import HoldFor, format_date_time
from postwren.protocols.smtp.limits import Limits
from postwren.protocols.smtp.params import Body, CommandFault, Extension
from postwren.protocols.smtp.path import is_ascii
from postwren.protocols.smtp.reply import (
    AUTH_CANCELLED,
    AUTH_LINE_TOO_LONG,
    BAD_SEQUENCE,
    BINARY_NEEDS_CHUNKS,
    CHUNK_OK,
    HELLO_FIRST,
    HOLD_TOO_LONG,
    LINE_INVALID,
    LINE_TOO_LONG,
    MESSAGE_TOO_BIG,
    NEEDS_SMTPUTF8,
    NO_RECIPIENTS,
    NOT_OFFERED,
    NOT_SMTP,
    NOT_UTF8,
    PIPELINED,
    TLS_PIPELINED,
    TOO_MANY_RECIPIENTS,
    UNKNOWN_COMMAND,
    Reply,
)
from postwren.protocols.smtp.state import AFTER_ANSWER, AFTER_REFUSAL, ALLOWED, LAST_IN_GROUP, SMTP, State, Variant
from postwren.wire.buffer import TOO_LONG, ReceiveBuffer
from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = [
    "AuthAborted",
    "AuthResponse",
    "CommandRejected",
    "Event",
    "Fault",
    "MessageChunk",
    "MessageEnded",
    "PeerClosed",
    "ServerConnection",
]


class Fault(enum.Enum):
    """Why a message that was read to its end must be refused."""

    BARE_LINE_END = "bare CR, bare LF or NUL"
    TOO_BIG = "too big"


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """A command that cannot be; answer with `reply`. After `is_fatal` close: nothing more will be read."""

    reply: Reply
    is_fatal: bool = False


@dataclass(frozen=True, slots=True)
class MessageChunk:
    """The next octets of the message, as they are to be kept; never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """The true end of the message: answer with `replies` replies (LMTP: one a recipient, in order). With a `fault` the
    message must be refused; chunks stopped coming when it was found. There may have been no chunk at all."""

    fault: Fault | None
    replies: int = 1


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's answer to a challenge, decoded."""

    data: Secret[bytes]


@dataclass(frozen=True, slots=True)
class AuthAborted:
    """The exchange is over without result: cancelled by the client, or its line was at fault."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer closed its side; what it had not finished never happened (D-05)."""


Event: TypeAlias = Command | CommandRejected | MessageChunk | MessageEnded | AuthResponse | AuthAborted | PeerClosed
_Next: TypeAlias = Event | Literal[NeedData.NEED_DATA]

_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_HELLOS: Final = (Ehlo, Helo, Lhlo)
_NEEDS: Final[dict[type[Command], Extension]] = {
    StartTls: Extension.STARTTLS,
    Bdat: Extension.CHUNKING,
    Burl: Extension.BURL,
}
_FOREIGN: Final = frozenset(("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PATCH", "DELETE", "TRACE", "PRI"))
_TLS_HANDSHAKE: Final = b"\x16"


class ServerConnection:
    """One connection. `hostname` is how we greet; `extensions` is what may be offered."""

    __slots__ = (
        "_active",
        "_awaits_tls",
        "_buffer",
        "_check",
        "_chunk",
        "_chunk_left",
        "_chunk_refusal",
        "_ended",
        "_eof",
        "_extensions",
        "_fatal",
        "_fault",
        "_hostname",
        "_in_auth",
        "_is_authenticated",
        "_is_first_octet",
        "_is_tls",
        "_limits",
        "_mail_params",
        "_out",
        "_owed",
        "_pending",
        "_reader",
        "_recipients",
        "_size",
        "_state",
        "_variant",
    )

    def __init__(
        self,
        hostname: str,
        extensions: frozenset[Extension] = frozenset(Extension),
        limits: Limits = Limits(),  # noqa: B008  # frozen
        variant: Variant = SMTP,
    ) -> None:
        self._hostname = hostname
        self._extensions = extensions
        self._limits = limits
        self._variant = variant
        self._buffer = ReceiveBuffer()
        self._out: list[Output] = []
        self._state = State.START
        self._active: frozenset[Extension] = frozenset()  # offered by the hello in force
        self._owed = 1  # replies before the next event; the greeting
        self._pending: Command | MessageEnded | None = None  # what they answer
        self._is_tls = False
        self._is_authenticated = False
        self._awaits_tls = False
        self._in_auth = False
        self._is_first_octet = True
        self._eof = False
        self._fatal: Reply | None = None
        self._reset()

    def _reset(self) -> None:
        self._recipients = 0
        self._mail_params: Mail | None = None
        self._size = 0
        self._fault: Fault | None = None
        self._reader: DataReader | None = None
        self._check: LineEndCheck | None = None  # of the chunks
        self._chunk: Bdat | Burl | None = None
        self._chunk_left = 0
        self._chunk_refusal: Reply | None = None
        self._ended = False

    # -- what the session may ask

    @property
    def waiting_for(self) -> Waiting:
        if self._owed or self._state is State.CLOSED:
            return Waiting.NOTHING
        if self._state is State.DATA or self._chunk is not None:
            return Waiting.BULK
        return Waiting.COMMAND

    @property
    def variant(self) -> Variant:
        """SMTP or LMTP."""
        return self._variant

    @property
    def in_transaction(self) -> bool:
        """Between a MAIL that was accepted and its end."""
        return self._state not in (State.START, State.READY, State.CLOSED)

    @property
    def is_authenticated(self) -> bool:
        """An AUTH was answered with 235."""
        return self._is_authenticated

    @property
    def recipient_limit(self) -> int:
        """Recipients of one message."""
        return self._limits.authenticated_recipients if self._is_authenticated else self._limits.recipients

    def hello_reply(self, mechanisms: Sequence[str] = (), now: int = 0) -> Reply:
        """The answer to EHLO or LHLO, with what is offered at this point. `now`, in seconds since 1970, is for FUTURERELEASE."""
        words = [self._hostname]
        for extension in Extension:
            if extension in self._offered():
                if extension is Extension.SIZE:
                    words.append(f"SIZE {self._limits.message_size}")
                elif extension is Extension.LIMITS:
                    words.append(f"LIMITS RCPTMAX={self.recipient_limit}")
                elif extension is Extension.FUTURERELEASE:  # RFC 4865 4
                    longest = self._limits.hold_seconds
                    words.append(f"FUTURERELEASE {longest} {format_date_time(now + longest)}")
                elif extension is Extension.BURL:
                    words.append("BURL imap")  # RFC 4468 3.3
                elif extension is not Extension.AUTH:
                    words.append(extension.value)
                elif mechanisms and not self._is_authenticated:
                    words.append("AUTH " + " ".join(mechanisms))
        return Reply(250, "", *words)

    def _offered(self) -> frozenset[Extension]:
        # RFC 3207 4.2: not offered again; RFC 8689 2: REQUIRETLS only inside TLS.
        return self._extensions - {Extension.STARTTLS if self._is_tls else Extension.REQUIRETLS}

    # -- the contract of a core

    def open(self, greeting: Reply, *, is_tls: bool, can_start_tls: bool) -> None:
        """Send the greeting. A peer that talked before it is rejected by the next event (A-21)."""
        self._is_tls = is_tls
        if not self._limits.hold_seconds:
            self._extensions -= {Extension.FUTURERELEASE}
        if not can_start_tls:
            self._extensions -= {Extension.STARTTLS}
        self.send(greeting)
        if len(self._buffer):
            self._fatal = PIPELINED

    def tls_started(self) -> None:
        """TLS is on: what was learned in the clear is forgotten (RFC 3207 4.2, A-02)."""
        self._buffer.clear()
        self._is_tls = True
        self._awaits_tls = False
        self._is_first_octet = True
        self._state = State.START
        self._active = frozenset()
        self._reset()

    def receive_data(self, data: bytes) -> None:
        if not data:
            self._eof = True
        elif self._state is State.CLOSED:
            return
        elif self._awaits_tls:
            self._fatal = TLS_PIPELINED
        else:
            if self._is_first_octet:
                self._is_first_octet = False
                if data[:1] == _TLS_HANDSHAKE:
                    self._fatal = NOT_SMTP
            self._buffer.feed(data)

    def data_to_send(self) -> list[Output]:
        out, self._out = self._out, []
        return out

    def next_event(self) -> _Next:
        while (event := self._step()) is None:
            pass
        return event

    def _step(self) -> _Next | None:
        """None: something was done that nobody needs to know of."""
        if self._owed or self._state is State.CLOSED:
            return NEED_DATA
        if self._fatal is not None:
            return self._reject(self._fatal, is_fatal=True)
        if self._state is State.DATA:
            return self._next_octets()
        if self._chunk is not None:
            return self._next_of_chunk(self._chunk)
        if self._awaits_tls:
            return self._closed_or_need_data()
        line = self._buffer.line(self._limits.auth_line)
        if line is None:
            return self._closed_or_need_data()
        try:
            if line is TOO_LONG:
                raise CommandFault(AUTH_LINE_TOO_LONG if self._in_auth else LINE_TOO_LONG)
            if line[-1:] != b"\r" or _CONTROL.search(line, 0, len(line) - 1):
                raise CommandFault(LINE_INVALID)
            return self._auth_line(line[:-1]) if self._in_auth else self._command(line)
        except CommandFault as fault:
            if self._in_auth:
                self._in_auth = False
                self._owed = 1
                return AuthAborted(fault.reply)
            # RFC 3030 2: behind a BDAT that we cannot read come octets that must not be read as commands
            return self._reject(fault.reply, is_fatal=line is not TOO_LONG and line[:4].upper() == b"BDAT")

    def send(self, reply: Reply) -> None:
        """Answer what is owed."""
        if not self._owed:
            raise LocalProtocolError("a reply that nobody waits for")
        self._out.append(reply.format())
        self._owed -= 1
        pending = self._pending
        if self._owed or pending is None:
            return
        self._pending = None
        if isinstance(pending, MessageEnded):
            self._end_message()
            return
        if isinstance(pending, Burl):
            self._refused_url(pending, reply)
            return
        # what came while the session thought about the reply was sent without having seen it
        kind = type(pending)
        if kind in LAST_IN_GROUP and len(self._buffer):
            self._fatal = TLS_PIPELINED if kind is StartTls else PIPELINED
        if reply.is_positive:
            self._answered(pending, reply)

    def supply(self, octets: bytes) -> bool:
        """The next octets behind the URL of the `Burl` that waits for its answer, not empty: whether they are to be kept, which
        they are until the message is at fault."""
        if not isinstance(self._pending, Burl):
            raise LocalProtocolError("octets for no URL")
        return self._keeps(len(octets), self._may_hold(octets))

    def supplied(self) -> None:
        """All octets of the URL were supplied. Of the last chunk `MessageEnded` is next, as of one with a fault; others are
        answered here."""
        url = self._pending
        if not isinstance(url, Burl):
            raise LocalProtocolError("the end of no URL")
        self._pending = None
        self._owed = 0
        self._chunk = url  # from here on as if its octets had come on the wire
        self._chunk_left = 0
        self._chunk_refusal = None

    def send_last(self, reply: Reply) -> None:
        """A last word at any time (421: time is up, we shut down): nothing more will be read."""
        self._out.append(reply.format())
        self._close()

    # -- commands

    def _command(self, line: bytes) -> _Next | None:
        try:
            verb, _, text = line[:-1].decode().partition(" ")
        except UnicodeDecodeError as error:
            raise CommandFault(NOT_UTF8) from error
        verb = verb.upper()
        entry = self._variant.verbs.get(verb)
        if entry is None:
            if verb in _FOREIGN:
                return self._reject(NOT_SMTP, is_fatal=True)
            raise CommandFault(LINE_TOO_LONG if len(line) > self._limits.command_line else UNKNOWN_COMMAND)
        kind, parse = entry
        if len(line) > self._limits.command_line and kind is not Auth:
            raise CommandFault(LINE_TOO_LONG)
        if kind in LAST_IN_GROUP and len(self._buffer):
            return self._reject(TLS_PIPELINED if kind is StartTls else PIPELINED, is_fatal=True)
        if kind is Bdat:
            return self._begin_chunk(text.strip(" "))
        if kind not in ALLOWED[self._state] or kind in _NEEDS or self._is_authenticated:
            self._check_order(kind)
        command = parse(text.strip(" "), self._active)
        self._check_limits(command)
        self._owed = 1
        self._pending = command
        return command

    def _check_order(self, kind: type[Command]) -> None:
        need = _NEEDS.get(kind)
        if self._state is State.START and kind not in ALLOWED[State.START]:
            raise CommandFault(HELLO_FIRST)
        if need is not None and need not in self._active:
            raise CommandFault(NOT_OFFERED)
        if kind not in ALLOWED[self._state]:
            raise CommandFault(NO_RECIPIENTS if self._state is State.MAIL and kind in (Data, Bdat, Burl) else BAD_SEQUENCE)
        if self._is_authenticated and kind in (Auth, StartTls):  # RFC 4954 4; A-02
            raise CommandFault(BAD_SEQUENCE)

    def _check_limits(self, command: Command) -> None:
        if isinstance(command, Mail):
            if command.params.size is not None and command.params.size > self._limits.message_size:
                raise CommandFault(MESSAGE_TOO_BIG)
            hold = command.params.hold
            if isinstance(hold, HoldFor) and hold.seconds > self._limits.hold_seconds:
                raise CommandFault(HOLD_TOO_LONG)
        elif isinstance(command, Rcpt):
            if self._recipients >= self.recipient_limit:
                raise CommandFault(TOO_MANY_RECIPIENTS)
            if not is_ascii(command.forward_path) and not ((mail := self._mail_params) and mail.params.smtputf8):
                raise CommandFault(NEEDS_SMTPUTF8)
        elif isinstance(command, Data) and (mail := self._mail_params) is not None and mail.params.body is Body.BINARY:
            raise CommandFault(BINARY_NEEDS_CHUNKS)

    def _answered(self, command: Command, reply: Reply) -> None:
        kind = type(command)
        if kind is Auth:
            self._in_auth = reply.code == 334
            self._is_authenticated = reply.code == 235
            return
        if kind is StartTls:
            self._awaits_tls = True
            return
        leads = AFTER_ANSWER.get(kind)
        if leads is not None:
            self._state = leads.get(self._state, self._state)
        if isinstance(command, Mail):
            self._reset()
            self._mail_params = command
        elif isinstance(command, Rcpt):
            self._recipients += 1
        elif isinstance(command, Data):
            self._reader = DataReader()
        elif isinstance(command, _HELLOS):
            self._active = self._offered() if kind is self._variant.hello else frozenset()
        if self._state is State.CLOSED:
            self._close()

    def _auth_line(self, line: bytes) -> _Next:
        if len(self._buffer):
            return self._reject(PIPELINED, is_fatal=True)
        if line == b"*":
            raise CommandFault(AUTH_CANCELLED)
        data = decode_base64(line)
        self._in_auth = False
        self._owed = 1
        self._pending = Auth("")
        return AuthResponse(Secret(data))

    # -- octets of the message

    def _next_octets(self) -> _Next:
        """RFC 5321 4.1.1.4: from the 354 to the end of data."""
        reader = self._reader
        if reader is None:
            raise LocalProtocolError("no data begun")
        if self._ended:
            return self._message_ended()
        while data := self._buffer.take(len(self._buffer)):
            octets, rest = reader.feed(data)
            if rest is not None:
                self._ended = True
                self._buffer.unread(rest)
            if self._keeps(len(octets), reader.is_clean) and octets:
                return MessageChunk(octets)
            if self._ended:
                return self._message_ended()
        return self._closed_or_need_data()

    def _keeps(self, octets: int, is_clean: bool) -> bool:
        if self._fault is None:
            self._size += octets
            if not is_clean:
                self._fault = Fault.BARE_LINE_END
            elif self._size > self._limits.message_size:
                self._fault = Fault.TOO_BIG
        return self._fault is None

    def _begin_chunk(self, text: str) -> _Next | None:
        """RFC 3030 2: whatever we think of it, its octets follow; without their number the connection is lost."""
        try:
            chunk = self._variant.verbs["BDAT"][1](text, self._active)
            if not isinstance(chunk, Bdat):
                raise LocalProtocolError("BDAT parses to Bdat")
        except CommandFault as fault:
            return self._reject(fault.reply, is_fatal=True)
        self._chunk_refusal = None
        try:
            self._check_order(Bdat)
        except CommandFault as fault:
            self._chunk_refusal = fault.reply
        self._chunk = chunk
        self._chunk_left = chunk.size
        return self._next_of_chunk(chunk)

    def _next_of_chunk(self, chunk: Bdat | Burl) -> _Next | None:
        while self._chunk_left:
            data = self._buffer.take(self._chunk_left)
            if not data:
                return self._closed_or_need_data()
            self._chunk_left -= len(data)
            if self._chunk_refusal is None and self._keeps(len(data), self._may_hold(data)):
                return MessageChunk(data)
        if self._chunk_refusal is not None:
            self._chunk = None
            return self._reject(self._chunk_refusal)
        if chunk.is_last and self._check is not None and not self._check.end():
            self._keeps(0, is_clean=False)
        if chunk.is_last or self._fault is not None:
            return self._message_ended()
        self._chunk = None
        self._state = AFTER_ANSWER[Bdat][self._state]
        self._out.append(CHUNK_OK.format())
        return None

    def _refused_url(self, url: Burl, reply: Reply) -> None:
        if reply.is_positive:
            raise LocalProtocolError("a URL is accepted by its octets")
        if url.is_last:
            self._state = State.READY
            self._reset()
        else:
            self._state = AFTER_REFUSAL[Burl][self._state]

    def _may_hold(self, data: bytes) -> bool:
        mail = self._mail_params
        if mail is not None and mail.params.body is Body.BINARY:
            return True
        if self._check is None:
            self._check = LineEndCheck()
        return self._check.feed(data)

    def _message_ended(self) -> MessageEnded:
        chunk = self._chunk
        is_end = chunk is None or chunk.is_last  # else a chunk that failed: one reply, in LMTP too
        self._owed = self._recipients if is_end and self._variant.answers_each_recipient else 1
        self._pending = MessageEnded(self._fault, self._owed)
        return self._pending

    def _end_message(self) -> None:
        chunk = self._chunk
        self._state = State.READY if chunk is None or chunk.is_last else AFTER_REFUSAL[Bdat][self._state]
        self._reset()

    # -- ends

    def _reject(self, reply: Reply, *, is_fatal: bool = False) -> CommandRejected:
        if is_fatal:
            self._fatal = None
            self._close()
        self._owed = 1
        self._pending = None
        return CommandRejected(reply, is_fatal)

    def _close(self) -> None:
        self._state = State.CLOSED
        self._buffer.clear()

    def _closed_or_need_data(self) -> _Next:
        if not self._eof:
            return NEED_DATA
        self._close()
        return PeerClosed()
