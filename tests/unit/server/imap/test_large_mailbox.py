"""In a large mailbox some answers are made otherwise (in pieces, off the loop): every dialogue, where two messages are many."""

import asyncio
from typing import Final

import pytest
from tests.scripts.imap_stage import name_of, play_case
from tests.scripts.imap_world import ImapWorld
from tests.scripts.test_imap_scripts import OURS

from postwren.mailstore.service import find
from postwren.mailstore.service import search as rows
from postwren.protocols.imap.response import search as search_response
from postwren.server.imap import copy, fetch, search, select, selected, session, store
from postwren.storage.memory import MemoryStore
from postwren.testing.script import Case, cut_whole

LARGE: Final = (
    (fetch, "MANY", 1),
    (fetch, "PORTION", 1),
    (find, "COLUMNS_AT_ONCE", 1),
    (find, "MANY", 1),
    (rows, "ROWS_AT_ONCE", 1),
    (search, "MANY", 1),
    (search, "SEQNUMS_AT_ONCE", 1),
    (search_response, "NUMBERS_A_PIECE", 1),
    (select, "FEW_GONE", -1),
    (select, "GONE_AT_ONCE", 1),
    (select, "TOLD_AT_ONCE", 1),
    (selected, "TOLD_AT_ONCE", 1),
    (session, "TOLD_AT_ONCE", 1),
    (copy, "AT_A_TIME", 1),
    (store, "AT_A_TIME", 1),
    (store, "AT_ONCE", 1),
)


@pytest.fixture
def _two_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in LARGE:
        monkeypatch.setattr(module, name, value)


async def play(case: Case) -> None:
    memory = MemoryStore()
    world = ImapWorld(memory)
    try:
        await play_case(world, case, cut_whole)
        world.end()
    finally:
        world.authenticator.close()
        memory.close()


VANISHED_TWICE: Final = "condstore: SELECT with QRESYNC and known UIDs"
"""Where two messages are many, it takes two VANISHED to say that two are gone."""


@pytest.mark.usefixtures("_two_are_many")
@pytest.mark.parametrize("case", [case for case in OURS if name_of(case) != VANISHED_TWICE], ids=name_of)
def test_a_large_mailbox_says_the_same(case: Case) -> None:
    asyncio.run(play(case))
