"""`postwren domain reports`: what others found about mail in our domains' names (DMARC's aggregate reports)."""

import datetime
import time
from collections import Counter
from typing import Annotated, Any

import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, print_json, with_store
from postwren.exchange.reportreader import reports_of
from postwren.mailauth.aggregate import AggregateReport, Count
from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import resolve
from postwren.mailstore.service.domains import find_domain
from postwren.protocols.smtp.path import parse_mailbox

__all__ = ["reports"]

DAY = 24 * 3600


def reports(
    name: Annotated[str, typer.Argument(metavar="DOMAIN", help="Such as example.org.")],
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="Reports that came in so many days.")] = 30,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show who sent mail in the domain's name, as other servers report it to the address of `domain set --reports`."""

    async def work(store: Store, place: Place) -> list[AggregateReport]:
        row = find_domain(store.reader, name)
        smtp = place.config.smtp
        address = parse_mailbox(row.reports or f"postmaster@{row.name}")  # what `domain add` has published
        account_id = resolve(store.reader, address, smtp.subaddress_separator)
        if account_id is None and address.local == "postmaster" and (account := store.reader.account_by_login(smtp.postmaster)):
            account_id = account.account_id
        if account_id is None:
            fail(f"reports go to {address}, which reaches no account here; `postwren domain set {row.name} --reports ADDRESS`")
        return sorted(reports_of(store, account_id, row.name, int(time.time()) - days * DAY), key=lambda each: each.begin)

    found = with_store(data, config, work, only_reads=True)
    if as_json:
        print_json([_document(report) for report in found])
        return
    if not found:
        print(f"no reports in {days} days")
        return
    _print_table(found)


def _print_table(found: list[AggregateReport]) -> None:
    counts: Counter[tuple[str, str, str, str, str]] = Counter()
    for report in found:
        for row in report.counts:
            counts[_shown(row.source), _shown(row.header_from), _shown(row.disposition), _shown(row.dkim), _shown(row.spf)] += (
                row.count
            )
    reporters = sorted({_shown(report.reporter) for report in found})
    begin, end = found[0].begin, max(report.end for report in found)
    print(f"{len(found)} reports of {', '.join(reporters)}, {_date(begin)} to {_date(end)}")
    print("messages\tsource\tfrom\tdone\tdkim\tspf")
    for key, count in counts.most_common():
        print("\t".join((str(count), *key)))


def _shown(text: str) -> str:
    """A stranger's words, for a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:80])


def _date(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(min(seconds, 253_402_300_799), datetime.UTC).date().isoformat()


def _document(report: AggregateReport) -> dict[str, Any]:
    return {
        "reporter": report.reporter,
        "id": report.report_id,
        "begin": report.begin,
        "end": report.end,
        "domain": report.domain,
        "policy": dict(report.policy),
        "rows": [_row(row) for row in report.counts],
    }


def _row(row: Count) -> dict[str, Any]:
    return {
        "source": row.source,
        "messages": row.count,
        "from": row.header_from,
        "done": row.disposition,
        "dkim": row.dkim,
        "spf": row.spf,
        "signed_by": [{"domain": domain, "result": verdict} for domain, verdict in row.dkim_domains],
        "sent_by": row.spf_domain,
        "sent_by_result": row.spf_verdict,
    }
