"""A server between `start` and `close`, and its chores.

    Config -> store, authenticator, TLS, caps -> a service a protocol -> listeners

Signals: SIGTERM and SIGINT end the server after the commands under way, SIGHUP re-reads the certificate.
"""

import asyncio
import contextlib
import dataclasses
import errno
import fcntl
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from postwren.app.services import Service, Services
from postwren.app.settings import caps, judge_config, login_policy
from postwren.config.loader import ConfigError
from postwren.config.schema import Config
from postwren.mailstore.errors import MailstoreError, StoreFailed
from postwren.mailstore.service.housekeeping import end_all_recovery, prune_digests
from postwren.mailstore.service.indexer import Indexer
from postwren.mailstore.snapshot import Snapshots
from postwren.server.login import Authenticator
from postwren.storage.embedded.housekeeping import Housekeeping
from postwren.storage.embedded.recovery import Recovery
from postwren.storage.embedded.search_index import SearchIndex
from postwren.stores import open_store
from postwren.transport.deadline import Watch
from postwren.transport.limit import Admission
from postwren.transport.link import LinkConfig, LinkStats
from postwren.transport.listener import Listener
from postwren.transport.vigil import Vigil
from postwren.wire.resolver import Resolver

__all__ = ["Server", "run_server"]

log = logging.getLogger("postwren.server")

DAY = 24 * 3600
GRACE = 20.0  # seconds for commands under way when the server ends
HOUSEKEEPING_EVERY = 3600.0
REMEMBER_EVERY = 60.0
SWEEP_EVERY = 60.0


def _open_index(data: Path, room: int) -> SearchIndex | None:
    """The text index; None when the volume refuses it: searches read the messages then."""
    try:
        return SearchIndex(data, room)
    except (apsw.Error, OSError) as error:
        log.warning("no text index", extra={"fields": {"why": str(error)}})
        return None


class Server:
    """Everything that runs between `start` and `close`."""

    def __init__(self, data: Path, config: Config, *, is_dev: bool = False, resolver: Resolver | None = None) -> None:
        self.stats = LinkStats()
        self.failure = asyncio.Event()  # the disk failed: the process must end
        self._data = data
        self._config = config
        self._is_dev = is_dev
        self._resolver = resolver
        self._listeners: list[Listener] = []
        self._chores: list[asyncio.Task[None]] = []
        self._index: SearchIndex | None = None
        self.services: Services | None = None

    async def start(self) -> dict[str, list[int]]:
        """Open the store, then listen; returns the ports by service. Raises ConfigError or OSError with nothing left open."""
        config, policy = self._config, login_policy(self._config, is_dev=self._is_dev)
        self._store = await open_store(self._data, config, self._store_failed)
        try:
            self._lock = _lock(self._data)
            self._authenticator = Authenticator(self._store, policy, now=time.time, random=os.urandom)
            await self._authenticator.load()
        except BaseException:
            self._store.close()
            raise
        _tell_recovery(self._store.recovery)
        self._index = _open_index(self._data, 2 * config.storage.reserve)
        self._watch = Watch(time.monotonic)
        self._vigil = Vigil(asyncio.get_running_loop().call_soon) if len(os.sched_getaffinity(0)) > 1 else None
        self._admission = Admission(caps(config), time.monotonic)
        try:
            ports = await self._open()
        except BaseException:
            await self.close()
            raise
        log.info("listening", extra={"fields": {name: str(numbers) for name, numbers in ports.items()}})
        return ports

    async def _open(self) -> dict[str, list[int]]:
        inside = (self._data, self._config, self._store, self._authenticator, self._index, self._watch, self._resolver)
        services = self.services = Services(*inside, is_dev=self._is_dev)
        indexer = None
        if self._index is not None:
            indexer = Indexer(self._store, self._index, services.digester.is_busy)
            await indexer.compare()
        ports: dict[str, list[int]] = {}
        for service in services.all:
            await self._listen(service, ports)
        if not any(ports.values()):
            raise ConfigError("nothing to listen on: every port is taken, or [listen] names none")
        parts = (services.digester, services.outbound, services.postman, indexer, services.keeper, services.reporter)
        chores = [self._keep_house(services), self._remember_failures(), _sweep(services.snapshots)]
        chores += [part.run() for part in parts if part is not None]
        self._chores = [asyncio.get_running_loop().create_task(chore) for chore in chores]
        return ports

    async def _listen(self, service: Service, ports: dict[str, list[int]]) -> None:
        listener = Listener(self._link_config(service), service.factory)
        self._listeners.append(listener)
        try:
            await listener.start(service.places)
        except OSError as error:
            if not self._is_dev:
                raise ConfigError(f"cannot listen for {service.name} on {error.filename}: {_advised(error)}") from None
            log.warning("left out", extra={"fields": {"service": service.name, "place": error.filename, "why": error.strerror}})
        ports[service.name] = listener.ports

    async def close(self) -> None:
        """End: no new connections, commands under way finish, the store closes last."""
        for chore in self._chores:
            chore.cancel()
        ends = [listener.close(GRACE) for listener in self._listeners]
        if self.services is not None:
            ends += [self.services.outbound.close(GRACE), self.services.postman.close(GRACE)]
        await asyncio.gather(*ends)
        if not self.failure.is_set():
            await self._authenticator.save()
            if self.services is not None:
                with contextlib.suppress(MailstoreError):
                    await self.services.save()
        self._authenticator.close()
        self._store.close()
        if self._index is not None:
            self._index.close()
        os.close(self._lock)
        log.info("ended", extra={"fields": {"connections": self.stats.opened, "bugs": self.stats.bugs}})

    def reload(self) -> None:
        """Read the certificate again; a broken one leaves the old in place."""
        for tls in self.services.tls if self.services is not None else ():
            tls.reload()

    def _link_config(self, service: Service) -> LinkConfig:
        return LinkConfig(
            self._watch,
            self.stats,
            service.patience,
            service.tls,
            service.is_implicit_tls,
            self._admission,
            service.refusal,
            self._vigil,
        )

    def _store_failed(self, error: StoreFailed) -> None:
        log.critical("the volume failed; nothing more is acknowledged, the server ends", extra={"fields": {"why": str(error)}})
        self.failure.set()

    async def _keep_house(self, services: Services) -> None:
        """Once an hour: end recovery terms, give space back."""
        term = self._config.storage.recovery_days * DAY
        while True:
            now = int(time.time())
            try:
                await end_all_recovery(self._store, now, term)
                await prune_digests(self._store)
                await services.save()
                done = await self._store.housekeep(now)
                if done.compacted:
                    services.maildrops.clear()
            except Exception as error:  # a full volume, say: the next round may find it otherwise
                log.warning("housekeeping stopped; tried again in an hour", extra={"fields": {"why": repr(error)}})
            else:
                if done != Housekeeping():
                    log.info("housekeeping", extra={"fields": dataclasses.asdict(done)})
            await asyncio.sleep(HOUSEKEEPING_EVERY)

    async def _remember_failures(self) -> None:
        """Once a minute: write down who failed to log in, so that a restart forgives nobody (A-60)."""
        while True:
            await asyncio.sleep(REMEMBER_EVERY)
            with contextlib.suppress(MailstoreError):  # a full volume: the counters go on in memory
                await self._authenticator.save()


async def _sweep(snapshots: Snapshots) -> None:
    """Once a minute: let go of mailboxes that nobody has open."""
    while True:
        await asyncio.sleep(SWEEP_EVERY)
        snapshots.sweep()


async def run_server(
    data: Path, config: Config, is_dev: bool, ready: Callable[[dict[str, list[int]]], None], resolver: Resolver | None = None
) -> int:
    """Run until a signal or a failing disk; returns the exit code. `resolver`: in the place of the system's.

    Raises ConfigError."""
    judge_config(config)
    if not is_dev and "." not in (name := config.hostname or socket.getfqdn()):
        log.warning("hostname is not set; others refuse mail from a server without a name", extra={"fields": {"name": name}})
    server = Server(data, config, is_dev=is_dev, resolver=resolver)
    ports = await server.start()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    ready(ports)
    waits = [asyncio.ensure_future(event.wait()) for event in (ended, server.failure)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await server.close()
    return 1 if server.failure.is_set() else 0


def _advised(error: OSError) -> str:
    """Why a port cannot be had, and what helps."""
    match error.errno:
        case errno.EADDRINUSE:
            return "another program listens there (`ss -ltnp` shows which); end it, or name another port in [listen]"
        case errno.EACCES:
            return (
                "ports below 1024 are for root and for services with CAP_NET_BIND_SERVICE (docs/guide.md has a unit for systemd)"
            )
        case errno.EADDRNOTAVAIL:
            return "this machine does not have that address"
    return error.strerror or str(error)


def _lock(data: Path) -> int:
    """One server a folder: locks of maildrops and counts of failed logins are a process's own. It is freed when the
    process ends, however it ends."""
    fd = os.open(data / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ConfigError(f"another server runs on {data}: end it, or choose another folder with --data") from None
    return fd


def _tell_recovery(found: Recovery) -> None:
    if found.missing:
        segments = {"segments": str(found.missing)}
        log.error("segments are missing: restore them from a backup", extra={"fields": segments})
    if found.checked or found.removed or found.swept:
        fields = {"checked": found.checked, "never_acknowledged": str(found.removed), "unfinished": found.swept}
        log.info("recovered", extra={"fields": fields})
