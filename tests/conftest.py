"""What tests of several rooms share: the stores they run on, and what their random examples are drawn from.

Examples are the same in every run of `make test`; `make deep` looks for new ones (HYPOTHESIS_PROFILE=default).
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from hypothesis import settings

from postwren.mailstore.port import Store
from postwren.storage.embedded import EmbeddedStore, Settings
from postwren.storage.memory import MemoryStore

settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

OpenStore: TypeAlias = Callable[[], Store]

STORES: Final[dict[str, Callable[[Path], Store]]] = {
    "memory": lambda _path: MemoryStore(),
    "embedded": lambda path: EmbeddedStore(path / "data", settings=Settings(reserve=0, segment_size=1 << 20)),
}


@pytest.fixture(params=["memory"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens an empty store; call it inside a running loop, and close what it gives. Another of STORES by `indirect`."""
    return lambda: STORES[request.param](tmp_path)


@pytest.fixture(params=STORES)
def open_each_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """The same on every adapter in turn, for what a session promises of its store."""
    return lambda: STORES[request.param](tmp_path)
