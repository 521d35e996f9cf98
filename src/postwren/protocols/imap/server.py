"""The server's side of an IMAP connection, without I/O (RFC 9051 sections 2.2, 3, 5 and 7).

    core.greet(Condition(...))                           OK, PREAUTH or BYE
    core.receive_data(data)
    while (event := core.next_event()) is not NEED_DATA:
        CommandReceived     -> any number of core.send(untagged), then core.send(Tagged(...)) exactly once before the next event
                               AUTHENTICATE and IDLE: core.send(Continuation(...)) first; then come AuthResponse, IdleDone
                               STARTTLS, answered OK: start TLS, core.tls_started();  COMPRESS, answered OK: core.compress()
        MessageOffered      -> core.accept_message() or core.refuse_message(tagged)
        AuthResponse        -> core.send(Continuation(...)) or a Tagged
        IdleDone            -> core.send(Tagged(...))
        CommandRejected, AuthAborted    answered already; an IDLE, an exchange or an APPEND that was going on is over
        PeerDropped         said BYE already where that makes sense: close
        PeerClosed          end of stream: close
    core.data_to_send()

What must stay true: one tagged answer a command, in their order; both sides agree what is a literal, also when it is refused
(A-40); nothing of the peer is told back but its tag (A-06); octets in the clear behind STARTTLS are never a command (A-01), and
nothing learned before TLS counts behind it (A-02).
"""

import enum
import re
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, TypeVar

from postwren.protocols.imap.command import (
    Authenticate,
    Command,
    Compress,
    Idle,
    Logout,
    StartTls,
)
from postwren.protocols.imap.command.append import Append, Offer
from postwren.protocols.imap.command.login import decode_base64
from postwren.protocols.imap.command.nullary import NULLARY
from postwren.protocols.imap.command.table import find_entry, parse_command
from postwren.protocols.imap.event import (
    AuthAborted,
    AuthResponse,
    CommandReceived,
    CommandRejected,
    Event,
    IdleDone,
    MessageChunk,
    MessageEnded,
    MessageOffered,
    PeerClosed,
    PeerDropped,
)
from postwren.protocols.imap.fault import Fault, Unparsable
from postwren.protocols.imap.fragment import FragmentReader, LiteralAnnounced, announced
from postwren.protocols.imap.gathering import Bounds, Gathering, Head, Progress
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.primitive import TAG, Scanner
from postwren.protocols.imap.response import Continuation, Rendered, Status, Tagged, Untagged, format_response
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.state import ALLOWED, State
from postwren.wire.buffer import TOO_LONG
from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = ["Sendable", "ServerConnection"]

Sendable: TypeAlias = Untagged | Tagged | Continuation | Rendered
_Next: TypeAlias = Event | Literal[NeedData.NEED_DATA]
_Owed: TypeAlias = type[Command]
_C = TypeVar("_C", bound=Command)

FOREIGN: Final = re.compile(rb"(GET|POST|PUT|HEAD|OPTIONS|CONNECT|PRI) |\x16")
"""How HTTP and a TLS handshake begin: somebody was led here (A-06)."""
_HEAD: Final = re.compile(rb"([A-Za-z]+)(?: ([A-Za-z]+))?")
_GO_AHEAD: Final = b"+ OK\r\n"


class _Mode(enum.Enum):
    """What the next octets are."""

    GREETING = "nothing was said yet"
    LINE = "a line of a command"
    ARGUMENT = "a literal that is gathered"
    OFFERED = "a message waits to be accepted"
    MESSAGE = "a message that streams"
    DISCARD = "the rest of a command that was refused"
    EXCHANGE = "a response of AUTHENTICATE"
    IDLE = "DONE"
    TLS = "nothing before TLS is on"
    CLOSED = "nothing counts"


class ServerConnection:
    """See the module. `is_utf8` and `is_uidonly` are the session's to switch on, after ENABLE; `is_utf8` changes what is read and
    written, `is_uidonly` is only kept here, for all who format."""

    __slots__ = (
        "_ahead",
        "_allowed",
        "_bad",
        "_bounds",
        "_budget",
        "_ended",
        "_fragments",
        "_gathering",
        "_is_first",
        "_limits",
        "_mode",
        "_out",
        "_owed",
        "_step",
        "_tag",
        "is_compressed",
        "is_uidonly",
        "is_utf8",
        "state",
    )

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._fragments = FragmentReader()
        self._out: list[Output] = []
        self._turn(_Mode.GREETING)
        self._tag: str | None = None  # of the command that waits for its answer
        self._owed: _Owed | None = None  # its type
        self._ahead: list[CommandReceived] = []  # parsed before their turn
        self._gathering: Gathering | None = None
        self._budget = 0  # octets that may still be discarded
        self._is_first = True  # no line was read since the connection stood
        self._ended = False
        self.is_compressed = False
        self.enter(State.NOT_AUTHENTICATED)

    def _turn(self, mode: _Mode) -> None:
        self._mode = mode
        self._step = _STEPS[mode]

    # -- what the session says

    def enter(self, state: State) -> None:
        """The session moves: with a login, a selected mailbox, its end, or back."""
        self.state = state
        self._allowed = ALLOWED[state]
        is_stranger = state is State.NOT_AUTHENTICATED
        self._bounds = Bounds.before_login(self._limits) if is_stranger else Bounds.after_login(self._limits)
        if is_stranger:
            self._bad = 0
            self.is_utf8 = self.is_uidonly = False
        elif state is State.LOGOUT:
            self._close()

    def greet(self, greeting: Condition) -> None:
        """The first word: OK, PREAUTH or BYE."""
        if self._mode is not _Mode.GREETING:
            raise LocalProtocolError("greeted already")
        self._out.append(format_response(greeting, is_utf8=False))
        self._turn(_Mode.LINE)
        if greeting.status is Status.PREAUTH:
            self.enter(State.AUTHENTICATED)
        elif greeting.status is Status.BYE:
            self._close()

    def send(self, item: Sendable) -> None:
        """Say something. LocalProtocolError for a tagged answer or a continuation that nothing waits for."""
        kind = type(item)
        if self._mode is _Mode.CLOSED:
            return
        if kind is Rendered:
            self._out.append(item.octets)  # type: ignore[union-attr]
            return
        if kind is Tagged:
            self._answer(item)  # type: ignore[arg-type]
        elif kind is Continuation:
            self._invite()
        self._out.append(format_response(item, self.is_utf8))  # type: ignore[arg-type]
        if self.state is State.LOGOUT:
            self._close()

    def send_ok(self, text: bytes) -> None:
        """`Tagged` with OK and no code, in its cheap form: for commands that come by the thousand. `text`: ASCII without line
        ends."""
        if self._tag is None or self._owed in _MOVING or self._gathering is not None:
            raise LocalProtocolError("no command waits for this answer")
        self._out.append(b"%b OK %b\r\n" % (self._tag.encode(), text))
        self._tag = self._owed = None

    def _answer(self, tagged: Tagged) -> None:
        if self._tag is None or tagged.tag != self._tag or self._gathering is not None:
            raise LocalProtocolError("no command waits for this answer")
        owed, self._owed, self._tag = self._owed, None, None
        if self._mode is not _Mode.LINE:
            self._turn(_Mode.LINE)
        if tagged.status is Status.OK:
            if owed is StartTls:
                self._turn(_Mode.TLS)
            elif owed is Logout:
                self.state = State.LOGOUT

    def _invite(self) -> None:
        if self._owed is Idle and self._mode is _Mode.LINE:
            self._turn(_Mode.IDLE)
        elif self._owed is Authenticate and self._mode is _Mode.LINE:
            self._turn(_Mode.EXCHANGE)
        else:
            raise LocalProtocolError("a continuation that nothing waits for")

    def accept_message(self) -> None:
        """Let the message that was offered come."""
        gathering = self._offered()
        if gathering.announcement.is_synchronizing:
            self._out.append(_GO_AHEAD)
        self._fragments.begin_literal(gathering.announcement.size)
        self._turn(_Mode.MESSAGE)

    def refuse_message(self, tagged: Tagged) -> None:
        """Answer the command instead: it is over. What the peer sends nevertheless is thrown away, within the limit; beyond it
        the next event is `PeerDropped`."""
        gathering = self._offered()
        if tagged.tag != gathering.head.tag:
            raise LocalProtocolError("no command waits for this answer")
        self._out.append(format_response(tagged, self.is_utf8))
        self._gathering = None
        self._discard_behind(gathering.announcement, self._limits.discard_message)

    def _offered(self) -> Gathering:
        if self._mode is not _Mode.OFFERED or self._gathering is None:
            raise LocalProtocolError("no message is offered")
        return self._gathering

    def last_word(self, condition: Untagged) -> None:
        """BYE, and nothing after it: the session ends from our side."""
        if self._mode is not _Mode.CLOSED:
            self._out.append(format_response(condition, self.is_utf8))
            self._close()

    def tls_started(self) -> None:
        """TLS is on: forget what came in the clear (RFC 9051 section 6.2.1)."""
        if self._mode is not _Mode.TLS:
            raise LocalProtocolError("TLS without STARTTLS")
        self._fragments.clear()
        self._bad = 0
        self._is_first = True
        self._turn(_Mode.LINE)

    def compress(self) -> None:
        """What comes from here on was inflated (RFC 4978)."""
        self.is_compressed = True

    # -- the contract of a core

    @property
    def waiting_for(self) -> Waiting:
        mode = self._mode
        if mode in (_Mode.CLOSED, _Mode.OFFERED, _Mode.GREETING) or (mode is _Mode.LINE and self._tag is not None):
            return Waiting.NOTHING
        if self.state is State.NOT_AUTHENTICATED:
            return Waiting.LOGIN
        return Waiting.BULK if mode in (_Mode.MESSAGE, _Mode.DISCARD) else Waiting.COMMAND

    def receive_data(self, data: bytes) -> None:
        """Take octets in any cut; b"" is the end of the stream."""
        if not data:
            self._ended = True
        elif self._mode is not _Mode.CLOSED:
            self._fragments.buffer.feed(data)

    def data_to_send(self) -> list[Output]:
        """Take what must be written, in order."""
        out, self._out = self._out, []
        return out

    def next_event(self) -> _Next:
        """The next thing that happened; LocalProtocolError where the last command or offer has no answer yet."""
        while (event := self._step(self)) is None:
            pass
        return event

    # -- commands

    def _next_line(self) -> _Next | None:
        if self._tag is not None:
            raise LocalProtocolError("the last command has no answer")
        if self._ahead:
            return self._next_ahead()
        line = self._fragments.line(self._bounds.line)
        if line is None:
            return self._need_data()
        if line is TOO_LONG:
            return self._drop(Fault.TOO_LONG)
        announcement = announced(line) if line[-1:] == b"}" else None
        if self._gathering is not None:
            return self._go_on(self._gathering, line, announcement)
        tag, _, words = line.partition(b" ")
        if not self._is_tag(tag):
            return self._refuse(None, Fault.TAG, line, announcement)
        nullary = NULLARY.get(words)
        if nullary is not None and type(nullary) in self._allowed:
            return self._receive(tag.decode(), nullary)
        return self._begin(tag.decode(), line, announcement)

    def _is_tag(self, octets: bytes) -> bool:
        return (octets.isalnum() or TAG.fullmatch(octets) is not None) and len(octets) <= self._limits.tag

    def _begin(self, tag: str, line: bytes, announcement: LiteralAnnounced | None) -> _Next | None:
        try:
            keyword, uid_keyword, position = _keywords(line, len(tag) + 1)
            kind, parser = find_entry(keyword, uid_keyword)
            if kind not in self._allowed:
                raise Unparsable(Fault.NOT_NOW)
            if announcement is None:
                scanner = Scanner(line, position, is_utf8=self.is_utf8, limits=self._limits)
                return self._receive(tag, parse_command(parser, scanner))
        except Unparsable as unparsable:
            return self._refuse(tag, unparsable.fault, line, announcement)
        self._gathering = Gathering(Head(tag, keyword, uid_keyword, parser), self._bounds, self._limits, is_utf8=self.is_utf8)
        return self._go_on(self._gathering, line[position:], announcement)

    def _go_on(self, gathering: Gathering, line: bytes, announcement: LiteralAnnounced | None) -> _Next | None:
        try:
            return self._progress(gathering, gathering.add_line(line, announcement))
        except Unparsable as unparsable:
            return self._refuse(gathering.head.tag, unparsable.fault, line, announcement)

    def _progress(self, gathering: Gathering, progress: Progress) -> _Next | None:
        if progress is None:
            if gathering.announcement.is_synchronizing:
                self._out.append(_GO_AHEAD)
            self._fragments.begin_literal(gathering.announcement.size)
            self._turn(_Mode.ARGUMENT)
            return None
        if isinstance(progress, Offer):
            self._turn(_Mode.OFFERED)
            return MessageOffered(gathering.head.tag, progress.mailbox, progress.literal, gathering.is_replace)
        self._gathering = None
        return self._receive(gathering.head.tag, progress)

    def _next_argument(self) -> _Next | None:
        octets = self._fragments.gather()
        if octets is None:
            return self._need_data()
        if self._gathering is not None:
            self._gathering.add_literal(octets)
        self._turn(_Mode.LINE)
        return None

    def _receive(self, tag: str, command: Command) -> _Next:
        kind = type(command)
        if kind in _ALONE and len(self._fragments.buffer):
            return self._drop(_ALONE[kind])
        self._is_first = False
        self._tag = tag
        self._owed = kind
        return CommandReceived(tag, command)

    # -- commands before their turn

    def following(self, kind: type[_C], at: int) -> _C | None:
        """The command `at` places behind the one that waits for its answer, where it and those before it have come whole, are of
        this kind and have no literal. `next_event` hands out each in its turn as ever; keep `at` small."""
        while len(self._ahead) <= at:
            event = self._look_ahead(kind)
            if event is None:
                return None
            self._ahead.append(event)
        command = self._ahead[at].command
        return command if isinstance(command, kind) else None

    def _look_ahead(self, kind: type[Any]) -> CommandReceived | None:
        """Whatever is wrong with a line is found again, and told, when it has its turn."""
        line = self._fragments.next_line(self._bounds.line) if self._mode is _Mode.LINE and self._gathering is None else None
        if line is None or line[-1:] == b"}":
            return None
        tag = line.partition(b" ")[0]
        try:
            keyword, uid_keyword, position = _keywords(line, len(tag) + 1)
            found, parser = find_entry(keyword, uid_keyword)
            if found is not kind or kind not in self._allowed or not self._is_tag(tag):
                return None
            command = parse_command(parser, Scanner(line, position, is_utf8=self.is_utf8, limits=self._limits))
        except Unparsable:
            return None
        self._fragments.line(self._bounds.line)
        return CommandReceived(tag.decode(), command)

    def take_append(self, judge: Callable[[Append, bytes], bool]) -> Append | None:
        """The APPEND of one message that has come whole behind the command that waits for its answer, if `judge` takes it with
        its octets: no message is offered then, and `next_event` hands out the command in its turn."""
        buffer = self._fragments.buffer
        line = self._fragments.next_line(self._bounds.line) if self._mode is _Mode.LINE and self._gathering is None else None
        announcement = announced(line) if line is not None and line[-2:] == b"+}" else None
        if line is None or announcement is None or announcement.size > len(buffer) - len(line):
            return None
        mark = buffer.mark()
        self._fragments.line(self._bounds.line)
        octets = buffer.take(announcement.size)
        event = self._whole_append(line, announcement) if self._fragments.next_line(self._bounds.line) == b"" else None
        if event is None or not judge(event.command, octets):  # type: ignore[arg-type]
            buffer.return_to(mark)
            return None
        self._fragments.line(self._bounds.line)
        self._ahead.append(event)
        return event.command  # type: ignore[return-value]

    def _whole_append(self, line: bytes, announcement: LiteralAnnounced) -> CommandReceived | None:
        tag = line.partition(b" ")[0]
        try:
            keyword, uid_keyword, position = _keywords(line, len(tag) + 1)
            kind, parser = find_entry(keyword, uid_keyword)
            if kind is not Append or kind not in self._allowed or not self._is_tag(tag):
                return None
            head = Head(tag.decode(), keyword, uid_keyword, parser)
            gathering = Gathering(head, self._bounds, self._limits, is_utf8=self.is_utf8)
            offer = gathering.add_line(line[position:], announcement)
            command = gathering.add_line(b"", None) if isinstance(offer, Offer) and not offer.literal.is_part else None
        except Unparsable:
            return None
        return CommandReceived(head.tag, command) if isinstance(command, Append) else None

    def _next_ahead(self) -> _Next:
        event = self._ahead.pop(0)
        if type(event.command) not in self._allowed:  # the one before it ended the state
            return self._reject(event.tag, Fault.NOT_NOW)
        return self._receive(event.tag, event.command)

    # -- messages

    def _next_chunk(self) -> _Next:
        if not self._fragments.left:
            self._turn(_Mode.LINE)
            return MessageEnded()
        data = self._fragments.take()
        return MessageChunk(data) if data else self._need_data()

    def _unanswered(self) -> _Next:
        raise LocalProtocolError("the session must speak first")

    # -- what is refused

    def _refuse(self, tag: str | None, fault: Fault, line: bytes, announcement: LiteralAnnounced | None) -> _Next:
        """A line that is no command, and what it announces."""
        if self._is_first and FOREIGN.match(line):
            return self._drop(Fault.FOREIGN)
        rejected = self._reject(tag, fault)
        if announcement is not None and self._mode is _Mode.LINE:
            self._discard_behind(announcement, self._bounds.literal + self._limits.discard)
        return rejected

    def _discard_behind(self, announcement: LiteralAnnounced, budget: int) -> None:
        """RFC 7888 section 4: octets that were not waited for are on their way and must be read, or the connection ends."""
        self._turn(_Mode.LINE)
        if not announcement.is_synchronizing:
            self._budget = budget
            self._discard_literal(announcement.size)

    def _discard_literal(self, size: int) -> None:
        self._budget -= size
        self._turn(_Mode.DISCARD)
        self._fragments.begin_literal(size)

    def _next_discarded(self) -> _Next | None:
        if self._budget < 0:
            return self._drop(Fault.LITERAL_TOO_BIG)
        if self._fragments.left:
            return None if self._fragments.take() else self._need_data()
        line = self._fragments.line(self._bounds.line)
        if line is None:
            return self._need_data()
        if line is TOO_LONG:
            return self._drop(Fault.TOO_LONG)
        announcement = announced(line)
        if announcement is None or announcement.is_synchronizing:  # who waits for `+` has read the answer instead
            self._turn(_Mode.LINE)
            return None
        self._budget -= len(line)
        self._discard_literal(announcement.size)
        return None

    def _reject(self, tag: str | None, fault: Fault) -> CommandRejected | PeerDropped:
        self._is_first = False
        self._gathering = self._tag = self._owed = None
        self._turn(_Mode.LINE)
        self._out.append(f"{tag or '*'} BAD {fault.value}\r\n".encode())
        if self.state is State.NOT_AUTHENTICATED:
            self._bad += 1
            if self._bad > self._limits.bad_commands:
                return self._drop(Fault.TOO_MANY_FAULTS)
        return CommandRejected(fault)

    def _drop(self, fault: Fault) -> PeerDropped:
        if fault is not Fault.FOREIGN:
            self._out.append(f"* BYE {fault.value}\r\n".encode())
        self._close()
        return PeerDropped(fault)

    def _close(self) -> None:
        self._gathering = self._tag = self._owed = None
        self._ahead.clear()
        self._fragments.clear()
        self._turn(_Mode.CLOSED)

    # -- lines that are no commands

    def _next_response(self) -> _Next:
        """RFC 9051 section 6.2.2: a line of base64, or `*`."""
        line = self._fragments.line(self._bounds.line)
        if line is None:
            return self._need_data()
        if line is TOO_LONG:
            return self._drop(Fault.TOO_LONG)
        response = decode_base64(line)
        if response is None:
            fault = Fault.CANCELLED if line == b"*" else Fault.BASE64
            rejected = self._reject(self._tag, fault)
            return AuthAborted(fault) if isinstance(rejected, CommandRejected) else rejected
        self._turn(_Mode.LINE)  # until the answer says otherwise: it may be another challenge
        return AuthResponse(Secret(response))

    def _next_done(self) -> _Next:
        """RFC 2177 section 3: anything but DONE is an error, and ends the IDLE."""
        line = self._fragments.line(self._bounds.line)
        if line is None:
            return self._need_data()
        if line is TOO_LONG:
            return self._drop(Fault.TOO_LONG)
        if line.upper() != b"DONE":
            return self._refuse(self._tag, Fault.NOT_DONE, line, announced(line))
        self._turn(_Mode.LINE)
        return IdleDone()

    def _behind_starttls(self) -> _Next:
        return self._drop(Fault.BEHIND_STARTTLS) if len(self._fragments.buffer) else self._need_data()

    def _need_data(self) -> _Next:
        if not self._ended:
            return self._drop(Fault.FOREIGN) if self._is_first and self._begins_with_tls() else NEED_DATA
        self._close()
        return PeerClosed()

    def _begins_with_tls(self) -> bool:
        """A handshake may hold no LF for long: its first octet tells."""
        first = self._fragments.buffer.take(1)
        self._fragments.buffer.unread(first)
        return first == b"\x16"

    def _nothing(self) -> _Next:
        return NEED_DATA


def _keywords(line: bytes, start: int) -> tuple[bytes, bytes | None, int]:
    """The keyword behind the tag, the one behind UID, and where they end. Raises Unparsable."""
    match = _HEAD.match(line, start)
    if match is None:
        raise Unparsable(Fault.UNKNOWN)
    keyword = match[1].upper()
    if keyword != b"UID":
        return keyword, None, match.end(1)
    return keyword, (match[2] or b"").upper(), match.end()


_ALONE: Final[dict[type[Command], Fault]] = {StartTls: Fault.BEHIND_STARTTLS, Compress: Fault.BEHIND_COMPRESS}
"""Commands behind which nothing may come before they are answered: what follows is another stream."""

_MOVING: Final[frozenset[type[Command] | None]] = frozenset({StartTls, Compress, Logout, Idle, Authenticate})
"""Commands whose answer changes what comes next."""

_STEPS: Final[dict[_Mode, Callable[[ServerConnection], _Next | None]]] = {
    _Mode.GREETING: ServerConnection._unanswered,
    _Mode.LINE: ServerConnection._next_line,
    _Mode.ARGUMENT: ServerConnection._next_argument,
    _Mode.OFFERED: ServerConnection._unanswered,
    _Mode.MESSAGE: ServerConnection._next_chunk,
    _Mode.DISCARD: ServerConnection._next_discarded,
    _Mode.EXCHANGE: ServerConnection._next_response,
    _Mode.IDLE: ServerConnection._next_done,
    _Mode.TLS: ServerConnection._behind_starttls,
    _Mode.CLOSED: ServerConnection._nothing,
}
