"""What the writer does when something fails that is not simply a full volume or a failed sync."""

import asyncio
import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from tests.crash.faults import Fault, FaultyVolume, sqlite_files
from tests.unit.embedded.disk import SMALL, ann, contents, message, put, run

from postwren.mailstore.errors import StoreFailed, StoreFull
from postwren.mailstore.invariant import check
from postwren.mailstore.port import Unit
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.volume import Volume


class Corruption(Fault):
    """SQLite finds that its file is not what it was."""

    def sqlite_error(self, what: str) -> apsw.Error:
        return apsw.CorruptError("corrupt")


def test_a_commit_that_breaks_beside_a_sync_ends_the_store(tmp_path: Path) -> None:
    """It once left the sync's outcome for the next group, which then did not wait for its own."""
    fault = Corruption("write", 1, 0)
    failures: list[StoreFailed] = []

    async def fail(store: EmbeddedStore) -> None:
        await put(store, message(1))
        fault.is_armed = True
        for number in (2, 3):
            with pytest.raises(StoreFailed):
                await put(store, message(number))
        assert len(failures) == 1

    with sqlite_files(fault) as vfs:
        run(fail, tmp_path, settings=replace(SMALL, idle_seconds=60.0), vfs=vfs, on_failure=failures.append)


def test_a_checkpoint_that_breaks_ends_the_store_and_leaves_nobody_waiting(tmp_path: Path) -> None:
    fault = Corruption("write", 1, 0)

    async def fail(store: EmbeddedStore) -> None:
        await put(store, message(1))
        fault.is_armed = True
        async with asyncio.timeout(10):
            await failed.wait()
            with pytest.raises(StoreFailed):
                await put(store, message(2))

    failed = asyncio.Event()
    with sqlite_files(fault) as vfs:
        run(fail, tmp_path, vfs=vfs, on_failure=lambda _: failed.set())


class Stage(Volume):
    """Armed, the first write finds the volume full and the second sync fails."""

    is_armed = False
    writes = syncs = 0

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        self.writes += self.is_armed
        if self.writes == 1:
            self.writes += 1
            raise OSError(errno.ENOSPC, "full")
        super().write(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        self.syncs += self.is_armed
        if self.syncs == 2:
            raise OSError(errno.EIO, "failed")
        super().fdatasync(fd)


def test_what_was_kept_is_acknowledged_though_its_neighbour_meets_a_failing_disk(tmp_path: Path) -> None:
    volume = Stage()

    async def fail(store: EmbeddedStore) -> None:
        await put(store, message(1))
        volume.is_armed = True
        second, third = await asyncio.gather(put(store, message(2)), put(store, message(3)), return_exceptions=True)
        assert not isinstance(second, BaseException)
        assert isinstance(third, StoreFailed)

    run(fail, tmp_path, volume=volume)

    async def look(store: EmbeddedStore) -> None:
        assert contents(store) == [message(1), message(2)]

    run(look, tmp_path)


def test_the_log_is_folded_in_while_there_is_always_more_to_do(tmp_path: Path) -> None:
    async def load(store: EmbeddedStore) -> None:
        await ann(store)

        def fill(number: int) -> Unit[None]:
            return lambda tx: tx.put_setting("x", bytes([number]) * 100_000)

        await asyncio.gather(*(store.perform(fill(number)) for number in range(50)))
        assert (tmp_path / "index.db-wal").stat().st_size < 1_000_000

    run(load, tmp_path, settings=replace(SMALL, batch_units=1, wal_octets=200_000, idle_seconds=60.0))


@pytest.mark.parametrize("size", [300, 50_000])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_a_process_that_ran_out_of_descriptors_refuses_mail_and_goes_on(tmp_path: Path, size: int, number: int) -> None:
    """Many connections at once must not end the server."""
    fault = Fault("create", 1, number)

    async def fail(store: EmbeddedStore) -> None:
        await ann(store)
        fault.is_armed = True
        with pytest.raises(StoreFull):
            await put(store, message(1, size))
        await put(store, message(2, size))
        assert contents(store) == [message(2, size)]

    run(fail, tmp_path, volume=FaultyVolume(fault))


def test_a_segment_that_the_full_index_cannot_record_leaves_neither_file_nor_descriptor(tmp_path: Path) -> None:
    fault = Fault("write", 1, errno.ENOSPC, lasts=True)

    async def fail(store: EmbeddedStore) -> None:
        await ann(store)
        before = len(os.listdir("/proc/self/fd"))
        fault.is_armed = True
        for number in range(5):
            with pytest.raises(StoreFull):
                await put(store, message(number))
        fault.is_armed = False
        assert len(os.listdir("/proc/self/fd")) == before
        assert list((tmp_path / "segments").iterdir()) == []
        await put(store, message(9))
        assert contents(store) == [message(9)]

    with sqlite_files(fault) as vfs:
        run(fail, tmp_path, vfs=vfs, settings=replace(SMALL, idle_seconds=60.0))


def test_who_only_reads_gets_in_where_nothing_can_be_written(tmp_path: Path) -> None:
    async def fill(store: EmbeddedStore) -> None:
        await put(store, message(1))

    async def read(store: EmbeddedStore) -> None:
        assert contents(store) == [message(1)]
        assert await store.read(lambda reader: list(check(reader, store.body_pieces))) == []
        with pytest.raises(StoreFull):
            await put(store, message(2))

    run(fill, tmp_path)
    fault = Fault("write", 1, errno.ENOSPC, lasts=True)
    fault.is_armed = True
    with sqlite_files(fault) as vfs:
        with pytest.raises(StoreFull):
            run(read, tmp_path, vfs=vfs)
        run(read, tmp_path, vfs=vfs, only_reads=True)
    run(fill, tmp_path, only_reads=True)  # where there is space it is a store like any other
