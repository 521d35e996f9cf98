"""What a large mailbox costs in memory: octets a message, so that a million of them fit where a hundred thousand are counted."""

import asyncio
import gc
import time
import tracemalloc
from pathlib import Path
from typing import Final

from tests.unit.embedded.disk import ann, message, put, run

from postwren.mailstore.service.copymove import copy
from postwren.mailstore.snapshot import Snapshots
from postwren.storage.embedded import EmbeddedStore, Settings

NOW: Final = 1_700_000_000
COUNT: Final = 1 << 16


async def grown(store: EmbeddedStore) -> Snapshots:
    """ann's INBOX has COUNT messages, or one more: it was copied into itself again and again."""
    account = await ann(store)
    inbox = (await put(store, message(1))).mailbox_id
    for _ in range(16):
        await store.perform(copy(account.account_id, inbox, [(1, COUNT)], inbox, NOW))
    return Snapshots(store, time.monotonic)


def test_a_snapshot_costs_its_columns_and_little_more(tmp_path: Path) -> None:
    async def test(store: EmbeddedStore) -> tuple[int, float]:
        snapshots = await grown(store)
        account = await ann(store)
        inbox = store.reader.mailboxes(account.account_id)[0].mailbox_id
        tracemalloc.start()
        try:
            handle = await snapshots.open(account.account_id, inbox)
            snapshot = await handle.loaded()
            for _ in range(8):  # a thread that read holds what it read until it reads something else
                await asyncio.gather(*[store.read(lambda _: None) for _ in range(8)])
            gc.collect()
            stays = tracemalloc.get_traced_memory()[0]
            count = len(snapshot)
            handle.close()
        finally:
            tracemalloc.stop()
        return count, stays / count

    count, stays = run(test, tmp_path, settings=Settings(reserve=0))
    assert count == COUNT
    assert stays < 56, f"{stays:.0f} octets a message stay"


def test_ten_sessions_share_the_columns(tmp_path: Path) -> None:
    async def test(store: EmbeddedStore) -> tuple[int, int]:
        snapshots = await grown(store)
        account = await ann(store)
        inbox = store.reader.mailboxes(account.account_id)[0].mailbox_id
        first = await snapshots.open(account.account_id, inbox)
        await first.loaded()
        tracemalloc.start()
        try:
            handles = [await snapshots.open(account.account_id, inbox) for _ in range(10)]
            more = tracemalloc.get_traced_memory()[0]
            for handle in (first, *handles):
                handle.close()
        finally:
            tracemalloc.stop()
        return more, len(handles)

    more, sessions = run(test, tmp_path, settings=Settings(reserve=0))
    assert more < sessions * 4096, f"{more} octets for {sessions} sessions"
