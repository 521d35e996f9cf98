"""What CAPABILITY says to a session: the table of `protocols/imap/capability`, and what depends on the configuration."""

from collections.abc import Mapping
from typing import Any

from postwren.protocols.imap.capability import When, missing, shown
from postwren.protocols.imap.command import Command
from postwren.server.imap.session import ImapSession

__all__ = ["capabilities", "check"]


def check(commands: Mapping[type[Command], Any]) -> None:
    """Raise ValueError for a capability that nobody implements (RFC 9051 section 6.1.1)."""
    lies = list(missing(commands.keys()))
    if lies:
        raise ValueError(f"capabilities without a handler: {', '.join(lies)}")


def capabilities(session: ImapSession) -> tuple[str, ...]:
    """What holds now. STARTTLS is named only where it may come, and LOGIN is disabled where a password would be seen."""
    settings = session.service.settings
    if session.account_id:
        is_compressible = settings.is_compressing and not session.core.is_compressed
        without = (*(() if is_compressible else ("COMPRESS=DEFLATE",)), *(() if session.is_administrator else ("QUOTASET",)))
        names = shown(When.AFTER_LOGIN, without)
        return (*names, f"APPENDLIMIT={settings.size_limit}", f"SAVELIMIT={settings.save_limit}")  # RFC 7889, RFC 9738
    mechanisms = session.service.authenticator.mechanisms(session.link)
    can_log_in = "PLAIN" in mechanisms
    if session.link.can_start_tls:
        names = shown(When.IN_CLEAR, ("LOGINDISABLED",) if can_log_in else ())
    else:
        names = [*shown(When.BEFORE_LOGIN), *(() if can_log_in else ("LOGINDISABLED",))]
    return (*names, *(f"AUTH={mechanism}" for mechanism in mechanisms))
