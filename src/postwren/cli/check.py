"""`postwren check`: every invariant of the store, and every message's octets."""

import asyncio
import sys
from typing import Annotated

import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, print_json


def check(
    is_repair: Annotated[bool, typer.Option("--repair", help="Put counters right; never a UID, never a message.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Look at everything, also beside a running server. Ends with 1 when something is wrong."""
    from postwren.app.checking import check_store  # it loads the whole server, which other commands do without

    place = Place.find(data, config)
    report = asyncio.run(check_store(place.data, place.config, is_repair, _progress))
    if as_json:
        print_json(
            {
                "messages": report.messages,
                "faults": [{"rule": rule, "detail": detail} for rule, detail in report.faults],
                "repaired": [{"rule": rule, "detail": detail} for rule, detail in report.repaired],
                "orphan_octets": report.orphan_octets,
            }
        )
    else:
        for rule, detail in report.repaired:
            print(f"repaired {rule}: {detail}")
        for rule, detail in report.faults:
            print(f"WRONG {rule}: {detail}")
        print(f"{report.messages} messages read, {report.orphan_octets:,} octets belong to none (given back in time)")
        if not report.faults:
            print("ok")
    if report.faults:
        fail(f"{len(report.faults)} faults in {place.data}")


def _progress(part: str) -> None:
    if sys.stderr.isatty():
        print(f"checking {part} ...", file=sys.stderr)
