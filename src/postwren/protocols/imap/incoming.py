"""What a client receives, cut before any grammar: whole responses, and the octets of messages as they come.

A literal belongs to the response around it and is kept with it, but for large sections of FETCH, which stream: `LiteralBegan`,
`LiteralReceived`, `LiteralEnded`, and then the response, in whose text they are left out. Status lines end where they end:
`{3}` at their end is text (RFC 9051 section 9, resp-text).
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.protocols.imap.fragment import FragmentReader, announced
from postwren.protocols.imap.limits import ClientLimits
from postwren.protocols.imap.response.fetch import uid_of_head
from postwren.wire.buffer import TOO_LONG

__all__ = ["Flaw", "Incoming", "LiteralBegan", "LiteralEnded", "LiteralReceived", "ResponseText"]


class Flaw(enum.Enum):
    """How a server can lose us."""

    NOT_IMAP = "not an IMAP greeting"
    LINE_TOO_LONG = "a line is too long"
    LITERAL_TOO_BIG = "a literal is too big"
    RESPONSE_TOO_LONG = "a response is too long"
    UNASKED = "an answer to a command that was not sent"
    BEHIND_STARTTLS = "octets behind the answer to STARTTLS"
    PREAUTH_WITHOUT_TLS = "logged in before TLS could begin"


@dataclass(frozen=True, slots=True)
class ResponseText:
    """One response without its CRLF; `streamed` as `parse_response` takes it."""

    octets: bytes
    streamed: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class LiteralBegan:
    """`size` octets of the section `label` (`name` is BODY, BINARY, RFC822 ...) follow. `uid` is None where the server says it
    later: the `Fetched` that closes the response has it."""

    number: int
    uid: int | None
    name: str
    label: str
    origin: int | None
    size: int


@dataclass(frozen=True, slots=True)
class LiteralReceived:
    """Octets of the section, in order."""

    data: bytes


@dataclass(frozen=True, slots=True)
class LiteralEnded:
    """The last octet of the section has come."""


Cut: TypeAlias = ResponseText | LiteralBegan | LiteralReceived | LiteralEnded | Flaw

_STATUS: Final = re.compile(rb"\*[ \t]+(?:OK|NO|BAD|BYE|PREAUTH)(?![A-Za-z0-9])|[^*]", re.IGNORECASE)
_FETCH: Final = re.compile(rb"\*[ \t]+([0-9]{1,10})[ \t]+(?:UID)?FETCH[ \t(]", re.IGNORECASE)
_SECTION: Final = re.compile(rb"(?:.*[ (])?(BODY|BINARY)\[([^\]]*)\](?:<([0-9]{1,19})>)?[ \t]*~?\Z", re.IGNORECASE | re.DOTALL)
_WHOLE: Final = re.compile(rb"(?:.*[ (])?(RFC822(?:\.HEADER|\.TEXT)?)[ \t]*~?\Z", re.IGNORECASE | re.DOTALL)
_LONGEST_NAME: Final = 20  # octets before the bracket of a section, or of RFC822.HEADER with what is before it


class Incoming:
    """See the module. `is_early`: nobody has logged in, and lines are short."""

    __slots__ = ("_is_streaming", "_limits", "_literals", "_parts", "_reader", "_size", "_streamed", "_uid", "is_early")

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._reader = FragmentReader()
        self._parts: list[bytes] = []  # of the response that is not whole yet
        self._size = 0  # of these
        self._literals = 0
        self._streamed: dict[int, int] = {}
        self._uid: int | None = None
        self._is_streaming = False
        self.is_early = True

    def __len__(self) -> int:
        """Octets that were received and are not cut yet."""
        return len(self._reader.buffer)

    @property
    def is_streaming(self) -> bool:
        """Inside of a section that streams."""
        return self._is_streaming

    def feed(self, data: bytes) -> None:
        """Octets, in any cut."""
        self._reader.buffer.feed(data)

    def take_rest(self) -> bytes:
        """What was received behind the last response: in another encoding from here on."""
        return self._reader.buffer.take(len(self._reader.buffer))

    def clear(self) -> None:
        """Forget everything."""
        self._reader.clear()
        self._reset()
        self._is_streaming = False

    def next(self) -> Cut | None:
        """The next piece, or None until more has come."""
        if self._is_streaming:
            return self._next_octets()
        while True:
            if self._reader.left:
                octets = self._reader.gather()
                if octets is None:
                    return None
                self._parts.append(octets)
            limit = self._limits.greeting_line if self.is_early else self._limits.line
            line = self._reader.line(limit)
            if line is None:
                return None
            if line is TOO_LONG:
                return Flaw.LINE_TOO_LONG
            self._size += len(line) + 2
            if self._size > self._limits.response:
                return Flaw.RESPONSE_TOO_LONG
            literal = announced(line)
            if literal is None or not (self._parts or not _STATUS.match(line)):
                return self._whole(line)
            begun = self._begin_literal(line, literal.size)
            if begun is not None:
                return begun

    def _next_octets(self) -> Cut | None:
        if not self._reader.left:
            self._is_streaming = False
            return LiteralEnded()
        data = self._reader.take()
        return LiteralReceived(data) if data else None

    def _whole(self, line: bytes) -> ResponseText:
        octets = b"".join([*self._parts, line]) if self._parts else line
        whole = ResponseText(octets, self._streamed)
        self._reset()
        return whole

    def _reset(self) -> None:
        self._parts = []
        self._size = self._literals = 0
        self._streamed = {}

    def _begin_literal(self, line: bytes, size: int) -> Cut | None:
        """None where the literal is kept with the response."""
        self._parts.append(line + b"\r\n")
        self._literals += 1
        if self._literals > self._limits.literals:
            return Flaw.RESPONSE_TOO_LONG
        if size > self._limits.section and (begun := self._section(line, size)) is not None:
            if size > self._limits.message:
                return Flaw.LITERAL_TOO_BIG
            self._streamed[self._size] = size
            self._reader.begin_literal(size)
            self._is_streaming = True
            return begun
        if size > self._limits.literal:
            return Flaw.LITERAL_TOO_BIG
        self._size += size
        if self._size > self._limits.response:
            return Flaw.RESPONSE_TOO_LONG
        self._reader.begin_literal(size)
        return None

    def _section(self, line: bytes, size: int) -> LiteralBegan | None:
        """What of which message the literal is, where it is a section of one."""
        start = _FETCH.match(self._parts[0])
        if start is None:
            return None
        head = line[: line.rfind(b"{")]
        bracket = head.rfind(b"[")
        section = _SECTION.match(head, max(0, bracket - _LONGEST_NAME)) if bracket >= 0 else None
        section = section or _WHOLE.match(head, max(0, len(head) - _LONGEST_NAME))
        if section is None:
            return None
        if not self._streamed:  # once a response: it is read from its beginning
            self._uid = uid_of_head(b"".join(self._parts), self._streamed)
        label, origin = (section[2], section[3]) if section.re is _SECTION else (b"", None)
        return LiteralBegan(
            int(start[1]),
            self._uid,
            section[1].decode().upper(),
            label.decode("ascii", "replace").replace('"', "").upper(),
            None if origin is None else int(origin),
            size,
        )
