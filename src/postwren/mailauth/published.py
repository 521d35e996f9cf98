"""What the DNS must say about a domain whose mail this server receives and sends, and what it does say.

    setup = Setup("example.org", "mx.example.org", keys=(("2026a", "v=DKIM1; k=rsa; p=..."),))
    for record in wanted(setup): print(*zone_lines(record), sep="\\n")                             the records to publish
    findings = compare(setup, await ask(resolver, setup))                                        one line each: what stands how

`ask` alone waits; the rest is pure. What means the same is right: another order of tags, an SPF policy of other terms that
lets the server's addresses pass, more hosts beside ours.
"""

import asyncio
import enum
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from postwren.mailauth import dmarc, mtasts
from postwren.mailauth.dkim.tags import TagsInvalid, parse_tags
from postwren.mailauth.spf import SpfResult
from postwren.mailauth.spf import check as check_spf
from postwren.mailauth.spf.record import is_spf
from postwren.mailauth.verdict import Verdict
from postwren.terms import Address
from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, Ptr, Record, Resolver, ResolverFailed, Srv, Txt

__all__ = ["Facts", "Finding", "Setup", "Standing", "Wanted", "ask", "compare", "wanted", "zone_lines"]

_ADDRESSES: Final = 8  # of our host, that are looked at
_STRING: Final = 255  # octets of one character-string of a TXT record (RFC 1035 section 3.3)

Question: TypeAlias = tuple[str, Kind]


class Standing(enum.Enum):
    """How a thing stands."""

    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"
    UNKNOWN = "unknown"  # nobody could tell


@dataclass(frozen=True, slots=True)
class Setup:
    """A domain as this server means it. `keys`: selector and key record; `dmarc`: the policy asked of others; `reports`: the
    address for reports, "" is the postmaster's; `mta_sts_id`: of the policy that is served, "" where none is; `services`: what
    devices may look for (RFC 6186, RFC 8314 section 5.1) and its port."""

    domain: str
    hostname: str
    keys: tuple[tuple[str, str], ...] = ()
    dmarc: str = "reject"
    reports: str = ""
    mta_sts_id: str = ""
    services: tuple[tuple[str, int], ...] = (("_submissions", 465), ("_imaps", 993), ("_pop3s", 995))

    @property
    def report_address(self) -> str:
        return self.reports or f"postmaster@{self.domain}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One record. `what` says for people what it is for; mail flows without those that are not `is_needed`."""

    what: str
    name: str
    kind: Kind | Literal["CNAME"]
    data: str
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing stands; `line` says it for people, `publish` is the record to publish in lines of a zone file: none when all
    is well or no record of ours would help."""

    what: str
    standing: Standing
    line: str
    publish: tuple[str, ...] = ()
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What the DNS says: None where nobody could tell. `spf` is the domain's policy applied to each address of our host."""

    answers: Mapping[Question, Answer | None]
    spf: Mapping[str, SpfResult]

    def records(self, name: str, kind: Kind) -> tuple[Record, ...] | None:
        answer = self.answers.get((name, kind))
        return None if answer is None else answer.records


def wanted(setup: Setup) -> list[Wanted]:
    """Every record of the domain's own zone; addresses and their names are the business of whoever runs the host."""
    domain, reports = setup.domain, setup.report_address
    records = [
        Wanted("MX", domain, "MX", f"10 {setup.hostname}."),
        Wanted("SPF", domain, "TXT", "v=spf1 mx -all"),
        *(Wanted(f"DKIM {selector}", f"{selector}._domainkey.{domain}", "TXT", key) for selector, key in setup.keys),
        Wanted("DMARC", f"_dmarc.{domain}", "TXT", f"v=DMARC1; p={setup.dmarc}; rua=mailto:{reports}"),
        Wanted("TLS reports", f"_smtp._tls.{domain}", "TXT", f"v=TLSRPTv1; rua=mailto:{reports}", is_needed=False),
    ]
    if setup.mta_sts_id:
        text = mtasts.format_record(setup.mta_sts_id).decode("ascii")
        records.append(Wanted("MTA-STS", f"_mta-sts.{domain}", "TXT", text, is_needed=False))
        records.append(Wanted("MTA-STS host", f"mta-sts.{domain}", "CNAME", f"{setup.hostname}.", is_needed=False))
    for service, port in setup.services:
        data = f"0 1 {port} {setup.hostname}."
        records.append(Wanted(f"Service {service}", f"{service}._tcp.{domain}", "SRV", data, is_needed=False))
    records.append(Wanted("Autoconfig", f"autoconfig.{domain}", "CNAME", f"{setup.hostname}.", is_needed=False))
    return records


def zone_lines(record: Wanted) -> tuple[str, ...]:
    """The record as a zone file has it (RFC 1035 section 5); long texts in several strings, which readers join."""
    if record.kind != "TXT":
        return (f"{record.name}. IN {record.kind} {record.data}",)
    text = record.data.replace("\\", "\\\\").replace('"', '\\"')
    strings = [f'"{text[start : start + _STRING]}"' for start in range(0, len(text), _STRING)]
    if len(strings) == 1:
        return (f"{record.name}. IN TXT {strings[0]}",)
    return (f"{record.name}. IN TXT (", *(f"    {string}" for string in strings), ")")


# -- asking


async def ask(resolver: Resolver, setup: Setup, now: int = 0) -> Facts:
    """All questions side by side, then those about the addresses that came. Never raises."""
    names: set[Question] = {(setup.hostname, "A"), (setup.hostname, "AAAA")}
    for record in wanted(setup):
        names |= {(record.name, "A"), (record.name, "AAAA")} if record.kind == "CNAME" else {(record.name, record.kind)}
    answers = await _answers(resolver, sorted(names))
    addresses = _addresses(setup.hostname, answers)
    answers |= await _answers(resolver, [(ipaddress.ip_address(address).reverse_pointer, "PTR") for address in addresses])
    sender = Address("postmaster", setup.domain)
    results = await asyncio.gather(
        *(check_spf(resolver, ipaddress.ip_address(address), setup.hostname, sender, now=now) for address in addresses)
    )
    return Facts(answers, dict(zip(addresses, results, strict=True)))


async def _answers(resolver: Resolver, questions: list[Question]) -> dict[Question, Answer | None]:
    return dict(zip(questions, await asyncio.gather(*(_answer(resolver, *each) for each in questions)), strict=True))


async def _answer(resolver: Resolver, name: str, kind: Kind) -> Answer | None:
    try:
        return await resolver.query(name, kind)
    except ResolverFailed:
        return None


def _addresses(name: str, answers: Mapping[Question, Answer | None]) -> list[str]:
    found: list[str] = []
    kinds: tuple[Kind, ...] = ("AAAA", "A")
    for kind in kinds:
        answer = answers.get((name, kind))
        found += [record.address for record in (answer.records if answer else ()) if isinstance(record, HostAddress)]
    return found[:_ADDRESSES]


# -- comparing


def compare(setup: Setup, facts: Facts) -> list[Finding]:
    """How everything stands, in the order in which one sets it up."""
    addresses = _addresses(setup.hostname, facts.answers)
    findings = [_host(setup, facts, addresses), *(_reverse(setup, facts, address) for address in addresses)]
    return findings + [_record(setup, facts, record, addresses) for record in wanted(setup)]


def _host(setup: Setup, facts: Facts, addresses: list[str]) -> Finding:
    if addresses:
        return Finding("Host", Standing.OK, f"{setup.hostname} is at {', '.join(addresses)}")
    if facts.records(setup.hostname, "A") is None or facts.records(setup.hostname, "AAAA") is None:
        return Finding("Host", Standing.UNKNOWN, f"nobody could tell where {setup.hostname} is")
    line = f"{setup.hostname} has no address: publish an A record, an AAAA record, or both, in the zone of that name"
    return Finding("Host", Standing.MISSING, line)


def _reverse(setup: Setup, facts: Facts, address: str) -> Finding:
    pointer = ipaddress.ip_address(address).reverse_pointer
    records = facts.records(pointer, "PTR")
    what = f"Name of {address}"
    if records is None:
        return Finding(what, Standing.UNKNOWN, f"nobody could tell the name of {address}")
    names = [record.host for record in records if isinstance(record, Ptr)]
    if setup.hostname in names:
        return Finding(what, Standing.OK, f"{address} is called {setup.hostname}")
    publish = (f"{pointer}. IN PTR {setup.hostname}.",)
    whom = "ask whoever gave you the address to name it"
    if names:
        line = f"{address} is called {_listed(names)}, not {setup.hostname}: {whom}"
        return Finding(what, Standing.DIFFERS, line, publish)
    return Finding(what, Standing.MISSING, f"{address} has no name, which many servers refuse: {whom}", publish)


def _record(setup: Setup, facts: Facts, record: Wanted, addresses: list[str]) -> Finding:
    kinds: tuple[Kind, ...] = ("A", "AAAA") if record.kind == "CNAME" else (record.kind,)
    asked = [facts.records(record.name, kind) for kind in kinds]
    known = [each for each in asked if each is not None]
    found = tuple(item for each in known for item in each)
    if len(known) < len(asked) and not found:
        return Finding(record.what, Standing.UNKNOWN, f"nobody could tell what {record.name} says", (), record.is_needed)
    match record.what.partition(" ")[0]:
        case "MX":
            standing, line = _judge_mx(setup, found)
        case "SPF":
            standing, line = _judge_spf(facts, found)
        case "DKIM":
            standing, line = _judge_key(record, found)
        case "DMARC":
            standing, line = _judge_dmarc(setup, found)
        case "Service":
            standing, line = _judge_service(record, found)
        case "MTA-STS" | "Autoconfig" if record.kind == "CNAME":
            standing, line = _judge_alias(record, found, addresses)
        case _:
            standing, line = _judge_text(record, found)
    publish = () if standing in (Standing.OK, Standing.UNKNOWN) else zone_lines(record)
    return Finding(record.what, standing, line, publish, record.is_needed)


_Judgement: TypeAlias = tuple[Standing, str]


def _judge_mx(setup: Setup, found: Iterable[Record]) -> _Judgement:
    hosts = [record.host for record in found if isinstance(record, Mx)]
    if setup.hostname in hosts:
        others = [host for host in hosts if host != setup.hostname]
        return Standing.OK, f"mail for {setup.domain} comes to {setup.hostname}" + (
            f", and to {_listed(others)}" if others else ""
        )
    if hosts == [""]:
        return Standing.DIFFERS, f"{setup.domain} says that it takes no mail at all (RFC 7505)"
    if hosts:
        return Standing.DIFFERS, f"mail for {setup.domain} goes to {_listed(hosts)}, not here"
    return Standing.MISSING, f"{setup.domain} does not say where its mail goes"


def _judge_spf(facts: Facts, found: Iterable[Record]) -> _Judgement:
    policies = [record.text for record in found if isinstance(record, Txt) and is_spf(record.text)]
    if not policies:
        return Standing.MISSING, "nobody can tell which hosts may send for the domain"
    if len(policies) > 1:
        return Standing.DIFFERS, f"{len(policies)} policies are published, which counts as none: leave one"
    refused = [(address, result) for address, result in facts.spf.items() if result.result is not Verdict.PASS]
    if any(result.result is Verdict.TEMPERROR for _, result in refused):
        return Standing.UNKNOWN, f"nobody could tell whether the policy lets this host send ({refused[0][1].reason})"
    if refused:
        address, result = refused[0]
        said = f"{result.result.value}, {_plain(result.reason)}"
        return Standing.DIFFERS, f"the policy does not let {address} send ({said}): add mx to it"
    return Standing.OK, "the policy lets this host send"


def _judge_key(record: Wanted, found: Iterable[Record]) -> _Judgement:
    texts = [each.text for each in found if isinstance(each, Txt)]
    if not texts:
        return Standing.MISSING, "the key is not published, so signatures made with it do not count"
    if len(texts) > 1:
        return Standing.DIFFERS, f"{record.name} has {len(texts)} texts: leave one"
    key = _key(texts[0])
    if key is None or key[1] == b"":
        return Standing.DIFFERS, "what is published is no key" if key is None else "the key is published as revoked"
    if key != _key(record.data.encode()):
        return Standing.DIFFERS, "another key is published than the one that signs"
    return Standing.OK, "the key is published"


def _key(text: bytes) -> tuple[bytes, bytes] | None:
    try:
        tags = parse_tags(text)
    except TagsInvalid:
        return None
    return (tags.get("k", b"rsa"), b"".join(tags["p"].split())) if "p" in tags else None


def _judge_dmarc(setup: Setup, found: Iterable[Record]) -> _Judgement:
    texts = [each.text for each in found if isinstance(each, Txt) and each.text.lstrip()[:8].upper() == b"V=DMARC1"]
    if not texts:
        return Standing.MISSING, "others are not told what to do with forged mail"
    if len(texts) > 1:
        return Standing.DIFFERS, f"{len(texts)} policies are published, which counts as none: leave one"
    try:
        policy = dmarc.parse_record(texts[0]).policy
    except dmarc.DmarcInvalid as error:
        return Standing.DIFFERS, f"what is published is no policy ({error})"
    if policy.value != setup.dmarc:
        return Standing.DIFFERS, f"others are asked for p={policy.value}, and you wanted p={setup.dmarc}"
    return Standing.OK, f"others are asked for p={policy.value}"


def _judge_service(record: Wanted, found: Iterable[Record]) -> _Judgement:
    services = [f"{each.priority} {each.weight} {each.port} {each.target}." for each in found if isinstance(each, Srv)]
    here = record.data.split(" ", 2)[2]
    if any(each.split(" ", 2)[2] == here for each in services):
        return Standing.OK, "devices find this server"
    if services:
        return (
            Standing.DIFFERS,
            f"devices are sent to {_listed([each.split(' ')[3].rstrip('.') or 'nowhere' for each in services])}",
        )
    return Standing.MISSING, "devices have to ask their owner for the server's name"


def _judge_alias(record: Wanted, found: Iterable[Record], addresses: list[str]) -> _Judgement:
    there = [each.address for each in found if isinstance(each, HostAddress)]
    if not there:
        return Standing.MISSING, f"{record.name} has no address, so nothing can be fetched there"
    if addresses and not set(there) & set(addresses):
        return Standing.DIFFERS, f"{record.name} is at {_listed(there)}, not here"
    return Standing.OK, f"{record.name} is this host"


def _judge_text(record: Wanted, found: Iterable[Record]) -> _Judgement:
    """MTA-STS and TLS reports: by version, then by the tag that matters."""
    version = record.data.partition(";")[0].encode()
    texts = [each.text for each in found if isinstance(each, Txt) and each.text.partition(b";")[0].strip() == version]
    if not texts:
        return Standing.MISSING, "not published"
    if len(texts) > 1:
        return Standing.DIFFERS, f"{len(texts)} are published, which counts as none: leave one"
    if _pairs(texts[0]) != _pairs(record.data.encode()):
        return Standing.DIFFERS, f"published is {_plain(texts[0].decode('latin-1'))}"
    return Standing.OK, "published"


def _pairs(text: bytes) -> set[bytes]:
    return {b"".join(part.split()) for part in text.split(b";")} - {b""}


def _listed(names: list[str]) -> str:
    return _plain(", ".join(names))


def _plain(text: str) -> str:
    """What strangers wrote, for a terminal (A-33)."""
    return "".join(char if char.isprintable() and char.isascii() else "?" for char in text[:200])
