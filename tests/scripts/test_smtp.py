"""SMTP and LMTP dialogues: whole, one octet a read, and cut at random."""

import asyncio
import logging
from pathlib import Path

import pytest

from postwren.storage.memory import MemoryStore
from postwren.testing.script import Case, Cut, cut_bytes, cut_randomly, cut_whole, read_cases
from tests.conftest import STORES
from tests.scripts.stage_smtp import OpenStore, Records, run

HERE = Path(__file__).parent
CASES = [
    case
    for path in sorted([*HERE.glob("smtp/*.script"), *HERE.glob("lmtp/*.script"), *HERE.glob("submission/*.script")])
    for case in read_cases(path)
]
CUTS: dict[str, Cut] = {"whole": cut_whole, "bytes": cut_bytes, "randomly": cut_randomly(7)}


DIALOGUES = [(case, cut) for case in CASES for cut in (["whole"] if ["whole"] in case.stage else CUTS)]
ON_DISK = [
    case for case in CASES if case.file in ("data.script", "chunk.script", "store.script", "lmtp.script", "keeping.script")
]


@pytest.mark.parametrize(("case", "cut"), DIALOGUES, ids=lambda part: part if isinstance(part, str) else name(part))
def test_dialogue(case: Case, cut: str) -> None:
    play(case, CUTS[cut], MemoryStore)


@pytest.mark.parametrize("case", ON_DISK, ids=lambda case: name(case))
def test_dialogue_on_the_embedded_store(case: Case, tmp_path: Path) -> None:
    play(case, cut_whole, lambda: STORES["embedded"](tmp_path))


def name(case: Case) -> str:
    return f"{case.file}: {case.name}"


def play(case: Case, cut: Cut, open_store: OpenStore) -> None:
    async def story() -> None:
        await run(case, cut, open_store())

    records = Records()
    log = logging.getLogger("postwren")
    log.addHandler(records)
    try:
        asyncio.run(story())
    finally:
        log.removeHandler(records)
    bugs = [record for record in records.records if record.levelno >= logging.ERROR]
    assert len(bugs) == (["refuses", "bug"] in case.stage)


def test_there_are_enough_dialogues() -> None:
    assert len(CASES) >= 150
    assert len({(case.file, case.name) for case in CASES}) == len(CASES)
