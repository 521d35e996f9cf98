"""Aggregate reports (RFC 7489 section 7.2)."""

import asyncio
import dataclasses
import gzip
import io
import time
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.mailauth.aggregate import (
    LIMITS,
    AggregateReport,
    Count,
    ReportInvalid,
    accepts_reports,
    format_report,
    pack,
    parse_report,
    unpack,
)
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Txt

ROW = Count(
    "192.0.2.1", 7, "reject", "fail", "pass", "example.net",
    (("example.net", "fail"), ("list.example", "pass")), "bounce.example.net", "pass",
)  # fmt: skip
REPORT = AggregateReport(
    "mx.example.org",
    "reports@example.org",
    "1-<&>",
    1_700_000_000,
    1_700_086_399,
    "example.net",
    (("p", "reject"), ("pct", "100")),
    (ROW, ROW),
)


def zipped(document: bytes, way: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", way) as archive:
        archive.writestr("report.xml", document)
    return file.getvalue()


def test_what_is_written_is_read() -> None:
    assert parse_report(format_report(REPORT)) == REPORT


XML_TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff"), max_size=30).map(
    str.strip
)


@settings(max_examples=40)
@given(XML_TEXT.filter(bool), XML_TEXT, XML_TEXT)
def test_no_text_breaks_out_of_its_element(reporter: str, report_id: str, source: str) -> None:
    report = dataclasses.replace(
        REPORT, reporter=reporter, report_id=report_id, counts=(dataclasses.replace(ROW, source=source),)
    )
    assert parse_report(format_report(report)) == report


@pytest.mark.parametrize("way", [lambda d: d, pack, gzip.compress, zipped, lambda d: zipped(d, zipfile.ZIP_STORED)])
def test_it_is_unpacked_whatever_it_is_packed_in(way: object) -> None:
    assert callable(way)
    document = format_report(REPORT)
    assert unpack(way(document)) == document


def test_a_report_of_another_schema_is_read() -> None:
    document = (
        b'<?xml version="1.0"?><feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><report_metadata><org_name>a</org_name>'
        b"<date_range><begin>1</begin><end>2</end></date_range><new><er>x</er></new></report_metadata>"
        b"<policy_published><domain>Example.ORG</domain><p>none</p></policy_published><record><row><source_ip>::1</source_ip>"
        b"<count>3</count></row></record></feedback>"
    )
    report = parse_report(document)
    assert (report.domain, report.policy, report.counts[0].source, report.counts[0].count) == (
        "example.org",
        (("p", "none"),),
        "::1",
        3,
    )


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no report",
        b"<feedback></feedback>",
        b"<feedback><a></feedback>",
        format_report(REPORT).replace(b"<count>7<", b"<count>-7<"),
        format_report(REPORT).replace(b"<count>7<", b"<count>9999999999999<"),
        b'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a "b">]><feedback>&a;</feedback>',
        b'<!DOCTYPE f SYSTEM "http://127.0.0.1/x"><feedback/>',
        b"\xff\xfe<",
    ],
)
def test_what_is_no_report_is_refused(document: bytes) -> None:
    with pytest.raises(ReportInvalid):
        parse_report(document)


def test_a36_no_entity_is_expanded() -> None:
    """A-36: a billion laughs."""
    lines = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    document = f'<!DOCTYPE z [<!ENTITY l0 "lol">{lines}]><feedback>&l9;</feedback>'.encode()
    began = time.perf_counter()
    with pytest.raises(ReportInvalid, match="document type"):
        parse_report(document)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("way", [pack, zipped])
def test_a36_a_bomb_ends_at_the_cap(way: object) -> None:
    """A-36: unpacked by the limit and no more, whatever the archive says of itself."""
    assert callable(way)
    limits = dataclasses.replace(LIMITS, unpacked=100_000)
    assert len(unpack(way(b"x" * 100_000), limits)) == 100_000
    with pytest.raises(ReportInvalid, match="unpacked"):
        unpack(way(b"x" * 100_001), limits)
    bomb = way(b"x" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ReportInvalid):
            unpack(bomb, limits)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_report_has_limits() -> None:
    limits = dataclasses.replace(LIMITS, packed=len(pack(b"x")), rows=2, text=20, depth=6)
    assert unpack(pack(b"x"), limits) == b"x"
    with pytest.raises(ReportInvalid):
        unpack(pack(b"x") + b"y", limits)
    assert len(parse_report(format_report(REPORT), limits).counts) == 2
    with pytest.raises(ReportInvalid, match="records"):
        parse_report(format_report(dataclasses.replace(REPORT, counts=(ROW,) * 3)), limits)
    for length, is_read in ((20, True), (21, False)):
        document = format_report(dataclasses.replace(REPORT, reporter="x" * length))
        if is_read:
            assert parse_report(document, limits).reporter == "x" * length
        else:
            with pytest.raises(ReportInvalid, match="characters"):
                parse_report(document, limits)
    for depth, is_read in ((5, True), (6, False)):
        document = format_report(REPORT).replace(b"<record>", b"<record>" + b"<a>" * (depth - 1) + b"</a>" * (depth - 1), 1)
        if is_read:
            assert parse_report(document, limits).domain == "example.net"
        else:
            with pytest.raises(ReportInvalid, match="within"):
                parse_report(document, limits)


@pytest.mark.parametrize(
    "octets", [b"\x1f\x8bnone", b"PK\x03\x04", b"PK\x03\x04" + b"\xff" * 40, zipped(b"x", zipfile.ZIP_BZIP2)]
)
def test_what_cannot_be_unpacked_is_refused(octets: bytes) -> None:
    with pytest.raises(ReportInvalid):
        unpack(octets)


@pytest.mark.parametrize(
    ("host", "is_accepted"),
    [
        ("example.net", True),
        ("mail.example.net", True),
        ("agreed.example", True),
        ("victim.example", False),
        ("other.example", False),
        ("silent.example", False),
    ],
)
def test_a36_reports_go_elsewhere_with_consent_only(host: str, is_accepted: bool) -> None:
    """A-36, RFC 7489 section 7.1: no report floods somebody who did not ask for it."""
    resolver = ScriptedResolver(
        {
            ("_dmarc.example.net", "TXT"): [Txt(b"v=DMARC1; p=none")],
            ("example.net._report._dmarc.agreed.example", "TXT"): [Txt(b"v=DMARC1")],
            ("example.net._report._dmarc.other.example", "TXT"): [Txt(b"yes please")],
        },
        failing=["example.net._report._dmarc.silent.example"],
    )
    assert asyncio.run(accepts_reports(resolver, "example.net", host)) is is_accepted
