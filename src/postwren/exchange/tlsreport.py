"""What became of TLS towards other domains, told to those who ask for it, once a day (RFC 8460).

    tally = TlsTally(now)                         counts; `exchange.rules` calls it
    reporter = TlsReporter(...)                   keeps the counts over restarts, sends those of days that are over

Counts are bounded: so many domains a day, so many kinds of failure a policy, and what is beyond is counted with the others. They
are written down every ten minutes: a crash loses no mail by them. A report is tried for two days, and goes whatever becomes of
TLS on its way (section 5.3: TLS-Required: No), so that it is not counted itself.
"""

import asyncio
import base64
import contextlib
import datetime
import gzip
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec

from postwren.exchange.policy import TlsAttempt, TlsResult
from postwren.exchange.sending import Send
from postwren.exchange.web import WebFailed
from postwren.mailauth.tlsrpt import Counted, Failure, Report, format_report, mail_address, parse_record
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Store
from postwren.message.compose import Part, field, message, multipart, structured_field, text_part
from postwren.message.date import format_date
from postwren.protocols.http.client import Get, Post, Responded
from postwren.protocols.smtp.path import AddressInvalid, parse_mailbox
from postwren.wire.resolver import Resolver, ResolverFailed, Txt

__all__ = ["LIMITS", "Limits", "TlsReporter", "TlsTally", "compose"]

log = logging.getLogger("postwren.tlsreport")


_SETTING: Final = "tls-report"
_EVERY: Final = 600.0
_TRIED_FOR: Final = datetime.timedelta(days=2)
_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """Domains of a day, policies of a domain, and kinds of failure of a policy."""

    domains: int = 1000
    policies: int = 8
    failures: int = 20


LIMITS: Final = Limits()
_OTHERS: Final = Failure(TlsResult.FAILED.value, "", "", "more kinds than are kept apart")


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """One policy of a day and a domain, as it is written down."""

    day: str
    domain: str
    counted: Counted


_KEPT: Final = msgspec.json.Decoder(list[_Kept])
_PolicyKey: TypeAlias = tuple[str, tuple[str, ...], tuple[str, ...]]


class _Sessions:
    """The counts of one policy."""

    __slots__ = ("failures", "succeeded")

    def __init__(self) -> None:
        self.succeeded = 0
        self.failures: Counter[Failure] = Counter()


class TlsTally:
    """Implements `rules.Tally`. `today` is the date in UTC."""

    def __init__(self, today: Callable[[], datetime.date], limits: Limits = LIMITS) -> None:
        self._today = today
        self._limits = limits
        self._days: dict[tuple[datetime.date, str], dict[_PolicyKey, _Sessions]] = {}
        self.is_changed = False

    def count(self, domain: str, kind: str, strings: Sequence[str], patterns: Sequence[str], attempt: TlsAttempt) -> None:
        sessions = self._sessions(self._today(), domain, (kind, tuple(strings), tuple(patterns)))
        if sessions is None:
            return
        if attempt.result is TlsResult.SUCCESS:
            sessions.succeeded += 1
        else:
            self._fail(sessions, Failure(attempt.result.value, attempt.host, attempt.address, attempt.why[:_REASON]))

    def problem(self, domain: str, strings: Sequence[str], patterns: Sequence[str], result: str, why: str) -> None:
        kind = "sts" if strings else "no-policy-found"
        sessions = self._sessions(self._today(), domain, (kind, tuple(strings), tuple(patterns)))
        if sessions is not None:
            self._fail(sessions, Failure(result, "", "", why[:_REASON]))

    def _sessions(self, day: datetime.date, domain: str, key: _PolicyKey) -> _Sessions | None:
        policies = self._days.get((day, domain))
        if policies is None:
            if sum(kept == day for kept, _ in self._days) >= self._limits.domains:
                return None
            policies = self._days[day, domain] = {}
        if key not in policies and len(policies) >= self._limits.policies:
            return None
        self.is_changed = True
        return policies.setdefault(key, _Sessions())

    def _fail(self, sessions: _Sessions, failure: Failure, count: int = 1) -> None:
        is_full = failure not in sessions.failures and len(sessions.failures) >= self._limits.failures
        sessions.failures[_OTHERS if is_full else failure] += count

    def over(self) -> list[tuple[datetime.date, str]]:
        """Days and domains that nothing is added to any more, the oldest first."""
        today = self._today()
        return sorted(key for key in self._days if key[0] < today)

    def counted(self, day: datetime.date, domain: str) -> tuple[Counted, ...]:
        policies = self._days.get((day, domain), {})
        return tuple(Counted(*key, each.succeeded, tuple(each.failures.items())) for key, each in policies.items())

    def forget(self, day: datetime.date, domain: str) -> None:
        self.is_changed = self._days.pop((day, domain), None) is not None or self.is_changed

    def dump(self) -> bytes:
        """All of it, for a setting."""
        self.is_changed = False
        rows = [_Kept(day.isoformat(), domain, each) for day, domain in self._days for each in self.counted(day, domain)]
        return msgspec.json.encode(rows)

    def load(self, octets: bytes) -> None:
        """What `dump` gave, added to what is there."""
        for row in _KEPT.decode(octets):
            key = row.counted.kind, row.counted.strings, row.counted.patterns
            sessions = self._sessions(datetime.date.fromisoformat(row.day), row.domain, key)
            if sessions is not None:
                sessions.succeeded += row.counted.succeeded
                for failure, count in row.counted.failures:
                    self._fail(sessions, failure, count)
        self.is_changed = False


class ReportWeb(Protocol):
    """`exchange.web.StrangersWeb`."""

    async def ask(self, request: Get | Post, port: int = 0) -> Responded:
        """Raises WebFailed."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who we are in a report: our host's name, and an address of ours that reads answers."""

    hostname: str
    contact: str


class TlsReporter:
    """Sends what is due. `now` gives the time in UTC."""

    def __init__(
        self,
        tally: TlsTally,
        store: Store,
        resolver: Resolver,
        web: ReportWeb,
        send: Send,
        who: Reporter,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._tally = tally
        self._store = store
        self._resolver = resolver
        self._web = web
        self._send = send
        self._who = who
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
        """Reports of days that are over; returns how many were sent. What cannot be sent now is tried the next time."""
        sent = 0
        for day, domain in self._tally.over():
            try:
                places = await self._places(domain)
            except ResolverFailed:
                if self._now().date() - day <= _TRIED_FOR:
                    continue
                places = ()
            for place in places:
                sent += await self._report(day, domain, place)
            self._tally.forget(day, domain)
        return sent

    async def _places(self, domain: str) -> tuple[str, ...]:
        answer = await self._resolver.query(f"_smtp._tls.{domain}", "TXT")
        return parse_record([record.text for record in answer.records if isinstance(record, Txt)])

    async def _report(self, day: datetime.date, domain: str, place: str) -> bool:
        ident = f"{day.isoformat()}.{secrets.token_hex(8)}"
        report = Report(self._who.hostname, self._who.contact, ident, day, domain, self._tally.counted(day, domain))
        octets = gzip.compress(format_report(report), mtime=0)
        address = mail_address(place)
        try:
            if address is not None:
                recipient = parse_mailbox(address)
                await self._send(recipient, compose(report, str(recipient), octets, self._now()))
            else:
                await self._upload(place, octets)
        except (AddressInvalid, WebFailed, ValueError) as error:
            log.info("a TLS report is not taken", extra={"fields": {"domain": domain, "place": place, "why": str(error)}})
            return False
        log.info("a TLS report is sent", extra={"fields": {"domain": domain, "place": place}})
        return True

    async def _upload(self, place: str, octets: bytes) -> None:
        """Section 5.4."""
        url = urlsplit(place)
        if not url.hostname or url.username is not None:
            raise WebFailed("not a place to write to")
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        answer = await self._web.ask(Post(url.hostname, target, "application/tlsrpt+gzip", octets), url.port or 443)
        if not 200 <= answer.status < 300:
            raise WebFailed(f"answered {answer.status}")


def compose(report: Report, recipient: str, compressed: bytes, now: datetime.datetime) -> bytes:
    """The message of section 5.3."""
    host = report.organization
    day = report.day
    begin = int(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp())
    name = f"{host}!{report.domain}!{begin}!{begin + 86399}!{report.ident}.json.gz"
    text = f"A report on TLS between {host} and the mail hosts of {report.domain} on {day.isoformat()} (UTC), for programs."
    attachment = Part(
        structured_field("Content-Type", "application/tlsrpt+gzip")
        + structured_field("Content-Disposition", f'attachment; filename="{name}"')
        + structured_field("Content-Transfer-Encoding", "base64"),
        base64.encodebytes(compressed).replace(b"\n", b"\r\n"),
    )
    boundary = report.ident.replace(".", "_")
    fields = [
        structured_field("Date", format_date(int(now.timestamp()))),
        structured_field("From", report.contact),
        structured_field("To", recipient),
        field("Subject", f"Report Domain: {report.domain} Submitter: {host} Report-ID: <{report.ident}@{host}>"),
        structured_field("Message-ID", f"<{report.ident}@{host}>"),
        structured_field("TLS-Report-Domain", report.domain),
        structured_field("TLS-Report-Submitter", host),
        structured_field("TLS-Required", "No"),
        structured_field("Auto-Submitted", "auto-generated"),
    ]
    return message(fields, multipart("report", boundary, [text_part(text), attachment], 'report-type="tlsrpt"'))
