"""Power cuts at random moments of a busy queue (D-01, D-07): whoever has not got a message waits or was reported, never both."""

import asyncio
import random
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.crash.powercut import Disk, ForgetfulVolume, sqlite_files
from tests.crash.test_fault_sweep import CALM
from tests.unit.embedded.disk import LOGIN, ann, contents, message

from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.queue import Concluder, Notice, accept
from postwren.mailstore import invariant
from postwren.mailstore.queue import QueuedMessage
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck
from postwren.terms import Address, Uid

CUTS = 40
LAST_EVENT = 1200
NOW = 1_700_000_000


def report(_message: QueuedMessage, notice: Notice, _octets: bytes, _size: int) -> bytes:
    failed = "".join(f"failed: {told.row.address}\r\n" for told in notice.told)
    return f"Subject: report\r\n\r\n{failed}".encode()


class SlowVolume(ForgetfulVolume):
    """Its segments are synced later than the index beside them, wherever nobody waits for that, and the power goes in between."""

    def __init__(self, disk: Disk, cut: Callable[[dict[str, bytes]], None]) -> None:
        super().__init__(disk)
        self._cut = cut

    def sync(self, fd: int) -> None:
        if threading.current_thread().name == "postwren-sync":
            threading.Event().wait(0.003)
            self._cut(self._disk.image())
        super().sync(fd)


class Sender:
    """What was promised: an address is accepted, then `ends` one way or the other, then has ended."""

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.ends: dict[str, Fate] = {}
        self.ended: set[str] = set()

    def copy(self) -> "Sender":
        copy = Sender()
        copy.accepted, copy.ends, copy.ended = set(self.accepted), dict(self.ends), set(self.ended)
        return copy

    async def submit(self, store: EmbeddedStore, number: int) -> None:
        writer = store.new_body()
        writer.write(message(number, 20_000 if number % 6 == 0 else 400))
        body = writer.finish()
        envelope = Envelope(Address(*LOGIN.split("@")))
        envelope.elsewhere = [Elsewhere(Address(f"r{number}-{n}", "b.example")) for n in range(3)]
        await store.perform(accept(envelope, body, NOW, 1), [body])
        self.accepted |= {str(each.address) for each in envelope.elsewhere}

    async def conclude(self, store: EmbeddedStore, uid: Uid, draw: random.Random) -> None:
        rows = store.reader.queued_recipients(uid)
        some = draw.sample(rows, draw.randint(1, len(rows)))
        fates = {row.number: draw.choice((Fate.DELIVERED, Fate.FAILED, Fate.FAILED, Fate.DEFERRED)) for row in some}
        addresses = {row.number: row.address for row in some}
        final = {addresses[number]: fate for number, fate in fates.items() if fate is not Fate.DEFERRED}
        self.ends |= final
        verdicts = [Outcome(number, Verdict(fate, 550, "", "said")) for number, fate in fates.items()]
        await Concluder(store, report, lambda: 1, lambda: NOW, lambda: 0.0)(uid, verdicts)
        self.ended |= set(final)


def test_d07_a_power_cut_leaves_no_recipient_without_a_place_in_the_queue_or_a_report(tmp_path: Path) -> None:
    sender, draw = Sender(), random.Random(3)
    cuts: list[tuple[Sender, dict[str, bytes]]] = []
    data = tmp_path / "data"

    def cut(image: dict[str, bytes]) -> None:
        cuts.append((sender.copy(), image))

    async def work(vfs: str, disk: Disk) -> None:
        store = EmbeddedStore(data, settings=CALM, volume=SlowVolume(disk, cut), vfs=vfs)
        await ann(store)
        number = 0
        while disk.events < LAST_EVENT:
            waiting = [row.uid for row in store.reader.queued_messages(Uid(0), 100)]
            chosen: Sequence[Uid] = draw.sample(waiting, min(len(waiting), 4))
            new = [sender.submit(store, number + n) for n in range(1 + number % 4)]
            number += len(new)
            await asyncio.gather(*new, *(sender.conclude(store, uid, draw) for uid in chosen))
        store.close()

    disk = Disk(data, set(random.Random(1).sample(range(30, LAST_EVENT), CUTS)), cut)
    with sqlite_files(disk) as vfs:
        asyncio.run(work(vfs, disk))
    assert len(cuts) > CUTS
    assert len(set(sender.ends.values())) == 2
    for number, (promised, image) in enumerate(cuts):
        directory = tmp_path / f"cut{number}"
        for name, octets in image.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
        asyncio.run(judge(directory, promised))


async def judge(directory: Path, promised: Sender) -> None:
    store = EmbeddedStore(directory, settings=CALM)
    await ann(store)
    waiting = {
        row.address for each in store.reader.queued_messages(Uid(0), 10_000) for row in store.reader.queued_recipients(each.uid)
    }
    told = [line.decode() for octets in contents(store) for line in re.findall(rb"failed: (\S+)", octets)]
    assert len(told) == len(set(told))
    assert not waiting & set(told)
    assert not waiting & promised.ended
    for address in promised.accepted - waiting:  # it has got it, or its sender a report
        assert promised.ends.get(address) is Fate.DELIVERED or address in told, address
    assert {address for address in told if promised.ends.get(address) is not Fate.FAILED} == set()
    assert list(invariant.check(store.reader, store.body_pieces)) == []
    store.close()
    assert list(DiskCheck(directory).run()) == []
