"""Where TLS reports go, and what is in them (RFC 8460 sections 3 and 4)."""

import datetime
import json

import pytest

from postwren.mailauth.tlsrpt import LIMITS, Counted, Failure, Report, format_report, mail_address, parse_record


@pytest.mark.parametrize(
    ("texts", "places"),
    [
        ([b"v=TLSRPTv1;rua=mailto:reports@example.com"], ("mailto:reports@example.com",)),
        (
            [b"v=TLSRPTv1; rua=mailto:a@example.com , https://r.example/v1?x=y; z=1", b"v=spf1 -all"],
            ("mailto:a@example.com", "https://r.example/v1?x=y"),
        ),
        ([b"v=TLSRPTv1; rua=ftp://x, mailto:nobody, http://r.example/, mailto:a@b?subject=x, mailto:a b@c"], ()),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example; rua=mailto:c@d.example"], ("mailto:a@b.example",)),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example,mailto:a@b.example"], ("mailto:a@b.example",)),
        ([b"v=TLSRPTv1"], ()),
        ([b"v=TLSRPTv10; rua=mailto:a@b.example"], ()),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example"] * 2, ()),
        ([b"v=TLSRPTv1; rua=mailto:a\r\nBcc:x@b.example"], ()),
        ([], ()),
    ],
)
def test_where_a_domain_wants_its_reports(texts: list[bytes], places: tuple[str, ...]) -> None:
    assert parse_record(texts) == places


def test_a_record_has_its_limits() -> None:
    many = b"v=TLSRPTv1; rua=" + b",".join(b"mailto:r%d@b.example" % number for number in range(LIMITS.places + 1))
    assert len(parse_record([many])) == LIMITS.places
    whole = many + b";" + b"x" * (LIMITS.record - len(many) - 1)
    assert parse_record([whole])
    assert parse_record([whole + b"x"]) == ()


def test_escapes_in_an_address_are_undone() -> None:
    assert mail_address("mailto:a%2Cb%21c@example.org") == "a,b!c@example.org"
    assert mail_address("https://example.org/") is None


def test_a_report_says_what_the_standard_wants() -> None:
    failure = Failure("certificate-expired", "mx1.example.org", "192.0.2.1", "")
    strings = ("version: STSv1", "mode: testing", "mx: *.example.org", "max_age: 86400")
    counted = Counted("sts", strings, ("*.example.org",), 5326, ((failure, 100), (Failure("sts-webpki-invalid", "", "", "x"), 3)))
    report = Report("mx.example.net", "tls@example.net", "1", datetime.date(2026, 4, 1), "example.org", (counted,))
    assert json.loads(format_report(report)) == {
        "organization-name": "mx.example.net",
        "date-range": {"start-datetime": "2026-04-01T00:00:00Z", "end-datetime": "2026-04-01T23:59:59Z"},
        "contact-info": "tls@example.net",
        "report-id": "1",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": list(strings),
                    "policy-domain": "example.org",
                    "mx-host": ["*.example.org"],
                },
                "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 103},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "failed-session-count": 100,
                        "receiving-mx-hostname": "mx1.example.org",
                        "receiving-ip": "192.0.2.1",
                    },
                    {"result-type": "sts-webpki-invalid", "failed-session-count": 3, "failure-reason-code": "x"},
                ],
            }
        ],
    }
