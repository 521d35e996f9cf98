"""Replies: status lines with response codes, challenges, and the lines of STAT, LIST and UIDL; both ways.

RFC 1939 sections 3, 5 and 7; RFC 2449 section 8 (response codes); RFC 3206 (SYS/TEMP, SYS/PERM, AUTH); RFC 5034
section 4 (challenges). Reading is generous where servers differ and yet strict in what it lets through: a number is
never negative, a unique-id is never empty.
"""

from dataclasses import dataclass
from typing import Final

from postwren.protocols.pop3.command import decode_base64, encode_base64
from postwren.wire.errors import LocalProtocolError

__all__ = [
    "TERMINATOR",
    "Challenge",
    "Reply",
    "err",
    "format_challenge",
    "format_reply",
    "ok",
    "parse_challenge",
    "parse_numbers",
    "parse_reply",
    "parse_uidl_line",
]

TERMINATOR: Final = b".\r\n"
LONGEST_STATUS: Final = 512  # octets with CRLF, of what we send (RFC 2449 section 4)
LARGEST_NUMBER_DIGITS: Final = 18  # what a server may claim as a number or size


@dataclass(frozen=True, slots=True)
class Reply:
    """A status line: `+OK` or `-ERR`, a response code such as `IN-USE` or `SYS/TEMP`, text for people."""

    is_ok: bool
    text: str = ""
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """A line `+ base64` of the server in an AUTH exchange; None is one that could not be read."""

    data: bytes | None


def ok(text: str = "", code: str | None = None) -> Reply:
    """A positive reply."""
    return Reply(True, text, code)


def err(text: str, code: str | None = None) -> Reply:
    """A negative reply."""
    return Reply(False, text, code)


def format_reply(reply: Reply) -> bytes:
    """The line with its CRLF. A text in brackets would be taken for a code (RFC 2449 section 6.4)."""
    line = "+OK" if reply.is_ok else "-ERR"
    if reply.code is not None:
        line += f" [{reply.code}]"
    if reply.text:
        line += " " + reply.text
    octets = line.encode() + b"\r\n"
    if (reply.code is None and reply.text.startswith("[")) or octets.count(b"\n") > 1 or octets.count(b"\r") > 1:
        raise LocalProtocolError("the text of a reply is one line without brackets")
    if len(octets) > LONGEST_STATUS:
        raise LocalProtocolError("a status line has at most 512 octets")
    return octets


def parse_reply(line: bytes) -> Reply | None:
    """A status line without its LF; None where it is none. Octets that are not UTF-8 are replaced: it is for people."""
    line = line.rstrip(b"\r")
    status, _, rest = line.partition(b" ")
    status = status.upper()
    if status not in (b"+OK", b"-ERR"):
        return None
    text = rest.decode(errors="replace")
    code: str | None = None
    if text.startswith("["):
        inner, bracket, behind = text[1:].partition("]")
        if bracket and inner and inner.isascii() and inner.isprintable() and " " not in inner:
            code, text = inner.upper(), behind.lstrip(" ")
    return Reply(status == b"+OK", text, code)


def format_challenge(data: bytes) -> bytes:
    """`"+" SP [base64]` with CRLF."""
    return b"+ " + encode_base64(data) + b"\r\n"


def parse_challenge(line: bytes) -> Challenge | None:
    """A challenge, or None where the line is none. A bare `+` is an empty challenge: some servers leave the space out."""
    line = line.rstrip(b"\r")
    if not line.startswith(b"+") or line[1:2] not in (b"", b" "):
        return None
    return Challenge(decode_base64(line[2:].strip(b" ")))


def parse_numbers(text: bytes) -> tuple[int, int] | None:
    """`number SP size`, with anything behind another space: STAT's text, a line of LIST (RFC 1939 section 5)."""
    words = text.split(None, 2)
    if len(words) < 2 or not all(w.isdigit() and len(w) <= LARGEST_NUMBER_DIGITS for w in words[:2]):
        return None
    return int(words[0]), int(words[1])


def parse_uidl_line(text: bytes) -> tuple[int, bytes] | None:
    """`number SP unique-id`. Some servers put spaces or more than 70 octets in; what identifies is kept as it came."""
    number, _, unique_id = text.strip(b" \r").partition(b" ")
    if not number.isdigit() or len(number) > LARGEST_NUMBER_DIGITS or not unique_id:
        return None
    return int(number), unique_id
