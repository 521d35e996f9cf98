"""What sessions are made of: the services behind each protocol, built once from the configuration and the open store."""

import asyncio
import datetime
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from postwren.app.settings import (
    IMAP_PATIENCE,
    POP3_PATIENCE,
    SMTP_PATIENCE,
    networks,
    places,
    smtp_settings,
    submission_settings,
)
from postwren.config.loader import ConfigError
from postwren.config.schema import Config
from postwren.delivery.dnslist import ListInvalid, parse_lists
from postwren.delivery.door import Door, DoorPolicy, Network
from postwren.delivery.greylist import SETTING as GREYLIST
from postwren.delivery.greylist import Greylist
from postwren.delivery.judging import Judge, JudgePolicy
from postwren.delivery.signing import Signers
from postwren.exchange.certificates import CertificateKeeper, keeper_for
from postwren.exchange.dmarcreport import DmarcReporter, DmarcTally
from postwren.exchange.sending import make_send
from postwren.exchange.service import OutboundService, open_outbound
from postwren.mailstore.digester import Digester
from postwren.mailstore.port import TextIndex
from postwren.mailstore.service.accounts import resolve
from postwren.mailstore.service.find import Finder
from postwren.mailstore.service.keys import Keys
from postwren.mailstore.snapshot import Snapshots
from postwren.server.http.documents import documents, offered, own_policy
from postwren.server.http.session import BUSY, PATIENCE, HttpSession
from postwren.server.imap import TABLE, ImapService, ImapSession, ImapSettings
from postwren.server.imap.flagtext import FlagTextsOfAll
from postwren.server.login import Authenticator
from postwren.server.pop3.maildrop_lock import MaildropLocks
from postwren.server.pop3.maildrop_view import MaildropCache
from postwren.server.pop3.session import Pop3Service, Pop3Session
from postwren.server.smtp.allowance import Allowance
from postwren.server.smtp.allowance import Limits as AllowanceLimits
from postwren.server.smtp.directory import Directory
from postwren.server.smtp.session import SmtpSession
from postwren.server.smtp.submission import Desk, SubmissionSession
from postwren.storage.embedded.store import EmbeddedStore
from postwren.sync.outgoing import Office
from postwren.sync.postman import Postman, leaves_by
from postwren.transport.certificate import development_certificate
from postwren.transport.deadline import Patience, Watch
from postwren.transport.listener import Place
from postwren.transport.resolver import SystemResolver
from postwren.transport.session import Session
from postwren.transport.tls import ServerTls
from postwren.wire.resolver import Resolver, ResolverFailed

__all__ = ["Service", "Services"]

log = logging.getLogger("postwren.server")

Factory: TypeAlias = Callable[[], Session]

SMTP_BUSY: Final = b"421 4.7.0 Too many connections, try again later\r\n"
POP3_BUSY: Final = b"-ERR [SYS/TEMP] too many connections\r\n"
IMAP_BUSY: Final = b"* BYE [UNAVAILABLE] too many connections\r\n"


@dataclass(frozen=True, slots=True)
class Service:
    """A protocol on its places."""

    name: str
    places: Sequence[Place]
    factory: Factory
    patience: Patience
    refusal: bytes
    tls: ServerTls
    is_implicit_tls: bool = False


class Services:
    """One server's. `resolver` None asks the system's, and `is_dev` then sends nothing out. Raises ConfigError."""

    def __init__(
        self,
        data: Path,
        config: Config,
        store: EmbeddedStore,
        authenticator: Authenticator,
        index: TextIndex | None,
        watch: Watch,
        resolver: Resolver | None,
        *,
        is_dev: bool,
    ) -> None:
        self._data = data
        self._config = config
        self._store = store
        self._authenticator = authenticator
        self._index = index
        self._watch = watch
        self._given = resolver
        self._resolver = resolver
        self._is_dev = is_dev
        self._hostname = config.hostname or socket.getfqdn()
        self._greylist: Greylist | None = None
        self.challenges: dict[str, str] = {}  # ACME: what is said for a token
        self.keeper: CertificateKeeper | None = None
        self.reporter: DmarcReporter | None = None
        self.snapshots = Snapshots(store, time.monotonic)
        self.digester = Digester(store, time.monotonic)
        self.maildrops = MaildropCache(store)
        self.outbound = self._open_outbound()
        self.postman = Postman(Office(store, data, self.outbound.now))
        self.tls: list[ServerTls] = []
        self.all = self._make()

    async def save(self) -> None:
        """Write down what is kept in memory for a while. Raises what the store raises."""
        if self._greylist is not None:
            dump = self._greylist.dump()
            await self._store.perform(lambda tx: tx.put_setting(GREYLIST, dump))
        if self.reporter is not None:
            await self.reporter.save()

    def _make(self) -> list[Service]:
        listen = self._config.listen
        smtp_tls, submission_tls, pop3_tls, imap_tls, http_tls = self.tls = self._open_tls()
        smtp, lmtp, submission = self._smtp_sessions()
        imap, pop3, http = self._imap_sessions(), self._pop3_sessions(), self._http_sessions()
        return [
            Service("imap", places(listen.imap), imap, IMAP_PATIENCE, IMAP_BUSY, imap_tls),
            Service("imaps", places(listen.imaps), imap, IMAP_PATIENCE, IMAP_BUSY, imap_tls, True),
            Service("smtp", places(listen.smtp), smtp, SMTP_PATIENCE, SMTP_BUSY, smtp_tls),
            Service("lmtp", places(listen.lmtp), lmtp, SMTP_PATIENCE, SMTP_BUSY, smtp_tls),
            Service("submission", places(listen.submission), submission, SMTP_PATIENCE, SMTP_BUSY, submission_tls),
            Service("submissions", places(listen.submissions), submission, SMTP_PATIENCE, SMTP_BUSY, submission_tls, True),
            Service("pop3", places(listen.pop3), pop3, POP3_PATIENCE, POP3_BUSY, pop3_tls),
            Service("pop3s", places(listen.pop3s), pop3, POP3_PATIENCE, POP3_BUSY, pop3_tls, True),
            Service("http", places(listen.http), http, PATIENCE, BUSY, http_tls),
            Service("https", places(listen.https), http, PATIENCE, BUSY, http_tls, True),
        ]

    def _open_tls(self) -> list[ServerTls]:
        """Of mail from elsewhere, submissions, POP3, IMAP and the web."""
        certificate, key = self._certificate()
        is_strict = self._config.tls.strict_sni
        others = [ServerTls(certificate, key, alpn, strict_sni=is_strict) for alpn in (None, b"pop3", b"imap", b"http/1.1")]
        return [ServerTls(certificate, key), *others]

    def _smtp_sessions(self) -> tuple[Factory, Factory, Factory]:
        """SMTP, LMTP, submission."""
        config, store, hostname, authenticator = self._config, self._store, self._hostname, self._authenticator
        smtp, lmtp = (smtp_settings(config, hostname, is_lmtp=is_lmtp) for is_lmtp in (False, True))
        directory = Directory(store, smtp.separator, time.monotonic)
        door, judge = self._open_judge()
        desk = self._desk(directory)
        if judge is not None and config.judge.reports and desk.is_relaying:
            self.reporter = self._open_reports(judge)
        treat = judge.open if judge is not None else None
        recipient = door.recipient if door is not None else None

        def smtp_session() -> SmtpSession:
            return SmtpSession(smtp, store, authenticator, time.time, directory, treat, recipient)

        def lmtp_session() -> SmtpSession:
            return SmtpSession(lmtp, store, None, time.time, directory)

        def submission_session() -> SubmissionSession:
            return SubmissionSession(desk)

        return smtp_session, lmtp_session, submission_session

    def _pop3_sessions(self) -> Factory:
        locks = MaildropLocks(asyncio.get_running_loop())
        service = Pop3Service(self._store, self._authenticator, locks, self.maildrops, time.time)
        return lambda: Pop3Session(service)

    def _imap_sessions(self) -> Factory:
        config, store = self._config.imap, self._store
        keys = Keys(store.read_body, store.digests, store)
        service = ImapService(
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
        return lambda: ImapSession(service, TABLE)

    def _http_sessions(self) -> Factory:
        """What stands on the web."""
        policy = own_policy(self._config.mta_sts, self._hostname)

        def is_ours(domain: str) -> bool:
            return self._store.reader.domain_exists(domain)

        routes = documents(is_ours, self._hostname, offered(self._config.listen), policy, self.challenges)
        return lambda: HttpSession(routes, time.time)

    def _open_judge(self) -> tuple[Door | None, Judge | None]:
        """For mail from elsewhere; None where no resolver can be asked."""
        smtp, judge = self._config.smtp, self._config.judge
        trusted = networks("smtp.trusted_networks", smtp.trusted_networks)
        try:
            resolver = self._dns()
        except ConfigError as error:
            log.warning("mail from elsewhere is not judged", extra={"fields": {"why": str(error)}})
            return None, None
        door = self._open_door(resolver, trusted)
        policy = JudgePolicy(judge.dmarc)
        return door, Judge(resolver, self._hostname, policy, time.time, lambda: secrets.randbelow(100), trusted, door)

    def _open_door(self, resolver: Resolver, trusted: Sequence[Network]) -> Door:
        judge = self._config.judge
        try:
            lists = parse_lists(judge.dns_lists) if judge.dns_lists else None
        except ListInvalid as error:
            raise ConfigError(f"judge.dns_lists: {error}") from None
        if judge.greylist:
            self._greylist = Greylist()
            self._greylist.load(self._store.reader.setting(GREYLIST) or b"", int(time.time()))
        policy = DoorPolicy(judge.check_hello, judge.check_name, judge.refused_from)
        return Door(resolver, policy, time.time, frozenset({self._hostname.lower()}), trusted, lists, self._greylist)

    def _open_reports(self, judge: Judge) -> DmarcReporter:
        """What the judge finds is told to those who ask for it."""
        tally = DmarcTally(lambda: datetime.datetime.now(datetime.UTC).date())
        judge.observe = tally.count
        send = make_send(self._store, self.outbound.now, time.time)
        contact = self._config.smtp.postmaster or f"postmaster@{self._hostname}"
        reporter = DmarcReporter(tally, self._store, judge.resolver, send, self._hostname, contact, time.time)
        reporter.load()
        return reporter

    def _open_outbound(self) -> OutboundService:
        smtp = self._config.smtp
        contact = smtp.postmaster or f"postmaster@{self._store.reader.only_domain() or self._hostname}"
        return open_outbound(
            *(self._config.outbound, self._hostname, self._store, self._watch, self._given, contact),
            locate=partial(resolve, separator=smtp.subaddress_separator),
            is_dev=self._is_dev,
        )

    def _desk(self, directory: Directory) -> Desk:
        config, outbound = self._config.submission, self.outbound
        return Desk(
            submission_settings(self._config, self._hostname),
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

    def _certificate(self) -> tuple[Path, Path]:
        tls, folder, hostname = self._config.tls, self._data / "tls", self._hostname
        if tls.certificate or tls.key:
            if not (tls.certificate and tls.key):
                raise ConfigError("tls.certificate and tls.key go together")
            return Path(tls.certificate), Path(tls.key)
        if tls.acme:
            self.keeper = keeper_for(tls, folder, hostname, self._dns(), self.challenges, self._policy_hosts)
            path = self.keeper.prepare()
            return path, path
        return development_certificate(folder, [hostname, "localhost", "127.0.0.1", "::1"], datetime.datetime.now(datetime.UTC))

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
