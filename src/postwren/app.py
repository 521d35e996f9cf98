"""The composition root: the only module that knows every adapter. It builds a server from a configuration and ends it in order.

    Config -> store, authenticator, TLS, caps -> a service a protocol -> listeners

Signals: SIGTERM and SIGINT end the server after the commands under way, SIGHUP re-reads the certificate.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import fcntl
import ipaddress
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import apsw
import msgspec

from postwren.config.loader import ConfigError
from postwren.config.schema import Config, Listen
from postwren.delivery.dnslist import ListInvalid, parse_lists
from postwren.delivery.door import Door, DoorPolicy, Network
from postwren.delivery.greylist import SETTING as GREYLIST
from postwren.delivery.greylist import Greylist
from postwren.delivery.judging import Judge, JudgePolicy
from postwren.delivery.signing import Signers
from postwren.exchange.certificates import CertificateKeeper, keeper_for
from postwren.exchange.dmarcreport import DmarcReporter, DmarcTally, make_send
from postwren.exchange.service import OutboundService, open_outbound
from postwren.mailstore.digester import Digester
from postwren.mailstore.errors import MailstoreError, StoreFailed
from postwren.mailstore.invariant import check
from postwren.mailstore.service.accounts import resolve
from postwren.mailstore.service.find import Finder
from postwren.mailstore.service.housekeeping import end_all_recovery, prune_digests
from postwren.mailstore.service.indexer import Indexer
from postwren.mailstore.service.keys import Keys
from postwren.mailstore.snapshot import Snapshots
from postwren.server.http.documents import documents, offered, own_policy
from postwren.server.http.route import Route
from postwren.server.http.session import BUSY, PATIENCE, HttpSession
from postwren.server.imap import TABLE, ImapService, ImapSession, ImapSettings
from postwren.server.imap.flagtext import FlagTextsOfAll
from postwren.server.login import Authenticator, LoginPolicy
from postwren.server.pop3.maildrop_lock import MaildropLocks
from postwren.server.pop3.maildrop_view import MaildropCache
from postwren.server.pop3.session import Pop3Service, Pop3Session
from postwren.server.smtp.allowance import Allowance
from postwren.server.smtp.allowance import Limits as AllowanceLimits
from postwren.server.smtp.directory import Directory
from postwren.server.smtp.session import SmtpSession
from postwren.server.smtp.settings import SUBMISSION, SmtpSettings
from postwren.server.smtp.submission import Desk, SubmissionSession
from postwren.storage.embedded.check import DiskCheck, repair
from postwren.storage.embedded.housekeeping import Housekeeping
from postwren.storage.embedded.recovery import Recovery
from postwren.storage.embedded.search_index import SearchIndex
from postwren.stores import open_store
from postwren.sync.outgoing import Office
from postwren.sync.postman import Postman, leaves_by
from postwren.terms import Address
from postwren.transport.certificate import development_certificate
from postwren.transport.deadline import Patience, Watch
from postwren.transport.limit import Admission, Caps
from postwren.transport.link import LinkConfig, LinkStats
from postwren.transport.listener import Listener, Place
from postwren.transport.resolver import SystemResolver
from postwren.transport.session import Session
from postwren.transport.tls import ServerTls
from postwren.transport.vigil import Vigil
from postwren.wire.resolver import Resolver, ResolverFailed

__all__ = ["Report", "Server", "check_store", "dev_listen", "run_server"]

log = logging.getLogger("postwren.server")

DAY = 24 * 3600
LONGEST_HOLD = 30 * DAY  # FUTURERELEASE
SMTP_PATIENCE = Patience(command=300)  # RFC 5321 4.5.3.2.7
POP3_PATIENCE = Patience(command=600)  # RFC 1939 section 3
IMAP_PATIENCE = Patience(command=1860)  # RFC 9051 5.4 asks for 1800, and an IDLE may last as long
GRACE = 20.0  # seconds for commands under way when the server ends
HOUSEKEEPING_EVERY = 3600.0
REMEMBER_EVERY = 60.0
SWEEP_EVERY = 60.0
DEV_PORTS = {
    "smtp": 25,
    "lmtp": 24,
    "submission": 87,
    "submissions": 65,
    "imap": 43,
    "imaps": 93,
    "pop3": 10,
    "pop3s": 95,
    "http": 80,
}  # the last two digits of the standard ports


def _open_index(data: Path, room: int) -> SearchIndex | None:
    """The text index; None when the volume refuses it: searches read the messages then."""
    try:
        return SearchIndex(data, room)
    except (apsw.Error, OSError) as error:
        log.warning("no text index", extra={"fields": {"why": str(error)}})
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a check found: each fault with the name of the rule that is broken; what a repair put right."""

    messages: int
    faults: list[tuple[str, str]]
    repaired: list[tuple[str, str]]
    orphan_octets: int


async def check_store(data: Path, config: Config, is_repair: bool, progress: Callable[[str], None]) -> Report:
    """Every invariant and every message's octets, on one snapshot, beside a running server."""
    progress("rows")
    try:
        return await _checked(data, config, is_repair, progress)
    except apsw.Error as error:  # pages that cannot be read at all
        return Report(0, [("index", f"{data / 'index.db'} is damaged: {error}; put it back from a backup")], [], 0)


async def _checked(data: Path, config: Config, is_repair: bool, progress: Callable[[str], None]) -> Report:
    store = await open_store(data, config, only_reads=not is_repair)
    try:
        repaired = [(found.rule, found.detail) for found in repair(data)] if is_repair else []
        faults = await store.read(lambda reader: [(wrong.rule, str(wrong)) for wrong in check(reader)])
    finally:
        store.close()
    progress("octets")
    disk = DiskCheck(data)
    faults += [(found.rule, found.detail) for found in disk.run()]
    return Report(disk.messages, faults, repaired, disk.orphan_octets)


def dev_listen(port_base: int) -> Listen:
    """Where a server for trying out listens: 127.0.0.1 only."""
    places = {name: (f"127.0.0.1:{port_base + end}",) for name, end in DEV_PORTS.items()}
    return msgspec.convert(places, Listen)


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """A protocol on its places."""

    name: str
    places: Sequence[Place]
    factory: Callable[[], Session]
    patience: Patience
    refusal: bytes
    tls: ServerTls
    is_implicit_tls: bool = False


class Server:
    """Everything that runs between `start` and `close`."""

    def __init__(self, data: Path, config: Config, *, is_dev: bool = False, resolver: Resolver | None = None) -> None:
        self.stats = LinkStats()
        self.failure = asyncio.Event()  # the disk failed: the process must end
        self._data = data
        self._config = config
        self._is_dev = is_dev
        self._resolver = resolver
        self._door: Door | None = None
        self._greylist: Greylist | None = None
        self._reporter: DmarcReporter | None = None
        self._zone = resolver
        self._listeners: list[Listener] = []
        self._chores: list[asyncio.Task[None]] = []
        self._tls: list[ServerTls] = []
        self._index: SearchIndex | None = None
        self._keeper: CertificateKeeper | None = None
        self._outbound: OutboundService | None = None
        self._postman: Postman | None = None
        self.challenges: dict[str, str] = {}  # ACME: what is said for a token

    async def start(self) -> dict[str, list[int]]:
        """Open the store, then listen; returns the ports by service. Raises ConfigError or OSError with nothing left open."""
        config, policy = self._config, self._login_policy()
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
        self._admission = Admission(_caps(config), time.monotonic)
        ports: dict[str, list[int]] = {}
        indexer = None
        try:
            services = self._services()
            if self._index is not None:
                indexer = Indexer(self._store, self._index, self.digester.is_busy)
                await indexer.compare()
            for service in services:
                await self._listen(service, ports)
            if not any(ports.values()):
                raise ConfigError("nothing to listen on: every port is taken, or [listen] names none")
        except BaseException:
            await self.close()
            raise
        loop = asyncio.get_running_loop()
        chores = [self._keep_house(), self._remember_failures(), self.digester.run(), self._sweep_snapshots()]
        if indexer is not None:
            chores.append(indexer.run())
        chores += [part.run() for part in (self._keeper, self._outbound, self._postman, self._reporter) if part is not None]
        self._chores = [loop.create_task(chore) for chore in chores]
        log.info("listening", extra={"fields": {name: str(numbers) for name, numbers in ports.items()}})
        return ports

    async def _listen(self, service: Service, ports: dict[str, list[int]]) -> None:
        listener = Listener(self._link_config(service), service.factory)
        self._listeners.append(listener)
        try:
            await listener.start(service.places)
        except OSError as error:
            places = ", ".join(str(p) if isinstance(p, Path) else f"{p[0]}:{p[1]}" for p in service.places)
            if not self._is_dev:
                raise ConfigError(f"cannot listen for {service.name} on {places}: {error.strerror}") from None
            log.warning("left out", extra={"fields": {"service": service.name, "place": places, "why": error.strerror}})
        ports[service.name] = listener.ports

    async def close(self) -> None:
        """End: no new connections, commands under way finish, the store closes last."""
        for chore in self._chores:
            chore.cancel()
        ends = [listener.close(GRACE) for listener in self._listeners]
        ends += [part.close(GRACE) for part in (self._outbound, self._postman) if part is not None]
        await asyncio.gather(*ends)
        if not self.failure.is_set():
            await self._authenticator.save()
            with contextlib.suppress(MailstoreError):
                await self._save_greylist()
                if self._reporter is not None:
                    await self._reporter.save()
        self._authenticator.close()
        self._store.close()
        if self._index is not None:
            self._index.close()
        os.close(self._lock)
        log.info("ended", extra={"fields": {"connections": self.stats.opened, "bugs": self.stats.bugs}})

    def reload(self) -> None:
        """Read the certificate again; a broken one leaves the old in place."""
        for tls in self._tls:
            tls.reload()

    # -- the parts

    def _services(self) -> list[Service]:
        config, store, listen = self._config, self._store, self._config.listen
        hostname = config.hostname or socket.getfqdn()
        certificate, key = self._certificate(hostname)
        smtp_tls = ServerTls(certificate, key)
        pop3_tls = ServerTls(certificate, key, b"pop3", strict_sni=config.tls.strict_sni)
        imap_tls = ServerTls(certificate, key, b"imap", strict_sni=config.tls.strict_sni)
        submission_tls = ServerTls(certificate, key, strict_sni=config.tls.strict_sni)
        http_tls = ServerTls(certificate, key, b"http/1.1", strict_sni=config.tls.strict_sni)
        self._tls = [smtp_tls, submission_tls, pop3_tls, imap_tls, http_tls]
        routes = self._documents(hostname)
        smtp = _smtp_settings(config, hostname, is_lmtp=False)
        lmtp = _smtp_settings(config, hostname, is_lmtp=True)
        directory = Directory(store, smtp.separator, time.monotonic)
        locks = MaildropLocks(asyncio.get_running_loop())
        self.maildrops = MaildropCache(store)
        pop3 = Pop3Service(store, self._authenticator, locks, self.maildrops, time.time)

        imap = self._imap_service()

        judge = self._judge(hostname)
        treat = judge.open if judge is not None else None
        door = self._door.recipient if self._door is not None else None

        def imap_session() -> ImapSession:
            return ImapSession(imap, TABLE)

        def smtp_session() -> SmtpSession:
            return SmtpSession(smtp, store, self._authenticator, time.time, directory, treat, door)

        def lmtp_session() -> SmtpSession:
            return SmtpSession(lmtp, store, None, time.time, directory)

        desk = self._desk(hostname, directory)
        if judge is not None and config.judge.reports and desk.is_relaying:
            self._reporter = self._open_reports(judge, hostname)

        def submission() -> SubmissionSession:
            return SubmissionSession(desk)

        def http_session() -> HttpSession:
            return HttpSession(routes, time.time)

        smtp_patience, pop3_patience, imap_patience = SMTP_PATIENCE, POP3_PATIENCE, IMAP_PATIENCE
        busy, pop3_busy = b"421 4.7.0 Too many connections, try again later\r\n", b"-ERR [SYS/TEMP] too many connections\r\n"
        imap_busy = b"* BYE [UNAVAILABLE] too many connections\r\n"
        return [
            Service("imap", _places(listen.imap), imap_session, imap_patience, imap_busy, imap_tls),
            Service("imaps", _places(listen.imaps), imap_session, imap_patience, imap_busy, imap_tls, True),
            Service("smtp", _places(listen.smtp), smtp_session, smtp_patience, busy, smtp_tls),
            Service("lmtp", _places(listen.lmtp), lmtp_session, smtp_patience, busy, smtp_tls),
            Service("submission", _places(listen.submission), submission, smtp_patience, busy, submission_tls),
            Service("submissions", _places(listen.submissions), submission, smtp_patience, busy, submission_tls, True),
            Service("pop3", _places(listen.pop3), lambda: Pop3Session(pop3), pop3_patience, pop3_busy, pop3_tls),
            Service("pop3s", _places(listen.pop3s), lambda: Pop3Session(pop3), pop3_patience, pop3_busy, pop3_tls, True),
            Service("http", _places(listen.http), http_session, PATIENCE, BUSY, http_tls),
            Service("https", _places(listen.https), http_session, PATIENCE, BUSY, http_tls, True),
        ]

    def _judge(self, hostname: str) -> Judge | None:
        """For mail from elsewhere; None where no resolver can be asked."""
        smtp, judge = self._config.smtp, self._config.judge
        trusted = _networks("smtp.trusted_networks", smtp.trusted_networks)
        try:
            resolver = self._resolver or SystemResolver()
        except ResolverFailed as error:
            log.warning("mail from elsewhere is not judged", extra={"fields": {"why": str(error)}})
            return None
        self._door = self._open_door(resolver, hostname, trusted)
        policy = JudgePolicy(judge.dmarc)
        return Judge(resolver, hostname, policy, time.time, lambda: secrets.randbelow(100), trusted, self._door)

    def _open_reports(self, judge: Judge, hostname: str) -> DmarcReporter | None:
        """What the judge finds is told to those who ask for it."""
        if self._outbound is None:
            return None
        tally = DmarcTally(lambda: datetime.datetime.now(datetime.UTC).date())
        judge.observe = tally.count
        send = make_send(self._store, self._outbound.now, time.time)
        contact = self._config.smtp.postmaster or f"postmaster@{hostname}"
        reporter = DmarcReporter(tally, self._store, judge.resolver, send, hostname, contact, time.time)
        reporter.load()
        return reporter

    def _open_door(self, resolver: Resolver, hostname: str, trusted: Sequence[Network]) -> Door:
        judge = self._config.judge
        try:
            lists = parse_lists(judge.dns_lists) if judge.dns_lists else None
        except ListInvalid as error:
            raise ConfigError(f"judge.dns_lists: {error}") from None
        if judge.greylist:
            self._greylist = Greylist()
            self._greylist.load(self._store.reader.setting(GREYLIST) or b"", int(time.time()))
        policy = DoorPolicy(judge.check_hello, judge.check_name, judge.refused_from)
        return Door(resolver, policy, time.time, frozenset({hostname.lower()}), trusted, lists, self._greylist)

    def _desk(self, hostname: str, directory: Directory) -> Desk:
        config = self._config.submission
        locate = partial(resolve, separator=self._config.smtp.subaddress_separator)
        contact = self._config.smtp.postmaster or f"postmaster@{self._store.reader.only_domain() or hostname}"
        outbound = self._outbound = open_outbound(
            *(self._config.outbound, hostname, self._store, self._watch, self._zone, contact), locate=locate, is_dev=self._is_dev
        )
        self._postman = Postman(Office(self._store, self._data, outbound.now))
        return Desk(
            _submission_settings(self._config, hostname),
            self._store,
            directory,
            self._authenticator,
            Allowance(AllowanceLimits(config.messages_per_hour, config.recipients_per_hour), time.monotonic),
            Signers(self._store.reader),
            outbound.accept,
            time.time,
            os.urandom,
            is_relaying=outbound.is_open,
            is_free=config.any_author,
            shows_client=config.show_client,
            send_report=outbound.accept.send_report,
            outbox=leaves_by(self._store.reader, self._data),
        )

    def _documents(self, hostname: str) -> tuple[Route, ...]:
        """What stands on the web."""
        policy = own_policy(self._config.mta_sts, hostname)

        def is_ours(domain: str) -> bool:
            return self._store.reader.domain_exists(domain)

        return documents(is_ours, hostname, offered(self._config.listen), policy, self.challenges)

    def _imap_service(self) -> ImapService:
        config, store = self._config.imap, self._store
        keys = Keys(store.read_body, store.digests, store)
        self.snapshots = Snapshots(store, time.monotonic)
        self.digester = Digester(store, time.monotonic)
        return ImapService(
            store,
            self._authenticator,
            self.snapshots,
            self.digester,
            Finder(store, keys, self._index),
            keys,
            FlagTextsOfAll(store),
            ImapSettings(config.size_limit, config.compress, administrators=frozenset(map(str.lower, config.administrators))),
            time.time,
            os.urandom,
            {},
        )

    def _certificate(self, hostname: str) -> tuple[Path, Path]:
        tls = self._config.tls
        if tls.certificate or tls.key:
            if not (tls.certificate and tls.key):
                raise ConfigError("tls.certificate and tls.key go together")
            return Path(tls.certificate), Path(tls.key)
        if tls.acme:
            self._keeper = keeper_for(tls, self._data / "tls", hostname, self._dns(), self.challenges, self._policy_hosts)
            path = self._keeper.prepare()
            return path, path
        return development_certificate(
            self._data / "tls", [hostname, "localhost", "127.0.0.1", "::1"], datetime.datetime.now(datetime.UTC)
        )

    def _policy_hosts(self) -> list[str]:
        """Where our MTA-STS policy is looked for."""
        if self._config.mta_sts.mode == "off":
            return []
        return [f"mta-sts.{row.name}" for row in self._store.reader.domains()]

    def _dns(self) -> Resolver:
        """Whom the server asks. Raises ConfigError."""
        if self._resolver is None:
            try:
                self._resolver = SystemResolver()
            except ResolverFailed as error:
                raise ConfigError(str(error)) from None
        return self._resolver

    def _login_policy(self) -> LoginPolicy:
        login = self._config.login
        exempt = _networks("login.trusted_networks", login.trusted_networks)
        return LoginPolicy(
            allow_cleartext=login.allow_cleartext or self._is_dev, failure_delay=login.failure_delay, exempt=exempt
        )

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

    async def _keep_house(self) -> None:
        """Once an hour: end recovery terms, give space back."""
        term = self._config.storage.recovery_days * DAY
        while True:
            now = int(time.time())
            try:
                await end_all_recovery(self._store, now, term)
                await prune_digests(self._store)
                await self._save_greylist()
                done = await self._store.housekeep(now)
                if done.compacted:
                    self.maildrops.clear()
            except Exception as error:  # a full volume, say: the next round may find it otherwise
                log.warning("housekeeping stopped; tried again in an hour", extra={"fields": {"why": repr(error)}})
            else:
                if done != Housekeeping():
                    log.info("housekeeping", extra={"fields": dataclasses.asdict(done)})
            await asyncio.sleep(HOUSEKEEPING_EVERY)

    async def _sweep_snapshots(self) -> None:
        """Once a minute: let go of mailboxes that nobody has open."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            self.snapshots.sweep()

    async def _save_greylist(self) -> None:
        if self._greylist is not None:
            dump = self._greylist.dump()
            await self._store.perform(lambda tx: tx.put_setting(GREYLIST, dump))

    async def _remember_failures(self) -> None:
        """Once a minute: write down who failed to log in, so that a restart forgives nobody (A-60)."""
        while True:
            await asyncio.sleep(REMEMBER_EVERY)
            with contextlib.suppress(MailstoreError):  # a full volume: the counters go on in memory
                await self._authenticator.save()


async def run_server(
    data: Path, config: Config, is_dev: bool, ready: Callable[[dict[str, list[int]]], None], resolver: Resolver | None = None
) -> int:
    """Run until a signal or a failing disk; returns the exit code. `resolver`: in the place of the system's."""
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


def _networks(option: str, texts: Sequence[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def _places(texts: Sequence[str]) -> list[Place]:
    return [_place(text) for text in texts]


def _place(text: str) -> Place:
    if text.startswith("/"):
        return Path(text)
    host, _, port = text.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.strip("[]")))
        return address, int(port)
    except ValueError:
        raise ConfigError(f"listen: {text!r} is neither ADDRESS:PORT ([ADDRESS]:PORT for IPv6) nor a path") from None


def _caps(config: Config) -> Caps:
    limits = config.limits
    rate = limits.connects_per_minute
    return Caps(limits.connections, limits.connections_per_address, limits.connections_per_address, (rate, 3 * rate, 9 * rate))


def _smtp_settings(config: Config, hostname: str, is_lmtp: bool) -> SmtpSettings:
    smtp = config.smtp
    local, at, domain = smtp.postmaster.rpartition("@")
    return SmtpSettings(
        hostname,
        is_lmtp=is_lmtp,
        size_limit=smtp.size_limit,
        recipient_limit=smtp.recipient_limit,
        separator=smtp.subaddress_separator,
        postmaster=Address(local, domain) if at else None,
    )


def _submission_settings(config: Config, hostname: str) -> SmtpSettings:
    reception = _smtp_settings(config, hostname, is_lmtp=False)
    return dataclasses.replace(
        reception,
        hold_seconds=LONGEST_HOLD,
        recipient_limit=reception.authenticated_recipient_limit,
        extensions=SUBMISSION,
        require_auth=True,
    )
