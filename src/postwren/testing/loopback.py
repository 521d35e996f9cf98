"""A link in memory: drives a server session without a socket, on the running loop, and collects what it says.

TLS is only played: `start_tls` puts `tls_info` on and tells the session. Octets that arrive before the session has
dealt with STARTTLS are the core's to judge, as on a real link.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from postwren.transport.session import SUSPENDED, Handled, Peer, Session, TlsInfo
from postwren.wire.core import NEED_DATA

__all__ = ["LoopbackLink"]

LOCAL_PEER = Peer("127.0.0.1", 40000)
PLAYED_TLS = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", {"tls-server-end-point": b"\x01" * 32})


class LoopbackLink:
    """Implements `transport.session.LinkControl`. `bugs` collects what `Session.failed` was told of."""

    def __init__(self, session: Session, peer: Peer = LOCAL_PEER, tls: TlsInfo | None = None) -> None:
        self.session = session
        self.sent = b""
        self.is_closed = self.is_compressed = False
        self.bugs: list[BaseException] = []
        self._peer = peer
        self._tls = tls
        self._wants_tls = False
        self._wants_close = False
        self._is_pumping = False
        self._waits = False
        self._free = asyncio.Event()
        self._free.set()
        self._task: asyncio.Task[None] | None = None
        self._begin(session.opened(self))
        self._pump()

    # -- LinkControl

    @property
    def peer(self) -> Peer:
        return self._peer

    @property
    def tls(self) -> TlsInfo | None:
        return self._tls

    @property
    def can_start_tls(self) -> bool:
        return self._tls is None

    @property
    def has_heard(self) -> bool:
        """Never: here the core sees everything at once."""
        return False

    def start_tls(self) -> None:
        self._wants_tls = True

    def start_compression(self, came: bytes = b"") -> None:
        """Played: octets stay as they are."""
        assert not came
        self.is_compressed = True

    def resume(self) -> None:
        assert self._waits, "resume() without a wait"
        self._waits = False
        self._free.set()
        self._pump()

    def flush(self) -> None:
        self._pump()

    def close(self) -> None:
        self._wants_close = True

    def abort(self) -> None:
        self._finish()

    def authenticated(self, account: int) -> bool:
        return True

    # -- the peer's side

    def receive(self, data: bytes) -> None:
        """Octets from the peer; b"" is its end of stream."""
        if not self.is_closed:
            self.session.core.receive_data(data)
            self._pump()

    async def settled(self) -> None:
        """Wait until the session waits for the peer again (or is closed)."""
        while not self._free.is_set():
            await asyncio.wait_for(self._free.wait(), 60)

    def drop(self) -> None:
        """The peer is gone without a word."""
        self._finish()

    def take(self) -> bytes:
        """What the session sent since the last call."""
        sent, self.sent = self.sent, b""
        return sent

    # -- the pump

    def _begin(self, handled: Handled) -> None:
        if handled is SUSPENDED:
            self._waits = True
            self._free.clear()
        elif handled is not None:
            self._waits = True
            self._free.clear()
            self._task = asyncio.get_running_loop().create_task(self._run(handled))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._fail(error)
        if self._waits:
            self.resume()

    def _pump(self) -> None:
        """A body that ends may let the session go on, and one that is written may make it speak."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._hand_out() | self._flush():
                pass
        finally:
            self._is_pumping = False
        if self._wants_close and not self._waits:
            self._finish()

    def _hand_out(self) -> bool:
        """One event; whether there was one. As on a real link, what it has to say is written before the next."""
        if self._waits or self.is_closed or self._wants_close:
            return False
        event = self.session.core.next_event()
        if event is NEED_DATA:
            return False
        try:
            self._begin(self.session.handle(event))
        except Exception as error:
            self._fail(error)
        if self._wants_tls and not self._waits:
            self._start_tls()
        return True

    def _start_tls(self) -> None:
        self._wants_tls = False
        self._flush()
        self._tls = PLAYED_TLS
        self._begin(self.session.tls_started(PLAYED_TLS))

    def _fail(self, error: BaseException) -> None:
        self.bugs.append(error)
        self.session.failed(error)
        self._wants_close = True

    def _flush(self) -> bool:
        outputs = self.session.core.data_to_send()
        for output in outputs:
            octets = output if isinstance(output, bytes) else b"".join(output)
            self.sent += octets
        return bool(outputs)

    def _finish(self) -> None:
        if not self.is_closed:
            self._flush()
            self.is_closed = True
            self.session.closed()
            self._free.set()
