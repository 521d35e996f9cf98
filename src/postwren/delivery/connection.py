"""What a connection itself says about its peer, before any mail: the name of its address, the name in its greeting.

Facts only; `inbound` decides what follows from them.
"""

import enum
import ipaddress
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.mailauth.verdict import Verdict
from postwren.wire.resolver import HostAddress, Kind, Ptr, Resolver, ResolverFailed

__all__ = ["HelloFault", "IpAddress", "ReverseName", "hello_fault", "plain_address", "reverse_name"]

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAMES: Final = 5  # of an address, that are looked at
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"  # underscores are common in greetings and harm nobody
_HOSTNAME: Final = re.compile(rf"(?!.{{254}}){_LABEL}(?:\.{_LABEL})*\.?")


@dataclass(frozen=True, slots=True)
class ReverseName:
    """RFC 8601 section 2.7.3 (iprev). PASS: `name` is a name of the address that has the address. FAIL: it has names (the
    first is `name`), and none of them has it. PERMERROR: it has no name. TEMPERROR: nobody could tell."""

    result: Verdict
    name: str = ""


class HelloFault(enum.Enum):
    """What is wrong with the name that a peer gives itself (RFC 5321 section 4.1.1.1)."""

    SYNTAX = "neither a host name nor an address literal"
    NOT_QUALIFIED = "a name without a domain"
    WRONG_LITERAL = "an address literal of another host"
    OURS = "our own name"


def plain_address(ip: IpAddress) -> IpAddress:
    """An IPv4 address is one, also where a socket for both kinds shows it as IPv6."""
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


async def reverse_name(resolver: Resolver, ip: IpAddress) -> ReverseName:
    """The name of an address, confirmed the other way. At most six questions. Never raises."""
    ip = plain_address(ip)
    kind: Kind = "A" if ip.version == 4 else "AAAA"
    try:
        pointers = (await resolver.query(ip.reverse_pointer, "PTR")).records
    except ResolverFailed:
        return ReverseName(Verdict.TEMPERROR)
    names = [record.host for record in pointers if isinstance(record, Ptr) and _HOSTNAME.fullmatch(record.host)][:_NAMES]
    is_known = True
    for name in names:
        try:
            addresses = (await resolver.query(name, kind)).records
        except ResolverFailed:
            is_known = False
            continue
        if any(isinstance(record, HostAddress) and ipaddress.ip_address(record.address) == ip for record in addresses):
            return ReverseName(Verdict.PASS, name)
    if not is_known:
        return ReverseName(Verdict.TEMPERROR)
    return ReverseName(Verdict.FAIL, names[0]) if names else ReverseName(Verdict.PERMERROR)


def hello_fault(name: str, ip: IpAddress, ours: Container[str]) -> HelloFault | None:
    """`ours` holds our host name, our domains and our address literals (lower case, brackets included)."""
    lower = name.lower().removesuffix(".")
    if lower in ours:
        return HelloFault.OURS
    if name[:1] == "[":
        literal = _literal(lower)
        if literal is None:
            return HelloFault.SYNTAX
        return None if literal == plain_address(ip) else HelloFault.WRONG_LITERAL
    if _HOSTNAME.fullmatch(name) is None:
        return HelloFault.SYNTAX
    # a bare IPv4 address looks like a host name, and is none (RFC 5321 section 4.1.3 wants brackets)
    last = lower.rpartition(".")[2]
    if last.isdigit():
        return HelloFault.SYNTAX
    return None if "." in lower else HelloFault.NOT_QUALIFIED


def _literal(text: str) -> IpAddress | None:
    inside = text[1:-1]
    if text[-1] != "]" or "%" in inside:
        return None
    try:
        if inside.startswith("ipv6:"):
            return plain_address(ipaddress.IPv6Address(inside[5:]))
        return ipaddress.IPv4Address(inside)
    except ValueError:
        return None
