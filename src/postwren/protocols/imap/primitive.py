"""The words of which commands are made (RFC 9051 section 9), read: `Scanner`. `writer` writes them.

A text is what `fragment` joins: lines and literals as they were on the wire. Every word is one match of a pattern at the place
that was reached, so parsing is linear and runs in C; what does not match raises `Unparsable`, which the core answers. Nothing
recurses on input."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeVar

from postwren.protocols.imap import mailboxname
from postwren.protocols.imap.fault import Fault, Unparsable
from postwren.protocols.imap.flag import FLAG, FLAGS, decode_flag
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.numset import SAVED, NumSet, parse_numset

__all__ = ["ASTRING_ATOM", "ATOM", "MONTHS", "TAG", "MessageLiteral", "Scanner", "decode_text"]

T = TypeVar("T")

# RFC 9051 section 9: ATOM-CHAR is any CHAR but ( ) { SP CTL % * " \ ]; ASTRING-CHAR adds ]; list-char adds % and *.
ATOM: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
ASTRING_ATOM: Final = rb'[^\x00-\x20\x7f-\xff(){%*"\\]+'
TAG: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')  # any ASTRING-CHAR except "+"
_PLAIN: Final = rb'"([^"\\\r\n\x00\x80-\xff]*)"'
_ASTRING: Final = re.compile(rb"(%b)|%b" % (ASTRING_ATOM, _PLAIN))
_LIST_MAILBOX: Final = re.compile(rb'([^\x00-\x20\x7f-\xff(){"\\]+)|%b' % _PLAIN)
_QUOTED: Final = re.compile(rb'"([^"\\\r\n\x00]*+(?:\\["\\][^"\\\r\n\x00]*+)*+)"')
_LITERAL: Final = re.compile(rb"(~?)\{([0-9]{1,20})(?:\+)?\}\r\n")
_KEYWORD: Final = re.compile(rb"[A-Za-z0-9.+\-_=]+")
_NUMBER: Final = re.compile(rb"[0-9]{1,20}(?![0-9])")
_SET: Final = re.compile(rb"[0-9:*,]+|\$")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_OBJECT_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,255}(?![A-Za-z0-9_-])")
_MONTH_NUMBERS: Final = {month.lower().encode(): number for number, month in enumerate(MONTHS, 1)}
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

    def is_digit(self) -> bool:
        """Whether a digit comes next."""
        return self.text[self.position : self.position + 1].isdigit()

    def rest(self) -> bytes:
        """All that is left."""
        start, self.position = self.position, len(self.text)
        return self.text[start:]

    def is_ended(self) -> bool:
        """Whether nothing is left."""
        return self.position == len(self.text)

    # -- bounds

    def count(self, items: int = 1) -> None:
        """So many more items were read (the first of a list is free)."""
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

    def match(self, pattern: "re.Pattern[bytes]") -> "re.Match[bytes]":
        """Read what a pattern matches here."""
        match = pattern.match(self.text, self.position)
        if match is None:
            raise Unparsable
        self.position = match.end()
        return match

    def atom(self) -> bytes:
        """`atom = 1*ATOM-CHAR`."""
        return self.match(ATOM)[0]

    def keyword(self) -> bytes:
        """A word of a closed list, in capitals: letters, digits, `.`, `-`, `_`, `=`, `+`."""
        return self.match(_KEYWORD)[0].upper()

    def choice(self, table: dict[bytes, T]) -> T:
        """A word that must stand in a table."""
        entry = table.get(self.keyword())
        if entry is None:
            raise Unparsable
        return entry

    def is_at_word(self, word: bytes) -> bool:
        """Whether this word, in any case, and a space come next."""
        end = self.position + len(word)
        return self.text[self.position : end].upper() == word and self.text[end : end + 1] == b" "

    def skip_word(self, word: bytes) -> bool:
        """Read this word, in any case, if it comes next with a space behind it."""
        is_there = self.is_at_word(word)
        self.position += len(word) if is_there else 0
        return is_there

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
        quoted = self.match(_QUOTED)[1]
        if not quoted.isascii():
            if not self.is_utf8:
                raise Unparsable
            decode_text(quoted)
        return _unescape(quoted) if b"\\" in quoted else quoted

    def literal(self, *, is_binary: bool = False) -> bytes:
        """`literal = "{" number64 ["+"] "}" CRLF *CHAR8`; with `is_binary` also `literal8`, in which NUL may stand (RFC 3516)."""
        match = self.match(_LITERAL)
        end = self.position + int(match[2])
        octets = self.text[self.position : end]
        if end > len(self.text) or (match[1] and not is_binary) or (b"\0" in octets and not match[1]):
            raise Unparsable
        self.position = end
        return octets

    def message_literal(self) -> MessageLiteral:
        """A literal's announcement at the end of the text: its octets do not come here."""
        match = self.match(_LITERAL)
        self.end()
        return MessageLiteral(int(match[2]), bool(match[1]))

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
        number = int(self.match(_NUMBER)[0])
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
        return parse_numset(self.match(_SET)[0])

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
        return decode_flag(self.match(FLAG)[0])

    def flag_keyword(self) -> str:
        """`flag-keyword = "$MDNSent" / ... / atom`."""
        return decode_text(self.atom())

    def object_id(self) -> str:
        """`objectid = 1*255(ALPHA / DIGIT / "_" / "-")` (RFC 8474 section 7)."""
        return self.match(_OBJECT_ID)[0].decode("ascii")

    def flags(self) -> tuple[str, ...]:
        """`[flag *(SP flag)]`."""
        words = self.match(FLAGS)[0].split()
        self.count(len(words))
        return tuple(map(decode_flag, words))

    def bare_flags(self) -> tuple[str, ...]:
        """`flag *(SP flag)`."""
        flags = self.flags()
        if not flags:
            raise Unparsable
        return flags

    def flag_list(self) -> tuple[str, ...]:
        """`flag-list = "(" [flag *(SP flag)] ")"`."""
        self.expect(b"(")
        flags = self.flags()
        self.expect(b")")
        return flags

    def date(self) -> int:
        """`date = date-text / DQUOTE date-text DQUOTE`: days since 1970-01-01."""
        match = self.match(_DATE)
        return _day_number(match[2], match[3], match[4])

    def date_time(self) -> int:
        """`date-time`: seconds since 1970."""
        day, month, year, hours, minutes, seconds, sign, zone_hours, zone_minutes = self.match(_DATE_TIME).groups()
        if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 60:  # RFC 5322 section 3.3: 60 is a leap second
            raise Unparsable
        zone = int(zone_hours) * 3600 + int(zone_minutes) * 60
        at = _day_number(day.strip(), month, year) * _DAY + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
        return at + zone if sign == b"-" else at - zone


def _unescape(quoted: bytes) -> bytes:
    return re.sub(rb'\\(["\\])', rb"\1", quoted)
