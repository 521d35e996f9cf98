"""Every POP3 dialogue, read whole, byte by byte and cut at random; on disk as it comes."""

import asyncio
from pathlib import Path

import pytest

from postwren.storage.memory import MemoryStore
from postwren.testing.script import Case, Cut, cut_bytes, cut_randomly, cut_whole, read_cases
from tests.conftest import OpenStore
from tests.scripts.pop3_world import play_case

CASES = [case for path in sorted((Path(__file__).parent / "pop3").glob("*.script")) for case in read_cases(path)]
STORED = [case for case in CASES if any(words[0] in ("message", "messages", "large") for words in case.stage)]
CUTS = {"bytes": cut_bytes, "random": cut_randomly(1), "random-2": cut_randomly(2)}


def name_of(case: Case) -> str:
    return f"{case.file.removesuffix('.script')}: {case.name}"


async def run(open_store: OpenStore, case: Case, cut: Cut) -> None:
    await play_case(open_store(), case, cut)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_dialogue(case: Case) -> None:
    asyncio.run(run(MemoryStore, case, cut_whole))


@pytest.mark.parametrize("cut", ["bytes", "random", "random-2"])
@pytest.mark.parametrize("case", [case for case in CASES if "whole" not in case.name], ids=name_of)
def test_dialogue_in_pieces(case: Case, cut: str) -> None:
    asyncio.run(run(MemoryStore, case, CUTS[cut]))


@pytest.mark.parametrize("open_store", ["embedded"], indirect=True)
@pytest.mark.parametrize("case", STORED, ids=name_of)
def test_dialogue_on_disk(case: Case, open_store: OpenStore) -> None:
    asyncio.run(run(open_store, case, cut_whole))


def test_names_are_not_used_twice() -> None:
    names = [name_of(case) for case in CASES]
    assert len(set(names)) == len(names) >= 120
