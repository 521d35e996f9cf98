"""Mail from elsewhere, judged: the named steps between the end of the data and the store, and what they say together.

    judge = Judge(resolver, hostname, ...)                        one a server
    case = judge.open(envelope, origin)                           one a message: a treatment (`delivery.intake`)

The steps of a stage run together, the stages one after the other; there is one list, and what is not in it does not happen. A
step notes verdicts in the case and may rule; the hardest ruling counts, and a REJECT ends the case. Verdicts go into one
Authentication-Results field on top of the message and into one line of the log. What nobody could tell (DNS) costs no mail: only
where the owner of the domain asks for rejection is the sender asked to come again.
"""

import asyncio
import enum
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from postwren.delivery.door import Door, Network, address_of, is_trusted
from postwren.delivery.envelope import Envelope
from postwren.delivery.inbound import deliver_all, deliver_as_junk
from postwren.delivery.intake import Keep
from postwren.delivery.trace import Origin, received, return_path
from postwren.mailauth.arc import verify as verify_arc
from postwren.mailauth.authres import MethodResult, format_results, strip_forged
from postwren.mailauth.dkim import DkimResult, Verifier
from postwren.mailauth.dmarc import Disposition, DmarcResult, Identifiers, author_domains, evaluate
from postwren.mailauth.spf import SpfResult, check
from postwren.mailauth.verdict import Verdict
from postwren.protocols.smtp.path import format_path
from postwren.protocols.smtp.reply import Reply
from postwren.wire.resolver import Answer, Kind, Resolver, ResolverFailed

__all__ = ["STAGES", "Case", "Decision", "Judge", "JudgePolicy", "Ruling", "Step"]

log = logging.getLogger("postwren.judge")

NO_AUTHOR: Final = Reply(550, "5.7.1", "From must name an author, once, with an address that can be mailed")
COME_AGAIN: Final = Reply(451, "4.7.1", "The DNS does not tell now whether the author's domain sent this; please try later")


class Decision(enum.IntEnum):
    """What becomes of a message, in ascending order of harm."""

    ACCEPT = 0
    JUNK = 1
    DEFER = 2
    REJECT = 3


@dataclass(frozen=True, slots=True)
class Ruling:
    """`reply` is what the peer is told where the message is not taken."""

    decision: Decision
    why: str
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class JudgePolicy:
    """`dmarc`: what failing does: as the owner of the domain asks ("enforce"), into Junk at most ("junk"), or nothing ("note").
    `patience`: seconds that SPF and DKIM together may take, and as many for DMARC."""

    dmarc: str = "enforce"
    patience: float = 20.0


@dataclass(slots=True)
class Case:
    """One message that is judged. A treatment: `header`, `feed`, `end`, `drop` are called in this order."""

    judge: "Judge"
    envelope: Envelope
    origin: Origin
    now: float
    block: bytes = b""  # the header, as it came
    verifier: Verifier = field(default_factory=Verifier)
    spf: SpfResult | None = None
    dkim: list[DkimResult] = field(default_factory=list)
    dmarc: list[DmarcResult] = field(default_factory=list)
    found: dict[str, list[MethodResult]] = field(default_factory=dict)  # by step: they end in any order
    _asking: asyncio.Task[SpfResult] | None = None
    _is_ending: bool = False

    def header(self, block: bytes) -> None:
        """SPF needs no more than this."""
        self.block = block
        self._asking = asyncio.get_running_loop().create_task(self._ask_spf())

    def feed(self, data: bytes) -> None:
        self.verifier.feed(data)

    async def end(self) -> Keep | Reply:
        self._is_ending = True
        ruling = Ruling(Decision.ACCEPT, "")
        for stage in self.judge.stages:
            ruled = await asyncio.gather(*(step(self) for _, step in stage))
            ruling = max(ruling, *(each or ruling for each in ruled), key=lambda each: each.decision)
            if ruling.decision is Decision.REJECT:
                break
        results = [result for stage in self.judge.stages for name, _ in stage for result in self.found.get(name, ())]
        self._tell(ruling, results)
        if self.judge.observe is not None:
            self.judge.observe(self, ruling)
        if ruling.reply is not None:
            return ruling.reply
        hostname = self.judge.hostname
        top = return_path(self.envelope.reverse_path) + received(self.origin, hostname, self.envelope, self.now)
        if ruling.decision is Decision.ACCEPT and self.judge.door is not None and _is_proven(self):
            self.judge.door.was_good(self.origin)
        unit = deliver_as_junk if ruling.decision is Decision.JUNK else deliver_all
        return Keep(top + format_results(hostname, results), unit, strip_forged(self.block, hostname))

    def drop(self) -> None:
        if self._asking is not None and not self._is_ending:  # else `end` ends by itself, in bounded time
            self._asking.cancel()

    async def _ask_spf(self) -> SpfResult:
        judge, sender, hello = self.judge, self.envelope.reverse_path, self.origin.hello
        ip = address_of(self.origin)
        assert ip is not None  # a Unix socket is trusted
        return await check(judge.ask(), ip, hello, sender, now=int(self.now), hostname=judge.hostname)

    async def spf_result(self) -> SpfResult:
        """Asked for since the header ended."""
        assert self._asking is not None
        return await self._asking

    def _tell(self, ruling: Ruling, results: Sequence[MethodResult]) -> None:
        verdicts: dict[str, str] = {}
        for result in results:
            said = verdicts.get(result.method)
            verdicts[result.method] = result.verdict.value if said is None else f"{said},{result.verdict.value}"
        sender = format_path(self.envelope.reverse_path).decode()
        fields = {"peer": self.origin.peer, "sender": sender, "decision": ruling.decision.name.lower(), "why": ruling.why}
        log.info("judged", extra={"fields": {**fields, **verdicts}})


Step: TypeAlias = Callable[[Case], Coroutine[Any, Any, Ruling | None]]
Stage: TypeAlias = tuple[tuple[str, Step], ...]


# -- the steps


async def author(case: Case) -> Ruling | None:
    """A-25: a message of which readers could see anybody as the author has none to be judged by."""
    if author_domains(case.block):
        return None
    return _at_most(case, Ruling(Decision.REJECT, "no author", NO_AUTHOR))


async def connection(case: Case) -> Ruling | None:
    """What the door found about the host (RFC 8601 section 2.7.3: iprev)."""
    sight = case.judge.door.sight(case.origin) if case.judge.door is not None else None
    if sight is None:
        return None
    if sight.name is not None:
        case.found["connection"] = [MethodResult("iprev", sight.name.result, (("policy.iprev", case.origin.peer),))]
    if sight.score.weight <= 0:
        return None
    return Ruling(Decision.JUNK, "listed at " + ", ".join(hit.zone for hit in sight.score.hits if hit.weight > 0))


async def spf(case: Case) -> None:
    """RFC 7208, RFC 8601 section 2.7.2. A fail alone refuses nothing: forwarded mail fails it."""
    case.spf = result = await case.spf_result()
    sender = case.envelope.reverse_path
    identity = ("smtp.helo", case.origin.hello) if sender is None else ("smtp.mailfrom", str(sender))
    case.found["SPF"] = [MethodResult("spf", result.result, (identity,), result.reason)]


async def dkim(case: Case) -> None:
    """RFC 6376, RFC 8601 section 2.7.1."""
    case.dkim = await case.verifier.results(case.judge.ask(), case.now)
    case.found["DKIM"] = [_dkim_line(result) for result in case.dkim] or [MethodResult("dkim", Verdict.NONE)]


def _dkim_line(result: DkimResult) -> MethodResult:
    named = (
        ("header.d", result.domain),
        ("header.s", result.selector),
        ("header.a", result.algorithm),
        ("header.b", result.start),
    )
    return MethodResult("dkim", result.verdict, tuple(pair for pair in named if pair[1]), result.reason)


async def arc(case: Case) -> None:
    """RFC 8617 section 5.2: noted, for those who read; whose seals to trust is nobody's default."""
    result = await verify_arc(case.verifier, case.judge.ask())
    if result.verdict is not Verdict.NONE:
        case.found["ARC"] = [MethodResult("arc", result.verdict, (), result.reason)]


async def dmarc(case: Case) -> Ruling | None:
    """RFC 7489 section 6.6. Of several authors each is judged, and the hardest wish counts."""
    assert case.spf is not None
    signed = [(result.verdict, result.domain) for result in case.dkim if result.domain]
    identifiers = Identifiers((case.spf.result, case.spf.domain), signed)
    resolver, draw = case.judge.ask(), case.judge.draw()
    asked = (evaluate(resolver, domain, identifiers, draw) for domain in author_domains(case.block))
    case.dmarc = list(await asyncio.gather(*asked))
    case.found["DMARC"] = [_dmarc_line(result) for result in case.dmarc]
    rulings = [_at_most(case, ruling) for result in case.dmarc if (ruling := _wish(result)) is not None]
    return max(rulings, key=lambda ruling: ruling.decision, default=None)


def _dmarc_line(result: DmarcResult) -> MethodResult:
    policy = (("policy.dmarc", result.policy.value),) if result.record is not None else ()
    return MethodResult("dmarc", result.verdict, (("header.from", result.domain), *policy))


def _wish(result: DmarcResult) -> Ruling | None:
    if result.disposition is Disposition.NONE:
        return None
    why = f"DMARC of {result.domain}"
    if result.verdict is Verdict.TEMPERROR:
        return Ruling(Decision.DEFER, why, COME_AGAIN) if result.disposition is Disposition.REJECT else None
    if result.disposition is Disposition.QUARANTINE:
        return Ruling(Decision.JUNK, why)
    text = f"The policy of {result.domain} (DMARC) rejects this message: neither SPF nor DKIM speaks for it"
    return Ruling(Decision.REJECT, why, Reply(550, "5.7.1", text))  # section 10.3


def _is_proven(case: Case) -> bool:
    return any(result.verdict is Verdict.PASS for result in case.dmarc)


def _at_most(case: Case, ruling: Ruling) -> Ruling:
    """As hard as this installation wants to be."""
    match case.judge.policy.dmarc:
        case "enforce":
            return ruling
        case "junk" if ruling.decision is not Decision.DEFER:
            return Ruling(Decision.JUNK, ruling.why)
        case _:
            return Ruling(Decision.ACCEPT, ruling.why)


STAGES: Final[tuple[Stage, ...]] = (
    (("connection", connection), ("author", author)),
    (("SPF", spf), ("DKIM", dkim), ("ARC", arc)),
    (("DMARC", dmarc),),
)


class _Patient:
    """A resolver that is asked up to a moment only: then nobody can tell. Each method knows what that means for it."""

    __slots__ = ("_resolver", "_until")

    def __init__(self, resolver: Resolver, until: float) -> None:
        self._resolver = resolver
        self._until = until

    async def query(self, name: str, kind: Kind) -> Answer:
        try:
            async with asyncio.timeout_at(self._until):
                return await self._resolver.query(name, kind)
        except TimeoutError:
            raise ResolverFailed("no answer in time") from None


class Judge:
    """One a server. `now` gives seconds since 1970, `draw` a random number from 0 to 99; scanners are stages behind `STAGES`.
    `trusted`: networks whose mail is not judged."""

    __slots__ = ("_now", "_trusted", "door", "draw", "hostname", "observe", "policy", "resolver", "stages")

    def __init__(
        self,
        resolver: Resolver,
        hostname: str,
        policy: JudgePolicy,
        now: Callable[[], float],
        draw: Callable[[], int],
        trusted: Sequence[Network] = (),
        door: Door | None = None,
        stages: tuple[Stage, ...] = STAGES,
    ) -> None:
        self.resolver = resolver
        self.hostname = hostname
        self.policy = policy
        self.draw = draw
        self.stages = stages
        self._trusted = trusted
        self.door = door
        self.observe: Callable[[Case, Ruling], None] | None = None  # is told of each case
        self._now = now

    def ask(self) -> Resolver:
        """The DNS, for as long as the patience for one stage lasts from now on."""
        return _Patient(self.resolver, asyncio.get_running_loop().time() + self.policy.patience)

    def open(self, envelope: Envelope, origin: Origin) -> Case | None:
        """A `Treat`: None for what is not judged, being of somebody who logged in, or from a trusted network."""
        return None if is_trusted(origin, self._trusted) else Case(self, envelope, origin, self._now())
