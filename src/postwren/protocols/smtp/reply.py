"""Replies: code, enhanced code, text (RFC 5321 4.2, RFC 2034, RFC 3463), and the one table of what we say.

The table's texts never contain what the peer sent. `format` refuses a line break inside a line: whatever goes wrong
above, one reply stays one reply (A-22).
"""

import re
from dataclasses import dataclass, field
from typing import Final

from postwren.wire.errors import LocalProtocolError

__all__ = ["CommandFault", "Reply", "ReplyInvalid", "ReplyReader", "challenge"]

_LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\x00\r\n]*))?")
_ENHANCED: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `enhanced` is empty where RFC 2034 section 4 wants none (greeting, hello, 3yz) or the peer gave none."""

    code: int
    enhanced: str
    lines: tuple[str, ...]
    _wire: bytes = field(repr=False, compare=False)

    def __init__(self, code: int, enhanced: str, *lines: str) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "enhanced", enhanced)
        object.__setattr__(self, "lines", lines)
        object.__setattr__(self, "_wire", b"")

    @property
    def is_positive(self) -> bool:
        """2yz or 3yz."""
        return self.code < 400

    def format(self) -> bytes:
        """For the wire, with CRLF."""
        if self._wire:
            return self._wire
        prefix = f"{self.enhanced} " if self.enhanced else ""
        last = len(self.lines) - 1
        text = "".join(f"{self.code}{' ' if number == last else '-'}{prefix}{line}\r\n" for number, line in enumerate(self.lines))
        if text.count("\n") != last + 1 or text.count("\r") != last + 1:
            raise LocalProtocolError("a line break inside a reply")
        object.__setattr__(self, "_wire", text.encode())
        return self._wire


class CommandFault(Exception):
    """The peer's command is at fault; the reply is ready. Never leaves the cores."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


class ReplyInvalid(Exception):
    """What the server said is no reply."""


class ReplyReader:
    """Collects the lines of a reply: RFC 5321 4.2.1, all lines with the same code."""

    __slots__ = ("_code", "_lines", "_lines_limit")

    def __init__(self, lines_limit: int) -> None:
        self._lines_limit = lines_limit
        self._code = b""
        self._lines: list[str] = []

    def line(self, line: bytes) -> Reply | None:
        """Take one line (without its LF); the reply if it was the last. Raises ReplyInvalid."""
        match = _LINE.fullmatch(line.removesuffix(b"\r"))
        if match is None:
            raise ReplyInvalid("not a reply")
        code, sep, text = match.groups()
        if self._lines and code != self._code:
            raise ReplyInvalid("a reply of several codes")
        if len(self._lines) == self._lines_limit:
            raise ReplyInvalid("too many lines")
        self._code = code
        self._lines.append((text or b"").decode("utf-8", "replace"))
        if sep == b"-":
            return None
        lines, self._lines = self._lines, []
        return _reply(int(code), lines)


def _reply(code: int, lines: list[str]) -> Reply:
    found = _ENHANCED.match(lines[0])
    if found is None or int(found[1][0]) != code // 100:
        return Reply(code, "", *lines)
    enhanced = found[1]
    return Reply(code, enhanced, *(line.removeprefix(enhanced).removeprefix(" ") for line in lines))


def challenge(text: str) -> Reply:
    """RFC 4954 section 4: `text` is in base64."""
    return Reply(334, "", text)


# -- RFC 5321 4.2.2, 4.2.3; enhanced codes of RFC 3463 and those that the lines name
OK: Final = Reply(250, "2.0.0", "OK")
SENDER_OK: Final = Reply(250, "2.1.0", "Sender OK")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient OK")
CHUNK_OK: Final = Reply(250, "2.0.0", "Chunk received, not yet accepted")  # RFC 3030 2
START_DATA: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "Ready to start TLS")  # RFC 3207 4
BYE: Final = Reply(221, "2.0.0", "Bye")
HELP: Final = Reply(214, "2.0.0", "RFC 5321")
CANNOT_VERIFY: Final = Reply(252, "2.5.0", "Send some mail and see")  # RFC 5321 3.5.3, 7.3: tells nothing
AUTHENTICATED: Final = Reply(235, "2.7.0", "Authentication succeeded")  # RFC 4954 6

# -- syntax and sequence
UNKNOWN_COMMAND: Final = Reply(500, "5.5.1", "Command not recognized")
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "Line too long")  # RFC 5321 4.5.3.1.4
AUTH_LINE_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")  # RFC 4954 6
LINE_INVALID: Final = Reply(500, "5.5.2", "Lines end with CRLF and hold no control characters")
NOT_UTF8: Final = Reply(500, "5.5.2", "Not UTF-8")
SYNTAX: Final = Reply(501, "5.5.4", "Syntax error in parameters")
SENDER_SYNTAX: Final = Reply(501, "5.1.7", "Bad sender address syntax")  # RFC 3463 3.2
RECIPIENT_SYNTAX: Final = Reply(501, "5.1.3", "Bad recipient address syntax")  # RFC 3463 3.2
NEEDS_SMTPUTF8: Final = Reply(553, "5.6.7", "Address needs SMTPUTF8")  # RFC 6531 3.5
UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognized or not offered")  # RFC 5321 4.1.1.11
NOT_OFFERED: Final = Reply(502, "5.5.1", "Command not offered")
NO_EXPN: Final = Reply(502, "5.5.1", "Lists are not shown here")
BAD_SEQUENCE: Final = Reply(503, "5.5.1", "Bad sequence of commands")
HELLO_FIRST: Final = Reply(503, "5.5.1", "Say hello first")
NO_RECIPIENTS: Final = Reply(503, "5.5.1", "No valid recipients")  # D-21, RFC 2033 4.2
CHUNK_SYNTAX: Final = Reply(501, "5.5.4", "Chunk size not understood")
URL_SYNTAX: Final = Reply(501, "5.5.4", "URL not understood")  # RFC 4468 3.5
URL_UNRESOLVED: Final = Reply(554, "5.6.6", "The URL leads to no octets")  # RFC 4468 3.2 and 5
HOLD_SYNTAX: Final = Reply(501, "5.5.4", "Release time not understood")  # RFC 4865 3
HOLD_TOO_LONG: Final = Reply(501, "5.5.4", "Release time is further away than this server holds mail")  # RFC 4865 4
BINARY_NEEDS_CHUNKS: Final = Reply(503, "5.5.1", "BINARYMIME goes by BDAT")  # RFC 3030 3
PIPELINED: Final = Reply(503, "5.5.0", "Commands came that had to wait for the answer before them")  # RFC 2920 3.1
TLS_PIPELINED: Final = Reply(501, "5.5.1", "Nothing may follow STARTTLS before TLS is on")
NOT_SMTP: Final = Reply(421, "4.7.0", "This is a mail server")

# -- message and limits
BARE_LINE_END: Final = Reply(
    550, "5.6.11", "The message has a bare CR, a bare LF or a NUL; lines end with CRLF"
)  # RFC 5321 2.3.8, A-20
MESSAGE_TOO_BIG: Final = Reply(552, "5.3.4", "Message is too big")  # RFC 1870 6
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients")  # RFC 5321 4.5.3.1.10
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors")

# -- RFC 4954 4 and 6
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_ENCODING: Final = Reply(501, "5.5.2", "Cannot decode base64")
