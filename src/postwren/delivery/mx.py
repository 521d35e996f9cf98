"""Whom to ask for a domain's mail (RFC 5321 section 5.1, RFC 7505): pure, the caller asks the DNS and draws the lots.

    search = find_hosts("example.org", own=frozenset(("mx.example.net",)), draw=random.random)
    question = next(search)
    while True:
        question = search.send(answer)             or search.throw(ResolverFailed): StopIteration carries Route or Unroutable

`find_addresses` asks in the same way for one host of a route, when its turn comes. A host's name and its addresses are whatever
somebody else wrote into the DNS: names that are no host names are not looked up, and addresses that are no other host's
(loopback, unspecified, multicast, link-local) are never connected to, so that nobody reaches by MX records what only this machine
should reach.
"""

import ipaddress
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, ResolverFailed

__all__ = [
    "Host",
    "MxLimits",
    "Question",
    "Route",
    "Search",
    "Unroutable",
    "find_addresses",
    "find_hosts",
    "is_elsewhere",
]


@dataclass(frozen=True, slots=True)
class MxLimits:
    """How much of what a domain publishes is looked at: the best hosts, and the first addresses of each."""

    hosts: int = 10
    addresses: int = 4  # RFC 5321 section 5.1 asks for at least two attempts


@dataclass(frozen=True, slots=True)
class Question:
    """For the DNS."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Host:
    """A host to try. `addresses` are known for address literals only; otherwise `find_addresses` tells."""

    name: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """The hosts of a domain in the order in which they are tried. `is_secure`: proven by DNSSEC."""

    hosts: tuple[Host, ...]
    is_secure: bool = False


@dataclass(frozen=True, slots=True)
class Unroutable:
    """There is nobody to ask: for good, or (4yz) for now."""

    code: int
    enhanced: str
    text: str


NO_SUCH_DOMAIN: Final = Unroutable(550, "5.1.2", "The domain does not exist, or takes no mail")
NULL_MX: Final = Unroutable(556, "5.1.10", "The domain says that it takes no mail (null MX)")  # RFC 7505 section 4.1
NO_USABLE_HOST: Final = Unroutable(550, "5.4.4", "No host that the domain names for its mail can be used")
LOOP: Final = Unroutable(554, "5.4.6", "The domain names this server for its mail, which does not know the domain")
NOBODY_COULD_TELL: Final = Unroutable(451, "4.4.3", "The DNS gave no answer about the domain")

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # underscores are nobody's host name, and there all the same
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
Search: TypeAlias = Generator[Question, Answer, Route | Unroutable]


def find_hosts(domain: str, *, own: frozenset[str], draw: Callable[[], float], limits: MxLimits = MxLimits()) -> Search:
    """The hosts for a domain in lower case A-labels, or an address literal. `own` are our names; `draw()` gives [0, 1)."""
    if domain.startswith("["):
        return _literal(domain)
    try:
        answer = yield Question(domain, "MX")
    except ResolverFailed:
        return NOBODY_COULD_TELL
    records = [record for record in answer.records if isinstance(record, Mx)]
    if not records:
        return (yield from _implicit(domain, own, is_secure=answer.is_secure))
    named = [record for record in records if record.host]
    if not named:
        return NULL_MX
    usable = [record for record in named if _is_host_name(record.host)]
    if not usable:
        return NO_USABLE_HOST
    # RFC 5321 section 5.1: this host and whatever is no better than it would only send the mail back here
    ours = min((record.preference for record in usable if record.host.lower() in own), default=None)
    usable = [record for record in usable if ours is None or record.preference < ours]
    if not usable:
        return LOOP
    usable = [record for _, record in sorted(((each.preference, draw()), each) for each in dict.fromkeys(usable))]
    names = list(dict.fromkeys(record.host.lower() for record in usable))
    return Route(tuple(Host(name) for name in names[: limits.hosts]), answer.is_secure)


def find_addresses(name: str, limits: MxLimits = MxLimits()) -> Generator[Question, Answer, tuple[tuple[str, ...], bool]]:
    """The addresses of a host, those of IPv6 first, and whether DNSSEC proves them; none where there is none. Raises
    ResolverFailed where nobody could tell of either kind."""
    found: dict[str, None] = {}
    is_secure, failed = True, None
    for kind in _ADDRESSES:
        try:
            answer = yield Question(name, kind)
        except ResolverFailed as error:
            failed, is_secure = error, False
            continue
        is_secure = is_secure and answer.is_secure
        found.update((record.address, None) for record in answer.records if isinstance(record, HostAddress))
    if failed is not None and not found:
        raise failed
    return _mixed(list(found), limits.addresses), is_secure


def is_elsewhere(address: str) -> bool:
    """Whether this may be another host's address, however it is written."""
    try:
        ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or _translated(ip)
        if inner is not None and not is_elsewhere(str(inner)):
            return False
    return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip.is_link_local or _is_nobodys(ip))


_ADDRESSES: Final[tuple[Kind, Kind]] = ("AAAA", "A")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_NOBODYS: Final = (ipaddress.ip_network("0.0.0.0/8"), ipaddress.ip_network("240.0.0.0/4"))


def _translated(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(ip.packed[12:]) if ip in _NAT64 or ip in _COMPATIBLE else None


def _is_nobodys(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(ip in network for network in _NOBODYS)


def _is_host_name(name: str) -> bool:
    name = name.lower()
    if _HOST_NAME.fullmatch(name) is None:
        return False
    return not name.rpartition(".")[2].isdigit()  # an address where a name should be


def _literal(domain: str) -> Route | Unroutable:
    """RFC 5321 section 4.1.3."""
    inside = domain[1:-1]
    address = inside[5:] if inside[:5].lower() == "ipv6:" else inside
    try:
        return Route((Host(domain, (str(ipaddress.ip_address(address)),)),))
    except ValueError:
        return NO_SUCH_DOMAIN


def _implicit(domain: str, own: frozenset[str], *, is_secure: bool) -> Search:
    """No MX record: the domain is its own host, if it is a host at all."""
    if domain in own:
        return LOOP
    has_failed = False
    for kind in _ADDRESSES:
        try:
            answer = yield Question(domain, kind)
        except ResolverFailed:
            has_failed = True
            continue
        if answer.records:
            return Route((Host(domain),), is_secure)
    return NOBODY_COULD_TELL if has_failed else NO_SUCH_DOMAIN


def _mixed(addresses: list[str], most: int) -> tuple[str, ...]:
    """The first ones, but never only IPv6 where there is an IPv4: a machine without IPv6 would find none that it can reach."""
    chosen = addresses[:most]
    if most > 1 and all(":" in address for address in chosen):
        chosen = [*chosen[: most - 1], *(address for address in addresses[most - 1 :] if ":" not in address)][:most] or chosen
    return tuple(chosen)
