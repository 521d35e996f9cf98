"""Every IMAP dialogue, read whole, byte by byte and cut at random, in memory and on disk."""

import asyncio
from typing import Final

import pytest

from postwren.protocols.imap.capability import CAPABILITIES
from postwren.storage.memory import MemoryStore
from postwren.testing.script import Case, Cut, cut_bytes, cut_randomly, cut_whole
from tests.conftest import OpenStore
from tests.scripts.imap_stage import CASES, name_of, play_case, why_not
from tests.scripts.imap_world import ImapWorld

NAMES: Final = {each.name for each in CAPABILITIES} | {"APPENDLIMIT", "SAVELIMIT", "COMPRESS=DEFLATE"}
OURS: Final = [case for case in CASES if not why_not(case, "postwren", NAMES)]
PIECES: Final = [case for case in OURS if "whole" not in case.name]
CUTS: Final[dict[str, Cut]] = {"bytes": cut_bytes, "random": cut_randomly(1)}
LACKING: Final = {"COMPARATOR"}
"""Dialogues about what we do not have: comparators to choose from (RFC 5255 section 4.7)."""


async def run(open_store: OpenStore, case: Case, cut: Cut) -> None:
    store = open_store()
    world = ImapWorld(store)
    try:
        await play_case(world, case, cut)
        world.end()
    finally:
        world.authenticator.close()
        store.close()


@pytest.mark.parametrize("case", OURS, ids=name_of)
def test_dialogue(case: Case) -> None:
    asyncio.run(run(MemoryStore, case, cut_whole))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", PIECES, ids=name_of)
def test_dialogue_in_pieces(case: Case, cut: str) -> None:
    asyncio.run(run(MemoryStore, case, CUTS[cut]))


@pytest.mark.parametrize("open_store", ["embedded"], indirect=True)
@pytest.mark.parametrize("case", OURS, ids=name_of)
def test_dialogue_on_disk(case: Case, open_store: OpenStore) -> None:
    asyncio.run(run(open_store, case, cut_whole))


@pytest.mark.real
@pytest.mark.parametrize("open_store", ["embedded"], indirect=True)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", PIECES, ids=name_of)
def test_dialogue_on_disk_in_pieces(case: Case, cut: str, open_store: OpenStore) -> None:
    asyncio.run(run(open_store, case, CUTS[cut]))


def test_nothing_is_left_out_for_want_of_an_extension() -> None:
    missing = {case.name for case in CASES if why_not(case, "postwren", NAMES).startswith("postwren has no")}
    assert missing == LACKING
