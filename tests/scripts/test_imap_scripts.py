"""Every IMAP dialogue, read whole, byte by byte and cut at random; on disk as it comes."""

import asyncio

import pytest

from postwren.protocols.imap.capability import CAPABILITIES
from postwren.storage.memory import MemoryStore
from postwren.testing.script import Case, Cut, cut_bytes, cut_randomly, cut_whole
from tests.conftest import OpenStore
from tests.scripts.imap_stage import CASES, name_of, play_case, why_not
from tests.scripts.imap_world import ImapWorld

NAMES = {each.name for each in CAPABILITIES} | {"APPENDLIMIT", "SAVELIMIT", "COMPRESS=DEFLATE"}
OURS = [case for case in CASES if not why_not(case, "postwren", NAMES)]
CUTS = {"bytes": cut_bytes, "random": cut_randomly(1)}


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
