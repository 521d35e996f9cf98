"""The store in memory: units of work wait for the loop's next turn and run as one group, as they do on disk."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

from postwren.mailstore.digests import Digests
from postwren.mailstore.errors import StoreClosed
from postwren.mailstore.model import BodyRef, Change
from postwren.mailstore.port import NewBody, Reader, Unit, WriteDone
from postwren.message.octets import Octets
from postwren.storage.memory.body import MemoryBodyWriter, Segments
from postwren.storage.memory.digests import MemoryDigests
from postwren.storage.memory.feed import Feed, FeedSubscription
from postwren.storage.memory.transaction import MemoryReader, MemoryTransaction, Tables
from postwren.terms import AccountId

__all__ = ["MemoryStore"]

T = TypeVar("T")
PIECE: Final = 1 << 20


class MemoryStore:
    """A `Store`. `capacity` is the size in octets of the imagined volume for bodies: StoreFull beyond it."""

    __slots__ = ("_digests", "_feed", "_is_closed", "_loop", "_queue", "_reader", "_segments", "_tables")

    def __init__(self, capacity: int | None = None) -> None:
        self._tables = Tables()
        self._segments = Segments(capacity)
        self._feed = Feed()
        self._reader = MemoryReader(self._tables)
        self._digests = MemoryDigests(self._reader)
        self._queue: deque[tuple[Unit[Any], Sequence[NewBody], WriteDone[Any]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    @property
    def reader(self) -> Reader:
        """For short look-ups between two awaits."""
        return self._reader

    async def read(self, unit: Callable[[Reader], T]) -> T:
        """Run a bulk read."""
        await asyncio.sleep(0)
        if self._is_closed:
            raise StoreClosed
        return unit(self._reader)

    def write(self, unit: Unit[T], bodies: Sequence[NewBody], done: WriteDone[T]) -> None:
        """Queue a unit of work."""
        self._loop = loop = asyncio.get_running_loop()
        if self._is_closed:
            loop.call_soon(done, None, StoreClosed())
            return
        self._queue.append((unit, bodies, done))
        if len(self._queue) == 1:
            loop.call_soon(self._run_queue)

    async def perform(self, unit: Unit[T], bodies: Sequence[NewBody] = (), *, is_small: bool = False) -> T:  # noqa: ARG002
        """`write` as a coroutine."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T | None, error: BaseException | None) -> None:
            if outcome.done():  # the wait was cancelled
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

        self.write(unit, bodies, done)
        return await outcome

    def perform_now(self, unit: Unit[T]) -> tuple[T] | None:
        """Run a unit at once, where none waits."""
        if self._is_closed or self._queue:
            return None
        transaction = MemoryTransaction(self._tables, self._segments, ())
        try:
            result = unit(transaction)
        except Exception:
            transaction.roll_back()
            raise
        transaction.commit()
        self._feed.publish(transaction.changed, asyncio.get_running_loop())
        return (result,)

    def new_body(self, room: int = 0) -> MemoryBodyWriter:
        """A writer for a message on its way in."""
        return MemoryBodyWriter(room)

    def read_body(self, ref: BodyRef, offset: int = 0, length: int | None = None) -> bytes:
        """Octets of a body."""
        return self._segments.read(ref, offset, length)

    def body_pieces(self, ref: BodyRef) -> Iterator[bytes]:
        """A body in pieces."""
        data = self._segments.read(ref, 0, None)
        return (data[start : start + PIECE] for start in range(0, len(data), PIECE))

    def read_window(self, ref: BodyRef, length: int) -> tuple[int, bytes]:
        """Unchecked octets from `ref.offset` on."""
        return self._segments.window(ref, length)

    def mapped_body(self, ref: BodyRef) -> AbstractContextManager[Octets]:
        """A body as it is."""
        return nullcontext(self._segments.read(ref, 0, None))

    @property
    def digests(self) -> Digests:
        """What was rendered."""
        return self._digests

    def observe(self, receive: Callable[[Sequence[Change]], None]) -> FeedSubscription:
        """Listen to all accounts."""
        return self._feed.subscribe(None, receive)

    def subscribe(self, account_id: AccountId, receive: Callable[[Sequence[Change]], None]) -> FeedSubscription:
        """Listen to an account."""
        return self._feed.subscribe(account_id, receive)

    def close(self) -> None:
        """Run what is queued; nothing is accepted any more."""
        if self._is_closed:
            return
        self._is_closed = True
        outcomes = self._run_group()
        if outcomes and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon(self._announce, outcomes)

    # -- the group

    def _run_queue(self) -> None:
        self._announce(self._run_group())

    def _run_group(self) -> list["_Outcome"]:
        """One unit after another; nothing else runs in between, so every reader sees whole units only."""
        outcomes = []
        while self._queue:
            unit, bodies, done = self._queue.popleft()
            transaction = MemoryTransaction(self._tables, self._segments, bodies)
            try:
                result = unit(transaction)
            except Exception as error:
                transaction.roll_back()
                outcomes.append(_Outcome(done, None, error, ()))
            else:
                transaction.commit()
                for body in bodies:
                    body.discard()
                outcomes.append(_Outcome(done, result, None, transaction.changed))
        return outcomes

    def _announce(self, outcomes: list["_Outcome"]) -> None:
        loop = asyncio.get_running_loop()
        for outcome in outcomes:
            self._feed.publish(outcome.changes, loop)
            try:
                outcome.done(outcome.result, outcome.error)
            except Exception as error:
                loop.call_exception_handler({"message": "a unit's `done` raised", "exception": error})


class _Outcome:
    """What became of one unit."""

    __slots__ = ("changes", "done", "error", "result")

    def __init__(self, done: WriteDone[Any], result: object, error: Exception | None, changes: Sequence[Change]) -> None:
        self.done = done
        self.result = result
        self.error = error
        self.changes = changes
