"""Several IMAP sessions at random beside a model, some hundred steps on each adapter (`imap_walk` takes as many as one likes)."""

import asyncio

import pytest
from tests.conftest import OpenStore
from tests.property.imap_walk import walk
from tests.unit.server.imap.test_large_mailbox import LARGE

STEPS = 700


@pytest.mark.parametrize("seed", [11, 12])
def test_sessions_tell_the_truth(open_each_store: OpenStore, seed: int) -> None:
    async def story() -> None:
        store = open_each_store()
        try:
            await walk(store, seed, STEPS)
        finally:
            store.close()

    asyncio.run(story())


@pytest.mark.parametrize("size", [1, 3])
def test_sessions_tell_the_truth_of_a_large_mailbox(
    open_each_store: OpenStore, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Where few messages are many: what is told and done in pieces must add up."""
    for module, name, least in LARGE:
        monkeypatch.setattr(module, name, max(least, size) if least > 0 else least)

    async def story() -> None:
        store = open_each_store()
        try:
            await walk(store, 13, STEPS // 2)
        finally:
            store.close()

    asyncio.run(story())
