"""SMTP TLS reports (RFC 8460): where a domain wants them, and what is in one.

parse_record([b"v=TLSRPTv1; rua=mailto:reports@example.org"])    ->  ("mailto:reports@example.org",)
format_report(Report(...))                                       ->  JSON of section 4.4, for gzip
"""

import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["LIMITS", "Counted", "Failure", "Limits", "Report", "format_report", "mail_address", "parse_record"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets of a record, and places of it that are written to."""

    record: int = 4096
    places: int = 4


LIMITS: Final = Limits()

_VERSION: Final = re.compile(rb"v=TLSRPTv1[ \t]*;")
_MAILTO: Final = re.compile(r"(?i:mailto):([\x22-\x2b\x2d-\x3a\x3d\x40-\x7e]+@[A-Za-z0-9.-]+)")  # no ! , ; < > ?
_HTTPS: Final = re.compile(r"(?i:https)://[\x22-\x2b\x2d-\x3a\x3d\x3f-\x7e]+")  # no ! , ; < >
_ESCAPE: Final = re.compile("%([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Failure:
    """Sessions that failed alike: `result` is a word of section 4.3, `reason` for people."""

    result: str
    host: str
    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """One policy and its sessions. `kind` is "tlsa", "sts" or "no-policy-found"."""

    kind: str
    strings: tuple[str, ...]
    patterns: tuple[str, ...]
    succeeded: int
    failures: tuple[tuple[Failure, int], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A day of one domain, in UTC. `ident` is of this report alone."""

    organization: str
    contact: str
    ident: str
    day: datetime.date
    domain: str
    policies: tuple[Counted, ...]


def parse_record(texts: Sequence[bytes]) -> tuple[str, ...]:
    """The places in the TXT records of `_smtp._tls.DOMAIN` (section 3), unknown kinds left out; none where there is not one
    record of ours without fault."""
    ours = [text for text in texts if _VERSION.match(text)]
    if len(ours) != 1 or len(ours[0]) > LIMITS.record:
        return ()
    found: list[str] = []
    for text in ours[0].decode("latin-1").split(";")[1:]:
        name, _, value = text.strip(" \t").partition("=")
        if name.strip(" \t") == "rua" and not found:
            found = [place.strip(" \t") for place in value.split(",")]
    good = (place for place in found if _MAILTO.fullmatch(place) or _HTTPS.fullmatch(place))
    return tuple(dict.fromkeys(good))[: LIMITS.places]


def mail_address(place: str) -> str | None:
    """The address of a mailto, its escapes undone (RFC 6068 section 2); None for another kind of place."""
    found = _MAILTO.fullmatch(place)
    return None if found is None else _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), found[1])


def format_report(report: Report) -> bytes:
    """Section 4.4."""
    day = report.day.isoformat()
    return json.dumps(
        {
            "organization-name": report.organization,
            "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
            "contact-info": report.contact,
            "report-id": report.ident,
            "policies": [_policy(report.domain, counted) for counted in report.policies],
        }
    ).encode()


def _policy(domain: str, counted: Counted) -> dict[str, Any]:
    policy: dict[str, Any] = {"policy-type": counted.kind, "policy-domain": domain}
    if counted.strings:
        policy["policy-string"] = list(counted.strings)
    if counted.patterns:
        policy["mx-host"] = list(counted.patterns)
    failed = sum(count for _, count in counted.failures)
    return {
        "policy": policy,
        "summary": {"total-successful-session-count": counted.succeeded, "total-failure-session-count": failed},
        "failure-details": [_detail(failure, count) for failure, count in counted.failures],
    }


def _detail(failure: Failure, count: int) -> dict[str, Any]:
    detail: dict[str, Any] = {"result-type": failure.result, "failed-session-count": count}
    for name, value in (
        ("receiving-mx-hostname", failure.host),
        ("receiving-ip", failure.address),
        ("failure-reason-code", failure.reason),
    ):
        if value:
            detail[name] = value
    return detail
