"""Other processes on the same folder: command-line programs beside a server."""

import asyncio
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

from tests.unit.embedded.disk import SMALL, ann, contents, message, put, run

from postwren.mailstore.model import Change, ChangeKind
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck
from postwren.storage.embedded.volume import Volume

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, sys
from pathlib import Path
from postwren.storage.embedded import EmbeddedStore
from tests.unit.embedded.disk import SMALL, message, put

async def main():
    store = EmbeddedStore(Path(sys.argv[1]), settings=SMALL)
    first = int(sys.argv[2])
    for number in range(first, first + 15):
        await put(store, message(number))
    store.close()

asyncio.run(main())
"""


def start(path: Path, first: int) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(path), str(first)], env=environment)


def test_programs_deliver_beside_a_server_and_its_sessions_hear_of_it(tmp_path: Path) -> None:
    async def serve(store: EmbeddedStore) -> None:
        account = await ann(store)
        heard: list[Change] = []
        everything = asyncio.Event()

        def hear(changes: list[Change]) -> None:
            heard.extend(changes)
            if len(heard) == 45:
                everything.set()

        store.subscribe(account.account_id, hear)  # type: ignore[arg-type]
        programs = [start(tmp_path, 100), start(tmp_path, 200)]
        for number in range(15):
            await put(store, message(number))
        for program in programs:
            assert await asyncio.to_thread(program.wait) == 0
        async with asyncio.timeout(1):
            await everything.wait()
        assert [change.uid_lo for change in heard] == list(range(1, 46))
        assert [change.modseq for change in heard] == sorted({change.modseq for change in heard})
        assert {change.kind for change in heard} == {ChangeKind.APPENDED}
        assert (tmp_path / "index.db-wal").exists()  # the programs' last connections did not take it for theirs
        wanted = [message(first + n) for first in (0, 100, 200) for n in range(15)]
        assert sorted(contents(store)) == sorted(wanted)

    run(serve, tmp_path)
    assert list(DiskCheck(tmp_path).run()) == []


def test_each_process_writes_its_own_segment_and_the_next_goes_on_with_it(tmp_path: Path) -> None:
    async def both(first: EmbeddedStore) -> None:
        await put(first, message(1))
        second = EmbeddedStore(tmp_path, settings=SMALL)
        await put(second, message(2))
        await put(first, message(3))
        second.close()
        third = EmbeddedStore(tmp_path, settings=SMALL)
        await put(third, message(4))
        assert contents(first) == [message(n) for n in (1, 2, 3, 4)]
        third.close()

    run(both, tmp_path)
    assert len(list((tmp_path / "segments").iterdir())) == 2


def test_a_change_by_another_process_is_told_although_an_own_later_one_comes_first(tmp_path: Path) -> None:
    async def both(first: EmbeddedStore) -> None:
        account = await ann(first)
        heard: list[Change] = []
        first.subscribe(account.account_id, heard.extend)
        gate = threading.Event()
        held = asyncio.ensure_future(first.read(lambda _: gate.wait()))  # the reading thread is busy
        await asyncio.sleep(0)
        second = EmbeddedStore(tmp_path, settings=SMALL)
        await put(second, message(1))
        await put(second, message(2))
        second.close()
        await put(first, message(3))
        gate.set()
        told = [change.uid_lo for change in heard]
        await held
        assert told == [1, 2, 3]
        await asyncio.sleep(5 * SMALL.look_seconds)
        assert [change.uid_lo for change in heard] == [1, 2, 3]

    run(both, tmp_path)


def locks_of_mine(path: Path) -> list[str]:
    """The kinds of locks that this process has on a file."""
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    end = f":{path.stat().st_ino}"
    return [fields[3] for fields in locks if fields[4] == str(os.getpid()) and fields[5].endswith(end)]


def test_the_index_stays_locked_against_programs_that_think_they_are_the_last(tmp_path: Path) -> None:
    async def hold(store: EmbeddedStore) -> None:
        await put(store, message(1))
        await store.read(lambda reader: reader.only_domain())
        assert locks_of_mine(tmp_path / "index.db") == ["READ"], "something opened and closed the index beside SQLite"

    run(hold, tmp_path)


class HeldSync(Volume):
    """Syncs of segments wait until they are let through; not those of the log, which the writer fills in idle moments."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def sync(self, fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".seg"):
            self.gate.wait()
        super().sync(fd)


class CountedSync(Volume):
    """Notes which files were synced."""

    def __init__(self) -> None:
        self.synced: list[int] = []

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self.synced.append(os.fstat(fd).st_ino)


def test_a_content_that_another_process_has_not_synced_yet_is_synced_by_who_names_it(tmp_path: Path) -> None:
    held, counted = HeldSync(), CountedSync()
    restless = replace(SMALL, idle_seconds=3600)  # an idle moment would sync, too

    async def both(first: EmbeddedStore) -> None:
        await put(first, message(1))
        second = EmbeddedStore(tmp_path, settings=restless, volume=counted)
        held.gate.clear()
        slow = asyncio.ensure_future(put(first, message(2)))
        try:
            while len(contents(second)) < 2:  # noqa: ASYNC110 - committed by the other's thread, and nobody tells
                await asyncio.sleep(0)
            counted.synced.clear()
            await put(second, message(2))
            assert not slow.done()
            assert counted.synced == [(tmp_path / "segments" / "00000001.seg").stat().st_ino]
        finally:
            held.gate.set()
        await slow
        second.close()

    run(both, tmp_path, volume=held, settings=restless)


def test_nothing_runs_in_the_background_while_nobody_listens(tmp_path: Path) -> None:
    async def idle(store: EmbeddedStore) -> None:
        account = await ann(store)
        subscription = store.subscribe(account.account_id, lambda changes: None)
        subscription.cancel()
        await asyncio.sleep(SMALL.look_seconds * 2)
        assert store._look_timer is None

    run(idle, tmp_path)
