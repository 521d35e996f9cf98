"""Trace fields: the lines that final delivery puts on top (RFC 5321 4.4), and a watch on the header that comes in.

What the peer claims to be goes into the Received line only in the characters that a domain or an address literal has.
"""

import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from postwren.delivery.envelope import Envelope
from postwren.protocols.smtp.path import format_path
from postwren.terms import Address

__all__ = [
    "HEADER_OCTETS",
    "RECEIVED_FIELDS",
    "HeaderWatch",
    "Origin",
    "date_time",
    "received",
    "return_path",
    "return_path_octets",
]

HEADER_OCTETS: Final = 256 * 1024
RECEIVED_FIELDS: Final = 50  # RFC 5321 6.3 asks for a large threshold; more is a loop

_NOT_DOMAIN: Final = re.compile(r"[^A-Za-z0-9.:\[\]-]")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Origin:
    """How a message came: `hello` is what the peer claims, `peer` its IP address ("" on a Unix socket)."""

    hello: str
    peer: str
    protocol: str  # SMTP, ESMTP or LMTP
    is_tls: bool = False
    is_authenticated: bool = False


def return_path(reverse_path: Address | None) -> bytes:
    """Return-path-line, at final delivery only."""
    return b"Return-Path: " + format_path(reverse_path) + b"\r\n"


def return_path_octets(message: bytes) -> int:
    """How long the Return-Path line is that we put in front of a message: 0 where none is. What leaves begins behind it
    (RFC 5321 section 4.4). The first 512 octets are enough."""
    return message.find(b"\n") + 1 if message.startswith(b"Return-Path: <") else 0


def received(origin: Origin, hostname: str, envelope: Envelope, now: float) -> bytes:
    """Time-stamp-line. `for` only where it tells nobody of another recipient (RFC 5321 7.2)."""
    addresses = [recipient.address for recipient in envelope.recipients] + [there.address for there in envelope.elsewhere]
    addressee = f"\r\n\tfor {format_path(addresses[0]).decode()}" if len(addresses) == 1 else ""
    return f"{_from_by_with(origin, hostname, envelope.is_utf8)}{addressee}; {date_time(int(now))}\r\n".encode()


@lru_cache(maxsize=256)  # the same for all messages of a connection
def _from_by_with(origin: Origin, hostname: str, is_utf8: bool) -> str:
    address = origin.peer.partition("%")[0]  # the scope of a link-local address is ours alone, and no grammar has it
    peer = f" ([{'IPv6:' if ':' in address else ''}{address}])" if address else ""
    hello = _NOT_DOMAIN.sub("_", origin.hello)
    return f"Received: from {hello}{peer}\r\n\tby {hostname} with {with_keyword(origin, is_utf8)}"


def with_keyword(origin: Origin, is_utf8: bool) -> str:
    """RFC 3848, and RFC 6531 4.3 for the UTF8 forms, which are all extended."""
    protocol = origin.protocol
    if is_utf8:
        protocol = "UTF8" + protocol.removeprefix("E")
    elif protocol == "SMTP":
        return protocol  # HELO: no extension can be in use
    return protocol + ("S" if origin.is_tls else "") + ("A" if origin.is_authenticated else "")


@lru_cache(maxsize=4)
def date_time(now: int) -> str:
    """date-time of RFC 5322 3.3, in UTC."""
    t = time.gmtime(now)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} +0000"
    )


class HeaderWatch:
    """Holds a message back until its header ends, at most `HEADER_OCTETS` and a piece: how long that is, how often it was
    received."""

    __slots__ = ("_block", "is_over", "octets", "received_fields")

    def __init__(self) -> None:
        self._block = bytearray()
        self.is_over = False
        self.octets = 0  # the empty line is not counted; above HEADER_OCTETS it is not the whole
        self.received_fields = 0

    def feed(self, data: bytes) -> bytes | None:
        """Take the next octets of the message, while it is not over. All that has come once it is, None before."""
        searched = max(0, len(self._block) - 3)
        block: bytes | bytearray = data
        if self._block:
            self._block += data
            block = self._block
        end = 0 if block[:2] == b"\r\n" else block.find(b"\r\n\r\n", searched) + 2
        if end != 1:
            return self._end(block, end)
        if len(block) > HEADER_OCTETS + 4:
            return self._end(block, len(block))
        if block is data:
            self._block += data
        return None

    def end(self) -> bytes | None:
        """The message is over: all of it, where all of it was header."""
        return None if self.is_over else self._end(self._block, len(self._block))

    def _end(self, come: bytes | bytearray, end: int) -> bytes:
        self.is_over = True
        self._block = bytearray()
        self.octets = end
        if self.octets <= HEADER_OCTETS:
            names = b"\n" + come[:end].lower()
            self.received_fields = names.count(b"\nreceived:") + names.count(b"\nreceived ") + names.count(b"\nreceived\t")
        return bytes(come)
