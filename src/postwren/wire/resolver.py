"""The port to the DNS: what one may ask, and what comes back. Adapters: `transport.resolver`, `testing.resolver`.

    await resolver.query("_imaps._tcp.example.org", "SRV")  ->  Answer((Srv(...),), is_secure=False)

No such name and no such record are an empty answer; that nobody could tell is ResolverFailed.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

__all__ = ["Answer", "HostAddress", "Kind", "Mx", "Ptr", "Record", "Resolver", "ResolverFailed", "Srv", "Tlsa", "Txt"]

Kind = Literal["A", "AAAA", "MX", "PTR", "SRV", "TLSA", "TXT"]


class ResolverFailed(Exception):
    """Nobody could tell; later somebody may."""


@dataclass(frozen=True, slots=True)
class HostAddress:
    """A and AAAA."""

    address: str


@dataclass(frozen=True, slots=True)
class Mx:
    """RFC 5321 section 5. Names have no dot at their end, and the root is empty."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Ptr:
    """The name of an address."""

    host: str


@dataclass(frozen=True, slots=True)
class Srv:
    """RFC 2782. An empty `target` says that the service is decidedly not there."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    """RFC 6698 section 2.1."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Txt:
    """A TXT record, its character-strings joined without spaces (RFC 7208 section 3.3)."""

    text: bytes


Record: TypeAlias = HostAddress | Mx | Ptr | Srv | Tlsa | Txt


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_secure`: proven by DNSSEC, as a resolver on this machine says; one elsewhere proves nothing. `name` is the name that
    owns the records, behind every alias; "" where the adapter cannot tell."""

    records: tuple[Record, ...] = ()
    is_secure: bool = False
    name: str = ""


class Resolver(Protocol):
    """Whom one asks."""

    def query(self, name: str, kind: Kind) -> Awaitable[Answer]:
        """Raises ResolverFailed."""
