"""OK, NO, BAD, BYE, PREAUTH, tagged answers and continuation requests (RFC 9051 sections 7.1 and 7.6)."""

import enum
from binascii import b2a_base64
from dataclasses import dataclass

from postwren.protocols.imap.code import Code, format_code
from postwren.protocols.imap.response.value import format_status_text

__all__ = ["Condition", "Continuation", "Status", "Tagged", "format_condition", "format_continuation", "format_tagged"]


class Status(enum.Enum):
    """resp-cond-state, resp-cond-bye and resp-cond-auth; a tagged answer is one of the first three."""

    OK = "OK"
    NO = "NO"
    BAD = "BAD"
    BYE = "BYE"
    PREAUTH = "PREAUTH"


@dataclass(frozen=True, slots=True)
class Tagged:
    """The one answer to a command."""

    tag: str
    status: Status
    text: str
    code: Code | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """An untagged status response: a greeting, information, a warning, a goodbye."""

    status: Status
    text: str
    code: Code | None = None


@dataclass(frozen=True, slots=True)
class Continuation:
    """`+`: go on. With `data` it is a challenge (sent in base64), else a text for people."""

    text: str = ""
    data: bytes | None = None


_SP_STATUS = {status: b" %b " % status.value.encode() for status in Status}


def format_tagged(response: Tagged, is_utf8: bool) -> bytes:
    """response-tagged"""
    return response.tag.encode() + _SP_STATUS[response.status] + _resp_text(response.text, response.code, is_utf8)


def format_condition(response: Condition, is_utf8: bool) -> bytes:
    """resp-cond-state / resp-cond-bye / resp-cond-auth"""
    return b"*" + _SP_STATUS[response.status] + _resp_text(response.text, response.code, is_utf8)


def _resp_text(text: str, code: Code | None, is_utf8: bool) -> bytes:
    """resp-text CRLF; a space stands behind a code even without text (RFC 9051 section 9)"""
    octets = format_status_text(text, is_utf8, has_code=code is not None)
    return octets + b"\r\n" if code is None else b"[%b] %b\r\n" % (format_code(code), octets)


def format_continuation(response: Continuation, is_utf8: bool) -> bytes:
    """continue-req; the space behind "+" stands even before nothing"""
    if response.data is not None:
        return b"+ %b\r\n" % b2a_base64(response.data, newline=False)
    return b"+ %b\r\n" % format_status_text(response.text, is_utf8, has_code=False)
