"""Other processes on the same folder: command-line programs beside a server."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.unit.embedded.disk import SMALL, ann, contents, message, put, run

from postwren.mailstore.model import Change, ChangeKind
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck

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


def test_nothing_runs_in_the_background_while_nobody_listens(tmp_path: Path) -> None:
    async def idle(store: EmbeddedStore) -> None:
        account = await ann(store)
        subscription = store.subscribe(account.account_id, lambda changes: None)
        subscription.cancel()
        await asyncio.sleep(SMALL.look_seconds * 2)
        assert store._look_timer is None

    run(idle, tmp_path)
