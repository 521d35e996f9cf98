"""check_host() (RFC 7208 section 4): the policies of a domain, evaluated for a connection.

Included policies are a stack, not calls; what the whole may cost is counted in one place (section 4.6.4).
"""

import asyncio
import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from postwren.mailauth.spf.limits import Limits
from postwren.mailauth.spf.macro import (
    Context,
    IpAddress,
    MacroInvalid,
    MacroString,
    asks_client_name,
    expand,
    expand_name,
    parse_macro,
)
from postwren.mailauth.spf.record import (
    All,
    ClientName,
    Directive,
    Exists,
    Host,
    Include,
    Network,
    SpfInvalid,
    SpfRecord,
    is_spf,
    parse_record,
)
from postwren.mailauth.verdict import Verdict
from postwren.terms import Address
from postwren.wire.resolver import HostAddress, Kind, Mx, Ptr, Record, Resolver, ResolverFailed, Txt

__all__ = ["SpfResult", "check"]


@dataclass(frozen=True, slots=True)
class SpfResult:
    """`domain` is whose policy it was; `explanation` its owner's words about a fail (foreign, printable ASCII, "" where there
    are none); `reason` ours, for the log and for Authentication-Results."""

    result: Verdict
    domain: str
    explanation: str = ""
    reason: str = ""


class _Ended(Exception):
    """temperror or permerror, at once and for all policies."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


@dataclass(slots=True)
class _Frame:
    """A policy that is being evaluated. `entered_by` is the include that led here, None for the first."""

    domain: str
    record: SpfRecord
    entered_by: Directive | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class _Decision:
    """What a policy says, and by which of its terms."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """An include, whose policy comes first."""

    directive: Directive
    domain: MacroString


_PRINTABLE: Final = re.compile(r"[!-\[\]-~ ]{1,253}")  # a backslash would be an escape in the text form of a name
_DOMAIN: Final = re.compile(r"(?!.{254})[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+")


async def check(
    resolver: Resolver,
    ip: IpAddress,
    helo: str,
    sender: Address | None,
    *,
    now: int,
    hostname: str = "unknown",
    limits: Limits = Limits(),  # noqa: B008  # frozen
) -> SpfResult:
    """May `ip` use the domain of `sender`? None (the null reverse-path) asks for `helo` instead (section 2.4). `helo` is as it
    was said, without checks; `now` seconds since 1970; `hostname` ours, for explanations. Never raises."""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    domain = (helo if sender is None else sender.domain).removesuffix(".").lower()
    local = (sender.local if sender is not None else "") or "postmaster"  # section 4.3
    if _DOMAIN.fullmatch(domain) is None:
        return SpfResult(Verdict.NONE, domain, reason="no domain name")
    evaluation = _Evaluation(resolver, Context(ip, helo, local, domain, domain, hostname, now), limits)
    try:
        async with asyncio.timeout(limits.seconds):
            return await evaluation.run(domain)
    except _Ended as end:
        return SpfResult(end.verdict, domain, reason=end.reason)
    except TimeoutError:
        return SpfResult(Verdict.TEMPERROR, domain, reason=f"no result within {limits.seconds:g} seconds")


class _Evaluation:
    """One check, with what it has cost so far."""

    def __init__(self, resolver: Resolver, context: Context, limits: Limits) -> None:
        self._resolver = resolver
        self._context = context
        self._limits = limits
        self._lookups = 0
        self._void_lookups = 0
        self._client_names: tuple[str, ...] | None = None  # validated; None is not yet asked

    async def run(self, domain: str) -> SpfResult:
        record = await self._policy(domain)
        if record is None:
            return SpfResult(Verdict.NONE, domain, reason="no policy published")
        stack = [_Frame(domain, record)]
        while True:
            step = await self._step(stack[-1])
            if isinstance(step, _Entry):
                stack.append(_Frame(*await self._other_policy(step.domain, stack[-1].domain), step.directive))
                continue
            verdict, reason = step.verdict, step.reason
            while len(stack) > 1:
                entered_by = stack.pop().entered_by
                if verdict is not Verdict.PASS or entered_by is None:
                    break  # section 5.2: an include matches when its policy passes, and only then
                verdict, reason = entered_by.verdict, f"{entered_by.text} of {stack[-1].domain}"
            else:
                explanation = await self._explanation(stack[0]) if verdict is Verdict.FAIL else ""
                return SpfResult(verdict, domain, explanation, reason)

    async def _step(self, frame: _Frame) -> _Decision | _Entry:
        """On to the next decision, or to the next include."""
        while True:
            while frame.position < len(frame.record.directives):
                directive = frame.record.directives[frame.position]
                frame.position += 1
                if isinstance(directive.mechanism, Include):
                    return _Entry(directive, directive.mechanism.domain)
                if await self._matches(directive, frame.domain):
                    return _Decision(directive.verdict, f"{directive.text} of {frame.domain}")
            if frame.record.redirect is None:
                return _Decision(Verdict.NEUTRAL, f"nothing of {frame.domain} matched")  # section 4.7
            # section 6.1: the other policy takes this one's place, its explanation too
            frame.domain, frame.record = await self._other_policy(frame.record.redirect, frame.domain)
            frame.position = 0

    async def _other_policy(self, spec: MacroString, domain: str) -> tuple[str, SpfRecord]:
        self._count_lookup()
        name = await self._target(spec, domain) or ""
        record = await self._policy(name) if _DOMAIN.fullmatch(name) else None
        if record is None:
            raise _Ended(Verdict.PERMERROR, f"{name or 'nothing'} has no policy to use for {domain}")
        return name, record

    async def _policy(self, domain: str) -> SpfRecord | None:
        """Sections 4.4 and 4.5."""
        texts = [record.text for record in await self._ask(domain, "TXT") if isinstance(record, Txt) and is_spf(record.text)]
        if not texts:
            return None
        if len(texts) > 1:
            raise _Ended(Verdict.PERMERROR, f"{domain} publishes {len(texts)} policies")
        try:
            return parse_record(texts[0], self._limits.record)
        except SpfInvalid as error:
            raise _Ended(Verdict.PERMERROR, f"{domain}: {error}") from None

    # -- mechanisms

    async def _matches(self, directive: Directive, domain: str) -> bool:
        match directive.mechanism:
            case All():
                return True
            case Network(network):
                return self._context.ip in network
            case Host() as host:
                return await self._host_matches(host, domain)
            case Exists(spec):
                self._count_lookup()
                name = await self._target(spec, domain)
                # section 5.7: A even when the connection is IPv6
                return bool(await self._ask_first(name, "A"))
            case ClientName(spec):
                self._count_lookup()
                name = (await self._target(spec, domain) or "").lower()
                return any(client == name or client.endswith("." + name) for client in await self._names_of_client())
            case Include():
                return False  # evaluated as a policy of its own

    async def _host_matches(self, host: Host, domain: str) -> bool:
        """Sections 5.3 and 5.4."""
        self._count_lookup()
        name = await self._target(host.domain, domain)
        kind: Kind = "A" if self._context.ip.version == 4 else "AAAA"
        if not host.is_mx:
            return self._is_within(host, await self._ask_first(name, kind))
        hosts = [record.host for record in await self._ask_first(name, "MX") if isinstance(record, Mx)]
        if len(hosts) > self._limits.names:
            raise _Ended(Verdict.PERMERROR, f"{name} has more than {self._limits.names} MX")
        for mx in hosts:
            if self._is_within(host, await self._ask(mx, kind)):
                return True
        return False

    def _is_within(self, host: Host, records: tuple[Record, ...]) -> bool:
        ip = self._context.ip
        prefix, bits = (host.prefix4, 32) if ip.version == 4 else (host.prefix6, 128)
        own = int(ip) >> (bits - prefix)
        for record in records:
            if isinstance(record, HostAddress):
                other = ipaddress.ip_address(record.address)
                if other.version == ip.version and int(other) >> (bits - prefix) == own:
                    return True
        return False

    async def _names_of_client(self) -> tuple[str, ...]:
        """Section 5.5: the names of the address that have the address, of the first ones only; asked for once."""
        if self._client_names is None:
            ip = self._context.ip
            kind: Kind = "A" if ip.version == 4 else "AAAA"
            validated = []
            for record in (await self._ask_leniently(ip.reverse_pointer, "PTR"))[: self._limits.names]:
                if not isinstance(record, Ptr):
                    continue
                if any(
                    isinstance(answer, HostAddress) and ipaddress.ip_address(answer.address) == ip
                    for answer in await self._ask_leniently(record.host, kind)
                ):
                    validated.append(record.host.removesuffix(".").lower())
            self._client_names = tuple(validated)
        return self._client_names

    # -- names and explanations

    async def _target(self, spec: MacroString | None, domain: str) -> str | None:
        if spec is None:
            return domain
        return expand_name(spec, await self._context_for(spec, domain), self._limits.expansion)

    async def _context_for(self, spec: MacroString, domain: str) -> Context:
        if not asks_client_name(spec):
            return replace(self._context, domain=domain)
        names = await self._names_of_client()
        # section 7.3: the domain itself, else a name below it, else any
        below = [name for name in names if name.endswith("." + domain.lower())]
        name = domain if domain.lower() in names else (below or names or ["unknown"])[0]
        return replace(self._context, domain=domain, client_name=name)

    async def _explanation(self, frame: _Frame) -> str:
        """Section 6.2: whatever is wrong with it, there is none."""
        spec = frame.record.explanation
        if spec is None:
            return ""
        texts = await self._ask_leniently(await self._target(spec, frame.domain), "TXT")
        if len(texts) != 1 or not isinstance(texts[0], Txt) or not texts[0].text.isascii():
            return ""
        try:
            pieces = parse_macro(texts[0].text.decode("ascii"), is_explanation=True)
        except MacroInvalid:
            return ""
        text = expand(pieces, await self._context_for(pieces, frame.domain), self._limits.expansion) or ""
        return text if text.isprintable() else ""  # macros say what the peer said

    # -- questions, and what they cost

    def _count_lookup(self) -> None:
        self._lookups += 1
        if self._lookups > self._limits.lookups:
            raise _Ended(Verdict.PERMERROR, f"more than {self._limits.lookups} terms that ask the DNS")

    async def _ask_first(self, name: str | None, kind: Kind) -> tuple[Record, ...]:
        """What a term asks first: when there is nothing, it is a void look-up (section 4.6.4)."""
        records = await self._ask(name, kind)
        if not records and _can_be_asked(name):
            self._void_lookups += 1
            if self._void_lookups > self._limits.void_lookups:
                raise _Ended(Verdict.PERMERROR, f"more than {self._limits.void_lookups} terms that ask for what is not there")
        return records

    async def _ask(self, name: str | None, kind: Kind) -> tuple[Record, ...]:
        """A name that nobody can have has no records."""
        if name is None or not _can_be_asked(name):
            return ()
        try:
            return (await self._resolver.query(name.lower(), kind)).records
        except ResolverFailed as error:
            raise _Ended(Verdict.TEMPERROR, f"{name} {kind}: {error}") from None

    async def _ask_leniently(self, name: str | None, kind: Kind) -> tuple[Record, ...]:
        try:
            return await self._ask(name, kind)
        except _Ended:
            return ()


def _can_be_asked(name: str | None) -> bool:
    return name is not None and _PRINTABLE.fullmatch(name) is not None and all(0 < len(label) < 64 for label in name.split("."))
