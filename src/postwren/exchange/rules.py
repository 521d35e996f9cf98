"""What holds for a domain: DANE, MTA-STS and what the message itself asks for, put together. The other side of `policy`.

    policies = Policies(resolver, sts, utc_now)
    rules = await policies.domain("example.org", TlsWish.USUAL, is_secure=True)

For one host, in this order: TLSA records that are proven (RFC 7672; nothing overrides them, RFC 8461 section 2), a policy in
mode enforce (RFC 8461), TLS where it is offered. REQUIRETLS (RFC 8689 section 4.2.1) demands verified TLS whatever is published,
and a host whose name is proven; "TLS-Required: No" (section 4.2.2) demands nothing.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from postwren.exchange import dane, webpki
from postwren.exchange.mtasts import Found
from postwren.exchange.policy import OPPORTUNISTIC, Blame, CertificateJudge, DomainRules, TlsAttempt, TlsResult, TlsRule, TlsWish
from postwren.mailauth.mtasts import Mode, Policy, format_policy
from postwren.wire.resolver import Resolver, Tlsa

__all__ = ["Policies", "PolicySource", "Tally"]

_NO_POLICY: Final = "no-policy-found"
_NOT_NAMED: Final = "the policy does not name this host"


class PolicySource(Protocol):
    """`exchange.mtasts.MtaSts`."""

    async def look_up(self, domain: str) -> Found: ...


class Tally(Protocol):
    """Who counts for TLS reports (RFC 8460): `exchange.tlsreport`."""

    def count(self, domain: str, kind: str, strings: Sequence[str], patterns: Sequence[str], attempt: TlsAttempt) -> None:
        """One session. `kind` is "tlsa", "sts" or "no-policy-found", `strings` the policy, `patterns` its MX hosts."""

    def problem(self, domain: str, strings: Sequence[str], patterns: Sequence[str], result: str, why: str) -> None:
        """A policy of MTA-STS could not be had."""


class Policies:
    """Implements `policy.TlsPolicies`. `now` gives the time with its zone."""

    def __init__(
        self, resolver: Resolver, sts: PolicySource, now: Callable[[], datetime.datetime], tally: Tally | None = None
    ) -> None:
        self._resolver = resolver
        self._sts = sts
        self._now = now
        self._tally = tally

    async def domain(self, domain: str, wish: TlsWish, *, is_secure: bool) -> DomainRules:
        if domain.startswith("[") or wish is TlsWish.WAIVED:
            return await OPPORTUNISTIC.domain(domain, wish, is_secure=is_secure)
        found = await self._sts.look_up(domain)
        if found.problem and self._tally is not None:
            self._tally.problem(domain, *_described(found.policy), found.problem, found.detail)
        policy = found.policy
        if policy is not None and policy.mode is Mode.NONE:
            policy = None
        return _Rules(domain, wish, is_secure, policy, self._resolver, self._now, self._tally)


class _Rules:
    """Implements `policy.DomainRules`."""

    def __init__(
        self,
        domain: str,
        wish: TlsWish,
        is_secure: bool,
        policy: Policy | None,
        resolver: Resolver,
        now: Callable[[], datetime.datetime],
        tally: Tally | None,
    ) -> None:
        self._domain = domain
        self._must = wish is TlsWish.REQUIRED
        self._is_secure = is_secure
        self._policy = policy
        self._resolver = resolver
        self._now = now
        self._tally = tally
        self._dane: dict[str, tuple[Tlsa, ...]] = {}
        self._seen: dict[str, Blame | None] = {}  # of hosts that are only watched

    def allows(self, host: str) -> bool:
        covered = self._policy is not None and self._policy.covers(host)
        if self._policy is not None and self._policy.mode is Mode.ENFORCE and not covered:
            self.report(TlsAttempt(host, "", TlsResult.FAILED, _NOT_NAMED))
            return False
        # RFC 8689 section 4.2.1, step 2; a domain without MX records is its own host
        return not self._must or self._is_secure or covered or host.lower() == self._domain.lower()

    async def rule(self, host: str, *, is_secure: bool) -> TlsRule:
        # RFC 7672 sections 2.2.1 and 2.2.2: DANE only where the MX records and the host's addresses are proven
        if is_secure and self._is_secure:
            records = await dane.published(self._resolver, host)
            if records is not None:
                self._dane[host] = records
                return self._by_dane(host, records)
        mode = Mode.NONE if self._policy is None else self._policy.mode
        if self._must or mode is Mode.ENFORCE:
            return TlsRule(host, is_required=True, is_verified=True)
        return TlsRule(host, judge=self._watch(host)) if mode is Mode.TESTING else TlsRule(host)

    def _watch(self, host: str) -> CertificateJudge:
        """RFC 8461 section 5, testing: what would be wrong is told, and mail goes all the same."""

        def watch(chain: Sequence[bytes]) -> Blame | None:
            assert self._policy is not None
            found = None if self._policy.covers(host) else Blame(TlsResult.FAILED, _NOT_NAMED)
            self._seen[host] = found or webpki.judge(host, chain, self._now(), webpki.system_authorities())
            return None

        return watch

    def _by_dane(self, host: str, records: tuple[Tlsa, ...]) -> TlsRule:
        if not records:  # RFC 7672 section 2.2: none can be used
            return TlsRule(host, is_required=True, is_verified=self._must)
        return TlsRule(host, is_required=True, judge=self._judge(host, records))

    def _judge(self, host: str, records: tuple[Tlsa, ...]) -> CertificateJudge:
        names = (host, self._domain)  # RFC 7672 section 3.2.2

        def judge(chain: Sequence[bytes]) -> Blame | None:
            return dane.judge(records, names, chain, self._now())

        return judge

    def report(self, attempt: TlsAttempt) -> None:
        if self._tally is None:
            return
        blame = self._seen.get(attempt.host)
        if blame is not None and attempt.result is TlsResult.SUCCESS:
            attempt = replace(attempt, result=blame.result, why=blame.why)
        records = self._dane.get(attempt.host)
        if records is not None:
            strings = [f"{r.usage} {r.selector} {r.matching} {r.data.hex()}" for r in records]
            self._tally.count(self._domain, "tlsa", strings, [attempt.host], attempt)
        elif self._policy is not None:
            self._tally.count(self._domain, "sts", *_described(self._policy), attempt)
        else:
            self._tally.count(self._domain, _NO_POLICY, [], [], attempt)


def _described(policy: Policy | None) -> tuple[list[str], list[str]]:
    """RFC 8460 section 4.4: its lines, and its patterns."""
    if policy is None:
        return [], []
    return format_policy(policy).decode().splitlines(), list(policy.mx)
