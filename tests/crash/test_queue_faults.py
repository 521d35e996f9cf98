"""Fail the N-th write, sync and creation of submissions and conclusions, N = 1, 2, ... until none fires; then look at the disk as
the next process finds it, and let the client repeat what it was refused (D-01, D-02, D-03, D-07 on the way out, ADR 0020).
"""

import asyncio
import errno
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.crash.faults import Fault, FaultyVolume, sqlite_files
from tests.crash.test_fault_sweep import CALM
from tests.crash.test_queue_crash import NOW, report
from tests.unit.embedded.disk import LOGIN, ann, contents, message

from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.queue import Concluder, accept
from postwren.delivery.submit import Submit
from postwren.mailstore import invariant
from postwren.mailstore.errors import AlreadySubmitted, MailstoreError
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck
from postwren.terms import Address, Uid

FATES = (Fate.FAILED, Fate.DELIVERED, Fate.DEFERRED)
SIZES = (400, 400, 400, 9_000, 30_000, 9_000)


def addresses(number: int) -> list[str]:
    return [f"r{number}-{n}@b.example" for n in range(len(FATES))]


@dataclass
class Seen:
    """What the client was told, and what the engine was."""

    acknowledged: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    concluded: dict[int, bool] = field(default_factory=dict)  # by message: whether it was said to be written


async def submit(store: EmbeddedStore, number: int) -> None:
    account = await ann(store)
    writer = store.new_body()
    try:
        writer.write(message(number, SIZES[number % len(SIZES)]))
        body = writer.finish()
    except BaseException:
        writer.discard()
        raise
    envelope = Envelope(Address(*LOGIN.split("@")), submitter=account.account_id, token=b"token %d" % number)
    envelope.elsewhere = [Elsewhere(Address(*each.split("@"))) for each in addresses(number)]
    unit = Submit(lambda given, octets, now: accept(given, octets, now, 1), account.account_id, True)(envelope, body, NOW)
    try:
        await store.perform(unit, [body])
    except BaseException:
        body.discard()
        raise


async def try_to_submit(store: EmbeddedStore, number: int, seen: Seen) -> None:
    try:
        await submit(store, number)
    except MailstoreError:
        seen.refused.add(number)
    else:
        seen.acknowledged.add(number)


async def try_to_conclude(store: EmbeddedStore, uid: Uid, seen: Seen) -> None:
    rows = store.reader.queued_recipients(uid)
    outcomes = [Outcome(row.number, Verdict(fate, 550, "", "said")) for row, fate in zip(rows, FATES, strict=True)]
    number = int(rows[0].address[1:].partition("-")[0])
    seen.concluded[number] = False
    with suppress(MailstoreError):
        await Concluder(store, report, lambda: 1, lambda: NOW, lambda: 0.0)(uid, outcomes)
        seen.concluded[number] = True


async def scenario(store: EmbeddedStore, fault: Fault, seen: Seen) -> None:
    await ann(store)
    for number in range(3):
        await try_to_submit(store, number, seen)
    uids = [row.uid for row in store.reader.queued_messages(Uid(0), 100)]
    fault.is_armed = True
    await try_to_submit(store, 3, seen)
    await try_to_conclude(store, uids[0], seen)
    await asyncio.gather(
        *(try_to_submit(store, number, seen) for number in range(4, 8)), *(try_to_conclude(store, uid, seen) for uid in uids[1:])
    )


def play(directory: Path, fault: Fault) -> Seen:
    """Run it; `directory`/after is the disk as it is when the process is killed right then."""
    seen = Seen()

    async def run(vfs: str) -> None:
        data = directory / "data"
        store = EmbeddedStore(data, settings=CALM, volume=FaultyVolume(fault), vfs=vfs, on_failure=lambda _error: None)
        await scenario(store, fault, seen)
        fault.is_armed = False
        shutil.copytree(data, directory / "after", ignore=shutil.ignore_patterns("*-shm"))
        store.close()

    with sqlite_files(fault) as vfs:
        asyncio.run(run(vfs))
    return seen


async def judge(directory: Path, seen: Seen) -> None:
    store = EmbeddedStore(directory, settings=CALM)
    queued = store.reader.queued_messages(Uid(0), 1000)
    waiting = [row.address for each in queued for row in store.reader.queued_recipients(each.uid)]
    told = [line.decode() for octets in contents(store) for line in re.findall(rb"failed: (\S+)", octets)]
    assert len(set(waiting)) == len(waiting)
    assert len(set(told)) == len(told)
    for number in seen.acknowledged | seen.refused:
        failed, delivered, deferred = addresses(number)
        here = [each in waiting for each in (failed, delivered, deferred)]
        if number in seen.refused:
            assert (here, failed in told) == ([False] * 3, False), number
        elif seen.concluded.get(number):
            assert (here, failed in told) == ([False, False, True], True), number
        elif number in seen.concluded:  # the conclusion was not said to be written: all of it is there, or nothing
            assert (here, failed in told) in (([False, False, True], True), ([True] * 3, False)), number
        else:
            assert (here, failed in told) == ([True] * 3, False), number
    await repeat(store, seen)
    assert list(invariant.check(store.reader, store.body_pieces)) == []
    store.close()
    assert list(DiskCheck(directory).run()) == []


async def repeat(store: EmbeddedStore, seen: Seen) -> None:
    """The client lost every answer, and submits everything again under its tokens: each is sent once, and copied once."""
    for number in seen.acknowledged:
        with pytest.raises(AlreadySubmitted):
            await submit(store, number)
    for number in seen.refused:
        await submit(store, number)
    assert len(store.reader.queued_messages(Uid(0), 1000)) == len(seen.acknowledged | seen.refused)
    sent = store.reader.mailbox_by_name((await ann(store)).account_id, "Sent")
    assert sent is not None
    assert sent.messages == len(seen.acknowledged | seen.refused)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("kind", ["write", "sync", "create"])
def test_d01_d02_d03_d07_every_fault_leaves_a_submission_and_a_conclusion_done_or_not_done(
    tmp_path: Path, kind: str, number: int
) -> None:
    nth = 0
    fired = True
    while fired:
        nth += 1
        fault = Fault(kind, nth, number)
        directory = tmp_path / str(nth)
        directory.mkdir()
        seen = play(directory, fault)
        fired = fault.fired
        if not fired:
            assert seen == Seen(set(range(8)), set(), dict.fromkeys(range(3), True))
        asyncio.run(judge(directory / "after", seen))
        asyncio.run(judge(directory / "data", seen))
        shutil.rmtree(directory)
    assert nth > 1, "nothing of this kind ever happened"


def test_d04_a_full_volume_loses_nothing_on_the_way_out(tmp_path: Path) -> None:
    fault = Fault("write", 1, errno.ENOSPC, lasts=True)
    seen = play(tmp_path, fault)
    assert seen.refused
    assert not all(seen.concluded.values())
    asyncio.run(judge(tmp_path / "after", seen))
