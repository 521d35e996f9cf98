"""One command that comes in several fragments, from its first announcement to its last line, and what it may take (A-40).

Its literals are arguments, gathered until all of it is there; or, of APPEND and REPLACE, messages that stream: these are read
while they come, because only the grammar knows which literal is which (`command.append.Reading`).
"""

from dataclasses import dataclass
from typing import TypeAlias

from postwren.protocols.imap.command import Command
from postwren.protocols.imap.command.append import Append, Offer, Reading, Replace
from postwren.protocols.imap.command.table import READERS, UID_READERS, Parser, parse_command
from postwren.protocols.imap.fault import Fault, Unparsable
from postwren.protocols.imap.fragment import LiteralAnnounced
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.primitive import Scanner
from postwren.wire.errors import LocalProtocolError

__all__ = ["Bounds", "Gathering", "Head"]


@dataclass(frozen=True, slots=True)
class Head:
    """How a command begins: `keyword` and `uid_keyword` (the one behind UID) in capitals."""

    tag: str
    keyword: bytes
    uid_keyword: bytes | None
    parser: Parser


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a command may take now: of `Limits`, those before login or those after."""

    line: int
    literal: int
    literals: int

    @classmethod
    def before_login(cls, limits: Limits) -> "Bounds":
        return cls(limits.login_line, limits.login_literal, limits.login_literals)

    @classmethod
    def after_login(cls, limits: Limits) -> "Bounds":
        return cls(limits.line, limits.literal, limits.literals)


Progress: TypeAlias = Offer | Command | None


class Gathering:
    """See the module. `offer` is the message literal that was announced last; `announcement` what was announced last."""

    __slots__ = ("_bounds", "_head", "_limits", "_literals", "_octets", "_parts", "_reading", "_scanner", "announcement")

    def __init__(self, head: Head, bounds: Bounds, limits: Limits, *, is_utf8: bool) -> None:
        self._head = head
        self._bounds = bounds
        self._limits = limits
        self._parts: list[bytes] = []
        self._octets = self._literals = 0
        self._scanner = Scanner(b"", is_utf8=is_utf8, limits=limits)
        self._reading: Reading[Append] | Reading[Replace] | None = None
        self.announcement = LiteralAnnounced(0, is_synchronizing=True)
        reader = READERS.get(head.keyword) if head.uid_keyword is None else UID_READERS.get(head.uid_keyword)
        if reader is not None:
            self._reading = reader(self._scanner)

    @property
    def head(self) -> Head:
        """Of the command."""
        return self._head

    @property
    def is_replace(self) -> bool:
        """REPLACE, not APPEND."""
        return b"REPLACE" in (self._head.keyword, self._head.uid_keyword)

    def _add_line(self, line: bytes) -> None:
        self._octets += len(line)
        self._parts += (line, b"\r\n")

    def add_literal(self, octets: bytes) -> None:
        """The argument that was asked for."""
        self._parts.append(octets)

    def add_line(self, line: bytes, announcement: LiteralAnnounced | None) -> Progress:
        """What a line (the first one from behind its keyword) asks for: an `Offer`; None: the literal it announces is an
        argument; or it was the last, and here is the command. Raises Unparsable."""
        self.announcement = announcement or self.announcement
        self._add_line(line)
        if self._octets > self._limits.command:
            raise Unparsable(Fault.TOO_LONG)
        if announcement is not None:
            return self._judge_argument() if self._reading is None else self._read()
        self._parts.pop()  # no CRLF behind the last line
        if self._reading is None:
            self._scanner.extend(b"".join(self._parts))
            return parse_command(self._head.parser, self._scanner)
        progress = self._read()
        if progress is None or isinstance(progress, Offer):
            raise Unparsable  # a literal is missing
        return progress

    def _read(self) -> Progress:
        """Let the grammar go on to the end of what has come."""
        if self._reading is None:
            raise LocalProtocolError("nothing streams")
        self._scanner.extend(b"".join(self._parts))
        self._parts = []
        try:
            offer = next(self._reading)
        except StopIteration as end:
            command: Append | Replace = end.value
            return command
        return self._judge_argument() if offer is None else offer

    def _judge_argument(self) -> Progress:
        self._literals += 1
        self._octets += self.announcement.size
        if self.announcement.size > self._bounds.literal or self._literals > self._bounds.literals:
            raise Unparsable(Fault.LITERAL_TOO_BIG)
        if self._octets > self._limits.command:
            raise Unparsable(Fault.LITERAL_TOO_BIG)
        return None
