"""The port by which transport security towards other hosts is decided, and the default, which asks for nothing.

    policy = await policies.domain("example.org", TlsWish.USUAL, is_secure=False)
    if policy.allows("mx.example.org"):
        rule = await policy.rule("mx.example.org", is_secure=False)
        ...                                        connect as the rule says
        policy.report(TlsAttempt("mx.example.org", "192.0.2.1", TlsResult.SUCCESS))

Outbound keeps a rule to the letter: where TLS `is_required`, no octet of a message goes to that host in the clear; where there is
a `judge`, none before it has seen the certificates and found nothing wrong. What is not demanded is opportunistic (RFC 7435).
"""

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

__all__ = [
    "OPPORTUNISTIC",
    "Blame",
    "CertificateJudge",
    "DomainRules",
    "Opportunistic",
    "TlsAttempt",
    "TlsPolicies",
    "TlsResult",
    "TlsRule",
    "TlsWish",
]


class TlsWish(enum.Enum):
    """What a message itself asks for (RFC 8689). It decides which policy holds, and is never weighed against one by outbound."""

    USUAL = "usual"
    REQUIRED = "required"  # REQUIRETLS: verified TLS to a host that offers REQUIRETLS itself
    WAIVED = "waived"  # the field TLS-Required: No: policies do not hold


class TlsResult(enum.Enum):
    """What became of TLS with one host, in the words of RFC 8460 section 4.3 where it is a failure."""

    SUCCESS = "success"
    NOT_OFFERED = "starttls-not-supported"
    HOST_MISMATCH = "certificate-host-mismatch"
    EXPIRED = "certificate-expired"
    NOT_TRUSTED = "certificate-not-trusted"
    FAILED = "validation-failure"  # anything else: the handshake itself, a host that left the protocol
    TLSA_INVALID = "tlsa-invalid"  # DANE's judge
    POLICY_INVALID = "sts-webpki-invalid"  # MTA-STS's judge


@dataclass(frozen=True, slots=True)
class Blame:
    """What is wrong with a host's certificates; `why` is for people."""

    result: TlsResult
    why: str


CertificateJudge: TypeAlias = Callable[[Sequence[bytes]], Blame | None]
"""Takes the chain that the host showed, in DER and leaf first, unverified; None finds it good."""


@dataclass(frozen=True, slots=True)
class TlsRule:
    """How to speak with one host. With `is_verified` the chain must lead to an authority that this system trusts and cover
    `name` (WebPKI, as MTA-STS wants); a `judge` decides in its place (DANE). Both demand `is_required`."""

    name: str  # for SNI, and the one that the certificate must cover
    is_required: bool = False
    is_verified: bool = False
    judge: CertificateJudge | None = None


@dataclass(frozen=True, slots=True)
class TlsAttempt:
    """One connection's TLS. `address` is the host's, `why` for people."""

    host: str
    address: str
    result: TlsResult
    why: str = ""


class DomainRules(Protocol):
    """What holds for one domain and one wish, now. Made for one route, kept no longer than it."""

    def allows(self, host: str) -> bool:
        """Whether mail for the domain may go to this host of its MX records at all."""

    def rule(self, host: str, *, is_secure: bool) -> Awaitable[TlsRule]:
        """`is_secure`: the host's addresses are proven by DNSSEC. Raises ResolverFailed where nobody could tell (the host then
        counts as one that does not answer: bogus answers never lead into the clear, RFC 7672 section 2.1.1)."""

    def report(self, attempt: TlsAttempt) -> None:
        """Called once for every connection on which it came to TLS, or should have."""


class TlsPolicies(Protocol):
    """Whoever knows the policies of all domains."""

    def domain(self, domain: str, wish: TlsWish, *, is_secure: bool) -> Awaitable[DomainRules]:
        """`is_secure`: the domain's MX records are proven by DNSSEC. Raises ResolverFailed: the domain's mail waits."""


class _Nothing:
    """A policy that asks for nothing but what the message asks for itself."""

    def __init__(self, wish: TlsWish) -> None:
        self._must = wish is TlsWish.REQUIRED

    def allows(self, host: str) -> bool:  # noqa: ARG002
        return True

    async def rule(self, host: str, *, is_secure: bool) -> TlsRule:  # noqa: ARG002
        return TlsRule(host, is_required=self._must, is_verified=self._must)

    def report(self, attempt: TlsAttempt) -> None:
        """Nobody asked."""


class Opportunistic:
    """TLS where the host has it, whatever its certificate; verified TLS for a message that requires it."""

    async def domain(self, domain: str, wish: TlsWish, *, is_secure: bool) -> DomainRules:  # noqa: ARG002
        return _Nothing(wish)


OPPORTUNISTIC: Final[TlsPolicies] = Opportunistic()
