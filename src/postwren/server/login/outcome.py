"""How a login ends, and how it goes on: what sessions turn into replies of their protocol."""

import enum
from dataclasses import dataclass

from postwren.terms import AccountId

__all__ = ["Accepted", "Challenge", "LoginStep", "RefusalReason", "Refused"]


class RefusalReason(enum.Enum):
    """Why. WRONG says nothing about whether the login exists (A-61)."""

    WRONG = "wrong"  # name, password, proof, token or the identity asked for
    MALFORMED = "malformed"  # not the mechanism's grammar
    CANCELLED = "cancelled"  # the client sent "*"; sessions answer it themselves
    PRIVACY_REQUIRED = "privacy required"  # only under TLS
    UNSUPPORTED = "unsupported"  # no such mechanism here
    BUSY = "busy"  # too many passwords wait, or too many were wrong: temporary


@dataclass(frozen=True, slots=True)
class Accepted:
    """The peer is this account; `login` is its canonical name."""

    account_id: AccountId
    login: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer is nobody."""

    reason: RefusalReason


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this (not yet in base64; it may be empty) and step on with the response."""

    data: bytes


LoginStep = Challenge | Accepted | Refused
