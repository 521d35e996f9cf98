"""APPEND, COPY, MOVE, REPLACE and EXPUNGE on a disk that fails or forgets (D-30 to D-33): each is done as a whole or not at all,
what was acknowledged is there, and no UID comes twice."""

import asyncio
import errno
import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from tests.crash import faults, powercut
from tests.crash.faults import Fault, FaultyVolume
from tests.crash.imapwork import Imap, State, found_in, judge, message
from tests.crash.powercut import Disk, ForgetfulVolume
from tests.crash.test_fault_sweep import CALM, KINDS

from postwren.mailstore.errors import MailstoreError, StoreFailed, StoreFull
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck

CUTS = 60
LAST_EVENT = 500


def look(directory: Path, allowed: list[State], highest: dict[str, int]) -> None:
    async def run() -> None:
        store = EmbeddedStore(directory, settings=CALM)
        try:
            await judge(store, allowed, highest)
        finally:
            store.close()
        assert list(DiskCheck(directory).run()) == []

    asyncio.run(run())


def play(directory: Path, fault: Fault) -> tuple[Imap, list[StoreFailed]]:
    """`directory`/after is the disk as it is when the process is killed right behind the last answer."""
    failures: list[StoreFailed] = []

    async def run(vfs: str) -> Imap:
        data = directory / "data"
        store = EmbeddedStore(data, settings=CALM, volume=FaultyVolume(fault), vfs=vfs, on_failure=failures.append)
        imap = Imap(store)
        await imap.begin()
        await imap.work(0)
        fault.is_armed = True
        for first in (10,):
            if not failures:
                with suppress(MailstoreError):
                    await imap.work(first)
        with suppress(MailstoreError):
            await store.perform(lambda tx: None)
        fault.is_armed = False
        shutil.copytree(data, directory / "after", ignore=shutil.ignore_patterns("*-shm"))
        store.close()
        return imap

    with faults.sqlite_files(fault) as vfs:
        return asyncio.run(run(vfs)), failures


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("kind", KINDS)
def test_d30_d31_d32_every_fault_leaves_each_command_done_or_not_done(tmp_path: Path, kind: str, number: int) -> None:
    nth, has_fired = 0, True
    while has_fired:
        nth += 1 + nth // 6  # each of the first, then fewer: a run has hundreds of writes
        fault = Fault(kind, nth, number)
        directory = tmp_path / str(nth)
        directory.mkdir()
        imap, failures = play(directory, fault)
        has_fired = fault.fired
        if not has_fired:
            assert imap.refused == []
        if number == errno.ENOSPC and kind != "sync":
            assert all(isinstance(error, StoreFull) for error in imap.refused), nth
            assert failures == [], nth
        allowed = [imap.kept, *imap.maybe]
        look(directory / "after", allowed, imap.highest)
        look(directory / "data", allowed, imap.highest)
        shutil.rmtree(directory)
    assert nth > 1, "nothing of this kind ever happened"


def test_d30_d31_d32_a_power_cut_leaves_each_command_done_or_not_done(tmp_path: Path) -> None:
    cuts: list[tuple[list[State], dict[str, int], dict[str, bytes]]] = []
    data = tmp_path / "data"
    sessions: list[Imap] = []

    def cut(image: dict[str, bytes]) -> None:
        imap = sessions[0] if sessions else Imap(store=None)  # type: ignore[arg-type]  # opening: nothing is kept yet
        cuts.append(([imap.kept, *imap.maybe], dict(imap.highest), image))

    async def work(vfs: str, disk: Disk) -> None:
        store = EmbeddedStore(data, settings=CALM, volume=ForgetfulVolume(disk), vfs=vfs)
        imap = Imap(store)
        sessions.append(imap)
        await imap.begin()
        first = 0
        while disk.events < LAST_EVENT:
            await imap.work(first)
            first += 10
        assert imap.refused == []
        assert found_in(store) == imap.kept
        store.close()

    disk = Disk(data, set(random.Random(2).sample(range(80, LAST_EVENT), CUTS)), cut)
    with powercut.sqlite_files(disk) as vfs:
        asyncio.run(work(vfs, disk))
    assert len(cuts) == CUTS
    for number, (allowed, highest, image) in enumerate(cuts):
        directory = tmp_path / f"cut{number}"
        for name, octets in image.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
        look(directory, allowed, highest)


@pytest.mark.parametrize("is_replace", [False, True], ids=["MOVE", "REPLACE"])
def test_d31_a_message_that_was_moved_beside_an_append_whose_sync_failed_is_somewhere(tmp_path: Path, is_replace: bool) -> None:
    """They share a group: what the append added is taken back, and once that took the moved message with it."""
    fault = Fault("sync", 1, errno.EIO)

    async def run() -> tuple[State, State]:
        store = EmbeddedStore(tmp_path, settings=CALM, volume=FaultyVolume(fault), on_failure=lambda _: None)
        imap, other = Imap(store), Imap(store)
        await imap.begin()
        await other.begin()
        await imap.append("INBOX", message(1))
        other.kept = imap.kept
        [uid] = imap.kept["INBOX"]
        fault.is_armed = True
        work = imap.replace("INBOX", uid, message(2)) if is_replace else imap.transfer("INBOX", "Work", uid, is_move=True)
        await asyncio.gather(work, other.append("Work", message(3)))
        assert [type(error) for error in imap.refused + other.refused] == [StoreFailed, StoreFailed]
        store.close()
        store = EmbeddedStore(tmp_path, settings=CALM)
        found = found_in(store)
        store.close()
        return imap.kept, found

    before, after = asyncio.run(run())
    texts = [text for place in after.values() for text in place.values()]
    assert texts in ([message(1)], [message(2)]), (before, texts)
