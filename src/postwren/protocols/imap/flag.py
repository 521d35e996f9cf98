"""Flags and keywords on the wire (RFC 9051 section 2.3.2): system flags in their one spelling, keywords as they were written."""

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["FLAG", "FLAGS", "RECENT", "decode_flag", "format_flags"]

FLAG: Final = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
FLAGS: Final = re.compile(rb"(?:%b(?: %b)*+)?" % (FLAG.pattern, FLAG.pattern))
"""One flag, and any number of them with one space between."""

RECENT: Final = "\\Recent"
"""Of RFC 3501: only a server sets it, so no store knows it."""
_SPELLING: Final[dict[str, str]] = {
    flag.lower(): flag for flag in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", RECENT)
}


def decode_flag(octets: bytes) -> str:
    """A flag whose syntax was checked; a system flag in the spelling of the standard."""
    flag = octets.decode("ascii")
    return _SPELLING.get(flag.lower(), flag) if flag[0] == "\\" else flag


def format_flags(flags: Iterable[str]) -> bytes:
    """`flag-list = "(" [flag *(SP flag)] ")"`."""
    return f"({' '.join(flags)})".encode("ascii")
