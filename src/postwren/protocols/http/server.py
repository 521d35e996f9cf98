"""The server's side of HTTP/1.1, without I/O: GET and HEAD, nothing with a body (RFC 9110, 9112).

    core.receive_data(data)
    core.next_event()       Requested: answer it with send(Answer(...)), then comes the next; RequestRejected; PeerClosed
    core.data_to_send()

What must stay true (A-79): what is not exactly a request is refused, and the connection ends behind the refusal, so that no two
readers of the same octets can disagree where a request begins: no bare LF, no folded line, no space before a colon, one Host, no
body of any kind. One request at a time; what comes early waits, and no more than one head of it is kept.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting
from postwren.wire.errors import LocalProtocolError

__all__ = ["Answer", "Event", "PeerClosed", "RequestRejected", "Requested", "ServerConnection", "ServerLimits"]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Octets of a request's line and of its whole head, fields, and requests of a connection."""

    line: int = 2048
    head: int = 8192
    fields: int = 64
    requests: int = 100


@dataclass(frozen=True, slots=True)
class Requested:
    """`host` in lower case without a port, "" where an HTTP/1.0 client says none; `path` and `query` as they came, in ASCII."""

    is_head: bool
    host: str
    path: str
    query: str
    fields: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RequestRejected:
    """Answered already; the connection ends."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """Nothing more comes. `is_cut`: in the middle of a request."""

    is_cut: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """`fields` are ours: Content-Length and Connection are added here."""

    status: int
    fields: Sequence[tuple[str, str]] = ()
    body: bytes = field(default=b"", repr=False)


Event: TypeAlias = Requested | RequestRejected | PeerClosed

_PHRASES: Final = {
    200: "OK",
    301: "Moved Permanently",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_KNOWN_METHODS: Final = ("CONNECT", "DELETE", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
_END: Final = b"\r\n\r\n"
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 section 5.6.2
_LINE: Final = re.compile(rf"({_TOKEN}) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD: Final = re.compile(rf"({_TOKEN}):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_TARGET: Final = re.compile(r"(?:https?://([^/?#@]+))?(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)
_HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")


class _Fault(Exception):
    """The request is refused with this status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ServerConnection:
    """See the module."""

    __slots__ = ("_count", "_is_closing", "_is_ended", "_is_told", "_limits", "_out", "_received", "_request", "_scanned")

    def __init__(self, limits: ServerLimits | None = None) -> None:
        self._limits = limits or ServerLimits()
        self._received = bytearray()
        self._scanned = 0  # the end of the head is not before this
        self._out: list[Output] = []
        self._request: Requested | None = None  # not answered yet
        self._count = 0
        self._is_ended = self._is_told = False  # the peer's side, and whether the session knows
        self._is_closing = False  # nothing more is read

    @property
    def waiting_for(self) -> Waiting:
        return Waiting.NOTHING if self._request is not None or self._is_closing else Waiting.COMMAND

    @property
    def is_closing(self) -> bool:
        """The connection ends behind what was sent."""
        return self._is_closing

    def receive_data(self, data: bytes) -> None:
        if not data:
            self._is_ended = True
        elif not self._is_closing:
            self._received += data

    def next_event(self) -> Event | Literal[NeedData.NEED_DATA]:
        if self._request is not None or self._is_told:
            return NEED_DATA
        if not self._is_closing:
            try:
                self._request = self._read()
            except _Fault as fault:
                return self._reject(fault.status, str(fault))
            if self._request is not None:
                return self._request
        if self._is_ended:
            self._is_told = True
            return PeerClosed(bool(self._received))
        return NEED_DATA

    def send(self, item: Answer) -> None:
        """Answers the request that was told last."""
        request = self._request
        if request is None:
            raise LocalProtocolError("nothing was asked")
        if not all(re.fullmatch(_TOKEN, name) and _VALUE.fullmatch(value) for name, value in item.fields):
            raise LocalProtocolError("a field that would break the head")
        self._request = None
        self._write(item, request.is_head)

    def last_word(self, status: int) -> None:
        """A refusal that nothing was asked for, or that takes the place of an answer; the connection ends."""
        self._is_closing = True
        self._request = None
        self._write(Answer(status), is_head=False)

    def data_to_send(self) -> list[Output]:
        out, self._out = self._out, []
        return out

    def tls_started(self) -> None:
        """HTTP has no TLS inside a connection."""
        raise LocalProtocolError("TLS comes before HTTP")

    def _write(self, answer: Answer, is_head: bool) -> None:
        fields = [*answer.fields, ("Content-Length", str(len(answer.body)))]
        if self._is_closing:
            fields.append(("Connection", "close"))
        head = [f"HTTP/1.1 {answer.status} {_PHRASES[answer.status]}", *(f"{name}: {value}" for name, value in fields), "", ""]
        self._out.append("\r\n".join(head).encode("ascii") + (b"" if is_head else answer.body))

    def _reject(self, status: int, reason: str) -> RequestRejected:
        self._received.clear()
        self._is_closing = True
        allow = [("Allow", "GET, HEAD")] if status == 405 else []  # RFC 9110 section 15.5.6
        self._write(Answer(status, allow), is_head=False)
        return RequestRejected(status, reason)

    # -- the head

    def _read(self) -> Requested | None:
        received, limits = self._received, self._limits
        if received[:2] == b"\r\n":  # RFC 9112 section 2.2: one empty line before a request is passed over
            if len(received) > 2 and received[2:3] == b"\r":
                raise _Fault(400, "empty lines")
            start = 2
        else:
            start = 0
        end = received.find(_END, max(start, self._scanned))
        whole = len(received) if end < 0 else end + len(_END)
        if whole - start > limits.head:
            raise _Fault(431, "its head is too long")
        if len(received) - start > limits.line and received.find(b"\r\n", start, start + limits.line) < 0:
            raise _Fault(414, "its first line is too long")
        if end < 0:
            self._scanned = max(start, len(received) - len(_END) + 1)
            return None
        head = received[start:end].decode("latin-1")
        del received[:whole]
        self._scanned = 0
        return self._parse(head)

    def _parse(self, head: str) -> Requested:
        line, *lines = head.split("\r\n")
        found = _LINE.fullmatch(line)
        if found is None:
            raise _Fault(400, "its first line is no request")
        method, target, major, minor = found.groups()
        if major != "1":
            raise _Fault(505, "its version is not 1")
        fields = self._parse_fields(lines)
        host, path, query = _place(target, fields, must_have_host=minor != "0")
        _judge(method, fields)
        self._count += 1
        wishes = {word.strip().lower() for word in fields.get("connection", "").split(",")}
        self._is_closing = minor == "0" or "close" in wishes or self._count >= self._limits.requests
        return Requested(method == "HEAD", host, path, query, fields)

    def _parse_fields(self, lines: Sequence[str]) -> dict[str, str]:
        if len(lines) > self._limits.fields:
            raise _Fault(431, "it has too many fields")
        fields: dict[str, str] = {}
        for line in lines:
            found = _FIELD.fullmatch(line)
            if found is None:  # RFC 9112 section 5: also a folded one, and one with a space before the colon
                raise _Fault(400, "a line is no field")
            name = found[1].lower()
            if name in ("host", "content-length", "transfer-encoding") and name in fields:
                raise _Fault(400, f"{found[1]} stands there twice")
            fields.setdefault(name, found[2].rstrip(" \t"))
        return fields


def _place(target: str, fields: dict[str, str], *, must_have_host: bool) -> tuple[str, str, str]:
    """RFC 9112 sections 3.2 and 3.2.2: the host in a target counts before the field, which must be there all the same."""
    if must_have_host and "host" not in fields:
        raise _Fault(400, "it names no host")
    found = _TARGET.fullmatch(target)
    if found is None or (found[1] is None and found[2] is None):
        raise _Fault(400, "its target is none")
    for name in (fields.get("host", ""), found[1] or ""):
        if name and not _HOST.fullmatch(name):
            raise _Fault(400, "its host is none")
    named = _HOST.fullmatch(found[1] or fields.get("host", ""))
    return "" if named is None else named[1].lower().removesuffix("."), found[2] or "/", found[3] or ""


def _judge(method: str, fields: dict[str, str]) -> None:
    if method not in ("GET", "HEAD"):
        raise _Fault(405 if method in _KNOWN_METHODS else 501, "it is neither GET nor HEAD")
    if "transfer-encoding" in fields or fields.get("content-length", "0") != "0":
        raise _Fault(413, "it has a body")
    if "expect" in fields:
        raise _Fault(417, "it expects something")
