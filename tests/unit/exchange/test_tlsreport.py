"""TLS reports: counted, kept over restarts, and sent when the day is over (RFC 8460)."""

import asyncio
import base64
import datetime
import gzip
import json
from typing import Final

import pytest

from postwren.exchange.policy import TlsAttempt, TlsResult
from postwren.exchange.tlsreport import Limits, Reporter, TlsReporter, TlsTally
from postwren.exchange.web import WebFailed
from postwren.message.part import parse_parts
from postwren.protocols.http.client import Get, Post, Responded
from postwren.storage.memory import MemoryStore
from postwren.terms import Address
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Kind, Record, Txt

DAY: Final = datetime.timedelta(days=1)
GOOD: Final = TlsAttempt("mx.example.org", "192.0.2.1", TlsResult.SUCCESS)
BAD: Final = TlsAttempt("mx.example.org", "192.0.2.1", TlsResult.EXPIRED, "a certificate is not valid now")
NAME: Final[tuple[str, Kind]] = ("_smtp._tls.example.org", "TXT")


class World:
    def __init__(self, limits: Limits | None = None) -> None:
        self.now = datetime.datetime(2026, 4, 1, 12, tzinfo=datetime.UTC)
        self.records: dict[tuple[str, Kind], list[Record]] = {NAME: [Txt(b"v=TLSRPTv1; rua=mailto:tls@example.org")]}
        self.limits = limits or Limits()
        self.store = MemoryStore()
        self.sent: list[tuple[str, bytes]] = []
        self.posted: list[tuple[Get | Post, int]] = []
        self.status = 201
        self.failing: list[str] = []
        self.restart()

    def restart(self) -> None:
        self.tally = TlsTally(lambda: self.now.date(), self.limits)
        resolver = ScriptedResolver(self.records, failing=self.failing)
        who = Reporter("mx.example.net", "tls@example.net")
        self.reporter = TlsReporter(self.tally, self.store, resolver, self, self._send, who, lambda: self.now)
        self.reporter.load()

    async def _send(self, recipient: Address, octets: bytes) -> None:
        self.sent.append((str(recipient), octets))

    async def ask(self, request: Get | Post, port: int = 0) -> Responded:
        self.posted.append((request, port))
        if not self.status:
            raise WebFailed("no answer in time")
        return Responded(self.status, {}, b"")

    def count(self, attempt: TlsAttempt = GOOD, domain: str = "example.org", kind: str = "no-policy-found") -> None:
        self.tally.count(domain, kind, [], [], attempt)

    def send_due(self) -> int:
        return asyncio.run(self.reporter.send_due())

    def save(self) -> None:
        asyncio.run(self.reporter.save())


@pytest.fixture
def world() -> World:
    return World()


def told(octets: bytes) -> list[tuple[str, int, int, list[tuple[str, int]]]]:
    """What a compressed report says: kind, good, bad, failures."""
    report = json.loads(gzip.decompress(octets))
    return [
        (
            policy["policy"]["policy-type"],
            policy["summary"]["total-successful-session-count"],
            policy["summary"]["total-failure-session-count"],
            [(one["result-type"], one["failed-session-count"]) for one in policy["failure-details"]],
        )
        for policy in report["policies"]
    ]


def test_a_report_is_sent_by_mail_when_its_day_is_over_and_once(world: World) -> None:
    world.count()
    world.count(BAD)
    world.count(BAD)
    world.count(GOOD, kind="sts")
    assert world.send_due() == 0
    world.now += DAY
    assert world.send_due() == 1
    assert world.send_due() == 0
    ((recipient, octets),) = world.sent
    assert recipient == "tls@example.org"
    parts = parse_parts(octets)
    kinds = [part.type.maintype + b"/" + part.type.subtype for part in parts]
    assert kinds == [b"multipart/report", b"text/plain", b"application/tlsrpt+gzip"]
    body = octets[parts[2].body_start : parts[2].body_end]
    assert told(base64.b64decode(body)) == [
        ("no-policy-found", 1, 2, [("certificate-expired", 2)]),
        ("sts", 1, 0, []),
    ]


def test_the_header_is_that_of_the_standard(world: World) -> None:
    world.count()
    world.now += DAY
    world.send_due()
    header = world.sent[0][1].partition(b"\r\n\r\n")[0].decode().replace("\r\n ", " ")
    assert "\r\nTLS-Report-Domain: example.org\r\n" in header
    assert "\r\nTLS-Report-Submitter: mx.example.net\r\n" in header
    assert "\r\nTLS-Required: No\r\n" in header, "a report goes whatever becomes of TLS"
    assert "\r\nSubject: Report Domain: example.org Submitter: mx.example.net Report-ID: <2026-04-01." in header
    assert 'report-type="tlsrpt"' in header
    assert header.startswith("Date: Thu, 2 Apr 2026 12:00:00 +0000\r\nFrom: tls@example.net\r\n")


def test_a_report_may_be_uploaded(world: World) -> None:
    world.records[NAME] = [Txt(b"v=TLSRPTv1; rua=https://r.example/v1?k,https://r.example:8443")]
    world.count(BAD)
    world.now += DAY
    assert world.send_due() == 2
    (first, port), (second, other) = world.posted
    assert isinstance(first, Post)
    assert (first.host, first.target, first.kind, port) == ("r.example", "/v1?k", "application/tlsrpt+gzip", 443)
    assert (second.target, other) == ("/", 8443)
    assert told(first.body) == [("no-policy-found", 0, 1, [("certificate-expired", 1)])]


@pytest.mark.parametrize("status", [0, 500, 302])
def test_an_upload_that_fails_is_not_tried_for_ever(world: World, status: int) -> None:
    world.records[NAME] = [Txt(b"v=TLSRPTv1; rua=https://r.example/,https://u@r.example/,https://r.example:x/")]
    world.status = status
    world.count()
    world.now += DAY
    assert world.send_due() == 0
    assert world.tally.over() == []


def test_who_asks_for_none_gets_none(world: World) -> None:
    world.records.clear()
    world.count()
    world.now += DAY
    assert world.send_due() == 0
    assert world.tally.over() == []


def test_a_dns_that_does_not_answer_is_asked_again_for_two_days(world: World) -> None:
    world.failing.append(NAME[0])
    world.count()
    for _ in range(2):
        world.now += DAY
        assert world.send_due() == 0
        assert len(world.tally.over()) == 1
    world.now += DAY
    world.send_due()
    assert world.tally.over() == []


def test_counts_outlive_a_restart_and_are_added_to(world: World) -> None:
    world.count()
    world.count(BAD)
    world.tally.problem("example.org", [], [], "sts-webpki-invalid", "expired")
    before = world.tally.counted(world.now.date(), "example.org")
    world.save()
    world.restart()
    assert world.tally.counted(world.now.date(), "example.org") == before
    world.count()
    assert world.tally.counted(world.now.date(), "example.org")[0].succeeded == 2


def test_what_is_sent_is_not_sent_again_after_a_restart(world: World) -> None:
    world.count()
    world.save()
    world.now += DAY
    world.send_due()
    world.save()
    world.restart()
    assert world.send_due() == 0


def test_a_day_has_so_many_domains_and_not_one_more() -> None:
    world = World(Limits(domains=2))
    for domain in ("a.example", "b.example", "c.example", "a.example"):
        world.count(domain=domain)
    counts = [[c.succeeded for c in world.tally.counted(world.now.date(), f"{name}.example")] for name in "abc"]
    assert counts == [[2], [1], []]
    world.now += DAY
    world.count(domain="c.example")
    assert world.tally.counted(world.now.date(), "c.example")


def test_a_domain_has_so_many_policies_and_not_one_more() -> None:
    world = World(Limits(policies=2))
    for kind in ("sts", "tlsa", "no-policy-found"):
        world.count(kind=kind)
    assert [each.kind for each in world.tally.counted(world.now.date(), "example.org")] == ["sts", "tlsa"]


def test_so_many_kinds_of_failure_are_kept_apart_and_none_is_lost() -> None:
    world = World(Limits(failures=2))
    for number in range(4):
        world.count(TlsAttempt(f"mx{number}.example.org", "192.0.2.1", TlsResult.EXPIRED))
    (counted,) = world.tally.counted(world.now.date(), "example.org")
    assert [(failure.host, count) for failure, count in counted.failures] == [
        ("mx0.example.org", 1),
        ("mx1.example.org", 1),
        ("", 2),
    ]
