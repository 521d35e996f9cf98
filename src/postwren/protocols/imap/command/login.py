"""LOGIN, AUTHENTICATE, ENABLE, ID, COMPRESS (RFC 9051 sections 6.2 and 6.3.1, RFC 4959, 2971, 4978)."""

from dataclasses import dataclass

from postwren.wire.secret import Secret

__all__ = ["Authenticate", "Compress", "Enable", "Id", "Login"]


@dataclass(frozen=True, slots=True)
class Login:
    """RFC 9051 section 6.2.3."""

    name: str
    password: Secret[str]


@dataclass(frozen=True, slots=True)
class Authenticate:
    """RFC 9051 section 6.2.2; `initial` is SASL-IR's (RFC 4959), decoded; None where the first challenge is waited for."""

    mechanism: str  # in capitals
    initial: Secret[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Enable:
    """RFC 9051 section 6.3.1; names in capitals."""

    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Id:
    """RFC 2971; None is NIL."""

    fields: tuple[tuple[str, str | None], ...] | None


@dataclass(frozen=True, slots=True)
class Compress:
    """RFC 4978; in capitals."""

    algorithm: str
