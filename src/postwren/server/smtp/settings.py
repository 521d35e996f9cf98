"""What an installation decides about reception."""

from dataclasses import dataclass

from postwren.protocols.smtp.params import Extension
from postwren.terms import Address

__all__ = ["OFFERED", "SUBMISSION", "SmtpSettings"]

OFFERED = frozenset(Extension) - {Extension.DSN, Extension.FUTURERELEASE, Extension.BURL, Extension.ONCE}
"""What is offered to anybody. DSN is not: strangers who ask for reports of success would have a server write to whom they like
(A-28). Their own server, which sees no DSN here, tells them that the mail was passed on (RFC 3461 section 5.2.2), and what
cannot be delivered is refused at once. The others are for submissions."""
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
    hold_seconds: int = 0  # FUTURERELEASE; 0 is none
    separator: str = "+"
    postmaster: Address | None = None
    extensions: frozenset[Extension] = OFFERED
    require_auth: bool = False
    errors_before_recipient: int = 10  # then the connection is dropped
    errors: int = 20
