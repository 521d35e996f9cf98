"""The words of which commands are made (RFC 9051 section 9): `Scanner` reads them from a command's text, `Writer` writes them.

A text is what `fragment` joins: lines and literals as they were on the wire. Every word is one match of a pattern at the place that was
reached, so parsing is linear and runs in C; what does not match raises `Unparsable`, which the core answers. Nothing recurses on input.

What a `Writer` gives is a list of pieces, because a client may have to wait before a literal: octets to send, `WAIT` where the server's `+`
must come first, and `MessageBody` where the client sends a message that never is in memory as a whole.
"""

import enum
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, TypeAlias, TypeVar

from postwren.protocols.imap import mailboxname
from postwren.protocols.imap.fault import Fault, Unparsable
from postwren.protocols.imap.flag import decode_flag, format_flags
from postwren.protocols.imap.fragment import HUGE
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.numset import SAVED, NumSet, format_numset, parse_numset
from postwren.wire.errors import LocalProtocolError

__all__ = [
    "WAIT",
    "Literals",
    "MessageBody",
    "MessageLiteral",
    "Piece",
    "Scanner",
    "Wait",
    "Writer",
    "decode_text",
    "format_date",
    "format_date_time",
]

T = TypeVar("T")

# RFC 9051 section 9: ATOM-CHAR is any CHAR but ( ) { SP CTL % * " \ ]; ASTRING-CHAR adds ]; list-char adds % and *.
_ATOM_CHAR: Final = rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]'
_ATOM: Final = re.compile(_ATOM_CHAR + rb"+")
_ASTRING_ATOM: Final = rb'[^\x00-\x20\x7f-\xff(){%*"\\]+'
_PLAIN: Final = rb'"([^"\\\r\n\x00\x80-\xff]*)"'
_ASTRING: Final = re.compile(rb"(%b)|%b" % (_ASTRING_ATOM, _PLAIN))
_LIST_MAILBOX: Final = re.compile(rb'([^\x00-\x20\x7f-\xff(){"\\]+)|%b' % _PLAIN)
_QUOTED: Final = re.compile(rb'"([^"\\\r\n\x00]*+(?:\\["\\][^"\\\r\n\x00]*+)*+)"')
_LITERAL: Final = re.compile(rb"(~?)\{([0-9]{1,20})(?:\+)?\}\r\n")
_KEYWORD: Final = re.compile(rb"[A-Za-z0-9.+\-_=]+")
_NUMBER: Final = re.compile(rb"[0-9]{1,20}(?![0-9])")
_SET: Final = re.compile(rb"[0-9:*,]+|\$")
_FLAG: Final = re.compile(rb"\\?%b+" % _ATOM_CHAR)
_FLAGS: Final = re.compile(rb"(?:%b(?: %b)*+)?" % (_FLAG.pattern, _FLAG.pattern))
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = {month.lower().encode(): number for number, month in enumerate(_MONTHS, 1)}
_DATE: Final = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
_DATE_TIME: Final = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-5][0-9])"'
)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LIMITS: Final = Limits()
_DAY: Final = 86_400


def decode_text(octets: bytes) -> str:
    """UTF-8; Unparsable where it is none."""
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise Unparsable from error


def _day_number(day: bytes, month: bytes, year: bytes) -> int:
    """Days since 1970-01-01."""
    try:
        return date(int(year), _MONTH_NUMBERS[month.lower()], int(day)).toordinal() - _EPOCH
    except (KeyError, ValueError) as error:
        raise Unparsable from error


@dataclass(frozen=True, slots=True)
class MessageLiteral:
    """A literal whose octets stream."""

    size: int
    is_binary: bool


class Scanner:
    """Reads the text of one command from `position` on. `is_utf8`: mailbox names and quoted strings are UTF-8."""

    __slots__ = ("_depth", "_depth_limit", "_items_left", "is_utf8", "position", "text")

    def __init__(self, text: bytes, position: int = 0, *, is_utf8: bool = False, limits: Limits = _LIMITS) -> None:
        self.text = text
        self.position = position
        self.is_utf8 = is_utf8
        self._items_left = limits.items
        self._depth = 0
        self._depth_limit = limits.depth

    # -- where we are

    def extend(self, octets: bytes) -> None:
        """More text has come; what was read is dropped."""
        self.text = self.text[self.position :] + octets
        self.position = 0

    def is_at(self, octets: bytes) -> bool:
        """Whether these octets come next."""
        return self.text.startswith(octets, self.position)

    def skip(self, octets: bytes) -> bool:
        """Read these octets if they come next."""
        if not self.text.startswith(octets, self.position):
            return False
        self.position += len(octets)
        return True

    def expect(self, octets: bytes) -> None:
        """Read these octets."""
        if not self.skip(octets):
            raise Unparsable

    def space(self) -> None:
        """`SP`: exactly one."""
        if not self.text.startswith(b" ", self.position):
            raise Unparsable
        self.position += 1

    def end(self) -> None:
        """Nothing is left."""
        if self.position != len(self.text):
            raise Unparsable

    def is_ended(self) -> bool:
        """Whether nothing is left."""
        return self.position == len(self.text)

    # -- bounds

    def count(self, items: int = 1) -> None:
        """So many more items were read."""
        self._items_left -= items
        if self._items_left < 0:
            raise Unparsable(Fault.TOO_DEEP)

    def check_depth(self, depth: int) -> None:
        """Nothing is nested deeper than the limit."""
        if depth > self._depth_limit:
            raise Unparsable(Fault.TOO_DEEP)

    def parenthesized(self, read: Callable[[], T], *, may_be_empty: bool = False) -> tuple[T, ...]:
        """`"(" item *(SP item) ")"`."""
        self.expect(b"(")
        if may_be_empty and self.skip(b")"):
            return ()
        items = [read()]
        while self.skip(b" "):
            self.count()
            items.append(read())
        self.expect(b")")
        return tuple(items)

    # -- words

    def _match(self, pattern: "re.Pattern[bytes]") -> "re.Match[bytes]":
        match = pattern.match(self.text, self.position)
        if match is None:
            raise Unparsable
        self.position = match.end()
        return match

    def atom(self) -> bytes:
        """`atom = 1*ATOM-CHAR`."""
        return self._match(_ATOM)[0]

    def keyword(self) -> bytes:
        """A word of a closed list, in capitals: letters, digits, `.`, `-`, `_`, `=`, `+`."""
        return self._match(_KEYWORD)[0].upper()

    def choice(self, table: dict[bytes, T]) -> T:
        """A word that must stand in a table."""
        entry = table.get(self.keyword())
        if entry is None:
            raise Unparsable
        return entry

    def astring(self) -> bytes:
        """`astring = 1*ASTRING-CHAR / string`."""
        match = _ASTRING.match(self.text, self.position)
        if match is None:
            return self.string()
        self.position = match.end()
        return match[match.lastindex or 0]

    def string(self) -> bytes:
        """`string = quoted / literal`."""
        if not self.is_at(b'"'):
            return self.literal()
        quoted = self._match(_QUOTED)[1]
        if not quoted.isascii():
            if not self.is_utf8:
                raise Unparsable
            decode_text(quoted)
        return _unescape(quoted) if b"\\" in quoted else quoted

    def literal(self, *, is_binary: bool = False) -> bytes:
        """`literal = "{" number64 ["+"] "}" CRLF *CHAR8`; with `is_binary` also `literal8`, in which NUL may stand (RFC 3516)."""
        match = self._match(_LITERAL)
        end = self.position + int(match[2])
        octets = self.text[self.position : end]
        if end > len(self.text) or (match[1] and not is_binary) or (b"\0" in octets and not match[1]):
            raise Unparsable
        self.position = end
        return octets

    def message_literal(self) -> MessageLiteral:
        """A literal's announcement at the end of the text: its octets do not come here."""
        match = self._match(_LITERAL)
        self.end()
        return MessageLiteral(min(int(match[2]), HUGE), bool(match[1]))

    def nil(self) -> bool:
        """Read `NIL` if it comes next."""
        if self.text[self.position : self.position + 3].upper() != b"NIL":
            return False
        following = self.text[self.position + 3 : self.position + 4]
        if following not in (b"", b" ", b")"):
            return False
        self.position += 3
        return True

    def nstring(self) -> bytes | None:
        """`nstring = string / nil`."""
        return None if self.nil() else self.string()

    def text_string(self) -> str:
        """An astring as text."""
        return decode_text(self.astring())

    def number(self, largest: int = (1 << 32) - 1) -> int:
        """`number = 1*DIGIT`."""
        number = int(self._match(_NUMBER)[0])
        if number > largest:
            raise Unparsable
        return number

    def number64(self) -> int:
        """`number64`: 63 bits."""
        return self.number((1 << 63) - 1)

    def nz_number(self, largest: int = (1 << 32) - 1) -> int:
        """`nz-number = digit-nz *DIGIT`."""
        if self.is_at(b"0"):
            raise Unparsable
        return self.number(largest)

    def sequence_set(self) -> NumSet:
        """`sequence-set`, and `$` (RFC 5182)."""
        return parse_numset(self._match(_SET)[0])

    def known_set(self) -> NumSet:
        """`uid-set` and the like: a set that cannot be `$`."""
        numbers = self.sequence_set()
        if numbers is SAVED:
            raise Unparsable
        return numbers

    # -- names, flags and dates

    def mailbox(self) -> str:
        """`mailbox = "INBOX" / astring`, decoded."""
        return mailboxname.decode(self.astring(), is_utf8=self.is_utf8)

    def list_mailbox(self) -> str:
        """`list-mailbox = 1*list-char / string`, decoded."""
        match = _LIST_MAILBOX.match(self.text, self.position)
        if match is None:
            return mailboxname.decode(self.string(), is_utf8=self.is_utf8)
        self.position = match.end()
        return mailboxname.decode(match[match.lastindex or 0], is_utf8=self.is_utf8)

    def flag(self) -> str:
        r"""`flag = "\Answered" / ... / flag-keyword / flag-extension`."""
        return decode_flag(self._match(_FLAG)[0])

    def flag_keyword(self) -> str:
        """`flag-keyword = "$MDNSent" / ... / atom`."""
        return decode_text(self.atom())

    def flags(self) -> tuple[str, ...]:
        """`[flag *(SP flag)]`."""
        words = self._match(_FLAGS)[0].split()
        self.count(len(words))
        return tuple(map(decode_flag, words))

    def flag_list(self) -> tuple[str, ...]:
        """`flag-list = "(" [flag *(SP flag)] ")"`."""
        self.expect(b"(")
        flags = self.flags()
        self.expect(b")")
        return flags

    def date(self) -> int:
        """`date = date-text / DQUOTE date-text DQUOTE`: days since 1970-01-01."""
        match = self._match(_DATE)
        return _day_number(match[2], match[3], match[4])

    def date_time(self) -> int:
        """`date-time`: seconds since 1970."""
        day, month, year, hours, minutes, seconds, sign, zone_hours, zone_minutes = self._match(_DATE_TIME).groups()
        if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 60:  # RFC 5322 section 3.3: 60 is a leap second
            raise Unparsable
        zone = int(zone_hours) * 3600 + int(zone_minutes) * 60
        at = _day_number(day.strip(), month, year) * _DAY + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
        return at + zone if sign == b"-" else at - zone


def _unescape(quoted: bytes) -> bytes:
    return re.sub(rb'\\(["\\])', rb"\1", quoted)


def format_date(day: int) -> bytes:
    """`date-text` of days since 1970-01-01."""
    there = date(1970, 1, 1) + timedelta(days=day)
    return f"{there.day}-{_MONTHS[there.month - 1]}-{there.year:04}".encode()


def format_date_time(at: int) -> bytes:
    """`date-time` of seconds since 1970, in UTC."""
    days, rest = divmod(at, _DAY)
    there = date(1970, 1, 1) + timedelta(days=days)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f'"{there.day:2}-{_MONTHS[there.month - 1]}-{there.year:04} {clock} +0000"'.encode()


# -- the other way


class Wait(enum.Enum):
    """The type of `WAIT`."""

    WAIT = "WAIT"


WAIT: Final = Wait.WAIT
"""Send what follows when the server's `+` has come; a tagged response instead ends the command."""


@dataclass(frozen=True, slots=True)
class MessageBody:
    """Here go `size` octets of the command's message literal `number`, counted from 0."""

    number: int
    size: int


Piece: TypeAlias = bytes | Literal[Wait.WAIT] | MessageBody


class Literals(enum.Enum):
    """Which literals the server takes without being asked (RFC 7888): none, those of 4096 octets at most, all."""

    SYNCHRONIZING = "SYNCHRONIZING"
    MINUS = "LITERAL-"
    PLUS = "LITERAL+"


_MINUS_LIMIT: Final = 4096
_QUOTED_LIMIT: Final = 1000  # octets: longer strings go as literals, for servers with short lines
_BARE: Final = re.compile(_ASTRING_ATOM)
_QUOTABLE: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
_QUOTABLE_UTF8: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\xff]*")


class Writer:
    """Gathers the pieces of one command. LocalProtocolError for what has no form on the wire."""

    __slots__ = ("_octets", "_pieces", "is_utf8", "literals")

    def __init__(self, literals: Literals = Literals.SYNCHRONIZING, *, is_utf8: bool = False) -> None:
        self.literals = literals
        self.is_utf8 = is_utf8
        self._octets: list[bytes] = []
        self._pieces: list[Piece] = []

    def put(self, *octets: bytes) -> None:
        """Octets as they are."""
        self._octets += octets

    def word(self, word: str) -> None:
        """A keyword or an atom."""
        octets = word.encode("ascii", "replace")
        if not word.isascii() or not _ATOM.fullmatch(octets):
            raise LocalProtocolError("not an atom")
        self._octets.append(octets)

    def listed(self, items: Iterable[T], write: Callable[[T], None]) -> None:
        """`"(" [item *(SP item)] ")"`."""
        self.put(b"(")
        self.spaced(items, write)
        self.put(b")")

    def spaced(self, items: Iterable[T], write: Callable[[T], None]) -> None:
        """`item *(SP item)`."""
        for place, item in enumerate(items):
            if place:
                self.put(b" ")
            write(item)

    def astring(self, octets: bytes) -> None:
        """The shortest form; NIL is quoted, since some servers read it as nothing."""
        if _BARE.fullmatch(octets) and octets.upper() != b"NIL":
            self.put(octets)
        else:
            self.string(octets)

    def text(self, text: str) -> None:
        """An astring in UTF-8."""
        self.astring(text.encode())

    def string(self, octets: bytes) -> None:
        """Quoted where it can be, else a literal."""
        if len(octets) > _QUOTED_LIMIT or not (_QUOTABLE_UTF8 if self.is_utf8 else _QUOTABLE).fullmatch(octets):
            self.literal(octets)
        else:
            self.put(b'"', octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"'), b'"')

    def literal(self, octets: bytes, *, is_binary: bool = False) -> None:
        """`{n}` and the octets, or `~{n}`."""
        if not is_binary and b"\0" in octets:
            raise LocalProtocolError("NUL in a literal")
        self._announce(len(octets), is_binary)
        self.put(octets)

    def message(self, body: MessageBody, *, is_binary: bool = False) -> None:
        """A literal that the client streams."""
        self._announce(body.size, is_binary)
        self._flush()
        self._pieces.append(body)

    def _announce(self, size: int, is_binary: bool) -> None:
        is_free = self.literals is Literals.PLUS or (self.literals is Literals.MINUS and size <= _MINUS_LIMIT)
        self.put(b"~" if is_binary else b"", b"{%d%b}\r\n" % (size, b"+" if is_free else b""))
        if not is_free:
            self._flush()
            self._pieces.append(WAIT)

    def mailbox(self, name: str) -> None:
        """`mailbox`."""
        self.astring(mailboxname.encode(name, is_utf8=self.is_utf8))

    def list_mailbox(self, pattern: str) -> None:
        """`list-mailbox`, always quoted: wildcards are no ASTRING-CHARs."""
        self.string(mailboxname.encode(pattern, is_utf8=self.is_utf8))

    def numbers(self, numbers: NumSet) -> None:
        """`sequence-set`."""
        self.put(format_numset(numbers))

    def flag_list(self, flags: Iterable[str]) -> None:
        """`flag-list`."""
        octets = format_flags(flags)
        if not _FLAGS.fullmatch(octets, 1, len(octets) - 1):
            raise LocalProtocolError("not flags")
        self.put(octets)

    def _flush(self) -> None:
        if self._octets:
            self._pieces.append(b"".join(self._octets))
            self._octets = []

    def finish(self) -> list[Piece]:
        """The pieces, with the CRLF that ends the command."""
        self.put(b"\r\n")
        self._flush()
        return self._pieces
