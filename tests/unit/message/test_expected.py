"""The results that mail-parser's corpus expects of the first header of each message: subjects, addresses, dates."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.shared import SHARED

from postwren.message.address import parse_addresses
from postwren.message.date import parse_date
from postwren.message.encodedword import decode_words
from postwren.message.header import read_header

EXPECTED = [p for p in sorted((SHARED / "corpora/mail-parser").rglob("*.json")) if ".crlf." not in p.name]


def fields(path: Path) -> dict[str, Any]:
    """Its header by field name, the first of a name."""
    found: dict[str, Any] = {}
    for each in json.loads(path.read_text(encoding="utf-8"))["parts"][0]["headers"]:
        if isinstance(each["name"], str) and isinstance(each["value"], dict):
            found.setdefault(each["name"], each["value"])
    return found


def addresses(value: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    members = value["List"] if "List" in value else [a for group in value["Group"] for a in group["addresses"]]
    return [(a["name"], a["address"]) for a in members]


def epoch(d: dict[str, Any]) -> int:
    zone = timedelta(hours=d["tz_hour"], minutes=d["tz_minute"])
    moment = datetime(d["year"], d["month"], d["day"], d["hour"], d["minute"], d["second"], tzinfo=UTC)
    return int((moment + (zone if d["tz_before_gmt"] else -zone)).timestamp())


@pytest.mark.skipif(not EXPECTED, reason="the shared corpora are not beside the repository")
def test_subjects_addresses_and_dates_are_as_expected() -> None:
    compared = 0
    for path in EXPECTED:
        header = read_header(path.with_suffix(".eml").read_bytes())
        for name, value in fields(path).items():
            raw = header.first(name.replace("_", "-").encode())
            if name == "subject" and "Text" in value:
                assert raw is not None
                assert decode_words(raw).split() == value["Text"].split(), path
                compared += 1
            elif name in ("from", "to", "cc", "reply_to") and "Address" in value:
                expected = addresses(value["Address"])
                if all(address for _, address in expected):  # what has no address is a name there, and a mailbox in IMAP
                    assert our_addresses(raw) == expected, path
                    compared += 1
            elif name == "date" and "DateTime" in value:
                date = parse_date(raw or b"")
                assert date is not None, path
                assert date.epoch == epoch(value["DateTime"]), path
                compared += 1
    assert compared > 250


def our_addresses(raw: bytes | None) -> list[tuple[str | None, str | None]]:
    members = [a for a in parse_addresses(raw or b"") if a.mailbox is not None and a.host is not None]
    return [(decode_words(a.name) if a.name else None, b"@".join(filter(None, a[2:])).decode()) for a in members]
