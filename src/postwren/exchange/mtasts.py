"""Which policy a domain has (RFC 8461): asked, fetched, kept over restarts, renewed before it ends.

    sts = MtaSts(store, resolver, web, now)
    found = await sts.look_up("example.org")        found.policy, found.problem

What must stay true (A-10): a policy that was fetched once counts until its max_age is over, whatever becomes of the TXT record,
the web server or the id; only another policy, fetched from the same place with its certificate, takes its place. The clock is
the system's: max_age is a matter of days.

Policies are kept in 256 settings of the store, by a hash of the domain, each with so many of them: bounded, and a change writes a
few kilobytes.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from postwren.exchange.web import CertificateBad, WebFailed
from postwren.mailauth.mtasts import Mode, Policy, PolicyInvalid, parse_policy, parse_record
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Reader, Store, Transaction
from postwren.protocols.http.client import Responded
from postwren.wire.resolver import Resolver, ResolverFailed, Txt

__all__ = ["LIMITS", "Found", "Limits", "MtaSts", "PolicyWeb"]

log = logging.getLogger("postwren.mtasts")

_TARGET: Final = "/.well-known/mta-sts.txt"
_SHELVES: Final = 256
_DAY: Final = 86400
_RENEW_AFTER: Final = _DAY  # section 3.3: "for example, once per day"
_UNUSED_FOR: Final = 90 * _DAY  # then nobody renews it any more


@dataclass(frozen=True, slots=True)
class Limits:
    """Policies and octets of one shelf of 256; domains whose TXT record is not asked for again for `recheck` seconds; fetches of
    one round of renewals."""

    shelf: int = 64
    shelf_octets: int = 256 << 10
    asked: int = 10_000
    recheck: float = 300  # section 3.3: no more often than once in five minutes
    renewals: int = 100


LIMITS: Final = Limits()


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """A policy as it is written down; `used` is the day on which it was last asked for."""

    domain: str
    policy_id: str
    mode: str
    mx: tuple[str, ...]
    max_age: int
    fetched: int
    used: int

    @property
    def policy(self) -> Policy:
        return Policy(Mode(self.mode), self.mx, self.max_age)


_SHELF: Final = msgspec.json.Decoder(list[_Kept])


@dataclass(frozen=True, slots=True)
class Found:
    """`problem` is "" or why there is no newer policy, in the words of RFC 8460 section 4.3; `detail` is for people."""

    policy: Policy | None
    problem: str = ""
    detail: str = ""


class PolicyWeb(Protocol):
    """Where policies come from: `exchange.web.StrangersWeb`."""

    async def get(self, host: str, target: str) -> Responded:
        """Raises WebFailed."""


class MtaSts:
    """See the module. `now` gives seconds since 1970."""

    def __init__(
        self, store: Store, resolver: Resolver, web: PolicyWeb, now: Callable[[], float], limits: Limits = LIMITS
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._web = web
        self._now = now
        self._limits = limits
        self._asked: dict[str, tuple[float, Found]] = {}  # when, and what came of it; the oldest first
        self._under_way: dict[str, asyncio.Task[Found]] = {}

    async def look_up(self, domain: str) -> Found:
        """What counts for mail to this domain now. Never raises for what others did; a first policy is waited for, so that the
        first message is protected like the second."""
        domain = domain.lower().removesuffix(".")
        now = self._now()
        asked = self._asked.get(domain)
        if asked is not None and 0 <= now - asked[0] < self._limits.recheck:
            kept = self._kept(domain)
            return Found(kept.policy if kept else None, asked[1].problem, asked[1].detail)
        task = self._under_way.get(domain)
        if task is None:
            task = self._under_way[domain] = asyncio.get_running_loop().create_task(self._find(domain))
            task.add_done_callback(lambda _: self._under_way.pop(domain, None))
        return await asyncio.shield(task)  # whoever gives up does not take it away from the others

    async def _find(self, domain: str) -> Found:
        kept = self._kept(domain)
        policy_id = await self._ask(domain)
        if policy_id is None or (kept is not None and kept.policy_id == policy_id and not self._is_stale(kept)):
            found = Found(None if kept is None else kept.policy)
            if kept is not None and kept.used != self._today():
                await self._keep(msgspec.structs.replace(kept, used=self._today()))
        else:
            found = await self._fetch(domain, policy_id, kept)
        self._asked.pop(domain, None)
        while len(self._asked) >= self._limits.asked:
            del self._asked[next(iter(self._asked))]
        self._asked[domain] = self._now(), found
        return found

    async def _ask(self, domain: str) -> str | None:
        """The id that the domain publishes now; None where it publishes none or nobody can tell."""
        try:
            answer = await self._resolver.query(f"_mta-sts.{domain}", "TXT")
        except ResolverFailed:
            return None
        return parse_record([record.text for record in answer.records if isinstance(record, Txt)])

    async def _fetch(self, domain: str, policy_id: str, kept: _Kept | None) -> Found:
        """The policy at the domain's web server; whatever is wrong there, what is kept goes on to count."""
        old = None if kept is None else kept.policy
        try:
            answer = await self._web.get(f"mta-sts.{domain}", _TARGET)
            # section 3.2: so that nobody who may only put pictures there can give a policy
            if answer.fields.get("content-type", "").partition(";")[0].strip().lower() != "text/plain":
                raise WebFailed("its policy is not text/plain")
            policy = parse_policy(answer.body)
        except CertificateBad as error:
            problem, detail = "sts-webpki-invalid", str(error)
        except WebFailed as error:
            problem, detail = "sts-policy-fetch-error", str(error)
        except PolicyInvalid as error:
            problem, detail = "sts-policy-invalid", str(error)
        else:
            fetched = int(self._now())
            row = _Kept(domain, policy_id, policy.mode.value, policy.mx, policy.max_age, fetched, self._today())
            await self._keep(row)
            return Found(policy)
        log.info("no new policy", extra={"fields": {"domain": domain, "problem": problem, "why": detail}})
        return Found(old, problem, detail)

    # -- renewal

    async def renew(self) -> int:
        """Fetch what is older than a day, or than half its term, and in use; returns how many were tried. An hourly chore."""
        tried = 0
        for shelf in range(_SHELVES):
            for kept in _read_shelf(self._store.reader, shelf):
                if tried >= self._limits.renewals:
                    return tried
                if self._is_stale(kept) and (self._today() - kept.used) * _DAY < _UNUSED_FOR and not self._is_over(kept):
                    tried += 1
                    await self._renew(kept)
        return tried

    async def _renew(self, kept: _Kept) -> None:
        policy_id = await self._ask(kept.domain)
        found = await self._fetch(kept.domain, policy_id or kept.policy_id, kept)
        if not found.problem:
            newer = self._kept(kept.domain)
            if newer is not None:
                await self._keep(msgspec.structs.replace(newer, used=kept.used))

    def _is_stale(self, kept: _Kept) -> bool:
        return not 0 <= self._now() - kept.fetched < min(_RENEW_AFTER, kept.max_age / 2)

    def _is_over(self, kept: _Kept) -> bool:
        return self._now() - kept.fetched >= kept.max_age

    # -- what is kept

    def _today(self) -> int:
        return int(self._now()) // _DAY

    def _kept(self, domain: str) -> _Kept | None:
        for kept in _read_shelf(self._store.reader, _shelf_of(domain)):
            if kept.domain == domain:
                return None if self._is_over(kept) else kept
        return None

    async def _keep(self, row: _Kept) -> None:
        """Durable when it returns, unless the volume refuses: then it counts this once."""
        number = _shelf_of(row.domain)

        def put(tx: Transaction) -> None:
            others = (kept for kept in _read_shelf(tx, number) if kept.domain != row.domain and not self._is_over(kept))
            rows = [row, *sorted(others, key=lambda kept: -kept.used)][: self._limits.shelf]
            while len(octets := msgspec.json.encode(rows)) > self._limits.shelf_octets and len(rows) > 1:
                rows.pop()
            tx.put_setting(_setting(number), octets)

        try:
            await self._store.perform(put)
        except MailstoreError as error:
            log.warning("a policy is not kept", extra={"fields": {"domain": row.domain, "why": str(error)}})


def _read_shelf(reader: Reader, number: int) -> list[_Kept]:
    octets = reader.setting(_setting(number))
    return [] if octets is None else _SHELF.decode(octets)


def _shelf_of(domain: str) -> int:
    return hashlib.sha256(domain.encode()).digest()[0]


def _setting(shelf: int) -> str:
    return f"mta-sts-{shelf:02x}"
