"""The reference adapter keeps the contract."""

import asyncio
from pathlib import Path

import pytest

from postwren.mailstore.errors import StoreFull
from postwren.mailstore.port import Store
from postwren.mailstore.service.deliver import Target, deliver
from postwren.storage.memory import MemoryStore
from postwren.testing.contract import MailstoreContract
from postwren.testing.contract.scene import Scene


class TestMemory(MailstoreContract):
    async def open_store(self, path: Path) -> Store:
        return MemoryStore()


class FullStore:
    async def open_store(self, path: Path) -> Store:
        return MemoryStore(capacity=100)


def test_a_full_volume_refuses_and_takes_again_what_fits(tmp_path: Path) -> None:
    async def story() -> None:
        scene = Scene(FullStore(), tmp_path, await FullStore().open_store(tmp_path))
        ann = await scene.account()
        await scene.deliver(ann, b"x" * 60)
        with pytest.raises(StoreFull):
            await scene.deliver_to([Target(ann.account_id)], b"y" * 60)
        await scene.deliver(ann, b"z" * 40)
        assert scene.uids(ann) == [1, 2]
        await scene.end()

    asyncio.run(story())


def test_a_body_is_written_once(tmp_path: Path) -> None:
    async def story() -> None:
        scene = Scene(FullStore(), tmp_path, await FullStore().open_store(tmp_path))
        ann = await scene.account()
        body = scene.body(b"x")
        unit = deliver([Target(ann.account_id)], body, scene.now)
        await scene.perform(unit, [body])
        other = await scene.account("ben@example.org")
        with pytest.raises(KeyError):
            await scene.perform(deliver([Target(other.account_id)], body, scene.now), [body])
        await scene.end()

    asyncio.run(story())
