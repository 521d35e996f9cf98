"""`postwren domain reports`: reports that came by mail are shown."""

import json
import time
from pathlib import Path

import pytest
import typer
from tests.unit.embedded.disk import LOGIN, put, run

from postwren.cli.domain_reports import reports
from postwren.exchange.dmarcreport import compose
from postwren.mailauth.aggregate import AggregateReport, Count
from postwren.mailstore.domain import Domain
from postwren.mailstore.service.domains import add_domain
from postwren.storage.embedded import EmbeddedStore

ROWS = (
    Count("192.0.2.1", 7, "reject", "fail", "fail", "example.org", (), "evil.example", "pass"),
    Count("2001:db8::25", 40, "none", "pass", "pass", "example.org", (("example.org", "pass"),), "example.org", "pass"),
)


def told(data: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool = False, days: int = 30_000) -> str:
    reports("example.org", days, as_json, data, None)
    return capsys.readouterr().out


def prepare(data: Path, address: str, *messages: bytes) -> None:
    async def fill(store: EmbeddedStore) -> None:
        for message in messages:
            await put(store, message)
        await store.perform(add_domain(Domain("example.org", 1, "reject", address), []))

    run(fill, data)


def test_reports_in_the_mail_of_the_address_for_them_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 7489 section 7.2; A-33: a stranger's words do not reach the terminal as they are."""
    begin = 1_700_000_000
    report = AggregateReport(
        "mx.ex\u009b31m", "a@b.example", "id-1", begin, begin + 86_399, "example.org", (("p", "reject"),), ROWS
    )
    prepare(tmp_path, "ann+dmarc@example.org", b"Subject: no\r\n\r\n", compose(report, LOGIN, int(time.time())))
    first, _, *rows = told(tmp_path, capsys).splitlines()
    assert first == "1 reports of mx.ex?31m, 2023-11-14 to 2023-11-15"
    assert rows == ["40\t2001:db8::25\texample.org\tnone\tpass\tpass", "7\t192.0.2.1\texample.org\treject\tfail\tfail"]
    (document,) = json.loads(told(tmp_path, capsys, as_json=True))
    assert document["rows"][0]["sent_by"] == "evil.example"
    assert told(tmp_path, capsys, days=1) == "no reports in 1 days\n"


@pytest.mark.parametrize(("address", "says"), [("", "postmaster@example.org"), ("dmarc@elsewhere.example", "domain set")])
def test_where_no_reports_can_be_it_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, says: str) -> None:
    prepare(tmp_path, address, b"Subject: x\r\n\r\n")
    with pytest.raises(typer.Exit):
        told(tmp_path, capsys)
    assert says in capsys.readouterr().err
