"""The client's side of an SMTP or LMTP connection (RFC 5321, 2033, 2920, 3030, 3207, 4468, 4954).

    greeting -> `Greeted`; send(Ehlo) -> `HelloAnswered`, with HELO tried by itself where EHLO is not known
    send(Mail), send(Rcpt) ..., send(Data) -> one `Answered` each; written at once where the server offers PIPELINING,
        else one after the other
    after 354: send_body() -> `MessageAnswered`; or send_chunk(), send_url() -> `Answered` a chunk, `MessageAnswered` for the last

Whatever the server says that is no answer to anything, or no reply at all, ends in `Broken`: nothing is written after
it (A-03). A body with a bare CR, a bare LF or a NUL is never sent (A-20, the sender's side).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from postwren.protocols.smtp.command import (
    Auth,
    Bdat,
    Burl,
    Command,
    Data,
    Ehlo,
    Helo,
    Lhlo,
    Mail,
    Quit,
    Rcpt,
    StartTls,
    decode_base64,
    encode_base64,
    format_command,
)
from postwren.protocols.smtp.data import LineEndCheck, stuff
from postwren.protocols.smtp.limits import Limits
from postwren.protocols.smtp.params import Body, CommandFault
from postwren.protocols.smtp.reply import Reply, ReplyInvalid, ReplyReader
from postwren.protocols.smtp.state import AFTER_ANSWER, AFTER_REFUSAL, ALLOWED, LAST_IN_GROUP, SMTP, State, Variant
from postwren.wire.buffer import TOO_LONG, ReceiveBuffer
from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting
from postwren.wire.errors import LocalProtocolError

__all__ = [
    "Answered",
    "Broken",
    "Challenged",
    "ClientConnection",
    "ClientEvent",
    "Greeted",
    "HelloAnswered",
    "MessageAnswered",
    "ServerClosed",
    "TlsReady",
]


@dataclass(frozen=True, slots=True)
class Greeted:
    """The first reply; above 399 the server does not want us."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class HelloAnswered:
    """`extensions`: keyword in upper case to its words; empty after HELO."""

    reply: Reply
    extensions: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Answered:
    """The reply to a command (or to a chunk that was not the last)."""

    command: Command
    reply: Reply


@dataclass(frozen=True, slots=True)
class MessageAnswered:
    """The replies to the message: one, or in LMTP one for each recipient that was accepted, in order."""

    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class TlsReady:
    """STARTTLS was answered: negotiate, then call `tls_started` and say hello again."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """A SASL challenge, decoded; answer with `send_auth_response`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The server left the protocol; close. `reply` is what it said, if it was a reply (a 421 may come at any time)."""

    why: str
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class ServerClosed:
    """End of stream; `unanswered` commands or messages waited for a reply: their fate is unknown."""

    unanswered: int


ClientEvent: TypeAlias = Greeted | HelloAnswered | Answered | MessageAnswered | TlsReady | Challenged | Broken | ServerClosed
_Next: TypeAlias = ClientEvent | Literal[NeedData.NEED_DATA]


@dataclass(slots=True)
class _Message:
    """A whole message that waits for its replies."""

    replies: int
    is_sent: bool = False
    got: list[Reply] = field(default_factory=list)


class _Greeting:
    """What the first reply answers."""


_GREETING: Final = _Greeting()
_Expected: TypeAlias = Command | _Message | _Greeting
# The second digit of what may answer a command; 2yz where nothing is said, 4yz and 5yz always (RFC 5321 4.3.2).
_INTERMEDIATE: Final[dict[type[Command], int]] = {Data: 354, Auth: 334}
_NO_EHLO: Final = frozenset((500, 501, 502, 504, 550))


class ClientConnection:
    """One connection to a server."""

    __slots__ = (
        "_awaits_tls",
        "_body",
        "_broken",
        "_buffer",
        "_check",
        "_eof",
        "_expected",
        "_is_over",
        "_limits",
        "_out",
        "_pipelining",
        "_queue",
        "_recipients",
        "_replies",
        "_state",
        "_variant",
    )

    def __init__(self, limits: Limits = Limits(), variant: Variant = SMTP) -> None:  # noqa: B008  # frozen
        self._limits = limits
        self._variant = variant
        self._buffer = ReceiveBuffer()
        self._replies = ReplyReader(limits.reply_lines)
        self._out: list[Output] = []
        self._state = State.START
        self._expected: deque[_Expected] = deque((_GREETING,))  # written, not answered
        self._queue: deque[Command] = deque()  # not written yet
        self._pipelining = False
        self._recipients = 0
        self._body: Body | None = None
        self._check = LineEndCheck()
        self._awaits_tls = False
        self._broken: str | None = None
        self._eof = False
        self._is_over = False

    @property
    def waiting_for(self) -> Waiting:
        return Waiting.COMMAND if self._expected else Waiting.NOTHING

    @property
    def state(self) -> State:
        """Where the answers so far have led."""
        return self._state

    # -- what we say

    def send(self, command: Command) -> None:
        """Write a command now, or when those before it are answered."""
        self._check_open()
        if isinstance(command, Bdat | Burl):
            raise LocalProtocolError("chunks are sent with their octets or their URL")
        if not (self._expected or self._queue) and type(command) not in ALLOWED[self._state]:
            raise LocalProtocolError(f"{type(command).__name__} in state {self._state.value}")
        format_command(command)  # refuse it here, not when its turn comes
        self._queue.append(command)
        self._write()

    def send_body(self, body: bytes | Iterable[bytes]) -> None:
        """After the 354: the message with CRLF line ends, not yet stuffed. A whole body that is not clean is refused here,
        before its first octet; pieces are checked as they are read."""
        self._check_open()
        if self._state is not State.DATA or self._expected:
            raise LocalProtocolError("no data asked for")
        if isinstance(body, bytes):
            check = LineEndCheck()
            if body and not (check.feed(body) and check.end()):
                raise LocalProtocolError("a bare CR, a bare LF or a NUL in the message")
            body = (body,)
        self._out.append(self._body_pieces(body, self._expect_message()))

    def send_chunk(self, octets: bytes, *, is_last: bool) -> None:
        """BDAT with its octets (RFC 3030 2), once a recipient was accepted; chunks may follow one another unanswered."""
        self._check_open()
        if self._body is not Body.BINARY:
            clean = not octets or self._check.feed(octets)
            if not clean or (is_last and not self._check.end()):
                raise LocalProtocolError("a bare CR, a bare LF or a NUL in the message")
        if self._state not in (State.RCPT, State.CHUNKS) or self._queue:
            raise LocalProtocolError("no recipient was accepted yet")
        chunk = Bdat(len(octets), is_last)
        self._out.append(format_command(chunk) + octets)
        if is_last:
            self._expect_message().is_sent = True
        else:
            self._expected.append(chunk)

    def send_url(self, url: str, *, is_last: bool) -> None:
        """BURL (RFC 4468 3.2): a chunk that the server fetches itself; among others of `send_chunk`, or alone."""
        self._check_open()
        if self._state not in (State.RCPT, State.CHUNKS) or self._queue:
            raise LocalProtocolError("no recipient was accepted yet")
        chunk = Burl(url, is_last)
        self._out.append(format_command(chunk))
        if is_last:
            self._expect_message().is_sent = True
        else:
            self._expected.append(chunk)

    def send_auth_response(self, data: bytes | None) -> None:
        """Answer a challenge; None cancels (the server then refuses the AUTH)."""
        if not (self._expected and isinstance(self._expected[0], Auth)):
            raise LocalProtocolError("no challenge to answer")
        self._out.append(b"*\r\n" if data is None else encode_base64(data).encode() + b"\r\n")

    def tls_started(self) -> None:
        """TLS is on: what the server said in the clear is forgotten (RFC 3207 4.2)."""
        self._awaits_tls = False
        self._pipelining = False
        self._state = State.START

    def _check_open(self) -> None:
        if self._is_over or self._broken is not None or self._awaits_tls:
            raise LocalProtocolError("nothing can be said now")

    def _expect_message(self) -> _Message:
        message = _Message(self._recipients if self._variant.answers_each_recipient else 1)
        self._expected.append(message)
        return message

    def _body_pieces(self, body: Iterable[bytes], message: _Message) -> Iterator[bytes]:
        yield from stuff(body)
        message.is_sent = True

    def _write(self) -> None:
        while self._queue:
            if self._expected and not (self._pipelining and self._may_follow(self._expected[-1])):
                return
            command = self._queue.popleft()
            self._out.append(format_command(command))
            self._expected.append(command)

    @staticmethod
    def _may_follow(before: _Expected) -> bool:
        return not isinstance(before, _Greeting) and type(before) not in LAST_IN_GROUP

    # -- what the server says

    def receive_data(self, data: bytes) -> None:
        if not data:
            self._eof = True
        elif self._awaits_tls:
            self._broken = "octets behind the answer to STARTTLS"
        else:
            self._buffer.feed(data)

    def data_to_send(self) -> list[Output]:
        if self._broken is not None:
            self._out.clear()
        out, self._out = self._out, []
        return out

    def next_event(self) -> _Next:
        while not self._is_over:
            if self._broken is not None:
                return self._break(self._broken)
            line = self._buffer.line(self._limits.reply_line)
            if line is None:
                if not self._eof:
                    return NEED_DATA
                self._is_over = True
                return ServerClosed(len(self._expected))
            if line is TOO_LONG:
                return self._break("a line too long")
            try:
                reply = self._replies.line(line)
            except ReplyInvalid as error:
                return self._break(str(error))
            event = None if reply is None else self._answer(reply)
            if event is not None:
                return event
        return NEED_DATA

    def _break(self, why: str, reply: Reply | None = None) -> Broken:
        self._is_over = True
        self._buffer.clear()
        self._out.clear()
        return Broken(why, reply)

    def _answer(self, reply: Reply) -> ClientEvent | None:
        if not self._expected:
            return self._break("a reply to nothing", reply)
        expected = self._expected[0]
        if reply.code == 421:  # RFC 5321 3.8: at any time, to any command, and it is the last word
            return self._break("the server leaves", reply)
        if isinstance(expected, _Message):
            return self._message_answer(expected, reply)
        if isinstance(expected, _Greeting):
            self._expected.popleft()
            if reply.code // 100 == 3:
                return self._break("a greeting that is none", reply)
            self._write()
            return Greeted(reply)
        if reply.code // 100 == 3 and reply.code != _INTERMEDIATE.get(type(expected)):
            return self._break("an intermediate reply to a final command", reply)
        if isinstance(expected, Data) and reply.code // 100 == 2:
            return self._break("data accepted before it came", reply)
        return self._command_answer(expected, reply)

    def _message_answer(self, message: _Message, reply: Reply) -> ClientEvent | None:
        if not message.is_sent:
            return self._break("an answer before the end of the message", reply)
        if reply.code // 100 == 3:
            return self._break("an intermediate reply to a message", reply)
        message.got.append(reply)
        if len(message.got) < message.replies:
            return None
        self._expected.popleft()
        self._state = State.READY
        self._write()
        return MessageAnswered(tuple(message.got))

    def _command_answer(self, command: Command, reply: Reply) -> ClientEvent | None:
        if isinstance(command, Auth) and reply.code == 334:
            try:
                return Challenged(decode_base64(reply.lines[0]) if reply.lines[0] else b"")
            except CommandFault:
                return self._break("a challenge that is no base64", reply)
        self._expected.popleft()
        kind = type(command)
        if reply.is_positive:
            if kind is StartTls:
                return self._tls_answer()
            self._follow(command)
        else:
            self._refused(kind)
        if isinstance(command, Ehlo | Helo | Lhlo):
            return self._hello_answer(command, reply)
        self._write()
        return Answered(command, reply)

    def _follow(self, command: Command) -> None:
        if isinstance(command, Data) and self._state is not State.RCPT:
            # RFC 2920 3.1: DATA was pipelined, all recipients were refused, and the server asks for data all the same.
            self._out.append(b".\r\n")
            self._expected.append(_Message(1, is_sent=True))
            return
        self._state = AFTER_ANSWER.get(type(command), {}).get(self._state, self._state)
        if isinstance(command, Mail):
            self._recipients = 0
            self._body = command.params.body
            self._check = LineEndCheck()
        elif isinstance(command, Rcpt):
            self._recipients += 1
        elif isinstance(command, Quit):
            self._queue.clear()

    def _refused(self, kind: type[Command]) -> None:
        self._state = AFTER_REFUSAL.get(kind, {}).get(self._state, self._state)
        if kind in (Bdat, Burl):  # chunks that were pipelined behind it are out of order now: one refusal each, in LMTP too
            for expected in self._expected:
                if isinstance(expected, _Message):
                    expected.replies = 1

    def _tls_answer(self) -> ClientEvent:
        if len(self._buffer) or self._expected:
            return self._break("octets behind the answer to STARTTLS")
        self._awaits_tls = True
        return TlsReady()

    def _hello_answer(self, command: Ehlo | Helo | Lhlo, reply: Reply) -> ClientEvent | None:
        if isinstance(command, Ehlo) and reply.code in _NO_EHLO:  # RFC 5321 3.2
            self._queue.appendleft(Helo(command.name))
            self._write()
            return None
        extensions: dict[str, tuple[str, ...]] = {}
        if reply.is_positive and not isinstance(command, Helo):
            for line in reply.lines[1:]:
                keyword, *words = line.split() or [""]
                extensions[keyword.upper()] = tuple(words)
        self._pipelining = "PIPELINING" in extensions
        self._write()
        return HelloAnswered(reply, extensions)
