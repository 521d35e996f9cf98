"""What can go wrong between a device and a server, said in one line."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from postwren.cli.context import Place, fail
from postwren.mailstore.port import Store
from postwren.sync.trouble import SyncFailed

__all__ = ["said"]

T = TypeVar("T")


def said(work: Callable[[Store, Place], Awaitable[T]]) -> Callable[[Store, Place], Awaitable[T]]:
    """`work`, whose refusals end the command with a line."""

    async def saying(store: Store, place: Place) -> T:
        try:
            return await work(store, place)
        except SyncFailed as error:
            fail(str(error))

    return saying
