"""The store on disk keeps the contract."""

from pathlib import Path

from postwren.mailstore.port import Store
from postwren.storage.embedded import EmbeddedStore, Settings
from postwren.testing.contract import DurableContract, MailstoreContract
from postwren.testing.contract.scene import Scene

SMALL = Settings(reserve=0, segment_size=50_000, spool_above=3_000, wal_octets=300_000, idle_seconds=0.01, look_seconds=0.02)


class TestEmbedded(MailstoreContract):
    async def open_store(self, path: Path) -> Store:
        return EmbeddedStore(path, settings=SMALL)

    async def forget(self, scene: Scene) -> None:
        await scene.reopen()


class TestEmbeddedDurable(DurableContract):
    async def open_store(self, path: Path) -> Store:
        return EmbeddedStore(path, settings=SMALL)
