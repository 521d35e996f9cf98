"""Everything of outbound between the start and the end of a server: the queue's clock, what is written of attempts, the engine.

service = OutboundService(store, make_roads(...), hostname, limits)
accept = service.accept                      what puts a submission into the queue
await service.run()                          until cancelled
await service.close(20)
"""

import asyncio
import contextlib
import logging
import random
import secrets
import time

from postwren.config.schema import Outbound as OutboundConfig
from postwren.delivery.queue import Accept, Concluder, read_clock, save_clock
from postwren.delivery.report import Reporter
from postwren.delivery.retry import QueueClock
from postwren.exchange.limits import OutboundLimits
from postwren.exchange.outbound import Outbound
from postwren.exchange.policy import OPPORTUNISTIC, TlsPolicies
from postwren.exchange.road import Roads
from postwren.exchange.setup import NoResolver, limits_of, make_roads
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Store
from postwren.transport.deadline import Watch
from postwren.transport.resolver import SystemResolver
from postwren.wire.resolver import Resolver, ResolverFailed

__all__ = ["OutboundService", "open_outbound"]

log = logging.getLogger("postwren.outbound")

_KEEP_CLOCK_EVERY = 60.0


class OutboundService:
    """`roads` None: nothing goes out, and what is queued waits (`--dev` without a way out)."""

    def __init__(self, store: Store, roads: Roads | None, hostname: str, limits: OutboundLimits) -> None:
        self._store = store
        self._clock = QueueClock(read_clock(store.reader), time.monotonic(), time.time())
        self.accept = Accept(self.now)
        self.is_open = roads is not None
        self._engine: Outbound | None = None
        if roads is not None:
            reporter = Reporter(hostname, self.now, time.time, lambda: secrets.token_urlsafe(12))
            conclude = Concluder(store, reporter, self.now, time.time, random.random)
            self._engine = Outbound(store, roads, conclude, self.now, random.random, limits=limits)

    def now(self) -> int:
        """Seconds of the queue's clock."""
        return self._clock.now(time.monotonic())

    async def run(self) -> None:
        """Send, and keep the clock."""
        engine = None if self._engine is None else asyncio.get_running_loop().create_task(self._engine.run())
        try:
            while True:
                await self._keep_clock()
                await asyncio.sleep(_KEEP_CLOCK_EVERY)
        finally:
            if engine is not None:
                engine.cancel()

    async def close(self, grace: float) -> None:
        """Finish what is under way within the grace. The store is still open."""
        if self._engine is not None:
            await self._engine.close(grace)
        await self._keep_clock()

    async def _keep_clock(self) -> None:
        with contextlib.suppress(MailstoreError):  # a full volume: it goes on from where it was kept last
            await self._store.perform(save_clock(self._clock, time.monotonic(), time.time()))


def open_outbound(
    config: OutboundConfig,
    hostname: str,
    store: Store,
    watch: Watch,
    resolver: Resolver | None,
    policies: TlsPolicies = OPPORTUNISTIC,
    *,
    is_dev: bool,
) -> OutboundService:
    """As `[outbound]` says; `resolver` None asks the system's. A server for trying out sends nothing to anybody, unless it was
    told where: by a resolver of its own, a smarthost or ports. Raises ConfigError."""
    roads = None
    if not is_dev or resolver is not None or config.smarthost or config.ports:
        roads = make_roads(config, hostname, resolver or _system(), watch, policies, allows_loopback=is_dev)
    return OutboundService(store, roads, hostname, limits_of(config))


def _system() -> Resolver:
    try:
        return SystemResolver()
    except ResolverFailed as error:
        log.warning("mail for elsewhere waits", extra={"fields": {"why": str(error)}})
        return NoResolver()
