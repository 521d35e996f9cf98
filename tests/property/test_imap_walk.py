"""Several IMAP sessions at random beside a model, some hundred steps on each adapter (`imap_walk` takes as many as one likes)."""

import asyncio

import pytest
from tests.conftest import OpenStore
from tests.property.imap_walk import walk

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
