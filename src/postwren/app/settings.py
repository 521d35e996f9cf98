"""What the configuration says, in the words of those who keep it."""

import dataclasses
import ipaddress
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from postwren.config.loader import ConfigError
from postwren.config.schema import Config, Listen, Tls
from postwren.delivery.dnslist import ListInvalid, parse_lists
from postwren.delivery.door import Network
from postwren.exchange.setup import NoResolver, make_roads
from postwren.server.login import LoginPolicy
from postwren.server.smtp.settings import SUBMISSION, SmtpSettings
from postwren.terms import Address
from postwren.transport.deadline import Patience, Watch
from postwren.transport.limit import Caps
from postwren.transport.listener import Place
from postwren.transport.tls import ServerTls

__all__ = [
    "IMAP_PATIENCE",
    "POP3_PATIENCE",
    "SMTP_PATIENCE",
    "caps",
    "dev_listen",
    "judge_config",
    "login_policy",
    "networks",
    "places",
    "smtp_settings",
    "submission_settings",
]

LONGEST_HOLD: Final = 30 * 24 * 3600  # FUTURERELEASE
SMTP_PATIENCE: Final = Patience(command=300)  # RFC 5321 4.5.3.2.7
POP3_PATIENCE: Final = Patience(command=600)  # RFC 1939 section 3
IMAP_PATIENCE: Final = Patience(command=1860)  # RFC 9051 5.4 asks for 1800, and an IDLE may last as long
DEV_PORTS: Final = {
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


def judge_config(config: Config) -> None:
    """Everything that can be known to be wrong before a server starts: files are opened, nobody is asked. Raises ConfigError,
    which names the option."""
    for texts in msgspec.structs.asdict(config.listen).values():
        places(texts)
    networks("smtp.trusted_networks", config.smtp.trusted_networks)
    login_policy(config, is_dev=False)
    try:
        parse_lists(config.judge.dns_lists)
    except ListInvalid as error:
        raise ConfigError(f"judge.dns_lists: {error}") from None
    make_roads(config.outbound, config.hostname, NoResolver(), Watch(time.monotonic))
    _judge_tls(config.tls)
    if config.tls.acme:
        _judge_acme(config)


def _judge_tls(tls: Tls) -> None:
    if not (tls.certificate or tls.key):
        return
    if not (tls.certificate and tls.key):
        raise ConfigError("tls.certificate and tls.key go together")
    for option, path in (("certificate", tls.certificate), ("key", tls.key)):
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise ConfigError(f"tls.{option}: {path}: {error.strerror}") from None
    try:
        ServerTls(Path(tls.certificate), Path(tls.key))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"tls.certificate, tls.key: not a chain and the key of its first certificate in PEM ({error})"
        ) from None


def _judge_acme(config: Config) -> None:
    if config.tls.certificate:
        raise ConfigError("tls.acme goes without tls.certificate and tls.key: say which of the two you want")
    if "." not in config.hostname:
        raise ConfigError('tls.acme needs the name that the certificate is for: hostname = "mail.example.org"')
    if not (config.listen.http or config.tls.acme_dns_server):
        raise ConfigError('tls.acme needs http = ["0.0.0.0:80", "[::]:80"] in [listen], or tls.acme_dns_server')


def dev_listen(port_base: int) -> Listen:
    """Where a server for trying out listens: 127.0.0.1 only."""
    listen = {name: (f"127.0.0.1:{port_base + end}",) for name, end in DEV_PORTS.items()}
    return msgspec.convert(listen, Listen)


def networks(option: str, texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ConfigError, which names the option."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def places(texts: Sequence[str]) -> list[Place]:
    """Where to listen. Raises ConfigError."""
    return [_place(text) for text in texts]


def _place(text: str) -> Place:
    if text.startswith("/"):
        return Path(text)
    host, _, port = text.rpartition(":")
    try:
        address, number = str(ipaddress.ip_address(host.strip("[]"))), int(port)
        if number > 65_535:
            raise ValueError
    except ValueError:
        raise ConfigError(f"listen: {text!r} is neither ADDRESS:PORT ([ADDRESS]:PORT for IPv6) nor a path") from None
    return address, number


def caps(config: Config) -> Caps:
    """Of connections."""
    limits = config.limits
    rate = limits.connects_per_minute
    return Caps(limits.connections, limits.connections_per_address, limits.connections_per_address, (rate, 3 * rate, 9 * rate))


def smtp_settings(config: Config, hostname: str, is_lmtp: bool) -> SmtpSettings:
    """Of mail on its way in."""
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


def submission_settings(config: Config, hostname: str) -> SmtpSettings:
    """Of mail that is handed to us to send."""
    reception = smtp_settings(config, hostname, is_lmtp=False)
    return dataclasses.replace(
        reception,
        hold_seconds=LONGEST_HOLD,
        recipient_limit=reception.authenticated_recipient_limit,
        extensions=SUBMISSION,
        require_auth=True,
    )


def login_policy(config: Config, *, is_dev: bool) -> LoginPolicy:
    """Raises ConfigError."""
    login = config.login
    exempt = networks("login.trusted_networks", login.trusted_networks)
    return LoginPolicy(allow_cleartext=login.allow_cleartext or is_dev, failure_delay=login.failure_delay, exempt=exempt)
