"""The client's side of one HTTP exchange, without I/O.

    core.send(Get("autoconfig.example.org", "/mail/config-v1.1.xml"))       or Post(host, target, kind, body)
    core.data_to_send()
    core.receive_data(data)
    core.next_event()           Responded or ServerFault, once

The request is HTTP/1.0, so that a server must not answer in chunks (RFC 9112 section 6.1) and closes behind its answer. What
must stay true: nothing is kept beyond `Limits`, and an answer that is cut short is a fault.
"""

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting
from postwren.wire.errors import LocalProtocolError

__all__ = ["ClientConnection", "Event", "Get", "Limits", "Post", "Responded", "ServerFault"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets of an answer."""

    head: int = 16 << 10
    body: int = 64 << 10


@dataclass(frozen=True, slots=True)
class Get:
    """`host` as it stands in Host; `target` in origin-form (RFC 9112 section 3.2.1)."""

    host: str
    target: str


@dataclass(frozen=True, slots=True)
class Post:
    """`kind` is the media type of `body`."""

    host: str
    target: str
    kind: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Responded:
    """The whole answer; names of `fields` in lower case, of several alike the first."""

    status: int
    fields: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerFault:
    """No answer that can be used."""

    reason: str


Event: TypeAlias = Responded | ServerFault

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: [^\x00\r\n]*)?")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_LONGEST_END: Final = 4


class ClientConnection:
    """See the module."""

    __slots__ = ("_event", "_head", "_is_done", "_is_ended", "_limits", "_out", "_received", "_scanned", "_sent")

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._out: list[Output] = []
        self._received = bytearray()
        self._scanned = 0  # the end of the head is not before this
        self._head: tuple[int, dict[str, str], int] | None = None
        self._event: Event | None = None
        self._is_ended = self._is_done = self._sent = False

    @property
    def waiting_for(self) -> Waiting:
        return Waiting.COMMAND if self._sent and not self._is_done else Waiting.NOTHING

    def send(self, item: Get | Post) -> None:
        """The one request."""
        if self._sent or not _PRINTABLE.fullmatch(item.host) or not _PRINTABLE.fullmatch(item.target):
            raise LocalProtocolError("one request, of printable ASCII")
        self._sent = True
        method, body = ("POST", item.body) if isinstance(item, Post) else ("GET", b"")
        lines = [f"{method} {item.target} HTTP/1.0", f"Host: {item.host}", "Accept-Encoding: identity", "Connection: close"]
        lines.append("User-Agent: postwren")  # RFC 8555 section 6.1 demands one
        if isinstance(item, Post):
            if not _PRINTABLE.fullmatch(item.kind):
                raise LocalProtocolError("a media type of printable ASCII")
            lines += [f"Content-Type: {item.kind}", f"Content-Length: {len(body)}"]
        self._out.append("\r\n".join([*lines, "", ""]).encode() + body)

    def data_to_send(self) -> list[Output]:
        out, self._out = self._out, []
        return out

    def tls_started(self) -> None:
        """HTTP has no TLS inside a connection."""
        raise LocalProtocolError("TLS comes before HTTP")

    def receive_data(self, data: bytes) -> None:
        if self._is_done:
            return
        self._is_ended = not data
        self._received += data
        self._event = self._judge()
        self._is_done = self._event is not None
        if self._is_done:
            self._received = bytearray()

    def next_event(self) -> Event | Literal[NeedData.NEED_DATA]:
        event, self._event = self._event, None
        return NEED_DATA if event is None else event

    def _judge(self) -> Event | None:
        if not self._sent:
            return ServerFault("an answer that nothing asked for")
        if self._head is None and (fault := self._read_head()) is not None:
            return fault
        return None if self._head is None else self._read_body(*self._head)

    def _read_head(self) -> ServerFault | None:
        end = _HEAD_END.search(self._received, self._scanned)
        if (len(self._received) if end is None else end.end()) > self._limits.head:
            return ServerFault("its head is too long")
        if end is None:
            self._scanned = max(0, len(self._received) - _LONGEST_END)
            return ServerFault("the answer is cut short") if self._is_ended else None
        status_line, *lines = bytes(self._received[: end.start()]).replace(b"\r\n", b"\n").split(b"\n")
        found = _STATUS_LINE.fullmatch(status_line)
        if found is None:
            return ServerFault("it does not speak HTTP")
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.decode("latin-1").partition(":")
            fields.setdefault(name.lower(), value.strip(" \t"))
        if "transfer-encoding" in fields or fields.get("content-encoding", "identity") != "identity":
            return ServerFault("its answer is in an encoding that was not asked for")
        if not re.fullmatch("[0-9]{1,15}", fields.get("content-length", "0")):
            return ServerFault("its Content-Length is no number")
        self._head = int(found[1]), fields, end.end()
        return None

    def _read_body(self, status: int, fields: dict[str, str], start: int) -> Event | None:
        announced = fields.get("content-length")
        wanted = None if announced is None else int(announced)
        there = len(self._received) - start
        if max(wanted or 0, min(there, wanted or there)) > self._limits.body:
            return ServerFault("its answer is too long")
        if wanted is None:
            return Responded(status, fields, bytes(self._received[start:])) if self._is_ended else None
        if there >= wanted:
            return Responded(status, fields, bytes(self._received[start : start + wanted]))
        return ServerFault("the answer is cut short") if self._is_ended else None
