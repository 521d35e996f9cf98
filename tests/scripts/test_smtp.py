"""SMTP and LMTP dialogues: whole, one octet a read, and cut at random."""

import asyncio
import logging
from pathlib import Path

import pytest

from postwren.testing.script import Case, Cut, cut_bytes, cut_randomly, cut_whole, read_cases
from tests.scripts.stage_smtp import OpenStore, Records, run

HERE = Path(__file__).parent
CASES = [case for path in sorted([*HERE.glob("smtp/*.script"), *HERE.glob("lmtp/*.script")]) for case in read_cases(path)]
CUTS: dict[str, Cut] = {"whole": cut_whole, "bytes": cut_bytes, "randomly": cut_randomly(7)}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}: {case.name}")
def test_dialogue(case: Case, cut: str, open_store: OpenStore) -> None:
    if ["whole"] in case.stage and cut != "whole":
        return

    async def play() -> None:
        await run(case, CUTS[cut], open_store())

    records = Records()
    log = logging.getLogger("postwren")
    log.addHandler(records)
    try:
        asyncio.run(play())
    finally:
        log.removeHandler(records)
    bugs = [record for record in records.records if record.levelno >= logging.ERROR]
    assert len(bugs) == (["refuses", "bug"] in case.stage)


def test_there_are_enough_dialogues() -> None:
    assert len(CASES) >= 150
    assert len({(case.file, case.name) for case in CASES}) == len(CASES)
