"""Changes of flags are answered before their sync, which follows; a process that dies loses none of them (ADR 0012)."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.embedded.disk import SMALL, ann, message, put, run

from postwren.mailstore import invariant
from postwren.mailstore.errors import NoSuchMailbox, StoreFailed
from postwren.mailstore.port import Unit
from postwren.mailstore.service.flags import FlagAction, FlagsChanged, change_flags
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.lag import BURNT, LogSync
from postwren.storage.embedded.volume import Volume
from postwren.terms import MailboxId

CALM = replace(SMALL, idle_seconds=60.0, look_seconds=60.0, wal_octets=4_000_000)


class Machine(Volume):
    """A volume of a certain boot of its machine, which tells of the log's syncs."""

    def __init__(self, boot: int = 1) -> None:
        self._boot = boot
        self.log_synced = threading.Event()
        self.breaks = False

    def boot(self) -> int:
        return self._boot

    def fdatasync(self, fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("-wal"):
            self.log_synced.set()
            if self.breaks:
                raise OSError(5, "broken")
        super().fdatasync(fd)


async def unit_for(store: EmbeddedStore, uid: int, action: FlagAction = FlagAction.ADD) -> Unit[FlagsChanged]:
    account = await ann(store)
    mailbox_id = store.reader.mailboxes(account.account_id)[0].mailbox_id
    return change_flags(account.account_id, mailbox_id, [(uid, uid)], action, ["\\Flagged"])


async def flagged(store: EmbeddedStore) -> list[int]:
    account = await ann(store)
    mailbox_id = store.reader.mailboxes(account.account_id)[0].mailbox_id
    columns = store.reader.flag_columns(account.account_id, mailbox_id, [(1, 1000)])
    return [uid for uid, flagset_id in zip(columns.uids, columns.flagset_ids, strict=True) if flagset_id]


def test_flags_are_visible_at_once_and_synced_soon(tmp_path: Path) -> None:
    machine = Machine()

    async def tell(store: EmbeddedStore) -> None:
        for number in range(3):
            await put(store, message(number))
        assert store.perform_now(await unit_for(store, 1)) is not None  # the first one is synced, with the mark
        assert not machine.log_synced.is_set()
        done = store.perform_now(await unit_for(store, 3))
        assert done is not None
        assert done[0].rows == [(3, 1)]
        assert await flagged(store) == [1, 3]
        assert machine.log_synced.wait(5)

    run(tell, tmp_path, settings=CALM, volume=machine)


def test_what_must_be_synced_before_it_is_answered_still_is(tmp_path: Path) -> None:
    """SQLite's own level is what a commit waits for."""

    async def tell(store: EmbeddedStore) -> None:
        await put(store, message(0))
        levels = []
        for action in (FlagAction.ADD, FlagAction.REMOVE):
            assert store.perform_now(await unit_for(store, 1, action)) is not None
            levels.append(store._writer._connection.execute("PRAGMA synchronous").fetchall())
        assert levels == [[(2,)], [(2,)]]

    run(tell, tmp_path, settings=CALM)


def test_synchronous_flags_are_not_changed_at_once(tmp_path: Path) -> None:
    async def tell(store: EmbeddedStore) -> None:
        await put(store, message(0))
        assert store.perform_now(await unit_for(store, 1)) is None
        await store.perform(await unit_for(store, 1))
        assert await flagged(store) == [1]

    run(tell, tmp_path, settings=replace(CALM, lag_seconds=0.0))


def test_nothing_overtakes_what_waits(tmp_path: Path) -> None:
    async def tell(store: EmbeddedStore) -> None:
        await put(store, message(0))
        unit = await unit_for(store, 1)
        waiting = asyncio.ensure_future(store.perform(unit))
        await asyncio.sleep(0)
        assert store.perform_now(await unit_for(store, 1, FlagAction.REMOVE)) is None
        assert (await waiting).rows == [(1, 1)]

    run(tell, tmp_path, settings=CALM)


def test_a_refused_change_leaves_nothing(tmp_path: Path) -> None:
    async def tell(store: EmbeddedStore) -> None:
        await put(store, message(0))
        account = await ann(store)
        with pytest.raises(NoSuchMailbox):
            store.perform_now(change_flags(account.account_id, MailboxId(99), [(1, 1)], FlagAction.ADD, ["\\Flagged"]))
        assert store.perform_now(await unit_for(store, 1)) is not None
        assert await flagged(store) == [1]

    run(tell, tmp_path, settings=CALM)


def test_a_log_that_cannot_be_synced_ends_the_store(tmp_path: Path) -> None:
    machine = Machine()
    failures: list[StoreFailed] = []
    told = asyncio.Event()

    def fail(failure: StoreFailed) -> None:
        failures.append(failure)
        told.set()

    async def tell(store: EmbeddedStore) -> None:
        await put(store, message(0))
        assert store.perform_now(await unit_for(store, 1)) is not None
        machine.breaks = True
        assert store.perform_now(await unit_for(store, 1, FlagAction.REMOVE)) is not None
        assert machine.log_synced.wait(5)
        await told.wait()
        unit = await unit_for(store, 1)
        with pytest.raises(StoreFailed):
            await store.perform(unit)
        assert store.perform_now(await unit_for(store, 1)) is None

    run(tell, tmp_path, settings=CALM, volume=machine, on_failure=fail)
    assert len(failures) == 1


def test_an_end_that_comes_as_the_delay_runs_out_is_not_missed(tmp_path: Path) -> None:
    """It was: between the wait and the clear, and then the store waited for its own thread for ever."""
    (tmp_path / "index.db-wal").write_bytes(b"rows")
    machine = Machine()
    log = LogSync(machine, tmp_path, 0.001, lambda _error: None)

    class Unlucky(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            was = super().wait(timeout)
            threading.Thread(target=log.end, daemon=True).start()
            while not log._due.is_set() or not self.is_set():
                pass
            return was

    log._ends = Unlucky()
    log.wake()
    assert log._thread is not None
    log._thread.join(10)
    assert not log._thread.is_alive()
    assert machine.log_synced.is_set()


def test_d37_a_modseq_that_a_power_cut_may_have_taken_back_is_not_given_again(tmp_path: Path) -> None:
    def modseq_in(boot: int, then: Callable[[EmbeddedStore], Unit[FlagsChanged]] | None = None) -> int:
        async def tell(store: EmbeddedStore) -> int:
            modseq = (await ann(store)).modseq
            if then is not None:
                assert store.perform_now(then(store)) is not None
            assert list(invariant.check(store.reader, store.body_pieces)) == []
            return modseq

        return run(tell, tmp_path, settings=CALM, volume=Machine(boot))

    def star(store: EmbeddedStore) -> Unit[FlagsChanged]:
        account = store.reader.account_by_login("ann@example.org")
        assert account is not None
        return change_flags(account.account_id, MailboxId(1), [(1, 1)], FlagAction.ADD, ["\\Flagged"])

    run(lambda store: put(store, message(0)), tmp_path, settings=CALM, volume=Machine(1))
    before = modseq_in(boot=2)  # nothing lagged in the first one
    assert modseq_in(boot=2, then=star) == before
    assert modseq_in(boot=2) == before + 1
    assert modseq_in(boot=3) == before + 1 + BURNT
    assert modseq_in(boot=4) == before + 1 + BURNT


PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.unit.embedded.disk import message, put
from tests.unit.embedded.test_lag import CALM, unit_for
from postwren.storage.embedded import EmbeddedStore

async def main():
    store = EmbeddedStore(Path(sys.argv[1]), settings=CALM)
    for number in range(20):
        await put(store, message(number))
    for uid in range(1, 21):
        assert store.perform_now(await unit_for(store, uid)) is not None
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_kill_9_takes_no_flag_that_was_answered(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "data")], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert run(flagged, tmp_path / "data", settings=CALM) == list(range(1, 21))
