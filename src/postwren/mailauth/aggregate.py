"""Aggregate reports (RFC 7489 section 7.2 and appendix C): written, packed, unpacked and read; and who may be sent one.

    pack(format_report(report)), parse_report(unpack(octets))        a report for somebody, and back
    await accepts_reports(resolver, "example.net", "reports.example")       whether the other wants them (section 7.1)

What comes in is a stranger's: it is unpacked up to a cap, a document type is refused before any entity could be declared, and
depth, elements and texts have limits (A-36).
"""

import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from postwren.mailauth.dmarc import is_record, organization_of
from postwren.wire.resolver import Resolver, ResolverFailed, Txt

__all__ = [
    "LIMITS",
    "AggregateReport",
    "Count",
    "Limits",
    "ReportInvalid",
    "accepts_reports",
    "format_report",
    "pack",
    "parse_report",
    "unpack",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a report that is read."""

    packed: int = 5_000_000  # octets
    unpacked: int = 20_000_000
    depth: int = 12
    rows: int = 50_000
    text: int = 1024  # characters of one element


LIMITS: Final = Limits()


class ReportInvalid(ValueError):
    """No report, or more of one than is read; the text says why."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many messages came from `source` that were found to be so. Words are those of the report's schema."""

    source: str
    count: int
    disposition: str
    dkim: str  # in alignment: pass or fail
    spf: str
    header_from: str
    dkim_domains: tuple[tuple[str, str], ...] = ()  # (domain, verdict)
    spf_domain: str = ""
    spf_verdict: str = ""


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """One domain's, of a time (seconds since 1970). `policy` is what its owner published: p, sp, adkim, aspf, pct."""

    reporter: str
    email: str
    report_id: str
    begin: int
    end: int
    domain: str
    policy: tuple[tuple[str, str], ...] = ()
    counts: tuple[Count, ...] = field(default_factory=tuple)


# -- writing

_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def format_report(report: AggregateReport) -> bytes:
    """The document."""
    meta = _element("org_name", report.reporter) + _element("email", report.email) + _element("report_id", report.report_id)
    dates = _element("begin", str(report.begin)) + _element("end", str(report.end))
    published = _element("domain", report.domain) + "".join(_element(name, value) for name, value in report.policy)
    body = f"<report_metadata>{meta}<date_range>{dates}</date_range></report_metadata>"
    body += f"<policy_published>{published}</policy_published>" + "".join(map(_record, report.counts))
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n<feedback><version>1.0</version>{body}</feedback>\n'.encode()


def _record(row: Count) -> str:
    evaluated = _element("disposition", row.disposition) + _element("dkim", row.dkim) + _element("spf", row.spf)
    counted = _element("source_ip", row.source) + _element("count", str(row.count))
    signed = "".join(
        f"<dkim>{_element('domain', domain)}{_element('result', verdict)}</dkim>" for domain, verdict in row.dkim_domains
    )
    spf = f"<spf>{_element('domain', row.spf_domain)}{_element('result', row.spf_verdict)}</spf>"
    author = _element("header_from", row.header_from)
    return (
        f"<record><row>{counted}<policy_evaluated>{evaluated}</policy_evaluated></row>"
        f"<identifiers>{author}</identifiers><auth_results>{signed}{spf}</auth_results></record>"
    )


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_NOT_XML.sub('?', text))}</{name}>"


def pack(document: bytes) -> bytes:
    """gzip, the same octets for the same document."""
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(document) + packer.flush()


# -- reading

_FILE_HEADER: Final = struct.Struct("<6xHH8xI4xHH")  # of a zip archive: flags, way, packed size, lengths of name and extra


def unpack(octets: bytes, limits: Limits = LIMITS) -> bytes:
    """The document in an attachment: gzip, a zip archive of one file, or as it is. Raises ReportInvalid."""
    if len(octets) > limits.packed:
        raise ReportInvalid(f"packed, it has more than {limits.packed} octets")
    if octets[:2] == b"\x1f\x8b":
        return _bounded(zlib.decompressobj(31), octets, limits)
    if octets[:4] == b"PK\x03\x04":
        return _unzip(octets, limits)
    if len(octets) > limits.unpacked:
        raise ReportInvalid(f"it has more than {limits.unpacked} octets")
    return octets


def _bounded(unpacker: "zlib._Decompress", octets: bytes, limits: Limits) -> bytes:
    try:
        document = unpacker.decompress(octets, limits.unpacked + 1)
    except zlib.error as error:
        raise ReportInvalid("it cannot be unpacked") from error
    if len(document) > limits.unpacked:
        raise ReportInvalid(f"unpacked, it has more than {limits.unpacked} octets")
    return document


def _unzip(octets: bytes, limits: Limits) -> bytes:
    """The first file, by its own header: the directory at the end of an archive is not looked at."""
    if len(octets) < _FILE_HEADER.size:
        raise ReportInvalid("it cannot be unpacked")
    flags, way, size, name, extra = _FILE_HEADER.unpack_from(octets)
    start = _FILE_HEADER.size + name + extra
    if flags & 1:
        raise ReportInvalid("it is encrypted")
    if way == 8:
        return _bounded(zlib.decompressobj(-15), octets[start:], limits)
    if way == 0 and not flags & 8:
        return octets[start : start + size]
    raise ReportInvalid("it is packed in a way that is not read")


def parse_report(document: bytes, limits: Limits = LIMITS) -> AggregateReport:
    """Raises ReportInvalid. Elements that nobody knows are passed over."""
    reader = _Reader(limits)
    parser = expat.ParserCreate("utf-8", " ")  # whatever it says: no other codec of ours is tried
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise ReportInvalid(f"no XML: {expat.ErrorString(error.code)}") from error
    return reader.report()


class _Reader:
    """Texts by the path of their element below `feedback`; one record at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._path: list[str] = []
        self._text = ""
        self._facts: dict[str, str] = {}
        self._policy: list[tuple[str, str]] = []
        self._row: dict[str, str] = {}
        self._dkim: list[tuple[str, str]] = []
        self._counts: list[Count] = []

    def refuse(self, *_declaration: object) -> None:
        raise ReportInvalid("a document type")

    def start(self, name: str, _attributes: object) -> None:
        self._path.append(name.rpartition(" ")[2].lower())
        if len(self._path) > self._limits.depth:
            raise ReportInvalid(f"elements within more than {self._limits.depth} others")
        self._text = ""
        match self._path[1:]:
            case ["record"]:
                self._row, self._dkim = {}, []
            case ["record", "auth_results", "dkim"]:
                self._row.pop("auth_results/dkim/domain", None)
                self._row.pop("auth_results/dkim/result", None)

    def text(self, text: str) -> None:
        if len(self._text) <= self._limits.text:
            self._text += text

    def end(self, _name: str) -> None:
        text = self._text.strip()
        self._text = ""
        if len(text) > self._limits.text:
            raise ReportInvalid(f"a text of more than {self._limits.text} characters")
        match self._path[1:]:
            case ["report_metadata" | "policy_published" as part, *rest] if rest:
                self._facts["/".join(rest)] = text
                if part == "policy_published" and rest != ["domain"] and len(self._policy) < self._limits.depth:
                    self._policy.append((rest[-1], text))
            case ["record"]:
                self._end_record()
            case ["record", "auth_results", "dkim"]:
                if len(self._dkim) < self._limits.depth:
                    self._dkim.append(
                        (self._row.get("auth_results/dkim/domain", ""), self._row.get("auth_results/dkim/result", ""))
                    )
            case ["record", *rest]:
                self._row["/".join(rest)] = text
        self._path.pop()

    def _end_record(self) -> None:
        if len(self._counts) >= self._limits.rows:
            raise ReportInvalid(f"more than {self._limits.rows} records")
        row = self._row
        self._counts.append(
            Count(
                row.get("row/source_ip", ""),
                _number(row.get("row/count", "")),
                row.get("row/policy_evaluated/disposition", ""),
                row.get("row/policy_evaluated/dkim", ""),
                row.get("row/policy_evaluated/spf", ""),
                row.get("identifiers/header_from", ""),
                tuple(self._dkim),
                row.get("auth_results/spf/domain", ""),
                row.get("auth_results/spf/result", ""),
            )
        )

    def report(self) -> AggregateReport:
        """All of it."""
        facts = self._facts
        if not facts.get("domain") or not facts.get("org_name"):
            raise ReportInvalid("no report: it names no domain, or nobody who reports")
        return AggregateReport(
            facts["org_name"],
            facts.get("email", ""),
            facts.get("report_id", ""),
            _number(facts.get("date_range/begin", "")),
            _number(facts.get("date_range/end", "")),
            facts["domain"].lower(),
            tuple(self._policy),
            tuple(self._counts),
        )


def _number(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) is None:
        raise ReportInvalid(f"{text[:20]!r} is no number")
    return int(text)


# -- who may be sent one


async def accepts_reports(resolver: Resolver, domain: str, host: str) -> bool:
    """Whether reports on `domain` may go to an address at `host`: where both are one owner's, or where the host says so
    (section 7.1). Otherwise a record could have reports sent to anybody (A-36)."""
    if host == domain:
        return True
    try:
        if await organization_of(resolver, domain) == await organization_of(resolver, host):
            return True
        answer = await resolver.query(f"{domain}._report._dmarc.{host}", "TXT")
    except ResolverFailed:
        return False
    return any(isinstance(record, Txt) and is_record(record.text) for record in answer.records)
