"""Power cuts at random moments of a busy store: everything acknowledged before the cut is there once, whole, under its UID."""

import asyncio
import random
from pathlib import Path

from tests.crash.powercut import Disk, ForgetfulVolume, sqlite_files
from tests.crash.test_fault_sweep import CALM
from tests.unit.embedded.disk import ann, contents, message, put

from postwren.mailstore import invariant
from postwren.mailstore.service.flags import FlagAction, change_flags
from postwren.mailstore.service.maildrop import open_maildrop, remove
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.embedded.check import DiskCheck
from postwren.terms import MailboxId

CUTS = 80
LAST_EVENT = 700


class Client:
    """What was acknowledged so far."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}  # by UID
        self.removing: set[int] = set()
        self.flagged: set[int] = set()  # answered, and followed by something that is synced

    async def flag(self, store: EmbeddedStore) -> set[int]:
        """Flag one message; not durable before the next delivery is, or 100 ms passed."""
        account = await ann(store)
        uid = max(self.kept, default=0)
        mailbox_id = store.reader.mailboxes(account.account_id)[0].mailbox_id if uid else MailboxId(0)
        if not uid or not store.perform_now(
            change_flags(account.account_id, mailbox_id, [(uid, uid)], FlagAction.ADD, ["\\Flagged"])
        ):
            return set()
        return {uid}

    async def deliver(self, store: EmbeddedStore, number: int, size: int) -> None:
        data = message(number, size)
        delivered = await put(store, data)
        self.kept[delivered.uid] = data

    async def take_one(self, store: EmbeddedStore) -> None:
        account = await ann(store)
        drop = await open_maildrop(store, account.account_id)
        uid = drop.uids[0]
        self.removing.add(uid)
        await store.perform(remove(account.account_id, drop.mailbox_id, [uid], 1_700_000_001))
        self.kept.pop(uid, None)


def test_d01_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    client = Client()
    cuts: list[tuple[dict[int, bytes], set[int], set[int], dict[str, bytes]]] = []
    data = tmp_path / "data"
    moments = set(random.Random(1).sample(range(30, LAST_EVENT), CUTS))

    def cut(image: dict[str, bytes]) -> None:
        cuts.append((acknowledged(), set(client.removing), set(client.flagged), image))

    def acknowledged() -> dict[int, bytes]:
        return {uid: octets for uid, octets in client.kept.items() if uid not in client.removing}

    async def work(vfs: str, disk: Disk) -> None:
        store = EmbeddedStore(data, settings=CALM, volume=ForgetfulVolume(disk), vfs=vfs)
        await ann(store)
        number = 0
        while disk.events < LAST_EVENT:
            sizes = [400] * (1 + number % 7) + [20_000] * (number % 5 == 0)
            flagged = await client.flag(store)
            await asyncio.gather(*(client.deliver(store, number + n, size) for n, size in enumerate(sizes)))
            client.flagged |= flagged
            number += len(sizes)
            if number % 3 == 0:
                await client.take_one(store)
        store.close()

    disk = Disk(data, moments, cut)
    with sqlite_files(disk) as vfs:
        asyncio.run(work(vfs, disk))
    assert len(cuts) == CUTS
    assert client.flagged
    for number, (kept, removing, flagged, image) in enumerate(cuts):
        directory = tmp_path / f"cut{number}"
        for name, octets in image.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
        asyncio.run(judge(directory, kept, removing, flagged))


async def judge(directory: Path, kept: dict[int, bytes], removing: set[int], flagged: set[int]) -> None:
    store = EmbeddedStore(directory, settings=CALM)
    account = await ann(store)
    drop = await open_maildrop(store, account.account_id)
    found = dict(zip(drop.uids, contents(store), strict=True))
    missing = {uid for uid, octets in kept.items() if found.get(uid) != octets}  # type: ignore[call-overload]
    assert missing <= removing
    columns = store.reader.flag_columns(account.account_id, drop.mailbox_id, [(1, 2**32 - 1)])
    plain = {uid for uid, flagset_id in zip(columns.uids, columns.flagset_ids, strict=True) if not flagset_id}
    assert not plain & flagged
    assert len(set(found.values())) == len(found)
    assert list(invariant.check(store.reader, store.body_pieces)) == []
    assert (await put(store, message(10_000))).uid > max(kept, default=0)
    store.close()
    assert list(DiskCheck(directory).run()) == []
