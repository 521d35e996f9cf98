"""Random lives of the mailstore on the reference adapter: D-30 to D-35, D-37, D-38 and D-41 whatever the order."""

from pathlib import Path

from hypothesis import HealthCheck, settings

from postwren.mailstore.port import Store
from postwren.storage.memory import MemoryStore
from postwren.testing.contract.machine import MailstoreMachine


class MemoryMachine(MailstoreMachine):
    async def open_store(self, path: Path) -> Store:
        return MemoryStore()


TestMemoryMailstore = MemoryMachine.TestCase
TestMemoryMailstore.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
