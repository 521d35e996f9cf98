"""The port to the DNS answered by the system's resolvers.

No more than 3 seconds for an answer, every try included, and no more than 32 records of it.
"""

import ipaddress
from collections.abc import Callable
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.resolver

from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, Ptr, Record, ResolverFailed, Srv, Tlsa, Txt

__all__ = ["RECORDS", "SystemResolver", "plain_name"]

_PATIENCE: Final = 3.0
_MOST_RECORDS: Final = 32


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
        records = tuple(RECORDS[kind](data) for data in list(answer.rrset or ())[:_MOST_RECORDS])
        is_signed = bool(answer.response.flags & dns.flags.AD)
        name = plain_name(answer.canonical_name) if records else ""
        return Answer(records, is_signed and _is_here(str(answer.nameserver)), name)


def _is_here(nameserver: str) -> bool:
    try:
        return ipaddress.ip_address(nameserver).is_loopback
    except ValueError:
        return False


def plain_name(name: Any) -> str:
    """As `wire.resolver` writes names."""
    return str(name.to_text(omit_final_dot=True)).rstrip(".").lower()


# from what dnspython makes of a record's data
RECORDS: Final[dict[Kind, Callable[[Any], Record]]] = {
    "A": lambda data: HostAddress(data.address),
    "AAAA": lambda data: HostAddress(data.address),
    "MX": lambda data: Mx(data.preference, plain_name(data.exchange)),
    "PTR": lambda data: Ptr(plain_name(data.target)),
    "SRV": lambda data: Srv(data.priority, data.weight, data.port, plain_name(data.target)),
    "TLSA": lambda data: Tlsa(data.usage, data.selector, data.mtype, data.cert),
    "TXT": lambda data: Txt(b"".join(data.strings)),
}
