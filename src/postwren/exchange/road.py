"""The way to a domain: from its name to a connection that stands (RFC 5321 section 5, RFC 8461 section 5, RFC 7672 section 2.2).

    connection = await roads.open("example.org", TlsWish.USUAL)        raises NoRoad

Hosts are tried in their order, each at its addresses, until one takes mail. A host whose TLS fails is called again in the clear
where no rule forbids it, and for a while after that at once. A smarthost stands in the place of all hosts.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from postwren.delivery.attempt import Fate, Verdict
from postwren.delivery.mx import Host, Question, Route, find_addresses, find_hosts, is_elsewhere
from postwren.exchange.connection import Connection, HostFailed, Ours, Target
from postwren.exchange.policy import OPPORTUNISTIC, DomainRules, TlsAttempt, TlsPolicies, TlsResult, TlsRule, TlsWish
from postwren.wire.resolver import Answer, Resolver, ResolverFailed

__all__ = ["NoRoad", "RoadMap", "Roads", "Smarthost"]

T = TypeVar("T")

SMTP_PORT: Final = 25
_CLEAR_FOR: Final = 3600.0
_CLEAR_HOSTS: Final = 10_000


class NoRoad(Exception):
    """Nobody takes mail for the domain now, or ever (`verdict.fate`)."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Smarthost:
    """One host for everything. It is spoken to by TLS and its certificate verified, unless it is on this machine."""

    host: str
    port: int
    is_implicit_tls: bool = False
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class RoadMap:
    """What an installation decides about the way. `own`: names that are this server, so that mail never comes back. `ports`: MX
    host to another port than 25, for trying out; such hosts may be on this machine, as all may with `allows_loopback`."""

    own: frozenset[str]
    ports: Mapping[str, int] = field(default_factory=dict)
    smarthost: Smarthost | None = None
    allows_loopback: bool = False


class Roads:
    """Opens connections. It keeps nothing but the hosts where TLS failed lately."""

    def __init__(
        self,
        resolver: Resolver,
        ours: Ours,
        road_map: RoadMap,
        policies: TlsPolicies = OPPORTUNISTIC,
        *,
        draw: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._ours = ours
        self._map = road_map
        self._policies = policies
        self._draw = draw
        self._monotonic = monotonic
        self._clear: OrderedDict[str, float] = OrderedDict()

    async def open(self, domain: str, wish: TlsWish) -> Connection:
        """Raises NoRoad."""
        if self._map.smarthost is not None:
            return await self._open_smarthost(self._map.smarthost, wish)
        found = await self._ask(find_hosts(domain, own=self._map.own, draw=self._draw))
        if not isinstance(found, Route):
            fate = Fate.FAILED if found.code >= 500 else Fate.DEFERRED
            raise NoRoad(Verdict(fate, found.code, found.enhanced, found.text))
        try:
            rules = await self._policies.domain(domain, wish, is_secure=found.is_secure)
        except ResolverFailed as error:
            raise NoRoad(_deferred("4.7.5", f"nobody could tell the TLS policy of the domain: {error}")) from error
        return await _Journey(self, found, rules).run()

    async def _open_smarthost(self, smarthost: Smarthost, wish: TlsWish) -> Connection:
        must = not smarthost.is_here or wish is TlsWish.REQUIRED
        rule = TlsRule(smarthost.host, is_required=must, is_verified=must)
        try:
            addresses, _ = await self._addresses(Host(smarthost.host))
        except ResolverFailed as error:
            raise NoRoad(_deferred("4.4.3", f"the DNS gave no answer about the smarthost: {error}")) from error
        verdict = _deferred("4.4.4", "the smarthost has no address")
        for address in addresses:
            target = Target(smarthost.host, address, smarthost.port, rule, smarthost.is_implicit_tls, in_the_clear=not must)
            try:
                return await Connection.open(target, self._ours)
            except HostFailed as failed:
                verdict = failed.verdict
        raise NoRoad(Verdict(Fate.DEFERRED, verdict.code, verdict.enhanced, verdict.text, verdict.host))

    async def _ask(self, search: Generator[Question, Answer, T]) -> T:
        """Drive a search with the resolver's answers."""
        try:
            question = next(search)
            while True:
                try:
                    answer = await self._resolver.query(question.name, question.kind)
                except ResolverFailed as error:
                    question = search.throw(error)
                else:
                    question = search.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _addresses(self, host: Host) -> tuple[tuple[str, ...], bool]:
        if host.addresses:
            return host.addresses, False
        if host.name == "localhost" or is_address(host.name):
            return (("127.0.0.1",) if host.name == "localhost" else (host.name,)), False
        return await self._ask(find_addresses(host.name))

    def may_call(self, host: str, address: str) -> bool:
        """A23: whether a public record may lead there."""
        return is_elsewhere(address) or self._map.allows_loopback or host in self._map.ports

    def port_of(self, host: str) -> int:
        """25, unless this installation maps the host to another."""
        return self._map.ports.get(host, SMTP_PORT)

    def is_clear(self, host: str) -> bool:
        """TLS failed there within the hour."""
        until = self._clear.get(host)
        return until is not None and self._monotonic() < until

    def remember_clear(self, host: str) -> None:
        """TLS has just failed there."""
        self._clear[host] = self._monotonic() + _CLEAR_FOR
        self._clear.move_to_end(host)
        if len(self._clear) > _CLEAR_HOSTS:
            self._clear.popitem(last=False)

    async def call(self, host: str, address: str, rule: TlsRule, rules: DomainRules) -> Connection:
        """One address of one host; in the clear where TLS fails and nothing is said against it. Raises HostFailed."""
        may_skip = not rule.is_required and self.is_clear(host)
        target = Target(host, address, self.port_of(host), rule, in_the_clear=may_skip)
        try:
            connection = await Connection.open(target, self._ours)
        except HostFailed as failed:
            if failed.tls is not None:
                rules.report(TlsAttempt(host, address, failed.tls.result, failed.tls.why))
            if not failed.may_be_clear:
                raise
            self.remember_clear(host)
            target = Target(host, address, self.port_of(host), rule, in_the_clear=True)
            return await Connection.open(target, self._ours)
        if connection.tls_version:
            rules.report(TlsAttempt(host, address, TlsResult.SUCCESS))
        elif not may_skip:
            rules.report(TlsAttempt(host, address, TlsResult.NOT_OFFERED, "the host does not offer STARTTLS, or refused it"))
        return connection


class _Journey:
    """One search for a host that takes mail, along a route."""

    def __init__(self, roads: Roads, route: Route, rules: DomainRules) -> None:
        self._roads = roads
        self._route = route
        self._rules = rules
        self._calls = roads._ours.limits.calls
        self._said: list[Verdict] = []

    async def run(self) -> Connection:
        for host in self._route.hosts:
            connection = await self._try(host)
            if connection is not None:
                return connection
        # One host that may take it later is enough to wait for; with several the last one spoke for all.
        waiting = [verdict for verdict in self._said if verdict.fate is Fate.DEFERRED]
        raise NoRoad((waiting or self._said or [_NO_HOST])[-1])

    async def _try(self, host: Host) -> Connection | None:
        name = host.name
        if not self._rules.allows(name):
            self._said.append(_deferred("4.7.5", "the TLS policy of the domain does not allow this host", name))
            return None
        try:
            addresses, is_secure = await self._roads._addresses(host)
            rule = await self._rules.rule(name, is_secure=is_secure)
        except ResolverFailed:
            self._said.append(_deferred("4.4.3", "the DNS gave no answer about the host", name))
            return None
        if not addresses:
            self._said.append(Verdict(Fate.FAILED, 550, "5.4.4", "the host has no address", name))
        for address in addresses:
            if not self._roads.may_call(name, address):
                text = f"the host's address {address} is no address of another host"
                self._said.append(Verdict(Fate.FAILED, 550, "5.4.4", text, name))
                continue
            if not self._calls:
                return None
            self._calls -= 1
            try:
                return await self._roads.call(name, address, rule, self._rules)
            except HostFailed as failed:
                self._said.append(failed.verdict)
        return None


def is_address(host: str) -> bool:
    """Whether a smarthost was named by its address."""
    return ":" in host or host.replace(".", "").isdigit()


def _deferred(enhanced: str, text: str, host: str = "") -> Verdict:
    return Verdict(Fate.DEFERRED, 451, enhanced, text, host)


_NO_HOST: Final = _deferred("4.4.4", "no host of the domain could be tried")
