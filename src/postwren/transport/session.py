"""The contract between a link and the session it serves.

The link reads octets into `session.core`, hands the core's events to `session.handle` one after the other, and writes
what the core wants sent, once for all commands of a read. A handler that waits for nothing is a plain function and
returns None. One that must wait returns either `SUSPENDED`, and somebody calls `link.resume()` later on the loop's
thread (no task, no future: the form for hot paths), or a coroutine, which the link runs as a task. While a session
waits, its link hands it no event and reads only up to its buffer's cap.
"""

import enum
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from postwren.wire.core import Core

__all__ = ["SUSPENDED", "Handled", "LinkControl", "Peer", "Session", "Suspended", "TlsInfo"]


class Suspended(enum.Enum):
    """The type of `SUSPENDED`."""

    SUSPENDED = "SUSPENDED"


SUSPENDED: Final = Suspended.SUSPENDED
Handled: TypeAlias = None | Literal[Suspended.SUSPENDED] | Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: an IP address as text, and its port (both empty or 0 on a Unix socket)."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What was negotiated. `bindings` holds channel binding data by type (RFC 5929 `tls-server-end-point`,
    `tls-unique` below TLS 1.3); `client_certificate` is DER, verified, or None."""

    version: str
    cipher: str
    bindings: dict[str, bytes]
    client_certificate: bytes | None = None


class LinkControl(Protocol):
    """What a session may ask of its link. All methods are called on the loop's thread."""

    @property
    def peer(self) -> Peer:
        """The other end."""

    @property
    def tls(self) -> TlsInfo | None:
        """None while the connection is in the clear."""

    @property
    def can_start_tls(self) -> bool:
        """Whether TLS is configured here and not yet on."""

    @property
    def has_heard(self) -> bool:
        """Whether octets came that the core has not seen, because a handler is or was at work."""

    def start_tls(self) -> None:
        """After the handler returned: let the core judge what came in the clear behind the command, write what is pending in
        the clear, then negotiate TLS. Success calls `session.tls_started`, failure ends in `session.closed`."""

    def start_compression(self, came: bytes = b"") -> None:
        """After the handler returned: what was queued before goes as it is, everything behind it is compressed on both ways
        (DEFLATE without a header, RFC 4978). `came`: what the core had already and could not read, being compressed."""

    def resume(self) -> None:
        """End the wait of a handler that returned `SUSPENDED`."""

    def flush(self) -> None:
        """Write what was queued outside of a handler: a last word to a session that gives way, news for one that idles."""

    def close(self) -> None:
        """After the handler returned: write what is pending, then close."""

    def abort(self) -> None:
        """Drop the connection at once; nothing more is written."""

    def authenticated(self, account: int) -> bool:
        """The peer has proven to be this account: it no longer counts among the strangers of its address, but among the
        account's connections from there. False: there are too many of these, refuse the login."""


class Session(Protocol):
    """Behaviour behind one connection."""

    @property
    def core(self) -> Core:
        """The core that the link drives."""

    def opened(self, link: LinkControl) -> Handled:
        """The connection stands (implicit TLS is already on): keep the link, queue a greeting."""

    def handle(self, event: Any) -> Handled:
        """Judge one event of the core."""

    def tls_started(self, tls: TlsInfo) -> Handled:
        """TLS is on after `start_tls`: forget what was learned in the clear (A-02)."""

    def timed_out(self) -> None:
        """The peer owed something for too long: queue a last word if the protocol has one; the link then closes."""

    def server_ends(self) -> None:
        """The server ends and this session is at rest: as `timed_out`."""

    def failed(self, error: BaseException) -> None:
        """A bug of ours came out of `handle`: queue the protocol's word for it; the link counts it, logs it and closes."""

    def closed(self) -> None:
        """The connection is gone, for whatever reason; called exactly once. Release what the session holds."""
