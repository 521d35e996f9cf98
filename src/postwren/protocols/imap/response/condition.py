"""OK, NO, BAD, BYE, PREAUTH, tagged answers and continuation requests (RFC 9051 sections 7.1 and 7.6)."""

import enum
from binascii import Error, a2b_base64, b2a_base64
from dataclasses import dataclass

from postwren.protocols.imap import quirk
from postwren.protocols.imap.code import Code, format_code, parse_code
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Reader
from postwren.protocols.imap.value import format_status_text

__all__ = [
    "Condition",
    "Continuation",
    "Status",
    "Tagged",
    "format_condition",
    "format_continuation",
    "format_tagged",
    "parse_condition",
    "parse_continuation",
    "parse_tagged",
]


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


_STATUSES = {status.value.encode(): status for status in Status}


def parse_tagged(reader: Reader, tag: str) -> Tagged:
    """response-tagged, behind the tag and its space"""
    status = _STATUSES.get(reader.keyword())
    if status not in (Status.OK, Status.NO, Status.BAD):
        raise Unparsable
    code, text = _parse_resp_text(reader)
    return Tagged(tag, status, text, code)


def parse_condition(reader: Reader, status: Status) -> Condition:
    """resp-cond-state / resp-cond-bye / resp-cond-auth, behind the word"""
    code, text = _parse_resp_text(reader)
    return Condition(status, text, code)


def _parse_resp_text(reader: Reader) -> tuple[Code | None, str]:
    """SP resp-text, the rest of the line"""
    if reader.is_ended() and not reader.is_strict:
        return None, ""  # some say "a1 OK" and no more
    reader.space()
    code: Code | None = None
    if reader.skip(b"["):
        code = parse_code(reader)
        reader.expect(b"]")
        if not reader.is_ended():
            reader.space()
    elif not reader.is_strict and (bare := quirk.BARE_CODE.match(reader.text, reader.position)):
        code = parse_code(Reader(bare[0].rstrip() + b"]"))
    text = reader.text[reader.position :].decode("utf-8", "replace")
    reader.position = len(reader.text)
    return code, text


def parse_continuation(octets: bytes) -> Continuation:
    """continue-req, behind "+": a challenge where it can be one, and the text in any case"""
    octets = octets.strip(b" ")
    try:
        data = a2b_base64(octets, strict_mode=True) if octets else b""
    except Error:
        data = None
    return Continuation(octets.decode("utf-8", "replace"), data)
