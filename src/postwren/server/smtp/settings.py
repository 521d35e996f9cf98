"""What an installation decides about reception."""

from dataclasses import dataclass

from postwren.protocols.smtp.params import Extension
from postwren.terms import Address

__all__ = ["OFFERED", "SUBMISSION", "SmtpSettings"]

OFFERED = frozenset(Extension) - {Extension.DSN, Extension.ONCE}
"""A capability offered is a capability kept: DSN promises reports, which need a way out for mail (RFC 3461 5); a token is for
submissions."""
SUBMISSION = frozenset(Extension)
"""What a submission listener offers."""


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """One listener's; `postmaster` gets what is for the postmaster of a domain that has none (RFC 5321 4.5.1)."""

    hostname: str
    is_lmtp: bool = False
    size_limit: int = 50 * 1024 * 1024
    recipient_limit: int = 100
    authenticated_recipient_limit: int = 1000
    separator: str = "+"
    postmaster: Address | None = None
    extensions: frozenset[Extension] = OFFERED
    require_auth: bool = False
    errors_before_recipient: int = 10  # then the connection is dropped
    errors: int = 20
