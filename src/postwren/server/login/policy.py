"""What an installation decides about logins."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from postwren.wire.secret import Secret

__all__ = ["LoginPolicy"]


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """Secure as it stands; `allow_cleartext` is for trying out, and counts for loopback peers only."""

    allow_cleartext: bool = False
    failure_delay: float = 1.0  # seconds before a failed login is answered
    exempt: tuple[IPv4Network | IPv6Network, ...] = ()  # never slowed: a webmail host, a monitor
    hash_queue: int = 200  # passwords that wait for one of the two places; beyond: BUSY
    anonymous_login: str | None = None  # the account that ANONYMOUS opens; None: not offered
    verify_token: Callable[[Secret[str]], Awaitable[str | None]] | None = None  # the login a bearer token stands for
    login_of_certificate: Callable[[bytes], str | None] | None = None  # the login a verified client certificate (DER) stands for
