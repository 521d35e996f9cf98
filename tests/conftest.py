"""What tests of several rooms share: the stores they run on."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from postwren.mailstore.port import Store
from postwren.storage.embedded import EmbeddedStore
from postwren.storage.memory import MemoryStore

STORES: Final[dict[str, Callable[[Path], Store]]] = {
    "memory": lambda _path: MemoryStore(),
    "embedded": lambda path: EmbeddedStore(path),
}


@pytest.fixture(params=sorted(STORES))
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens an empty store; call it inside a running loop, and close what it gives."""
    return lambda: STORES[request.param](tmp_path)
