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
from postwren.delivery.queue import Accept, Concluder, Locate, read_clock, save_clock
from postwren.delivery.report import Reporter
from postwren.delivery.retry import QueueClock, Schedule
from postwren.delivery.signing import Signers
from postwren.exchange.home import Home
from postwren.exchange.letter import usual_wish
from postwren.exchange.outbound import Outbound
from postwren.exchange.road import Roads
from postwren.exchange.security import TransportSecurity
from postwren.exchange.setup import NoResolver, make_roads
from postwren.exchange.wish import wish_of
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import resolve
from postwren.transport.deadline import Watch
from postwren.transport.resolver import SystemResolver
from postwren.wire.resolver import Resolver, ResolverFailed

__all__ = ["OutboundService", "open_outbound"]

log = logging.getLogger("postwren.outbound")

_KEEP_CLOCK_EVERY = 60.0


class OutboundService:
    """`roads` None: nothing goes out, and what is queued waits (`--dev` without a way out)."""

    def __init__(
        self,
        store: Store,
        roads: Roads | None,
        hostname: str,
        schedule: Schedule = Schedule(),  # noqa: B008  # frozen
        locate: Locate = resolve,
        security: TransportSecurity | None = None,
    ) -> None:
        self._store = store
        self._security = security
        self._clock = QueueClock(read_clock(store.reader), time.monotonic(), time.time())
        self.accept = Accept(self.now, schedule, locate)
        self.is_open = roads is not None
        self._engine: Outbound | None = None
        if roads is not None:
            reporter = Reporter(hostname, self.now, time.time, lambda: secrets.token_urlsafe(12), Signers(store.reader).fields_of)
            conclude = Concluder(store, reporter, self.now, time.time, random.random, schedule, locate)
            self._engine = Outbound(
                store,
                roads,
                conclude,
                self.now,
                random.random,
                schedule=schedule,
                wish_of=usual_wish if security is None else wish_of,
                home=Home(store, time.time, locate),
            )

    def now(self) -> int:
        """Seconds of the queue's clock."""
        return self._clock.now(time.monotonic())

    async def run(self) -> None:
        """Send, and keep the clock."""
        runs = [part.run() for part in (self._engine, self._security) if part is not None]
        tasks = [asyncio.get_running_loop().create_task(run) for run in runs]
        try:
            while True:
                await self._keep_clock()
                await asyncio.sleep(_KEEP_CLOCK_EVERY)
        finally:
            for task in tasks:
                task.cancel()

    async def close(self, grace: float) -> None:
        """Finish what is under way within the grace. The store is still open."""
        if self._engine is not None:
            await self._engine.close(grace)
        if self._security is not None:
            await self._security.close()
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
    contact: str,
    locate: Locate = resolve,
    *,
    is_dev: bool,
) -> OutboundService:
    """As `[outbound]` says; `resolver` None asks the system's; `contact` is the address that TLS reports come from. A server for
    trying out sends nothing to anybody, unless it was told where: by a resolver of its own, a smarthost or ports. `locate`: whose
    address it is here. Raises ConfigError."""
    schedule = Schedule(warn_after=config.warn_hours * 3600)
    if is_dev and resolver is None and not config.smarthost and not config.ports:
        return OutboundService(store, None, hostname, schedule, locate)
    asked = resolver or _system()
    security = TransportSecurity(store, asked, hostname, contact, lambda: service.now(), is_private_allowed=is_dev)
    roads = make_roads(config, hostname, asked, watch, security.policies, allows_loopback=is_dev)
    service = OutboundService(store, roads, hostname, schedule, locate, security)
    return service


def _system() -> Resolver:
    try:
        return SystemResolver()
    except ResolverFailed as error:
        log.warning("mail for elsewhere waits", extra={"fields": {"why": str(error)}})
        return NoResolver()
