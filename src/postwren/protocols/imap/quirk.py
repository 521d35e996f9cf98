"""What other servers say that the grammar does not know, by name, with who says it. Our own server says none of it, and a
strict reader (`Reader.is_strict`) takes none of it.

Each tolerance is a pattern or a small function that the parsers of `response/` use when the standard's own form does not match.
None of them looks further than the line it is in, and none of them guesses a number that matters: a UID, a UIDVALIDITY or a
modseq that cannot be read is not read.
"""

import re
from calendar import timegm
from collections.abc import Sequence
from typing import Final

from postwren.protocols.imap import mailboxname
from postwren.protocols.imap.fault import Unparsable

__all__ = [
    "AROUND_ITEM",
    "BARE_CODE",
    "FLAGS",
    "LINE_START",
    "LIST_EXTENDED",
    "LOOSE_NUMBER",
    "QUOTED",
    "SPACES",
    "WORD",
    "flag",
    "is_multipart_without_parts",
    "is_without_envelope",
    "loose_date_time",
    "mailbox_name",
    "match_date_time",
    "number",
    "unescape",
    "unquoted_flags",
    "unquoted_name",
]

SPACES: Final = re.compile(rb"[ \t]*+")
"""More than one space, or none, where the grammar has one: Domino inside of BODYSTRUCTURE; QQ before the last parenthesis; many
behind SEARCH."""

QUOTED: Final = re.compile(rb'"((?:[^"\\\r\n\x00]|\\.|"(?![ )\]>\r\n]|\Z))*+)"', re.DOTALL)
"""Quotation marks inside that are not escaped (NetEase, hMailServer: what a header has is copied as it is). The string ends at
the first one that something can follow. Any character may stand behind a backslash."""

WORD: Final = re.compile(rb'[^ ()"\r\n\x00]+')
"""An atom where a string belongs: encodings, charsets, names without quotes."""

LINE_START: Final = re.compile(rb"\*[ \t]+(?:([0-9]{1,10})[ \t]+)?([A-Za-z][A-Za-z0-9.\-]*)")
"""More than one space in front. XLIST (Gmail and iCloud, before RFC 6154) is LIST with special uses among the attributes."""

FLAGS: Final = re.compile(rb"\(([^()\r\n\x00]*+)\)|NIL(?![^ )])", re.IGNORECASE)
"""Flags that are no atoms (Gmail lists keywords with brackets and spaces as they were stored, InterMail quotes), NIL for none."""

LOOSE_NUMBER: Final = re.compile(rb'"?(-?[0-9]{1,20})"?|NIL', re.IGNORECASE)
"""Sizes and lines: -1 for unknown (Exchange, Yahoo), quoted, NIL."""

BARE_CODE: Final = re.compile(rb"(APPENDUID|COPYUID) ([0-9]+(?: [0-9:,]+){1,2})(?: |\Z)", re.IGNORECASE)
"""APPENDUID and COPYUID that lost their brackets."""

AROUND_ITEM: Final = b"("
"""Parentheses around an item of FETCH (Domino: `(UID 1 (ENVELOPE (...)) FLAGS ())`)."""

_DATE_TIME: Final = re.compile(
    rb'"? ?([0-9]{1,2})[- ]([A-Za-z]{3})[a-z]*[- ]([0-9]{4})[ T]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?'
    rb'(?: *([+-])([0-9]{2}):?([0-9]{2})| *(?:UTC|GMT|Z))?"?'
)
_MONTHS: Final = {month: at for at, month in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}


def loose_date_time(match: "re.Match[bytes] | None") -> int:
    """Seconds since 1970 of `_DATE_TIME`: a day of one digit, no seconds, no zone, a zone with a colon."""
    if match is None:
        raise Unparsable
    day, month, year, hours, minutes, seconds, sign, zone_hours, zone_minutes = match.groups()
    number = _MONTHS.get(month.lower())
    if number is None or not 1 <= int(day) <= 31:
        raise Unparsable
    at = timegm((int(year), number, int(day), int(hours), int(minutes), int(seconds or 0)))
    offset = int(zone_hours or 0) * 3600 + int(zone_minutes or 0) * 60
    return at + offset if sign == b"-" else at - offset


def match_date_time(text: bytes, position: int) -> "re.Match[bytes] | None":
    """For `loose_date_time`."""
    return _DATE_TIME.match(text, position)


def number(octets: bytes | None) -> int:
    """Of `LOOSE_NUMBER`: what is not known is 0."""
    return max(0, int(octets)) if octets else 0


def flag(octets: bytes) -> str:
    """A keyword in 8 bits: UTF-8, or whatever can be read of it."""
    return octets.decode("utf-8", "replace")


def unescape(octets: bytes) -> bytes:
    """Backslashes before anything."""
    return re.sub(rb"\\(.)", rb"\1", octets, flags=re.DOTALL) if b"\\" in octets else octets


def mailbox_name(octets: bytes, is_utf8: bool) -> str:
    """A name that is no modified UTF-7 in its one form: raw UTF-8 (many, before RFC 6855), Latin-1, or modified UTF-7 written
    loosely. It cannot be told from this name how to say it to the server again; where that matters the server lists it with
    `encode(name)` failing."""
    try:
        return mailboxname.decode(octets, is_utf8=is_utf8)
    except Unparsable:
        pass
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def unquoted_flags(words: list[bytes]) -> list[bytes]:
    """InterMail: FLAGS ("\\\\Deleted" \\Seen)."""
    return [unescape(word[1:-1]) if word[:1] == word[-1:] == b'"' and len(word) > 2 else word for word in words]


LIST_EXTENDED: Final = re.compile(rb' \("?[A-Za-z][A-Za-z.-]*"? \(')
"""What can follow a mailbox name in LIST; another parenthesis belongs to the name."""


def unquoted_name(text: bytes, start: int) -> bytes:
    """A mailbox name with spaces or brackets in it that is not quoted (Exchange, where a name holds tabs): the rest of the
    line."""
    return text[start:]


def is_multipart_without_parts(body: Sequence[object]) -> bool:
    """An empty multipart, which the grammar has no form for: `("ALTERNATIVE" ...)` of Gmail, `(NIL "MIXED" ...)` of others,
    `()` of Domino."""
    return len(body) < 7 and (len(body) < 2 or body[0] is None or isinstance(body[1], list))


def is_without_envelope(following: object) -> bool:
    """message/rfc822 with the fields of a plain part only: Gmail does so for encoded messages, and some servers for those they
    cannot parse. `following`: what stands where the envelope belongs."""
    return not isinstance(following, list)
