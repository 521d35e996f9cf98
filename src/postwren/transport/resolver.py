"""The port to the DNS, and its adapter for the system's resolvers.

    await resolver.query("_imaps._tcp.example.org", "SRV")  ->  Answer((Srv(...),), is_secure=False)

No such name and no such record are an empty answer; that nobody could tell is ResolverFailed.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.resolver

__all__ = ["Answer", "HostAddress", "Kind", "Mx", "Record", "Resolver", "ResolverFailed", "Srv", "SystemResolver"]

Kind = Literal["A", "AAAA", "MX", "SRV"]
_PATIENCE: Final = 3.0  # seconds for an answer, every try included
_MOST_RECORDS: Final = 32  # of one answer


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
class Srv:
    """RFC 2782. An empty `target` says that the service is decidedly not there."""

    priority: int
    weight: int
    port: int
    target: str


Record: TypeAlias = HostAddress | Mx | Srv


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_secure`: proven by DNSSEC, as a resolver on this machine says; one elsewhere proves nothing."""

    records: tuple[Record, ...] = ()
    is_secure: bool = False


class Resolver(Protocol):
    """Whom one asks."""

    async def query(self, name: str, kind: Kind) -> Answer:
        """Raises ResolverFailed."""


class SystemResolver:
    """The resolvers that the system names (/etc/resolv.conf), or those of `stub`. Raises ResolverFailed where it names none."""

    def __init__(self, stub: dns.asyncresolver.Resolver | None = None) -> None:
        try:
            self._stub = stub or dns.asyncresolver.Resolver()
        except dns.exception.DNSException as error:
            raise ResolverFailed(f"the system names no resolver ({error})") from None
        # RFC 6840 section 5.7: AD in a question asks for AD in the answer
        self._stub.flags = dns.flags.RD | dns.flags.AD
        self._stub.use_edns(0, 0, 1232)

    async def query(self, name: str, kind: Kind) -> Answer:
        try:
            answer = await self._stub.resolve(name, kind, raise_on_no_answer=False, lifetime=_PATIENCE, search=False)
        except (dns.resolver.NXDOMAIN, dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return Answer()
        except (dns.exception.DNSException, OSError) as error:
            raise ResolverFailed(str(error)) from None
        records = tuple(_RECORDS[kind](data) for data in list(answer.rrset or ())[:_MOST_RECORDS])
        is_signed = bool(answer.response.flags & dns.flags.AD)
        return Answer(records, is_signed and _is_here(str(answer.nameserver)))


def _is_here(nameserver: str) -> bool:
    try:
        return ipaddress.ip_address(nameserver).is_loopback
    except ValueError:
        return False


def _name(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True)).rstrip(".").lower()


_RECORDS: Final[dict[Kind, Callable[[Any], Record]]] = {
    "A": lambda data: HostAddress(data.address),
    "AAAA": lambda data: HostAddress(data.address),
    "MX": lambda data: Mx(data.preference, _name(data.exchange)),
    "SRV": lambda data: Srv(data.priority, data.weight, data.port, _name(data.target)),
}
