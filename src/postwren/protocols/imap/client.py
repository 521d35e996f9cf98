"""The client's side of an IMAP connection, without I/O: pipelining, literals, and whatever real servers say, within limits.

    core.receive_data(data)
    while (event := core.next_event()) is not NEED_DATA: ...
    tag = core.send(command)            any number ahead of their answers, but none behind AUTHENTICATE, STARTTLS, COMPRESS, IDLE
    core.send(Append(...), [body])      message literals as octets or iterators
    core.respond(...), core.done()      in AUTHENTICATE and IDLE
    core.data_to_send()

Events: `Greeted` first; `Received` for every untagged response, whoever asked for it; `Completed` for the one answer to a
command; `Challenged`, `IdleBegan`; and around a large section of a message `LiteralBegan`, `LiteralReceived`..., `LiteralEnded`
before the `Received` that it is a part of. `Unreadable` is a response that could not be read: the connection goes on. After
`ServerFault` it does not.

What must stay true: what a server says in the clear is worth nothing (A-03 to A-05). With `needs_tls` no login leaves us before
TLS, a greeting that says that we are logged in already ends the connection, untagged data are not told, and octets behind the
answer to STARTTLS are an error. Capabilities are asked again behind TLS and behind a login.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from postwren.protocols.imap import code as codes
from postwren.protocols.imap.code import Code
from postwren.protocols.imap.command import (
    Authenticate,
    Close,
    Command,
    Compress,
    Enable,
    Idle,
    Login,
    Logout,
    Select,
    StartTls,
    Unauthenticate,
    Unselect,
)
from postwren.protocols.imap.command.table import format_command
from postwren.protocols.imap.incoming import Flaw, Incoming, LiteralBegan, LiteralEnded, LiteralReceived, ResponseText
from postwren.protocols.imap.limits import ClientLimits
from postwren.protocols.imap.outgoing import Body, Outgoing
from postwren.protocols.imap.response import Continuation, Status, Tagged, Unreadable, Untagged, parse_response
from postwren.protocols.imap.response.capability import CapabilityList, Enabled
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.state import ALLOWED, State
from postwren.protocols.imap.writer import Literals
from postwren.protocols.sasl.framing import encode_challenge
from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = [
    "Challenged",
    "ClientConnection",
    "Completed",
    "Event",
    "Flaw",
    "Greeted",
    "IdleBegan",
    "LiteralBegan",
    "LiteralEnded",
    "LiteralReceived",
    "Received",
    "ServerClosed",
    "ServerFault",
    "Unreadable",
]


@dataclass(frozen=True, slots=True)
class Greeted:
    """OK, PREAUTH, or BYE: the end."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Received:
    """An untagged response."""

    response: Untagged


@dataclass(frozen=True, slots=True)
class Completed:
    """The answer to a command. After a positive one to STARTTLS: negotiate, then `tls_started`; to COMPRESS:
    `compression_started`."""

    command: Command
    answer: Tagged


@dataclass(frozen=True, slots=True)
class Challenged:
    """The server wants a response: `respond`. `data` None: it was not base64."""

    data: bytes | None


@dataclass(frozen=True, slots=True)
class IdleBegan:
    """From here on the server speaks by itself, until `done`."""


@dataclass(frozen=True, slots=True)
class ServerFault:
    """The server broke the protocol: drop the connection."""

    flaw: Flaw


@dataclass(frozen=True, slots=True)
class ServerClosed:
    """End of stream; these commands have no answer, and may have happened or not."""

    unanswered: tuple[Command, ...]


Event: TypeAlias = (
    Greeted
    | Received
    | LiteralBegan
    | LiteralReceived
    | LiteralEnded
    | Completed
    | Challenged
    | IdleBegan
    | Unreadable
    | ServerFault
    | ServerClosed
)

_ALONE: Final = (Authenticate, StartTls, Compress, Idle)
"""Nothing may follow these before their answer."""

_AFTER: Final[dict[type[Command], tuple[State, State | None]]] = {
    Login: (State.AUTHENTICATED, None),
    Authenticate: (State.AUTHENTICATED, None),
    Select: (State.SELECTED, State.AUTHENTICATED),  # RFC 9051 section 6.3.2: a SELECT that fails leaves nothing selected
    Close: (State.AUTHENTICATED, None),
    Unselect: (State.AUTHENTICATED, None),
    Unauthenticate: (State.NOT_AUTHENTICATED, None),
    Logout: (State.LOGOUT, None),
}
"""Where a command leads when it succeeds, and when it does not (None: nowhere)."""


class ClientConnection:
    """See the module. `state` is the server's, as far as it has answered; `capabilities` in capitals, None while unknown."""

    __slots__ = (
        "_ahead",
        "_awaits_compression",
        "_awaits_tls",
        "_challenge_waits",
        "_count",
        "_ended",
        "_held_response",
        "_incoming",
        "_is_greeted",
        "_is_idling",
        "_is_lost",
        "_is_strict",
        "_needs_tls",
        "_outgoing",
        "_outstanding",
        "capabilities",
        "is_utf8",
        "state",
    )

    def __init__(self, limits: ClientLimits | None = None, *, needs_tls: bool = False, is_strict: bool = False) -> None:
        """`needs_tls`: TLS must be started before anything counts. `is_strict`: no tolerance (for tests of our own server)."""
        self._incoming = Incoming(limits or ClientLimits())
        self._outgoing = Outgoing()
        self._outstanding: dict[str, Command] = {}
        self._needs_tls = needs_tls
        self._is_strict = is_strict
        self._is_greeted = False
        self._is_lost = False
        self._is_idling = False
        self._awaits_tls = False
        self._awaits_compression = False
        self._challenge_waits = False
        self._held_response: Secret[bytes] | None = None
        self._ended = False
        self._count = 0
        self.capabilities: frozenset[str] | None = None
        self.is_utf8 = False
        self.state = State.NOT_AUTHENTICATED
        self._ahead = State.NOT_AUTHENTICATED  # where we are once all that is outstanding has succeeded

    @property
    def waiting_for(self) -> Waiting:
        if self._incoming.is_streaming:
            return Waiting.BULK
        if self._is_idling or self._challenge_waits or self._awaits_tls or self._awaits_compression:
            return Waiting.NOTHING
        return Waiting.COMMAND if self._outstanding or not self._is_greeted else Waiting.NOTHING

    # -- sending

    def send(self, command: Command, bodies: Sequence[Body] = ()) -> str:
        """Queue a command and tell its tag; `bodies` are its message literals, in order. LocalProtocolError where it is out of
        place, or where it has no form on the wire."""
        self._check(command)
        self._count += 1
        tag = f"p{self._count}"
        sent = command
        if isinstance(command, Authenticate) and command.initial is not None and not self._has("SASL-IR"):
            sent = Authenticate(command.mechanism)
        pieces = format_command(tag, sent, self._literals(), is_utf8=self.is_utf8)
        self._outgoing.add(tag, command, pieces, bodies)
        if sent is not command and isinstance(command, Authenticate):
            self._held_response = command.initial
        self._outstanding[tag] = command
        self._ahead = _AFTER.get(type(command), (self._ahead, None))[0]
        return tag

    def _check(self, command: Command) -> None:
        if self._is_lost or not self._is_greeted:
            raise LocalProtocolError("not connected")
        if any(isinstance(other, _ALONE) for other in self._outstanding.values()) or self._awaits_tls or self._awaits_compression:
            raise LocalProtocolError("nothing may follow before the answer")
        if isinstance(command, StartTls | Compress) and self._outstanding:
            raise LocalProtocolError("this command stands alone")
        if type(command) not in ALLOWED[self._ahead]:
            raise LocalProtocolError(f"{type(command).__name__} is out of place: {self._ahead.value}")
        if isinstance(command, Login | Authenticate) and self._needs_tls:
            raise LocalProtocolError("no login before TLS")
        if isinstance(command, Login) and self._has("LOGINDISABLED"):
            raise LocalProtocolError("the server takes no LOGIN here")

    def _has(self, capability: str) -> bool:
        return self.capabilities is not None and capability in self.capabilities

    def _literals(self) -> Literals:
        """RFC 7888; IMAP4rev2 includes LITERAL-."""
        if self._has("LITERAL+"):
            return Literals.PLUS
        return Literals.MINUS if self._has("LITERAL-") or self._has("IMAP4REV2") else Literals.SYNCHRONIZING

    def respond(self, response: Secret[bytes] | None) -> None:
        """What the client says to a challenge; None cancels the exchange."""
        if not self._challenge_waits:
            raise LocalProtocolError("no challenge waits for a response")
        self._challenge_waits = False
        self._outgoing.put(b"*\r\n" if response is None else encode_challenge(response.reveal()) + b"\r\n")

    def done(self) -> None:
        """End IDLE; its answer follows."""
        if not self._is_idling:
            raise LocalProtocolError("not idling")
        self._is_idling = False
        self._outgoing.put(b"DONE\r\n")

    def tls_started(self) -> None:
        """TLS is on: what the server said in the clear is forgotten (RFC 9051 section 6.2.1)."""
        if not self._awaits_tls:
            raise LocalProtocolError("TLS without STARTTLS")
        self._awaits_tls = self._needs_tls = False
        self._incoming.clear()
        self.capabilities = None

    def compression_started(self) -> bytes:
        """Both sides compress from here on (RFC 4978); what came behind the answer is compressed already, and to be inflated."""
        if not self._awaits_compression:
            raise LocalProtocolError("compression without COMPRESS")
        self._awaits_compression = False
        return self._incoming.take_rest()

    def data_to_send(self) -> list[Output]:
        """Take what must be written, in order."""
        return self._outgoing.take()

    # -- receiving

    def receive_data(self, data: bytes) -> None:
        """Take octets in any cut; b"" is the end of the stream."""
        if not data:
            self._ended = True
        elif not self._is_lost:
            self._incoming.feed(data)

    def next_event(self) -> Event | Literal[NeedData.NEED_DATA]:
        """The next thing the server said."""
        while True:
            if self._awaits_tls and len(self._incoming):
                return self._fault(Flaw.BEHIND_STARTTLS)
            cut = None if self._is_lost or self._awaits_tls or self._awaits_compression else self._incoming.next()
            if cut is None:
                return self._end_of_data()
            if isinstance(cut, Flaw):
                return self._fault(cut)
            event = self._responded(cut) if isinstance(cut, ResponseText) else cut
            if event is not None and not (self._needs_tls and isinstance(event, _UNTOLD)):
                return event

    def _responded(self, text: ResponseText) -> Event | None:
        response = parse_response(text.octets, is_utf8=self.is_utf8, is_strict=self._is_strict, streamed=text.streamed)
        if not self._is_greeted:
            return self._greeted(response)
        match response:
            case Tagged():
                return self._answered(response)
            case Continuation():
                return self._continued(response)
            case Unreadable():
                return response
            case Condition(code=code):
                self._learn(code)
                return Received(response) if not self._needs_tls or response.status is Status.BYE else None
            case CapabilityList(names):
                self._set_capabilities(names)
            case Enabled(names):
                self._enabled(names)
        return Received(response) if not self._needs_tls or isinstance(response, CapabilityList) else None

    def _greeted(self, response: object) -> Event:
        if not isinstance(response, Condition) or response.status in (Status.NO, Status.BAD):
            return self._fault(Flaw.NOT_IMAP)
        self._is_greeted = True
        self._learn(response.code)
        if response.status is Status.PREAUTH:
            if self._needs_tls:
                return self._fault(Flaw.PREAUTH_WITHOUT_TLS)
            self._enter(State.AUTHENTICATED)
            self._ahead = State.AUTHENTICATED
        return Greeted(response)

    def _answered(self, answer: Tagged) -> Event:
        command = self._outstanding.pop(answer.tag, None)
        if command is None:
            return self._fault(Flaw.UNASKED)
        self._outgoing.answered(answer.tag)
        is_ok = answer.status is Status.OK
        if isinstance(command, Login | Authenticate | Unauthenticate) and is_ok:
            self.capabilities = None  # others hold now, unless this answer says which
            self.is_utf8 = False
        self._learn(answer.code)
        self._moved(command, is_ok)
        match command:
            case Authenticate():
                self._challenge_waits = False
                self._held_response = None
            case Idle():
                self._is_idling = False
            case StartTls():
                self._awaits_tls = is_ok
            case Compress():
                self._awaits_compression = is_ok
        return Completed(command, answer)

    def _moved(self, command: Command, is_ok: bool) -> None:
        """RFC 9051 section 3."""
        after = _AFTER.get(type(command))
        target = None if after is None else after[0] if is_ok else after[1]
        if target is not None:
            self._enter(target)
        if not is_ok:
            self._ahead = self.state
            for other in self._outstanding.values():
                self._ahead = _AFTER.get(type(other), (self._ahead, None))[0]

    def _enter(self, state: State) -> None:
        self.state = state
        self._incoming.is_early = state is State.NOT_AUTHENTICATED

    def _continued(self, continuation: Continuation) -> Event | None:
        if self._outgoing.waits:
            self._outgoing.proceed()
            return None
        last = next(reversed(self._outstanding.values()), None)
        if isinstance(last, Idle) and not self._is_idling:
            self._is_idling = True
            return IdleBegan()
        if not isinstance(last, Authenticate):
            return Unreadable(b"+ " + continuation.text.encode())
        self._challenge_waits = True
        held, self._held_response = self._held_response, None
        if held is not None and not continuation.data:
            self.respond(held)
            return None
        return Challenged(continuation.data)

    # -- what is learned on the way

    def _learn(self, code: Code | None) -> None:
        if isinstance(code, codes.Capabilities):
            self._set_capabilities(code.names)

    def _set_capabilities(self, names: tuple[str, ...]) -> None:
        self.capabilities = frozenset(map(str.upper, names))

    def _enabled(self, names: tuple[str, ...]) -> None:
        """RFC 6855 section 3 and RFC 9051 section 6.3.1: mailbox names and quoted strings are UTF-8, if we asked for it."""
        wanted = {name for command in self._outstanding.values() if isinstance(command, Enable) for name in command.capabilities}
        if {"UTF8=ACCEPT", "IMAP4REV2"} & set(map(str.upper, names)) & set(map(str.upper, wanted)):
            self.is_utf8 = True

    # -- the end

    def _end_of_data(self) -> Event | Literal[NeedData.NEED_DATA]:
        if not self._ended:
            return NEED_DATA
        self._ended = False
        unanswered = tuple(self._outstanding.values())
        self._close()
        return ServerClosed(unanswered)

    def _fault(self, flaw: Flaw) -> ServerFault:
        self._close()
        return ServerFault(flaw)

    def _close(self) -> None:
        self._is_lost = True
        self.state = self._ahead = State.LOGOUT
        self._incoming.clear()
        self._outgoing.clear()
        self._outstanding.clear()
        self._is_idling = self._challenge_waits = self._awaits_tls = self._awaits_compression = False


_UNTOLD: Final = (LiteralBegan, LiteralReceived, LiteralEnded, Unreadable)
"""Never told before TLS; nor are untagged responses but CAPABILITY and BYE."""
