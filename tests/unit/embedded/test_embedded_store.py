"""The store on disk as a whole."""

import asyncio
from pathlib import Path

from tests.unit.embedded.disk import ann, contents, message, put, run

from postwren.storage.embedded import EmbeddedStore


def test_what_was_acknowledged_is_there_after_opening_again(tmp_path: Path) -> None:
    async def fill(store: EmbeddedStore) -> None:
        await ann(store)
        await asyncio.gather(*(put(store, message(n)) for n in range(20)))
        await put(store, message(20, 50_000))

    run(fill, tmp_path)

    async def look(store: EmbeddedStore) -> None:
        assert sorted(contents(store)) == sorted([*(message(n) for n in range(20)), message(20, 50_000)])

    run(look, tmp_path)
