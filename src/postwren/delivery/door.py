"""What is asked about a host before its mail is taken: its greeting, the name of its address, the lists it is on, and whether it
has written before. All of it is off unless the installation wants it; trusted networks and who logs in are not asked about.

    door.recipient(envelope, origin, address)     at RCPT, for an address that exists: None (take it), a reply, or a coroutine
    door.sight(origin)                            what was found about the host, for the verdicts

What was found about an address is remembered for some minutes: a host that writes often is asked about once.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from postwren.delivery.connection import HelloFault, IpAddress, ReverseName, hello_fault, plain_address, reverse_name
from postwren.delivery.dnslist import DnsLists, Score
from postwren.delivery.envelope import Envelope
from postwren.delivery.greylist import Greylist
from postwren.delivery.trace import Origin
from postwren.mailauth.verdict import Verdict
from postwren.protocols.smtp.reply import Reply
from postwren.terms import Address
from postwren.wire.resolver import Resolver

__all__ = ["Answer", "Door", "DoorPolicy", "Network", "Sight", "address_of", "is_trusted"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Answer = Reply | None | Coroutine[Any, Any, Reply | None]

_BAD_HELLOS: Final = (
    HelloFault.SYNTAX,
    HelloFault.WRONG_LITERAL,
    HelloFault.OURS,
)  # a name without a domain is common and harmless


@dataclass(frozen=True, slots=True)
class DoorPolicy:
    """`checks_hello`, `checks_name`: refuse greetings that cannot be, hosts whose address has no name. `refused_from`: the weight
    of lists from which a host is refused. `remembered`: for so many seconds, and so many addresses, what was found is good."""

    checks_hello: bool = False
    checks_name: bool = False
    refused_from: int = 2
    remembered: float = 300.0
    addresses: int = 10_000


@dataclass(frozen=True, slots=True)
class Sight:
    """What was found about an address. `name` is None where nobody asked."""

    name: ReverseName | None
    score: Score


class Door:
    """One a server. `now` gives seconds since 1970; `ours` are our names, in lower case."""

    def __init__(
        self,
        resolver: Resolver,
        policy: DoorPolicy,
        now: Callable[[], float],
        ours: frozenset[str],
        trusted: Sequence[Network] = (),
        lists: DnsLists | None = None,
        greylist: Greylist | None = None,
    ) -> None:
        self._resolver = resolver
        self._policy = policy
        self._now = now
        self._ours = ours
        self._trusted = trusted
        self._lists = lists
        self._greylist = greylist
        self._seen: dict[IpAddress, tuple[float, Sight]] = {}

    def recipient(self, envelope: Envelope, origin: Origin, address: Address) -> Answer:
        """May this host write to this address?"""
        ip = address_of(origin)
        if ip is None or is_trusted(origin, self._trusted):
            return None
        if self._policy.checks_hello and (fault := hello_fault(origin.hello, ip, self._ours)) in _BAD_HELLOS:
            return Reply(550, "5.7.1", f"Your greeting is {fault.value}: say your own host name")
        if not self._policy.checks_name and self._lists is None:
            return self._grey(envelope, ip, address)
        sight = self.sight(origin)
        if sight is not None:
            return self._judged(sight, envelope, ip, address)
        return self._look_and_judge(envelope, ip, address)

    def sight(self, origin: Origin) -> Sight | None:
        """What was found about the address, as long as it is remembered."""
        ip = address_of(origin)
        until, sight = self._seen.get(ip, (0.0, None)) if ip is not None else (0.0, None)
        return sight if 0 < until - self._now() <= self._policy.remembered else None

    def was_good(self, origin: Origin) -> None:
        """Its mail was: its network need not wait another time."""
        ip = address_of(origin)
        if ip is not None and self._greylist is not None:
            self._greylist.know(ip, int(self._now()))

    async def _look_and_judge(self, envelope: Envelope, ip: IpAddress, address: Address) -> Reply | None:
        name, score = await asyncio.gather(self._name(ip), self._score(ip))
        sight = Sight(name, score)
        if len(self._seen) >= self._policy.addresses:
            del self._seen[next(iter(self._seen))]
        self._seen.pop(ip, None)
        self._seen[ip] = self._now() + self._policy.remembered, sight
        return self._judged(sight, envelope, ip, address)

    async def _name(self, ip: IpAddress) -> ReverseName | None:
        return await reverse_name(self._resolver, ip) if self._policy.checks_name else None

    async def _score(self, ip: IpAddress) -> Score:
        return await self._lists.score(self._resolver, ip, int(self._now())) if self._lists is not None else Score()

    def _judged(self, sight: Sight, envelope: Envelope, ip: IpAddress, address: Address) -> Reply | None:
        if sight.score.weight >= self._policy.refused_from:
            hit = max(sight.score.hits, key=lambda hit: hit.weight)
            return Reply(550, "5.7.1", f"[{ip}] is listed at {hit.zone}" + (f": {hit.text}" if hit.text else ""))
        if sight.name is not None and sight.name.result in (Verdict.FAIL, Verdict.PERMERROR):
            return Reply(550, "5.7.25", f"[{ip}] has no name that leads back to it")  # RFC 7372
        return None if sight.score.weight < 0 else self._grey(envelope, ip, address)

    def _grey(self, envelope: Envelope, ip: IpAddress, address: Address) -> Reply | None:
        if self._greylist is None:
            return None
        seconds = self._greylist.seconds_to_wait(ip, envelope.reverse_path, address, int(self._now()))
        return Reply(450, "4.7.1", f"You are new here: please try again in {seconds} seconds") if seconds else None


def is_trusted(origin: Origin, trusted: Sequence[Network]) -> bool:
    """Whether nothing is asked about it: who logged in, trusted networks, and whoever may write to a Unix socket of ours."""
    ip = address_of(origin)
    return origin.is_authenticated or ip is None or any(ip in network for network in trusted)


def address_of(origin: Origin) -> IpAddress | None:
    """Of the peer; None for a Unix socket."""
    try:
        return plain_address(ipaddress.ip_address(origin.peer.partition("%")[0]))
    except ValueError:
        return None
