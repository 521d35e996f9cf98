"""A client's end of a connection: the core's events, awaited one after the other.

What must stay true: with `Security.STARTTLS` nothing but the request for TLS is said in the clear, and a server that cannot or
will not is left (A-04); passwords and mail go in the clear to this machine only.
"""

import asyncio
import enum
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Protocol, TypeVar

from postwren.transport.deadline import Patience, Watch
from postwren.transport.dial import CONNECT_TIMEOUT, dial
from postwren.transport.link import Link, LinkConfig
from postwren.transport.session import SUSPENDED, Handled, LinkControl, TlsInfo
from postwren.transport.tls import ClientTls
from postwren.wire.core import Core

__all__ = ["ConnectionEnded", "Conversation", "Security", "ServerFailed", "TlsRefused"]

_EVENTS_AHEAD: Final = 16  # a reader that is slower than the network holds no more of it than these

CLIENT_PATIENCE: Final = Patience(command=600)  # RFC 5321 section 4.5.3.2.6: ten minutes for the answer to a message


class Security(enum.Enum):
    """How a connection is protected. NONE is for this machine only."""

    IMPLICIT = "implicit"
    STARTTLS = "starttls"
    NONE = "none"


class ServerFailed(Exception):
    """The server refused what must succeed, or left the protocol."""


class TlsRefused(ServerFailed):
    """No TLS where TLS must be; nothing private was said."""


class ConnectionEnded(ConnectionError):
    """The connection is gone; what was not answered may or may not have happened."""


class ClientCore(Core, Protocol):
    """A core in the client's role."""

    def tls_started(self) -> None:
        """TLS is on."""


C = TypeVar("C", bound=ClientCore)


class Conversation(Generic[C]):
    """Implements `transport.session.Session`. Use it as an asynchronous context; leaving it ends the connection."""

    def __init__(self, core: C) -> None:
        self.core = core
        self._events: deque[Any] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._is_suspended = False
        self._is_closed = False
        self._error: BaseException | None = None
        self._link: Link | None = None

    async def connect(
        self, host: str, port: int, security: Security, alpn: bytes | None, trusted: Path | None, *, address: str = ""
    ) -> None:
        """`address`: where to connect to, when somebody has looked up the host already. Raises OSError
        (ssl.SSLCertVerificationError is one) or TlsFault."""
        if security is Security.NONE and host not in ("localhost", "::1") and not host.startswith("127."):
            raise ValueError("without TLS only to this machine")
        tls = None if security is Security.NONE else ClientTls(host, alpn, trusted)
        config = LinkConfig(Watch(), patience=CLIENT_PATIENCE, tls=tls, is_implicit_tls=security is Security.IMPLICIT)
        await self.open(address or host, port, config)

    async def open(
        self,
        host: str,
        port: int,
        config: LinkConfig,
        timeout: float = CONNECT_TIMEOUT,  # noqa: ASYNC109
        source: str | None = None,
    ) -> None:
        """For callers who know by themselves whom they trust and for how long. Raises as `dial` does."""
        self._link = await dial(host, port, self, config, timeout, source)

    @property
    def tls(self) -> TlsInfo | None:
        """None while the connection is in the clear."""
        return None if self._link is None else self._link.tls

    @property
    def is_quiet(self) -> bool:
        """The connection stands, and the server has said nothing that was not heard."""
        return not self._is_closed and not self._events

    async def next_event(self) -> Any:
        """What the server says next. Raises ConnectionEnded."""
        while not self._events:
            if self._is_closed:
                raise ConnectionEnded("the server closed the connection") from self._error
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        event = self._events.popleft()
        if self._is_suspended and not self._events:
            self._is_suspended = False
            assert self._link is not None
            self._link.resume()
        return event

    async def next_event_before(self, stop: asyncio.Event) -> Any:
        """What the server says next, or None once `stop` is set. Raises ConnectionEnded."""
        if not self._events and not self._is_closed and not stop.is_set():
            self._arrived = asyncio.get_running_loop().create_future()
            stopper = asyncio.get_running_loop().create_task(stop.wait())
            either: tuple[asyncio.Future[Any], ...] = (self._arrived, stopper)
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopper.cancel()
        return None if stop.is_set() else await self.next_event()

    def flush(self) -> None:
        """Write what the core was told to send."""
        if self._link is not None:
            self._link.flush()

    async def start_tls(self) -> None:
        """The server agreed: negotiate. Raises ConnectionEnded (from the reason)."""
        assert self._link is not None
        self._link.start_tls()
        self._link.flush()
        event = await self.next_event()
        if not isinstance(event, TlsInfo):
            raise TlsRefused("the server spoke before TLS")

    def start_compression(self, came: bytes) -> None:
        """The server agreed (RFC 4978); `came` is what it sent behind its answer, compressed already."""
        assert self._link is not None
        self._link.start_compression(came)
        self._link.flush()

    async def __aenter__(self) -> "Conversation[C]":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._link is not None:
            self._link.abort()
            while not self._is_closed:
                self._events.clear()
                self._arrived = asyncio.get_running_loop().create_future()
                await self._arrived

    # -- transport.session.Session

    def opened(self, link: LinkControl) -> Handled:  # noqa: ARG002 - `dial` hands the link out
        return None

    def handle(self, event: Any) -> Handled:
        self._events.append(event)
        self._wake()
        if len(self._events) < _EVENTS_AHEAD:
            return None
        self._is_suspended = True
        return SUSPENDED

    def tls_started(self, tls: TlsInfo) -> Handled:
        self.core.tls_started()
        self._events.append(tls)
        self._wake()
        return None

    def timed_out(self) -> None:
        self._error = TimeoutError("the server took too long")

    def server_ends(self) -> None:
        """Only a listener ends its links."""

    def failed(self, error: BaseException) -> None:
        self._error = error

    def closed(self) -> None:
        self._is_closed = True
        self._error = self._error or (None if self._link is None else self._link.fault)
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
