"""The link: one socket drives one core for one session, with TLS inside. The only pump there is (house rule 4).

    socket -> [TlsChannel] -> held -> [Compression] -> core -> session.handle
    socket <- [TlsChannel] <- outflow <- core.data_to_send

What must stay true:
- The core is fed only when it has said NEED_DATA; what comes before is held here, and past `HELD_CAP` the socket is not read.
- No event is handed out while the session waits, while TLS is negotiated, or while the peer does not read what it was sent: so
  what one connection may cost is bounded by one read and the answer to one event.
- All answers of one pump leave in one write. Bodies are pulled piece by piece; what follows them waits.
- `session.closed()` is called exactly once for a session that was made, on every path.
- A socket with unread octets is not just closed: that resets the connection, and the reset can overtake our last word. We close
  our side only, tell the session that it is over, and lose what still comes until the peer hangs up, or a moment has passed.
- An idle link holds no buffers: `_held` is None, the outflow empty.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, cast

from postwren.transport.compression import Compression, InflationFault
from postwren.transport.deadline import Pace, Patience, Watch
from postwren.transport.kernel import acknowledge
from postwren.transport.limit import Admission
from postwren.transport.outflow import BodyFailed, Outflow
from postwren.transport.peer import peer_of
from postwren.transport.session import SUSPENDED, Handled, Peer, Session, TlsInfo
from postwren.transport.stats import LinkStats
from postwren.transport.tls import TlsChannel, TlsFault, TlsSide
from postwren.transport.vigil import Vigil
from postwren.wire.core import NEED_DATA, Core, Waiting

__all__ = ["HELD_CAP", "HIGH_WATER", "LINGER", "LINGER_OCTETS", "Link", "LinkConfig", "LinkStats"]

log = logging.getLogger(__name__)

HELD_CAP: Final = 65536
HIGH_WATER: Final = 131072
EVENTS_AT_ONCE: Final = 1024  # then other links get their turn
LINGER: Final = 3.0
"""Seconds that a peer has to hang up after our last word, and the octets it may still send."""
LINGER_OCTETS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """What all links of one listener (or one call) share. `refusal` is the line for a peer over a cap, in the clear only."""

    watch: Watch
    stats: LinkStats = field(default_factory=LinkStats)
    patience: Patience = field(default_factory=Patience)
    tls: TlsSide | None = None
    is_implicit_tls: bool = False
    admission: Admission | None = None
    refusal: bytes = b""
    vigil: Vigil | None = None
    begun: "Callable[[Link], None] | None" = None  # called for every link that was admitted
    lost: "Callable[[Link], None] | None" = None  # and once at its end


class Link(asyncio.Protocol):
    """Implements `session.LinkControl`. `factory` is called when the connection stands: after implicit TLS, never for a peer
    that fails it."""

    __slots__ = (
        "_account",
        "_channel",
        "_config",
        "_eof",
        "_events",
        "_factory",
        "_held",
        "_held_size",
        "_is_ending",
        "_is_hungry",
        "_is_lost",
        "_is_pumping",
        "_is_reading",
        "_is_yielding",
        "_lingers_since",
        "_loop",
        "_octets",
        "_outflow",
        "_pace",
        "_peer",
        "_session",
        "_task",
        "_transport",
        "_waits",
        "_wants_close",
        "_wants_compression",
        "_wants_tls",
        "fault",
        "ready",
    )

    def __init__(
        self,
        config: LinkConfig,
        factory: Callable[[], Session],
        loop: asyncio.AbstractEventLoop,
        ready: "asyncio.Future[None] | None" = None,
    ) -> None:
        self._config = config
        self._factory = factory
        self._loop = loop
        self.ready = ready
        self.fault: Exception | None = None  # why the connection ended, where that was not the session's wish
        self._session: Session | None = None
        self._channel: TlsChannel | None = None
        self._account: int | None = None
        self._held: list[bytes] | None = None
        self._held_size = 0
        self._task: asyncio.Task[None] | None = None
        self._events = self._octets = 0
        self._eof: bool | None = False  # True: came, None: the core was told
        self._lingers_since: float | None = None  # our last word is said
        self._is_hungry = False  # the core said NEED_DATA and was fed nothing since
        self._is_reading = True
        self._is_lost = True  # there is no connection (yet, or any more)
        self._is_pumping = self._is_yielding = self._is_ending = False
        self._waits = self._wants_close = self._wants_tls = self._wants_compression = False

    # -- what a session may ask (LinkControl)

    @property
    def peer(self) -> Peer:
        return self._peer

    @property
    def tls(self) -> TlsInfo | None:
        return None if self._channel is None else self._channel.info

    @property
    def can_start_tls(self) -> bool:
        return self._config.tls is not None and self._channel is None

    @property
    def has_heard(self) -> bool:
        return self._held is not None

    def start_tls(self) -> None:
        self._wants_tls = True

    def start_compression(self, came: bytes = b"") -> None:
        self._wants_compression = True
        self._held, self._held_size = [came, *(self._held or ())], self._held_size + len(came)

    def resume(self) -> None:
        if self._is_lost:
            return
        if not self._waits or self._task is not None:
            raise RuntimeError("resume() of a session that does not wait")
        self._wait_is_over()
        self._pump()

    def close(self) -> None:
        self._wants_close = True

    def abort(self) -> None:
        self._wants_close = True
        if not self._is_lost:
            self._config.watch.discard(self)
            self._transport.abort()

    def authenticated(self, account: int) -> bool:
        admission = self._config.admission
        if admission is not None and not admission.authenticate(self._peer.address, account, self._account):
            return False
        self._account = account
        return True

    # -- what a caller or a listener may ask

    def flush(self) -> None:
        """Write what was queued outside of a handler: a client's command."""
        self._is_hungry = False  # what was sent may have given the core something to tell
        self._pump()

    def end(self) -> None:
        """The server ends: finish the command or message that is under way, then close."""
        self._is_ending = True
        if self._lingers_since is not None:
            return
        if self._session is None:
            self.abort()
        else:
            self._pump()

    # -- what the event loop tells (asyncio.Protocol)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self._outflow = Outflow(transport)
        self._peer = peer_of(transport)
        config = self._config
        if config.admission is not None and config.admission.admit(self._peer.address) is not None:
            self._refuse()
            return
        self._is_lost = False
        config.stats.opened += 1
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._pace = Pace(config.watch.clock(), Waiting.HANDSHAKE)
        config.watch.add(self)
        if config.begun is not None:
            config.begun(self)
        if config.is_implicit_tls:
            self._negotiate()
        else:
            self._open()

    def _refuse(self) -> None:
        """Over a cap: one line, no session, and `_is_lost` keeps everything else from happening."""
        self._config.stats.refused += 1
        if self._config.refusal and not self._config.is_implicit_tls:
            self._transport.write(self._config.refusal)
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        if self._wants_close or self._is_lost:
            if self._lingers_since is not None and self._octets > LINGER_OCTETS:
                self._transport.abort()
            return
        if self._channel is not None:
            data = self._decrypt(self._channel, data)
        if data:
            if self._held is None:
                self._held = []
            self._held.append(data)
            self._held_size += len(data)
        if self._session is not None:
            vigil = self._config.vigil
            if vigil is not None:
                vigil.heard()
            written = self._outflow.written
            self._pump()
            if self._is_hungry and self._outflow.written == written and not self._waits:
                acknowledge(self._transport)

    def eof_received(self) -> bool:
        if self._eof is False:
            self._eof = True
        if self._session is None or self._is_negotiating():
            return False  # nobody is owed anything: the transport closes
        self._pump()
        return True

    def pause_writing(self) -> None:
        self._outflow.is_full = True

    def resume_writing(self) -> None:
        self._outflow.is_full = False
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_lost:  # refused, or told already
            return
        self._is_lost = True
        if self._waits and self._task is None:  # nobody resumes it any more
            self._wait_is_over()
        config = self._config
        config.watch.discard(self)
        config.stats.closed += 1
        if config.admission is not None:
            config.admission.release(self._peer.address, self._account)
        if self._is_negotiating() and self.fault is None:
            config.stats.handshakes_failed += 1
        self.fault = self.fault or exc
        self._held = self._channel = None
        self._outflow.drop()
        self._tell_ready()
        self._end_session()
        if config.lost is not None:
            config.lost(self)

    # -- TLS

    def _is_negotiating(self) -> bool:
        return self._channel is not None and self._channel.info is None

    def _negotiate(self) -> None:
        assert self._config.tls is not None
        self._wants_tls = False
        self._channel = self._outflow.channel = self._config.tls.channel()
        self._outflow.write_octets(self._channel.to_send())

    def _decrypt(self, channel: TlsChannel, data: bytes) -> bytes:
        was_negotiating = channel.info is None
        try:
            plain = channel.receive(data)
        except TlsFault as fault:
            self._tls_failed(channel, fault)
            return b""
        self._outflow.write_octets(channel.to_send())
        if channel.is_ended and self._eof is False:
            self._eof = True
        if was_negotiating and channel.info is not None:
            if self._session is None:
                self._open()
            else:
                self._is_hungry = False
                self._call(self._session.tls_started, channel.info)
        return plain

    def _tls_failed(self, channel: TlsChannel, fault: TlsFault) -> None:
        log.info("%s: TLS failed: %s", self._peer.address, fault)
        self.fault = fault.__cause__ if isinstance(fault.__cause__, Exception) else fault
        if channel.info is None:
            self._config.stats.handshakes_failed += 1
        self._outflow.write_octets(channel.to_send())
        self._outflow.drop()
        self._wants_close = True
        self._transport.close()

    def _start_tls(self, core: Core) -> None:
        """What the session queued before `start_tls` still goes in the clear."""
        self._collect(core)
        if self._outflow.later is None:
            self._write_now()
            self._negotiate()

    # -- the session

    def _open(self) -> None:
        try:
            self._session = self._factory()
        except Exception as error:
            self._count_bug(error)
            self.abort()
            return
        self._call(self._session.opened, self)
        self._tell_ready()
        self._pump()

    def _tell_ready(self) -> None:
        if self.ready is not None and not self.ready.done():
            if self._is_lost:
                self.ready.set_exception(self.fault or ConnectionResetError("the peer closed the connection"))
            else:
                self.ready.set_result(None)

    def _call(self, handler: Callable[[Any], Handled], argument: object) -> None:
        """Run a handler; what comes out of it is a bug of ours."""
        try:
            handled = handler(argument)
        except Exception as error:
            self._fail(error)
        else:
            if handled is not None:
                self._wait_for(handled)

    def _wait_for(self, handled: Any) -> None:
        self._waits = True
        if self._config.vigil is not None:
            self._config.vigil.waiting += 1
        if handled is not SUSPENDED:
            self._task = self._loop.create_task(self._run(handled))

    def _wait_is_over(self) -> None:
        self._waits = False
        if self._config.vigil is not None:
            self._config.vigil.waiting -= 1

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._fail(error)
        self._task = None
        self._wait_is_over()
        self._pump()

    def _fail(self, error: Exception) -> None:
        self._count_bug(error)
        self._wants_close = True
        if self._session is not None and not self._is_lost:
            try:
                self._session.failed(error)
            except Exception as worse:
                self._count_bug(worse)

    def _count_bug(self, error: Exception) -> None:
        self._config.stats.bugs += 1
        log.error("a bug behind the connection of %s", self._peer.address, exc_info=error)

    # -- the pump

    def _pump(self) -> None:
        """Hand out what the core has to tell, write what it wants sent, and do what was asked for."""
        if self._is_pumping or self._is_lost or self._session is None:
            return
        self._is_pumping = True
        try:
            if self._outflow.later is not None and not self._outflow.is_full:
                self._pull()
            session, core = self._session, self._session.core
            try:
                self._hand_out(session, core)
            except (BodyFailed, TlsFault) as fault:
                self._cannot_go_on(fault)
            except Exception as error:
                self._fail(error)
            self._collect(core)
            if not self._outflow.is_full:
                self._write_now()
            self._settle(session)
        finally:
            self._is_pumping = False
        if self._config.vigil is not None:
            self._config.vigil.answered()

    def _hand_out(self, session: Session, core: Core) -> None:
        """The loop of every connection: each line here is paid for by every command."""
        if self._is_negotiating():
            return
        left = EVENTS_AT_ONCE
        outflow = self._outflow
        while not (self._waits or self._wants_close or outflow.is_full or outflow.later is not None):
            if not left:
                self._yield()
                return
            event = NEED_DATA if self._is_hungry else core.next_event()
            if event is NEED_DATA:
                if self._wants_compression:  # what was said so far goes as it is
                    self._wants_compression = False
                    self._write_now()
                    outflow.compression = Compression()
                if (self._held is not None or self._eof is True or outflow.compression is not None) and self._feed(core):
                    continue
                self._is_hungry = True
                if self._wants_tls:
                    # Only now: whatever came in the clear behind STARTTLS was the core's to judge, and it had its say.
                    self._start_tls(core)
                return
            left -= 1
            self._events += 1
            handled = session.handle(event)
            if handled is not None:
                self._wait_for(handled)
            outputs = core.data_to_send()
            if outputs:
                outflow.collect(outputs)

    def _feed(self, core: Core) -> bool:
        """Give the core what is held, or the end of the stream; False when there is neither."""
        self._is_hungry = False
        compression = self._outflow.compression
        if compression is not None:
            if self._inflate(core, compression):
                return True
        elif self._held is not None:
            held, self._held, self._held_size = self._held, None, 0
            core.receive_data(held[0] if len(held) == 1 else b"".join(held))
            return True
        if self._eof is True:
            self._eof = None
            core.receive_data(b"")
            return True
        return False

    def _inflate(self, core: Core, compression: Compression) -> bool:
        """Give the core one piece of what is held; False when there is nothing in it."""
        try:
            octets = compression.next_octets(b"".join(self._held or ()))
        except InflationFault as fault:
            self._cannot_go_on(fault)
            return False
        self._held, self._held_size = None, compression.waiting
        if octets:
            core.receive_data(octets)
        return bool(octets)

    def _yield(self) -> None:
        """Let other links have their turn."""
        if not self._is_yielding:
            self._is_yielding = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_yielding = False
        self._pump()

    def _settle(self, session: Session) -> None:
        """The end of every pump: close where that is due, and read only as much as we can use."""
        outflow = self._outflow
        if outflow.later is not None and not outflow.is_full:
            self._yield()
        is_quiet = not (self._waits or outflow.is_full or outflow.later is not None or self._is_negotiating())
        if is_quiet and self._is_hungry and not self._wants_close:
            if self._eof is None:
                self._wants_close = True
            elif self._is_ending and session.core.waiting_for in (Waiting.COMMAND, Waiting.LOGIN):
                self._say_last_word(session, session.server_ends)
        if self._wants_close:
            if not self._waits and outflow.later is None:
                self._finish()
        elif (self._held_size <= HELD_CAP) is not self._is_reading:
            self._is_reading = not self._is_reading
            (self._transport.resume_reading if self._is_reading else self._transport.pause_reading)()

    def _say_last_word(self, session: Session, say: Callable[[], None]) -> None:
        self._wants_close = True
        try:
            say()
        except Exception as error:
            self._count_bug(error)
        self._collect(session.core)

    def _finish(self) -> None:
        if self._transport.is_closing():
            return
        self._write_now()
        if self._channel is not None:
            self._outflow.write_octets(self._channel.end())
        if self._eof is False:
            self._linger()
        else:
            self._transport.close()

    def _linger(self) -> None:
        self._lingers_since = self._config.watch.clock()
        self._octets = 0
        self._held = None
        self._outflow.drop()
        self._end_session()
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()
        try:
            self._transport.write_eof()
        except OSError:  # the peer has reset the connection
            self._transport.close()

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                session.closed()
            except Exception as error:
                self._count_bug(error)

    # -- writing

    def _collect(self, core: Core) -> None:
        outputs = core.data_to_send()
        if outputs and not self._is_lost:
            try:
                self._outflow.collect(outputs)
            except (BodyFailed, TlsFault) as fault:
                self._cannot_go_on(fault)

    def _pull(self) -> None:
        try:
            self._outflow.pull()
        except (BodyFailed, TlsFault) as fault:
            self._cannot_go_on(fault)

    def _write_now(self) -> None:
        try:
            self._outflow.flush()
        except TlsFault as fault:
            self._cannot_go_on(fault)

    def _cannot_go_on(self, fault: BodyFailed | TlsFault | InflationFault) -> None:
        """Above all, a message that could not be read to its end: the peer must not take what it has for the whole."""
        if isinstance(fault, BodyFailed):
            self._config.stats.bodies_failed += 1
            log.error("%s: a message could not be read while it was sent", self._peer.address, exc_info=fault.__cause__)
        self.fault = fault
        self._outflow.drop()
        self.abort()

    # -- deadlines

    def judge(self, now: float, elapsed: float) -> None:
        """Called by the watch once a second."""
        patience, pace, session = self._config.patience, self._pace, self._session
        lingers_since = self._lingers_since
        if lingers_since is not None and self._transport.get_write_buffer_size() == 0:
            if now - lingers_since > LINGER:
                self._transport.close()
        elif lingers_since is None and (session is None or self._is_negotiating()):
            if pace.is_overdue(patience, now, Waiting.HANDSHAKE, 0, 0):
                self._config.stats.timed_out += 1
                self.fault = TimeoutError("the peer did not finish the TLS handshake")
                self.abort()
        elif session is None or self._outflow.is_full or self._outflow.later is not None or self._transport.is_closing():
            if pace.is_reader_too_slow(patience, now, self._outflow.taken()):
                self._config.stats.slow_readers += 1
                self.fault = TimeoutError("the peer does not read")
                self.abort()
        elif self._waits:
            pace.pardon(elapsed)
        elif pace.is_overdue(patience, now, session.core.waiting_for, self._events, self._octets):
            self._config.stats.timed_out += 1
            self.fault = TimeoutError("the peer owed something for too long")
            self._say_last_word(session, session.timed_out)
            self._pump()
