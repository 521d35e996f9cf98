"""What was found about mail in other domains' names, told to those who ask for it, once a day (RFC 7489 section 7.2).

    tally = DmarcTally(today)                 counts; the judge calls `count` for each case
    reporter = DmarcReporter(...)             keeps the counts over restarts, sends those of days that are over

Counts are bounded: so many domains a day, so many rows a domain; what is beyond is not told. They are written down every ten
minutes: a crash loses no mail by them. Nobody gets a report who did not ask for it, or for whom another asked without their
consent (section 7.1, A-36).
"""

import asyncio
import base64
import contextlib
import datetime
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from postwren.delivery.judging import Case, Decision, Ruling
from postwren.exchange.sending import Send
from postwren.mailauth.aggregate import AggregateReport, Count, accepts_reports, format_report, pack
from postwren.mailauth.dmarc import DmarcRecord, DmarcResult
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Store
from postwren.message.compose import Part, field, message, multipart, structured_field, text_part
from postwren.message.date import format_date
from postwren.protocols.smtp.path import AddressInvalid, parse_mailbox
from postwren.wire.resolver import Resolver

__all__ = ["LIMITS", "DmarcReporter", "DmarcTally", "Limits", "compose"]

log = logging.getLogger("postwren.dmarcreport")


_SETTING: Final = "dmarc-report"
_EVERY: Final = 600.0
_DONE: Final = {Decision.JUNK: "quarantine", Decision.REJECT: "reject"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Domains of a day, rows of a domain, signatures of a row, and those who are told about a domain."""

    domains: int = 1000
    rows: int = 500
    signatures: int = 4
    recipients: int = 3


LIMITS: Final = Limits()


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """One domain of a day, as it is written down."""

    day: str
    domain: str
    policy: tuple[tuple[str, str], ...]
    places: tuple[str, ...]
    rows: tuple[Count, ...]


_KEPT: Final = msgspec.json.Decoder(list[_Kept])


@dataclass(slots=True)
class _Domain:
    """The policy as it was published last, and how often each row."""

    policy: tuple[tuple[str, str], ...]
    places: tuple[str, ...]
    rows: Counter[Count]


class DmarcTally:
    """`today` is the date in UTC."""

    def __init__(self, today: Callable[[], datetime.date], limits: Limits = LIMITS) -> None:
        self._today = today
        self._limits = limits
        self._days: dict[tuple[datetime.date, str], _Domain] = {}
        self.is_changed = False

    def count(self, case: Case, ruling: Ruling) -> None:
        """One message."""
        for result in case.dmarc:
            if result.record is not None and result.record.reports:
                row = self._row(case, result, _DONE.get(ruling.decision, "none"))
                self._add(self._today(), result.record_domain, _published(result.record), result.record.reports, row, 1)

    def _row(self, case: Case, result: DmarcResult, disposition: str) -> Count:
        signed = tuple((each.domain, each.verdict.value) for each in case.dkim if each.domain)[: self._limits.signatures]
        dkim, spf = ("pass" if passed else "fail" for passed in (result.dkim_aligned, result.spf_aligned))
        found = ("", "none") if case.spf is None else (case.spf.domain, case.spf.result.value)
        return Count(case.origin.peer, 0, disposition, dkim, spf, result.domain, signed, *found)

    def _add(
        self,
        day: datetime.date,
        domain: str,
        policy: tuple[tuple[str, str], ...],
        places: tuple[str, ...],
        row: Count,
        count: int,
    ) -> None:
        kept = self._days.get((day, domain))
        if kept is None:
            if sum(each == day for each, _ in self._days) >= self._limits.domains:
                return
            kept = self._days[day, domain] = _Domain(policy, places, Counter())
        kept.policy, kept.places = policy, places
        if row in kept.rows or len(kept.rows) < self._limits.rows:
            kept.rows[row] += count
            self.is_changed = True

    def over(self) -> list[tuple[datetime.date, str]]:
        """Days and domains that nothing is added to any more, the oldest first."""
        today = self._today()
        return sorted(key for key in self._days if key[0] < today)

    def counted(self, day: datetime.date, domain: str) -> _Domain:
        return self._days[day, domain]

    def forget(self, day: datetime.date, domain: str) -> None:
        self.is_changed = self._days.pop((day, domain), None) is not None or self.is_changed

    def dump(self) -> bytes:
        """All of it, for a setting."""
        self.is_changed = False
        kept = [
            _Kept(day.isoformat(), domain, each.policy, each.places, _with_counts(each.rows))
            for (day, domain), each in self._days.items()
        ]
        return msgspec.json.encode(kept)

    def load(self, octets: bytes) -> None:
        """What `dump` gave, added to what is there."""
        for kept in _KEPT.decode(octets):
            for row in kept.rows:
                day = datetime.date.fromisoformat(kept.day)
                self._add(day, kept.domain, kept.policy, kept.places, replace(row, count=0), row.count)
        self.is_changed = False


def _with_counts(rows: Counter[Count]) -> tuple[Count, ...]:
    return tuple(replace(row, count=count) for row, count in rows.items())


def _published(record: DmarcRecord) -> tuple[tuple[str, str], ...]:
    return (
        ("adkim", "s" if record.is_strict_dkim else "r"),
        ("aspf", "s" if record.is_strict_spf else "r"),
        ("p", record.policy.value),
        ("sp", record.subdomain_policy.value),
        ("pct", str(record.percent)),
    )


class DmarcReporter:
    """Sends what is due. `contact` is an address of ours that reads answers; `now` gives seconds since 1970."""

    def __init__(
        self,
        tally: DmarcTally,
        store: Store,
        resolver: Resolver,
        send: Send,
        hostname: str,
        contact: str,
        now: Callable[[], float],
    ) -> None:
        self._tally = tally
        self._store = store
        self._resolver = resolver
        self._send = send
        self._hostname = hostname
        self._contact = contact
        self._now = now

    def load(self) -> None:
        """What was counted before the last end."""
        kept = self._store.reader.setting(_SETTING)
        if kept is not None:
            self._tally.load(kept)

    async def save(self) -> None:
        """Harmless when nothing is new."""
        if self._tally.is_changed:
            octets = self._tally.dump()
            await self._store.perform(lambda tx: tx.put_setting(_SETTING, octets))

    async def run(self) -> None:
        """A chore: every ten minutes."""
        while True:
            await asyncio.sleep(_EVERY)
            with contextlib.suppress(MailstoreError):  # a full volume: it goes on in memory
                await self.send_due()
                await self.save()

    async def send_due(self) -> int:
        """Reports of days that are over; returns how many were sent. Whose host does not consent now gets none."""
        sent = 0
        for day, domain in self._tally.over():
            for place in self._tally.counted(day, domain).places[: LIMITS.recipients]:
                sent += await self._report(day, domain, place)
            self._tally.forget(day, domain)
        return sent

    async def _report(self, day: datetime.date, domain: str, place: str) -> bool:
        try:
            recipient = parse_mailbox(place.partition(":")[2].partition("?")[0])
        except AddressInvalid:
            return False
        if not await accepts_reports(self._resolver, domain, recipient.domain):
            log.info("a DMARC report is not wanted", extra={"fields": {"domain": domain, "place": place}})
            return False
        begin = int(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp())
        kept, ident = self._tally.counted(day, domain), f"{day.isoformat()}.{secrets.token_hex(8)}"
        report = AggregateReport(
            *(self._hostname, self._contact, ident, begin, begin + 86_399, domain, kept.policy, _with_counts(kept.rows))
        )
        await self._send(recipient, compose(report, str(recipient), int(self._now())))
        log.info("a DMARC report is sent", extra={"fields": {"domain": domain, "place": place}})
        return True


def compose(report: AggregateReport, recipient: str, now: int) -> bytes:
    """The message of section 7.2.1.1."""
    host, ident = report.reporter, report.report_id
    name = f"{host}!{report.domain}!{report.begin}!{report.end}!{ident}.xml.gz"
    text = f"What {host} found about mail in the name of {report.domain}, for programs."
    attachment = Part(
        structured_field("Content-Type", "application/gzip")
        + structured_field("Content-Disposition", f'attachment; filename="{name}"')
        + structured_field("Content-Transfer-Encoding", "base64"),
        base64.encodebytes(pack(format_report(report))).replace(b"\n", b"\r\n"),
    )
    fields = [
        structured_field("Date", format_date(now)),
        structured_field("From", report.email),
        structured_field("To", recipient),
        field("Subject", f"Report Domain: {report.domain} Submitter: {host} Report-ID: <{ident}@{host}>"),
        structured_field("Message-ID", f"<{ident}@{host}>"),
        structured_field("Auto-Submitted", "auto-generated"),
    ]
    return message(fields, multipart("mixed", ident.replace(".", "_"), [text_part(text), attachment]))
