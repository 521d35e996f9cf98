"""`sync add`: by which server the account's mail leaves. What was found is tried with the account's own login."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import typer

from postwren.cli.context import fail
from postwren.client.conversation import Security
from postwren.exchange.connection import Connection, HostFailed, Ours
from postwren.exchange.limits import OutboundLimits
from postwren.sync.discover import Server, Source
from postwren.sync.outgoing import credentials_of, target_of
from postwren.sync.settings import Settings
from postwren.wire.secret import Secret

__all__ = ["NO_SUBMISSION", "find_submission", "given_submission"]

NO_SUBMISSION: Final = "none"
_SUBMISSIONS: Final = 465  # RFC 8314 section 3.3
_SUBMISSION: Final = 587
_PATIENT: Final = OutboundLimits(greeting=30, hello=30)
_GUESSING: Final = OutboundLimits(connect=4, greeting=5, hello=5, handshake=5)
_KEEP_SENT: Final = ("gmail.com", "googlemail.com", "office365.com", "outlook.com")
"""Hosts in whose domain keep a copy of what they are given, in the mailbox for sent mail."""


async def given_submission(settings: Settings, secret: Secret[str], host: str, port: int, tls: Security | None) -> Settings:
    """The one that its user names. Ends the command where it does not let us in."""
    if tls is None or port in (_SUBMISSIONS, _SUBMISSION):
        tls = Security.STARTTLS if port == _SUBMISSION else Security.IMPLICIT
    wanted = _with(settings, host, port or (_SUBMISSION if tls is Security.STARTTLS else _SUBMISSIONS), tls)
    if why := await _refusal(wanted, secret, _PATIENT):
        fail(f"{wanted.smtp} does not take mail from {settings.login}: {why}. Nothing was done")
    return wanted


async def find_submission(
    settings: Settings, secret: Secret[str], said: Sequence[Server], *, is_agreed: bool, guesses: bool
) -> tuple[Settings, str]:
    """The first that lets us in, of those that were found and then of usual ones; and a clause for people."""
    tried = []
    candidates = [*said, *(_usual(settings) if guesses else ())]
    for server in {(server.host, server.port): server for server in candidates}.values():
        if not _may_ask(server, settings, is_agreed=is_agreed):
            tried.append(f"{server.host} belongs to somebody else")
            continue
        wanted = _with(settings, server.host, server.port, server.tls)
        why = await _refusal(wanted, secret, _GUESSING)
        if not why:
            return wanted, ""
        tried.append(f"{wanted.smtp}: {why}")
    return settings, "; ".join(tried)


def _with(settings: Settings, host: str, port: int, tls: Security) -> Settings:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    keeps = any(host == domain or host.endswith(f".{domain}") for domain in _KEEP_SENT)
    return msgspec.structs.replace(settings, smtp=place, smtp_tls=tls, sent="server" if keeps else "device")


async def _refusal(settings: Settings, secret: Secret[str], limits: OutboundLimits) -> str:
    """ "" where it lets us in."""
    ours = Ours("localhost", limits=limits, trusted=settings.trusted, credentials=credentials_of(settings, secret))
    try:
        connection = await Connection.open(target_of(settings), ours)
    except HostFailed as failed:
        return failed.verdict.text
    await connection.quit()
    return ""


def _usual(settings: Settings) -> Iterable[Server]:
    """At the host that the mail comes from, and at its neighbour."""
    first, _, rest = settings.host.partition(".")
    names = [settings.host]
    if first in ("imap", "pop", "pop3", "mail") and "." in rest:
        names.append(f"smtp.{rest}")
    for port, tls in ((_SUBMISSIONS, Security.IMPLICIT), (_SUBMISSION, Security.STARTTLS)):
        for name in names:
            yield Server("submission", name, port, tls, Source.GUESS, "its usual name", is_foreign=False)


def _may_ask(server: Server, settings: Settings, *, is_agreed: bool) -> bool:
    """A-95: the password goes there. Who agreed to a foreign host for the mail agreed to its neighbours."""
    above, agreed = server.host.partition(".")[2], settings.host.partition(".")[2]
    if not server.is_foreign or is_agreed or server.host == settings.host or ("." in above and above == agreed):
        return True
    if not sys.stdin.isatty():
        return False
    place = f"{server.host}:{server.port}"
    return typer.confirm(f"Mail would leave by {place} (found by {server.by}), and your password would go there. Is that right?")
