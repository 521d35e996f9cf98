"""What an operator may set of IMAP, and what is fixed."""

from dataclasses import dataclass

__all__ = ["ImapSettings"]


@dataclass(frozen=True, slots=True)
class ImapSettings:
    """Octets and seconds. `save_limit` is how many messages one COPY or APPEND makes (RFC 9738)."""

    size_limit: int = 52_428_800
    is_compressing: bool = False  # off unless somebody asks for it
    search_seconds: float = 30.0
    searches: int = 2  # of one account at once
    save_limit: int = 1_000_000
    contexts: int = 16  # searches of a session that are kept up to date
    administrators: frozenset[str] = frozenset()  # logins that set quotas and the server's shared annotations
    faults: int = 50  # bad commands after login, then the connection ends
