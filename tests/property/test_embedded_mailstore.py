"""Random lives of the mailstore on disk."""

from pathlib import Path

from hypothesis import HealthCheck, settings

from postwren.mailstore.port import Store
from postwren.storage.embedded import EmbeddedStore, Settings
from postwren.testing.contract.machine import MailstoreMachine


class EmbeddedMachine(MailstoreMachine):
    async def open_store(self, path: Path) -> Store:
        return EmbeddedStore(path, settings=Settings(reserve=0, segment_size=2_000, wal_octets=100_000, idle_seconds=0.001))


TestEmbeddedMailstore = EmbeddedMachine.TestCase
TestEmbeddedMailstore.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
