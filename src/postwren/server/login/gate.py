"""The gate before the expensive hashes (A-62): two run at once, some wait, the rest is turned away.

argon2 takes 19 MiB and 25 ms each: a thousand logins at once must cost neither 19 GB nor the other sessions' turn.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

__all__ = ["PLACES", "GateFull", "HashGate"]

T = TypeVar("T")
PLACES: Final = 2


class GateFull(Exception):
    """The queue is at its cap."""


class HashGate:
    """async with gate.place(): ... await gate.run(work)"""

    __slots__ = ("_cap", "_free", "_threads", "_waiting")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._waiting = 0
        self._free = asyncio.Semaphore(PLACES)
        # Of our own, so that hashes never hold up the store's reads; the second bound, should a waiter be cancelled
        # while its hash still runs.
        self._threads = ThreadPoolExecutor(PLACES, "hash")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the places, after those who came before; raises `GateFull` at once when too many wait."""
        if self._waiting >= self._cap and self._free.locked():
            raise GateFull
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    async def run(self, work: Callable[[], T]) -> T:
        """Run it in a thread. Only from inside `place`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
