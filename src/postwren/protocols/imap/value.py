"""How values of responses are written (RFC 9051 section 9): strings, mailbox names, flags, numbers, dates.

A string is quoted where it can be, else a literal (literal8 where it holds NUL); nothing in a value can end it early. Octets
above 127 stand in a quoted string only where the mode allows UTF-8 (RFC 6855 section 3, RFC 9051 section 4.3), else in a literal.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, TypeAlias

from postwren.protocols.imap import mailboxname

__all__ = [
    "Ranges",
    "format_astring",
    "format_date_time",
    "format_flags",
    "format_mailbox",
    "format_octets",
    "format_quoted",
    "format_ranges",
    "format_status_text",
    "format_string",
]

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Closed ranges of numbers, in the order they stand in; (7, 2) cannot come from us, and of others it is read as (2, 7)."""

_ATOM: Final = re.compile(rb"[^\x00-\x20\"%()*\\{\x7f-\xff]++")  # ASTRING-CHAR: "]" is allowed
_CLEAN: Final = re.compile(rb"[\t !#-\[\]-~]*+")
_QUOTABLE: Final = re.compile(rb"[\t -~]*+")
_QUOTABLE_UTF8: Final = re.compile(rb"[\t -~\x80-\xff]*+")
_SPECIAL: Final = re.compile(rb"([\"\\])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
LONGEST_STATUS_TEXT: Final = 1000  # octets: RFC 2683 section 3.2.1.5 asks for lines that small servers and clients can hold


def format_octets(value: bytes | None) -> bytes:
    """nstring / literal8, octet for octet."""
    if value is None:
        return b"NIL"
    if _CLEAN.fullmatch(value):
        return b'"%b"' % value
    if _QUOTABLE.fullmatch(value):
        return b'"%b"' % _SPECIAL.sub(rb"\\\1", value)
    return b"%b{%d}\r\n%b" % (b"~" if b"\0" in value else b"", len(value), value)


def format_string(text: str | None, is_utf8: bool) -> bytes:
    """nstring of a text, in UTF-8."""
    if text is None:
        return b"NIL"
    octets = text.encode("utf-8", "replace")
    if is_utf8 and _QUOTABLE_UTF8.fullmatch(octets):
        return b'"%b"' % _SPECIAL.sub(rb"\\\1", octets)
    return format_octets(octets)


def format_quoted(text: str) -> bytes:
    """A string of ASCII where the grammar takes nothing but quoted ones; what cannot stand there becomes "?"."""
    return b'"%b"' % _SPECIAL.sub(rb"\\\1", _CONTROL.sub("?", text).encode("ascii", "replace"))


def format_astring(text: str, is_utf8: bool) -> bytes:
    """astring: bare where that cannot be misread."""
    return _bare(text.encode("ascii", "replace")) if text.isascii() else format_string(text, is_utf8)


def _bare(octets: bytes) -> bytes:
    return octets if _ATOM.fullmatch(octets) and octets.upper() != b"NIL" else format_octets(octets)


def format_mailbox(name: str, is_utf8: bool) -> bytes:
    """mailbox: modified UTF-7, or UTF-8 where the mode allows it."""
    return format_astring(name, True) if is_utf8 else _bare(mailboxname.encode(name, is_utf8=False))


def format_flags(flags: Iterable[str]) -> bytes:
    """flag-list"""
    return b"(%b)" % " ".join(flags).encode("ascii", "replace")


def format_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """sequence-set of numbers"""
    return b",".join([b"%d" % first if first == last else b"%d:%d" % (first, last) for first, last in ranges])


def format_date_time(seconds: int) -> bytes:
    """date-time in UTC; `seconds` since 1970, bounded to years of four digits."""
    at = datetime.fromtimestamp(min(max(seconds, -62_135_596_800), 253_402_300_799), UTC)
    day = at.day, _MONTHS[at.month - 1], at.year, at.hour, at.minute, at.second
    return b'"%2d-%b-%04d %02d:%02d:%02d +0000"' % day


def format_status_text(text: str, is_utf8: bool, *, has_code: bool) -> bytes:
    """text of a status response: one line whatever went into it; a bracket in front would be taken for a code."""
    text = _CONTROL.sub(" ", text)
    if not has_code and text.startswith("["):
        text = "(" + text[1:]
    octets = text.encode("utf-8" if is_utf8 else "ascii", "replace")
    if len(octets) > LONGEST_STATUS_TEXT:
        octets = octets[:LONGEST_STATUS_TEXT].decode("utf-8", "ignore").encode()
    return octets
