"""Where the disk is quick the loop makes groups durable itself, and groups gather; where it is not, nothing of that happens."""

import asyncio
import errno
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.faults import sqlite_files
from tests.unit.embedded.disk import SMALL, contents, message, put, run
from tests.unit.embedded.test_writer_faults import Corruption

from postwren.mailstore.errors import StoreFailed, StoreFull
from postwren.storage.embedded import EmbeddedStore, store, writer
from postwren.storage.embedded.volume import Volume

CALM = replace(SMALL, segment_size=1 << 20, wal_octets=8 << 20, idle_seconds=60.0, look_seconds=60.0)
ENOUGH = writer.PROVEN + 2  # the first is not even prepared: it needs a segment


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's disk is."""
    monkeypatch.setattr(writer, "QUICK", 60.0)
    monkeypatch.setattr(writer, "SLOW", 60.0)


class Watched(Volume):
    """Knows on which threads segments were synced, and fails when told to."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.sync_fault = self.write_fault = 0
        self.stall = 0.0

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        if self.write_fault:
            raise OSError(self.write_fault, "told to")
        super().write(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        self.threads.append(threading.get_ident())
        time.sleep(self.stall)
        if self.sync_fault:
            raise OSError(self.sync_fault, "told to")
        super().fdatasync(fd)


async def prove(opened: EmbeddedStore) -> list[bytes]:
    """Deliver as many messages as it takes."""
    messages = [message(number) for number in range(ENOUGH)]
    for data in messages:
        await put(opened, data)
    return messages


@pytest.mark.usefixtures("quick")
def test_after_some_quick_groups_the_loop_syncs_and_not_before(tmp_path: Path) -> None:
    volume = Watched()

    async def tell(opened: EmbeddedStore) -> None:
        here = threading.get_ident()
        messages = await prove(opened)
        assert here not in volume.threads[: writer.PROVEN]
        await put(opened, message(100))
        assert volume.threads[-1] == here
        assert contents(opened) == [*messages, message(100)]

    run(tell, tmp_path, settings=CALM, volume=volume)


def test_on_a_slow_disk_the_loop_never_waits_for_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "QUICK", 0.0)
    monkeypatch.setattr(writer, "QUICK_UNIT", 0.0)
    volume = Watched()

    async def tell(opened: EmbeddedStore) -> None:
        await prove(opened)
        await prove(opened)
        assert threading.get_ident() not in volume.threads

    run(tell, tmp_path, settings=CALM, volume=volume)


@pytest.mark.usefixtures("quick")
def test_one_stall_takes_syncs_off_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Watched()

    async def tell(opened: EmbeddedStore) -> None:
        here = threading.get_ident()
        await prove(opened)
        await put(opened, message(100))
        assert volume.threads[-1] == here
        monkeypatch.setattr(writer, "SLOW", 0.5)
        volume.stall = 0.51
        await put(opened, message(101))
        volume.stall = 0.0
        volume.threads.clear()
        await prove(opened)
        await prove(opened)
        assert here not in volume.threads

    run(tell, tmp_path, settings=CALM, volume=volume)


@pytest.mark.usefixtures("quick")
def test_a_sync_that_fails_on_the_loop_ends_the_store_and_keeps_nothing_of_its_group(tmp_path: Path) -> None:
    volume = Watched()
    failures: list[StoreFailed] = []

    async def fail(opened: EmbeddedStore) -> list[bytes]:
        messages = await prove(opened)
        volume.sync_fault = errno.EIO
        for number in (100, 101):
            with pytest.raises(StoreFailed):
                await put(opened, message(number))
        assert volume.threads[-1] == threading.get_ident()
        volume.sync_fault = 0
        assert len(failures) == 1
        return messages

    kept = run(fail, tmp_path, settings=CALM, volume=volume, on_failure=failures.append)

    async def look(opened: EmbeddedStore) -> None:
        assert contents(opened) == kept

    run(look, tmp_path)


@pytest.mark.usefixtures("quick")
def test_a_full_volume_refuses_on_the_loop_and_takes_the_next(tmp_path: Path) -> None:
    volume = Watched()

    async def fill(opened: EmbeddedStore) -> None:
        messages = await prove(opened)
        volume.write_fault = errno.ENOSPC
        with pytest.raises(StoreFull):
            await put(opened, message(100))
        volume.write_fault = 0
        await put(opened, message(101))
        assert contents(opened) == [*messages, message(101)]

    run(fill, tmp_path, settings=CALM, volume=volume)


@pytest.mark.usefixtures("quick")
def test_senders_that_come_one_behind_the_other_are_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "GATHER", 60.0)
    volume = Watched()

    async def sender(opened: EmbeddedStore, number: int) -> None:
        for each in range(5):
            for _ in range(4 * number):  # turns of the loop
                await asyncio.sleep(0)
            await put(opened, message(1000 + 10 * number + each))

    async def deliver_beside_each_other(opened: EmbeddedStore) -> None:
        await prove(opened)
        await asyncio.gather(*(put(opened, message(100 + number)) for number in range(3)))  # three are on their way
        volume.threads.clear()
        await asyncio.gather(*(sender(opened, number) for number in range(3)))
        assert len(volume.threads) == 5
        assert len(contents(opened)) == ENOUGH + 3 + 15

    run(deliver_beside_each_other, tmp_path, settings=CALM, volume=volume)


@pytest.mark.usefixtures("quick")
def test_nobody_waits_for_senders_that_are_gone(tmp_path: Path) -> None:
    async def deliver_alone(opened: EmbeddedStore) -> None:
        await prove(opened)
        await asyncio.gather(*(put(opened, message(100 + number)) for number in range(3)))
        async with asyncio.timeout(10):
            for number in range(3):
                await put(opened, message(200 + number))
        assert len(contents(opened)) == ENOUGH + 6

    run(deliver_alone, tmp_path, settings=CALM)


@pytest.mark.usefixtures("quick")
def test_what_waits_for_more_is_kept_when_the_store_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def close_at_once() -> None:
        opened = EmbeddedStore(tmp_path, settings=CALM)
        await prove(opened)
        await asyncio.gather(*(put(opened, message(100 + number)) for number in range(3)))
        monkeypatch.setattr(store, "GATHER", 60.0)
        last = asyncio.ensure_future(put(opened, message(200)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not last.done()
        opened.close()
        await last

    asyncio.run(close_at_once())

    async def look(opened: EmbeddedStore) -> None:
        assert contents(opened)[-1] == message(200)

    run(look, tmp_path)


@pytest.mark.usefixtures("quick")
def test_the_log_of_groups_that_the_writer_never_saw_is_folded_in_when_it_is_quiet(tmp_path: Path) -> None:
    fault = Corruption("write", 1, 0)

    async def fail(opened: EmbeddedStore) -> None:
        await prove(opened)
        async with asyncio.timeout(10):
            while opened._writer._log_pages or opened._writer._baton.locked():  # noqa: ASYNC110  # until the writer sleeps with nothing to fold in
                await asyncio.sleep(0)
            await put(opened, message(100))
            fault.is_armed = True  # the next write is the checkpoint's
            await failed.wait()

    failed = asyncio.Event()
    with sqlite_files(fault) as vfs:
        run(fail, tmp_path, settings=replace(CALM, idle_seconds=0.2), vfs=vfs, on_failure=lambda _: failed.set())
