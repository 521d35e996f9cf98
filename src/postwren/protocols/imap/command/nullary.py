"""Commands without arguments (RFC 9051 section 6, RFC 3691, RFC 8437)."""

from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = [
    "NULLARY",
    "Capability",
    "Check",
    "Close",
    "Expunge",
    "Idle",
    "Logout",
    "Namespace",
    "Noop",
    "Nullary",
    "StartTls",
    "Unauthenticate",
    "Unselect",
]


@dataclass(frozen=True, slots=True)
class Capability:
    """RFC 9051 section 6.1.1."""


@dataclass(frozen=True, slots=True)
class Noop:
    """RFC 9051 section 6.1.2."""


@dataclass(frozen=True, slots=True)
class Logout:
    """RFC 9051 section 6.1.3."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """RFC 9051 section 6.2.1."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """RFC 2342 section 5."""


@dataclass(frozen=True, slots=True)
class Idle:
    """RFC 2177: until DONE."""


@dataclass(frozen=True, slots=True)
class Check:
    """RFC 3501 section 6.4.1."""


@dataclass(frozen=True, slots=True)
class Close:
    """RFC 9051 section 6.4.1."""


@dataclass(frozen=True, slots=True)
class Unselect:
    """RFC 3691."""


@dataclass(frozen=True, slots=True)
class Expunge:
    """RFC 9051 section 6.4.3."""


@dataclass(frozen=True, slots=True)
class Unauthenticate:
    """RFC 8437."""


Nullary: TypeAlias = (
    Capability | Check | Close | Expunge | Idle | Logout | Namespace | Noop | StartTls | Unauthenticate | Unselect
)

NULLARY: Final[dict[bytes, Nullary]] = {
    b"CAPABILITY": Capability(),
    b"CHECK": Check(),
    b"CLOSE": Close(),
    b"EXPUNGE": Expunge(),
    b"IDLE": Idle(),
    b"LOGOUT": Logout(),
    b"NAMESPACE": Namespace(),
    b"NOOP": Noop(),
    b"STARTTLS": StartTls(),
    b"UNAUTHENTICATE": Unauthenticate(),
    b"UNSELECT": Unselect(),
}
"""The whole of what stands behind the tag."""
