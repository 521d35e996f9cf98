"""What all tests share: the stores that sessions are tried on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from postwren.mailstore.port import Store
from postwren.storage.embedded import EmbeddedStore, Settings
from postwren.storage.memory import MemoryStore

OpenStore = Callable[[], Store]
"""Call it on the loop; whoever calls closes."""


@pytest.fixture(params=["memory", "embedded"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Each adapter in turn."""
    openers: dict[str, OpenStore] = {
        "memory": MemoryStore,
        "embedded": lambda: EmbeddedStore(tmp_path / "data", settings=Settings(reserve=0, segment_size=1 << 20)),
    }
    return openers[request.param]
