"""The first flight of a TLS client, read from our own buffer before OpenSSL sees it: ALPN and SNI (A-06).

Python's ssl module ignores an ALPN offer without our protocol; RFC 7301 section 3.2 and ALPACA ask for a fatal alert. So the link
holds the octets until the ClientHello (RFC 8446 sections 4.1.2 and 5.1) is whole, judges it, and only then makes a TLS object: a
peer that never gets this far costs its buffer alone. Bounded by `LARGEST_HELLO`, linear in any cut, nothing kept per name.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["LARGEST_HELLO", "ClientHello", "HelloReader", "NotTls", "parse_client_hello"]

LARGEST_HELLO: Final = 16384
"""Octets of the handshake message; with post-quantum key shares a ClientHello has about 1,800."""
_LARGEST_RECORD: Final = 16384
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ALPN: Final = 16


class NotTls(Exception):
    """What came is no ClientHello, or one beyond the limits."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What the client asked for. `alpn` is None where it offered none; `server_name` is in lower case."""

    alpn: tuple[bytes, ...] | None
    server_name: str | None


class HelloReader:
    """Collects records until the ClientHello is whole. `octets` is everything that was fed, for the TLS object."""

    __slots__ = ("_at", "_message", "octets")

    def __init__(self) -> None:
        self.octets = bytearray()
        self._at = 0  # where in octets the next record begins
        self._message = bytearray()  # handshake octets without record headers

    def feed(self, data: bytes) -> ClientHello | None:
        """None: not whole yet. Raises NotTls as soon as it cannot become one."""
        self.octets += data
        while (record := self._next_record()) is not None:
            self._message += record
            message = self._message
            if message[0] != _CLIENT_HELLO:
                raise NotTls("not a ClientHello")
            if len(message) < 4:
                continue
            end = 4 + int.from_bytes(message[1:4], "big")
            if end > LARGEST_HELLO:
                raise NotTls("a ClientHello beyond the limit")
            if len(message) >= end:
                return parse_client_hello(bytes(message[4:end]))
        # A record costs a header of 5: octets can pass the message's limit only by being cut finely.
        if len(self.octets) > 6 * LARGEST_HELLO:
            raise NotTls("too many octets before the ClientHello ended")
        return None

    def _next_record(self) -> bytes | None:
        """One record's fragment. The header is judged octet by octet, so that other protocols are seen at once."""
        header = self.octets[self._at : self._at + 5]
        if header and header[0] != _HANDSHAKE:
            raise NotTls("not a TLS handshake")
        if len(header) > 1 and header[1] != 3:
            raise NotTls("not a TLS version")
        if len(header) < 5:
            return None
        length = int.from_bytes(header[3:5], "big")
        if not 0 < length <= _LARGEST_RECORD:
            raise NotTls("a record of impossible length")
        end = self._at + 5 + length
        if len(self.octets) < end:
            return None
        fragment = bytes(self.octets[self._at + 5 : end])
        self._at = end
        return fragment


class _Fields:
    """Length-prefixed vectors (RFC 8446 section 3.4) over one message; raises NotTls when they do not fit."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise NotTls("a field passes the end of its message")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))


def parse_client_hello(body: bytes) -> ClientHello:
    """The body of a ClientHello (RFC 8446 section 4.1.2). Raises NotTls."""
    fields = _Fields(body)
    fields.take(2 + 32)  # legacy_version, random
    fields.vector(1)  # legacy_session_id
    fields.vector(2)  # cipher_suites
    fields.vector(1)  # legacy_compression_methods
    alpn: tuple[bytes, ...] | None = None
    server_name: str | None = None
    extensions = _Fields(fields.vector(2) if fields else b"")
    while extensions:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _ALPN:
            alpn = _protocol_names(content)
        elif kind == _SERVER_NAME:
            server_name = _host_name(content)
    return ClientHello(alpn, server_name)


def _protocol_names(content: bytes) -> tuple[bytes, ...]:
    """ProtocolNameList (RFC 7301 section 3.1)."""
    names = _Fields(_Fields(content).vector(2))
    found = []
    while names:
        found.append(names.vector(1))
    return tuple(found)


def _host_name(content: bytes) -> str | None:
    """The host_name of a ServerNameList (RFC 6066 section 3); other kinds of names do not exist."""
    names = _Fields(_Fields(content).vector(2))
    while names:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return name.decode("ascii", "replace").lower()
    return None
