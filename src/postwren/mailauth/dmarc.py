"""DMARC (RFC 7489; discovery by the tree walk that follows it): does the author's domain stand behind this message?

    domains = author_domains(header block)                                        whom readers see as the author
    await evaluate(resolver, domains[0], Identifiers(spf, dkim), draw)    ->      what its owner wants done

The organizational domain is found by walking up the names and looking for policies (ADR 0018): no list of public suffixes is
needed, and a domain whose owner published nothing has no policy either way. `psd=y` above and `psd=n` at a name mark the border.
"""

import asyncio
import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailauth.verdict import Verdict
from postwren.message.address import parse_addresses
from postwren.message.header import parse_header
from postwren.protocols.smtp.path import AddressInvalid, parse_domain
from postwren.wire.resolver import Kind, Resolver, ResolverFailed, Txt

__all__ = [
    "LIMITS",
    "Disposition",
    "DmarcInvalid",
    "DmarcRecord",
    "DmarcResult",
    "Identifiers",
    "Limits",
    "author_domains",
    "evaluate",
    "is_record",
    "organization_of",
    "parse_record",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What it may cost."""

    record: int = 4096  # octets of a record that is read
    tags: int = 40
    report_uris: int = 10
    authors: int = 5  # domains in From that are judged; more is a malformed message
    labels: int = 8  # of a name, from the right, at which a policy is looked for


LIMITS: Final = Limits()


class Disposition(enum.Enum):
    """What the owner wants done with what fails, in ascending order of harm."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


_MILDER: Final = {
    Disposition.REJECT: Disposition.QUARANTINE,
    Disposition.QUARANTINE: Disposition.NONE,
    Disposition.NONE: Disposition.NONE,
}
_VERSION: Final = re.compile(rb"[ \t]*v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_TAG: Final = re.compile(r"[ \t\r\n]*([A-Za-z][A-Za-z0-9_]*)[ \t\r\n]*=(.*)", re.DOTALL)
_URI: Final = re.compile(r"(mailto:[^\s!,]+)(?:!\d+[kmgt]?)?", re.IGNORECASE)


def is_record(text: bytes) -> bool:
    """Whether it says that it is a DMARC record, whatever else it says."""
    return _VERSION.match(text) is not None


class DmarcInvalid(ValueError):
    """No record, or one that says nothing."""


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """RFC 7489 section 6.3. `is_strict_*`: adkim, aspf. `psd` is "y", "n" or "u". `reports`: mailto URIs of rua."""

    policy: Disposition
    subdomain_policy: Disposition
    absent_policy: Disposition  # np: for names that do not exist (RFC 9091)
    is_strict_dkim: bool = False
    is_strict_spf: bool = False
    percent: int = 100
    is_test: bool = False
    psd: str = "u"
    reports: tuple[str, ...] = ()


def parse_record(text: bytes) -> DmarcRecord:
    """dmarc-record. Unknown tags are passed over, values that are none count as absent (section 6.3); a record without a usable
    `p` asks for reports only, or is none (section 6.6.3)."""
    if len(text) > LIMITS.record or _VERSION.match(text) is None:
        raise DmarcInvalid("no DMARC record")
    tags: dict[str, str] = {}
    for part in text.decode("ascii", "replace").split(";", LIMITS.tags)[: LIMITS.tags]:
        match = _TAG.fullmatch(part)
        if match is not None:
            tags.setdefault(match[1].lower(), match[2].strip())
    reports = _report_uris(tags.get("rua", ""))
    policy = _policy(tags.get("p"))
    is_unclear = "sp" in tags and _policy(tags["sp"]) is None
    if policy is None or is_unclear:
        if not reports:
            raise DmarcInvalid("no usable policy")
        return DmarcRecord(Disposition.NONE, Disposition.NONE, Disposition.NONE, reports=reports)
    subdomain = _policy(tags.get("sp")) or policy
    percent = tags.get("pct", "100")
    return DmarcRecord(
        policy,
        subdomain,
        _policy(tags.get("np")) or subdomain,
        is_strict_dkim=tags.get("adkim", "").lower() == "s",
        is_strict_spf=tags.get("aspf", "").lower() == "s",
        percent=int(percent) if re.fullmatch(r"[0-9]{1,2}|100", percent) else 100,
        is_test=tags.get("t", "").lower() == "y",
        psd=tags.get("psd", "u").lower(),
        reports=reports,
    )


def _policy(text: str | None) -> Disposition | None:
    try:
        return Disposition((text or "").lower())
    except ValueError:
        return None


def _report_uris(text: str) -> tuple[str, ...]:
    found = (_URI.fullmatch(part.strip()) for part in text.split(",")[: LIMITS.report_uris])
    return tuple(match[1] for match in found if match is not None)


# -- whom readers see


def author_domains(block: bytes) -> list[str]:
    """The domains of the addresses in From, in order. Empty where readers could see anybody: no From field, or more than one; no
    address in it; one whose domain is none; more domains than `Limits.authors` (A-25, A-36)."""
    header = parse_header(block, 0, len(block), len(block))
    froms = header.every(b"from")
    if len(froms) != 1 or b"\0" in froms[0]:
        return []
    found: dict[str, None] = {}
    for address in parse_addresses(froms[0]):
        if address.host:
            try:
                found[parse_domain(address.host.decode().removesuffix("."))] = None
            except (AddressInvalid, UnicodeDecodeError):
                return []
    domains = [domain for domain in found if not domain.startswith("[")]
    return domains if len(domains) == len(found) <= LIMITS.authors else []


# -- whose policy


@dataclass(frozen=True, slots=True)
class _Walk:
    """What was found from a name upwards: the records by the names that have them, and the organizational domain."""

    records: dict[str, DmarcRecord]
    organization: str


def _names_above(domain: str) -> list[str]:
    """The names at which the walk looks, the longest first."""
    labels = domain.split(".")
    shorter = labels[1:] if len(labels) <= LIMITS.labels else labels[1 - LIMITS.labels :]
    return [domain, *(".".join(shorter[start:]) for start in range(len(shorter)))]


async def _walk(resolver: Resolver, domain: str) -> _Walk:
    names = _names_above(domain)
    answers = await asyncio.gather(*(_record_at(resolver, name) for name in names))
    records: dict[str, DmarcRecord] = {}
    organization, below = domain, domain
    for name, record in zip(names, answers, strict=True):
        if record is not None:
            records[name] = record
            if record.psd == "n":
                return _Walk(records, name)
            if record.psd == "y":
                return _Walk(records, below)
            organization = name
        below = name
    return _Walk(records, organization)


async def organization_of(resolver: Resolver, domain: str) -> str:
    """The organizational domain. Raises ResolverFailed."""
    return (await _walk(resolver, domain)).organization


async def _record_at(resolver: Resolver, name: str) -> DmarcRecord | None:
    answer = await resolver.query(f"_dmarc.{name}", "TXT")
    texts = [record.text for record in answer.records if isinstance(record, Txt) and is_record(record.text)]
    if len(texts) != 1:  # section 6.6.3: more than one is none
        return None
    try:
        return parse_record(texts[0])
    except DmarcInvalid:
        return None


async def _exists(resolver: Resolver, domain: str) -> bool:
    """RFC 9091 section 2.7: whether anything could be sent from or to this name."""
    kinds: tuple[Kind, ...] = ("A", "AAAA", "MX")
    answers = await asyncio.gather(*(resolver.query(domain, kind) for kind in kinds))
    return any(answer.records for answer in answers)


# -- the verdict


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What was authenticated: SPF's verdict with its domain, and each DKIM signature's with its."""

    spf: tuple[Verdict, str]
    dkim: Sequence[tuple[Verdict, str]] = ()


@dataclass(frozen=True, slots=True)
class DmarcResult:
    """`policy` is what the owner asks for, `disposition` what is left of it for this message (pct, t, or none where it passed).
    Of a TEMPERROR both are the owner's, as far as they were found. `record` is None where there is no policy."""

    verdict: Verdict
    domain: str
    policy: Disposition = Disposition.NONE
    disposition: Disposition = Disposition.NONE
    record: DmarcRecord | None = None
    record_domain: str = ""
    spf_aligned: bool = False
    dkim_aligned: bool = False


async def evaluate(resolver: Resolver, domain: str, identifiers: Identifiers, draw: int = 0) -> DmarcResult:
    """The verdict on one author domain (A-labels, lower case). `draw` is a random number from 0 to 99, for pct. Never raises."""
    try:
        walk = await _walk(resolver, domain)
    except ResolverFailed:
        return DmarcResult(Verdict.TEMPERROR, domain)
    if not walk.records:
        return DmarcResult(Verdict.NONE, domain)
    suffix = list(walk.records)[-1]  # where neither has one, it is the public suffix that speaks
    place = next(name for name in (domain, walk.organization, suffix) if name in walk.records)
    record = walk.records[place]
    try:
        policy = await _policy_for(resolver, record, domain, place)
        spf = await _aligned(resolver, [identifiers.spf], domain, walk, record.is_strict_spf)
        dkim = await _aligned(resolver, identifiers.dkim, domain, walk, record.is_strict_dkim)
    except ResolverFailed:
        return DmarcResult(Verdict.TEMPERROR, domain, record.policy, record.policy, record, place)
    verdict = _combined(spf, dkim)
    disposition = Disposition.NONE if verdict is Verdict.PASS else _softened(policy, record, draw)
    is_spf, is_dkim = spf is Verdict.PASS, dkim is Verdict.PASS
    return DmarcResult(verdict, domain, policy, disposition, record, place, is_spf, is_dkim)


async def _policy_for(resolver: Resolver, record: DmarcRecord, domain: str, place: str) -> Disposition:
    if place == domain:
        return record.policy
    if record.absent_policy is not record.subdomain_policy and not await _exists(resolver, domain):
        return record.absent_policy
    return record.subdomain_policy


def _softened(policy: Disposition, record: DmarcRecord, draw: int) -> Disposition:
    """Section 6.6.4: the rest of pct, and what is only tried out, is treated one step milder."""
    return _MILDER[policy] if record.is_test or draw >= record.percent else policy


def _combined(spf: Verdict, dkim: Verdict) -> Verdict:
    if Verdict.PASS in (spf, dkim):
        return Verdict.PASS
    return Verdict.TEMPERROR if Verdict.TEMPERROR in (spf, dkim) else Verdict.FAIL


async def _aligned(
    resolver: Resolver, found: Sequence[tuple[Verdict, str]], domain: str, walk: _Walk, is_strict: bool
) -> Verdict:
    """The best of what is aligned with the author's domain (section 3.1); FAIL where nothing is."""
    best = Verdict.FAIL
    asked: dict[str, bool] = {}
    for verdict, other in found:
        if verdict not in (Verdict.PASS, Verdict.TEMPERROR) or verdict is best:
            continue
        other = other.lower().removesuffix(".")
        if other not in asked:
            asked[other] = other == domain or (not is_strict and await _is_of(resolver, other, walk.organization))
        if asked[other]:
            if verdict is Verdict.PASS:
                return verdict
            best = verdict
    return best


async def _is_of(resolver: Resolver, other: str, organization: str) -> bool:
    """Whether this is the organizational domain of `other`. Only a name below it can have it: nobody else's is asked about."""
    if other == organization:
        return True
    return other.endswith("." + organization) and (await _walk(resolver, other)).organization == organization
