"""Aggregate reports: what the judge finds, counted, kept and told (`exchange.dmarcreport`)."""

import asyncio
import base64
import datetime
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.smtp.test_judging import MESSAGE, OTHER_SPF, OURS, SIGNED, THERE, Zone, zone

from postwren.delivery.envelope import Envelope
from postwren.delivery.judging import Judge, JudgePolicy
from postwren.delivery.trace import Origin
from postwren.exchange.dmarcreport import DmarcReporter, DmarcTally, Limits
from postwren.exchange.reportreader import reports_in, reports_of
from postwren.exchange.sending import make_send
from postwren.mailauth.aggregate import AggregateReport, parse_report, unpack
from postwren.mailstore.model import Credentials
from postwren.mailstore.service.accounts import create_account
from postwren.message.header import read_header
from postwren.protocols.smtp.path import parse_mailbox
from postwren.storage.memory import MemoryStore
from postwren.terms import Address
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Txt

NOW = 1_700_000_000
DMARC = (
    "v=DMARC1; p=quarantine; rua=mailto:x@victim.example,mailto:reports@example.net,mailto:dmarc@agreed.example,"
    "mailto:too-many@example.net"
)


class World:
    """A judge that counts, a clock of days, and a post that keeps what is sent."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  # frozen
        self.day = datetime.date(2023, 11, 14)
        records: Zone = zone(OTHER_SPF, DMARC)
        records["example.net._report._dmarc.agreed.example", "TXT"] = [Txt(b"v=DMARC1;")]
        self.resolver = ScriptedResolver(records)
        self.tally = DmarcTally(lambda: self.day, limits)
        self.store = MemoryStore()
        self.sent: list[tuple[Address, bytes]] = []
        self.reporter = self.new_reporter(self.tally)

    def new_reporter(self, tally: DmarcTally) -> DmarcReporter:
        return DmarcReporter(tally, self.store, self.resolver, self.keep, OURS, "postmaster@example.org", lambda: NOW)

    async def keep(self, recipient: Address, octets: bytes) -> None:
        self.sent.append((recipient, octets))

    async def judged(self, message: bytes, peer: str = THERE, sender: str = "a@example.net") -> None:
        judge = Judge(self.resolver, OURS, JudgePolicy(), lambda: NOW, lambda: 0)
        judge.observe = self.tally.count
        case = judge.open(Envelope(parse_mailbox(sender)), Origin("mail.example.net", peer, "ESMTP"))
        assert case is not None
        case.header(message.partition(b"\r\n\r\n")[0] + b"\r\n")
        case.feed(message)
        await case.end()


def play(story: Callable[[World], Awaitable[None]], limits: Limits = Limits()) -> None:  # noqa: B008  # frozen
    async def run() -> None:
        await story(World(limits))

    asyncio.run(run())


def report_in(octets: bytes) -> AggregateReport:
    attachment = octets.partition(b"application/gzip")[2].partition(b"\r\n\r\n")[2].partition(b"\r\n--")[0]
    return parse_report(unpack(base64.b64decode(attachment)))


def test_a_day_is_told_when_it_is_over_to_those_who_asked_and_may() -> None:
    """RFC 7489 section 7.2; A-36: victim.example never agreed."""

    async def story(world: World) -> None:
        await world.judged(MESSAGE)
        await world.judged(MESSAGE)
        await world.judged(SIGNED, "2001:db8::1")
        assert await world.reporter.send_due() == 0
        world.day += datetime.timedelta(days=1)
        assert await world.reporter.send_due() == 2
        assert [str(recipient) for recipient, _ in world.sent] == ["reports@example.net", "dmarc@agreed.example"]
        octets = world.sent[0][1]
        report = report_in(octets)
        assert (report.reporter, report.domain, report.end - report.begin) == (OURS, "example.net", 86_399)
        assert dict(report.policy) == {"adkim": "r", "aspf": "r", "p": "quarantine", "sp": "quarantine", "pct": "100"}
        rows = [(row.source, row.count, row.disposition, row.dkim, row.spf, row.header_from) for row in report.counts]
        assert rows == [
            (THERE, 2, "quarantine", "fail", "fail", "example.net"),
            ("2001:db8::1", 1, "none", "pass", "fail", "example.net"),
        ]
        assert report.counts[1].dkim_domains == (("example.net", "pass"),)
        header = read_header(octets)
        assert header.first(b"from") == b"postmaster@example.org"
        subject = header.first(b"subject")
        assert subject is not None
        assert subject.startswith(b"Report Domain: example.net Submitter: mx.example.org Report-ID: <")
        assert await world.reporter.send_due() == 0

    play(story)


def test_what_was_counted_outlives_the_server() -> None:
    async def story(world: World) -> None:
        await world.judged(MESSAGE)
        await world.reporter.save()
        tally = DmarcTally(lambda: world.day)
        again = world.new_reporter(tally)
        again.load()
        assert tally.dump() == world.tally.dump()
        world.day += datetime.timedelta(days=1)
        assert await again.send_due() == 2
        assert report_in(world.sent[0][1]).counts[0].count == 1

    play(story)


def test_so_many_rows_domains_and_signatures_are_counted() -> None:
    async def story(world: World) -> None:
        for number in range(3):
            await world.judged(SIGNED, f"192.0.2.{number}")
        rows = world.tally.counted(world.day, "example.net").rows
        assert len(rows) == 2
        assert all(len(row.dkim_domains) == 1 for row in rows)
        for host in ("a.example", "b.example"):
            world.resolver = ScriptedResolver({(f"_dmarc.{host}", "TXT"): [Txt(DMARC.encode())]})
            await world.judged(MESSAGE.replace(b"example.net", host.encode()))
        world.day += datetime.timedelta(days=1)
        assert [domain for _, domain in world.tally.over()] == ["a.example", "example.net"]

    play(story, Limits(domains=2, rows=2, signatures=1))


@pytest.mark.parametrize(("recipient", "goes"), [("ann@example.org", "INBOX"), ("reports@example.net", "queue")])
def test_a_report_goes_the_way_of_a_report(recipient: str, goes: str) -> None:
    async def story(world: World) -> None:
        account = await world.store.perform(create_account("ann@example.org", Credentials("", {}), NOW))
        send = make_send(world.store, lambda: 5, lambda: NOW)
        await send(parse_mailbox(recipient), MESSAGE)
        inbox = world.store.reader.mailbox_by_name(account.account_id, "INBOX")
        assert inbox is not None
        assert inbox.messages == (goes == "INBOX")

    play(story)


def test_what_we_send_is_what_we_read_and_what_cannot_be_read_is_none() -> None:
    async def story(world: World) -> None:
        await world.judged(MESSAGE)
        world.day += datetime.timedelta(days=1)
        await world.reporter.send_due()
        octets = world.sent[0][1]
        assert reports_in(octets) == [report_in(octets)]
        assert reports_in(octets.replace(b"application/gzip", b"x/y; name=a.zip")) == [report_in(octets)]
        assert reports_in(octets.replace(b"H4sI", b"H4sJ")) == []
        assert reports_in(MESSAGE) == []

    play(story)


def test_reports_are_found_in_the_mail_of_an_account_once_each_and_of_its_time() -> None:
    async def story(world: World) -> None:
        await world.judged(MESSAGE)
        world.day += datetime.timedelta(days=1)
        await world.reporter.send_due()
        account = await world.store.perform(create_account("ann@example.org", Credentials("", {}), NOW))
        for when, octets in ((NOW, world.sent[0][1]), (NOW + 1, world.sent[0][1] + b"\r\n"), (NOW, MESSAGE)):
            send = make_send(world.store, lambda: 5, lambda when=when: when)  # type: ignore[misc]
            await send(parse_mailbox("ann@example.org"), octets)

        def found(domain: str, since: int) -> list[str]:
            return [report.domain for report in reports_of(world.store, account.account_id, domain, since)]

        assert found("example.net", NOW) == ["example.net"]
        assert found("net", NOW) == ["example.net"]
        assert found("ample.net", NOW) == []
        assert found("example.net", NOW + 2) == []

    play(story)
