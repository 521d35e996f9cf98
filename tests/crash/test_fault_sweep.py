"""Fail the N-th write, sync, rename and creation of a delivery and of a POP3 removal, N = 1, 2, ... until none fires; then
look at the disk as the next process finds it: what was acknowledged is there once, what was refused is not (D-01, D-03, D-51).
"""

import asyncio
import errno
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.crash.faults import Fault, FaultyVolume, sqlite_files
from tests.unit.embedded.disk import SMALL, ann, contents, message, put

from postwren.mailstore import invariant
from postwren.mailstore.errors import MailstoreError, StoreFailed, StoreFull
from postwren.mailstore.service.maildrop import open_maildrop, remove
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck

LONG = 30_000
CALM = replace(SMALL, idle_seconds=60.0, wal_octets=300_000)  # what happens does not hang on time
KINDS = ("write", "sync", "rename", "create")


@dataclass
class Seen:
    """What the client was told."""

    acknowledged: list[bytes] = field(default_factory=list)
    refused: list[tuple[bytes, BaseException]] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    unsure: list[bytes] = field(default_factory=list)  # their removal was refused


async def deliver(store: EmbeddedStore, data: bytes, seen: Seen) -> None:
    try:
        await put(store, data)
    except MailstoreError as error:
        seen.refused.append((data, error))
    else:
        seen.acknowledged.append(data)


async def take(store: EmbeddedStore, seen: Seen) -> None:
    """A POP3 session that removes the first message."""
    account = await ann(store)
    drop = await open_maildrop(store, account.account_id)
    data = store.read_body(drop.body(0))
    seen.acknowledged.remove(data)
    try:
        await store.perform(remove(account.account_id, drop.mailbox_id, [drop.uids[0]], 1_700_000_001))
    except StoreFull:
        seen.acknowledged.append(data)
    except StoreFailed:
        seen.unsure.append(data)
    else:
        seen.removed.append(data)


async def scenario(store: EmbeddedStore, fault: Fault, seen: Seen) -> None:
    await ann(store)
    await deliver(store, message(0), seen)
    fault.is_armed = True
    await deliver(store, message(1), seen)
    await asyncio.gather(*(deliver(store, message(n), seen) for n in range(2, 6)))
    await deliver(store, message(6, LONG), seen)
    await take(store, seen)
    await asyncio.gather(*(deliver(store, message(n, 9_000), seen) for n in range(7, 12)))  # on to the next segment


def play(directory: Path, fault: Fault) -> tuple[Seen, list[StoreFailed]]:
    """Run it; `directory`/after is the disk as it is when the process is killed right then."""
    seen = Seen()
    failures: list[StoreFailed] = []

    async def run(vfs: str) -> None:
        data = directory / "data"
        store = EmbeddedStore(data, settings=CALM, volume=FaultyVolume(fault), vfs=vfs, on_failure=failures.append)
        await scenario(store, fault, seen)
        with suppress(MailstoreError):  # behind it the writer has done its checkpoint, and told of a fault in it
            await store.perform(lambda tx: None)
        fault.is_armed = False
        shutil.copytree(data, directory / "after", ignore=shutil.ignore_patterns("*-shm"))
        if not failures:  # a refusal was for lack of space: now there is some again
            await deliver(store, message(99), seen)
            assert message(99) in seen.acknowledged
            shutil.rmtree(directory / "after")
            shutil.copytree(data, directory / "after", ignore=shutil.ignore_patterns("*-shm"))
        store.close()

    with sqlite_files(fault) as vfs:
        asyncio.run(run(vfs))
    return seen, failures


def judge(directory: Path, seen: Seen) -> None:
    async def look() -> None:
        store = EmbeddedStore(directory, settings=SMALL)
        kept = contents(store)
        assert not [data for data, _ in seen.refused if data in kept]
        assert not [data for data in seen.removed if data in kept]
        assert sorted(data for data in kept if data not in seen.unsure) == sorted(seen.acknowledged)
        assert len(set(kept)) == len(kept)
        assert list(invariant.check(store.reader, store.body_pieces)) == []
        before = {row.uid for row in store.reader.entries((await ann(store)).account_id, 1)}  # type: ignore[arg-type]
        delivered = await put(store, message(1000))
        assert delivered.uid not in before
        store.close()
        assert list(DiskCheck(directory).run()) == []

    asyncio.run(look())


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("kind", KINDS)
def test_d01_d03_d51_every_fault_leaves_what_was_acknowledged_and_nothing_else(tmp_path: Path, kind: str, number: int) -> None:
    nth = 0
    fired = True
    while fired:
        nth += 1
        fault = Fault(kind, nth, number)
        directory = tmp_path / str(nth)
        directory.mkdir()
        seen, failures = play(directory, fault)
        fired = fault.fired
        if not fired:
            assert len(seen.acknowledged) == 12
        if number == errno.ENOSPC and kind != "sync":
            assert failures == [], nth
        elif fired:
            assert len(failures) == 1, nth
            assert all(isinstance(error, StoreFailed) for _, error in seen.refused), nth
        judge(directory / "after", seen)
        judge(directory / "data", seen)
        shutil.rmtree(directory)
    assert nth > 1, "nothing of this kind ever happened"


@pytest.mark.parametrize("kind", ["write", "create"])
def test_d04_a_full_volume_refuses_and_takes_mail_again_by_itself(tmp_path: Path, kind: str) -> None:
    fault = Fault(kind, 1, errno.ENOSPC, lasts=True)
    seen, failures = play(tmp_path, fault)
    assert failures == []
    assert fault.fired
    assert seen.refused
    assert all(isinstance(error, StoreFull) for _, error in seen.refused)
    judge(tmp_path / "after", seen)
