"""The store's own composition root, beside `app`: a command needs a store, and need not load a server for it."""

from collections.abc import Callable
from pathlib import Path

from postwren.config.schema import Config
from postwren.mailstore.errors import StoreFailed
from postwren.storage.embedded import EmbeddedStore, Settings

__all__ = ["open_store"]


async def open_store(
    data: Path, config: Config, on_failure: Callable[[StoreFailed], None] | None = None, *, only_reads: bool = False
) -> EmbeddedStore:
    """The store in the data folder, made when it is missing; who `only_reads` gets in on a full volume too."""
    lag = 0.0 if config.storage.sync_flags else Settings().lag_seconds
    settings = Settings(reserve=config.storage.reserve, lag_seconds=lag)
    return EmbeddedStore(data, settings=settings, on_failure=on_failure, only_reads=only_reads)
