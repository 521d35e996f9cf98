"""No attachment makes the reader of aggregate reports raise anything else than ReportInvalid, or keep more than its limits."""

from postwren.mailauth.aggregate import AggregateReport, Count, Limits, ReportInvalid, format_report, pack, parse_report, unpack

LIMITS = Limits(packed=60_000, unpacked=100_000, rows=50)


def target(data: bytes) -> None:
    for octets in (data, pack(data)):
        try:
            document = unpack(octets, LIMITS)
            assert len(document) <= LIMITS.unpacked
            report = parse_report(document, LIMITS)
        except ReportInvalid:
            continue
        assert len(report.counts) <= LIMITS.rows
        assert all(len(count.source) <= LIMITS.text for count in report.counts)
        assert parse_report(format_report(report)).domain == report.domain


ROW = Count("192.0.2.1", 7, "reject", "fail", "pass", "example.net", (("example.net", "fail"),), "example.net", "pass")
DOCUMENT = format_report(AggregateReport("a", "b@c", "1", 1, 2, "example.net", (("p", "none"),), (ROW, ROW)))
SEEDS: list[bytes] = [
    DOCUMENT,
    pack(DOCUMENT),
    b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\x10\0\0\0\x01\0\0\0axxxx",
    b'<!DOCTYPE a [<!ENTITY b "c">]><feedback>&b;</feedback>',
]
