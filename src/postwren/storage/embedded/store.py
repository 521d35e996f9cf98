"""The store on disk: opens the folder, hands units to the writer, and brings their outcomes back to the loop.

    DATA/index.db      what is known about accounts and messages
    DATA/segments/     the messages
    DATA/spool/        long messages on their way in
    DATA/derived.db    what was rendered of messages; may be deleted

Units that are queued while the writer is at work reach it together, and short ones have run by then (`Writer.put_prepared`);
a unit with a message in the spool waits until that file is synced, so that nobody else has to.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

import apsw

from postwren.mailstore.digests import Digests
from postwren.mailstore.errors import StoreClosed, StoreFailed, StoreFull
from postwren.mailstore.model import BodyRef, Change
from postwren.mailstore.port import NewBody, Reader, Unit, WriteDone
from postwren.message.octets import Octets
from postwren.storage.embedded.bodies import BodyFiles
from postwren.storage.embedded.body import EmbeddedBodyWriter, SpooledBody
from postwren.storage.embedded.bulk import BulkReads
from postwren.storage.embedded.derived import EmbeddedDigests
from postwren.storage.embedded.feed import Feed, FeedSubscription
from postwren.storage.embedded.housekeeping import Housekeeper, Housekeeping
from postwren.storage.embedded.index import FAULTS, connect, opening_refusal, reading_vfs, refusal_of
from postwren.storage.embedded.reader import EmbeddedReader
from postwren.storage.embedded.recovery import Recovery, recover, sweep_spool
from postwren.storage.embedded.schema import is_current, migrate
from postwren.storage.embedded.segment import OwnSegment
from postwren.storage.embedded.settings import Settings
from postwren.storage.embedded.volume import Volume
from postwren.storage.embedded.writer import PREPARED_UNITS, Handed, Item, Look, Writer
from postwren.terms import AccountId, ModSeq

__all__ = ["EmbeddedStore"]

T = TypeVar("T")
SYNC_THREADS: Final = 2
GATHER: Final = 300e-6
"""Seconds that a group waits for more: about what it costs to make it durable."""


class EmbeddedStore:
    """A `Store` in a folder. Opening it takes milliseconds and blocks; it belongs to the running loop from then on.

    `on_failure` is called once, on the loop's thread, when a sync failed: the process should end. Who `only_reads` is let in on
    a full volume too: nothing is recovered then, and every write is refused."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: Settings | None = None,
        on_failure: Callable[[StoreFailed], None] | None = None,
        only_reads: bool = False,
        volume: Volume | None = None,
        vfs: str | None = None,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._settings = settings = settings or Settings()
        self._volume = volume = volume or Volume()
        self._directory = directory
        self._segments = directory / "segments"
        self._spool = directory / "spool"
        self._on_failure = on_failure
        self._vfs = vfs
        self._is_closed = self._is_full = False
        try:
            for folder in (directory, self._segments, self._spool):
                _make_directory(volume, folder)
            self._open_index(only_reads)
        except (apsw.Error, OSError) as error:
            raise opening_refusal(self._index_path, error) from error
        self._feed = Feed(loop, self._changes_above)
        self._files = BodyFiles(self._segments, settings.open_segments, self._reader.is_segment_known)
        self._queued: list[Item] = []  # in this turn of the loop
        self._in_hand = 0  # units that the writer has and did not finish
        self._senders = 0  # units that were on their way when the last group was done
        self._gathers_until = 0.0
        self._is_turning = False
        self._finished: deque[list[Item]] = deque()
        self._syncing: dict[Item, Future[None]] = {}
        self._sync_pool = ThreadPoolExecutor(SYNC_THREADS, "postwren-spool")
        self._bulk = BulkReads(self._connect, self._segments, settings.open_segments)
        self._digests = EmbeddedDigests(directory, self._vfs, 2 * settings.reserve)
        self._look_timer: asyncio.TimerHandle | None = None
        self._is_catching_up = False
        self._writer.start()

    def _open_index(self, only_reads: bool) -> None:
        try:
            connection, segment = self._recovered()
        except FAULTS as error:
            if not (only_reads and isinstance(refusal_of(error), StoreFull)):
                raise
            connection, segment = self._unrecovered(error)
            self._is_full = True
        settings = self._settings
        self._connection = self._connect()
        self._reader = EmbeddedReader(self._connection)
        self._writer = Writer(
            connection, segment, self._volume, self._directory, settings, self._group_finished, self._others_wrote
        )

    def _recovered(self) -> tuple[apsw.Connection, OwnSegment]:
        """The writer's connection and segment, when everything was put in order."""
        settings, path = self._settings, self._index_path
        is_new = not path.exists()
        connection = connect(path, settings.lock_seconds, self._vfs)
        segment = OwnSegment(self._volume, self._segments, connection, settings.segment_size, settings.fill_step)
        try:
            migrate(connection)
            if is_new:
                self._volume.sync_directory(self._directory)
            self.recovery = recover(connection, self._volume, self._segments, segment, settings.segment_size)
        except BaseException:
            segment.release()
            connection.close()
            raise
        self.recovery.swept = sweep_spool(self._volume, self._spool)
        return connection, segment

    def _unrecovered(self, error: Exception) -> tuple[apsw.Connection, OwnSegment]:
        """The same on a volume without space, as it is: what a crash left in doubt is told by its checksum when it is read."""
        settings, path = self._settings, self._index_path
        self._vfs = reading_vfs(path, settings.lock_seconds, self._vfs)
        connection = connect(path, settings.lock_seconds, self._vfs)
        if not is_current(connection):
            connection.close()
            raise error
        self.recovery = Recovery()
        return connection, OwnSegment(self._volume, self._segments, connection, settings.segment_size, settings.fill_step)

    def _connect(self) -> apsw.Connection:
        return connect(self._index_path, self._settings.lock_seconds, self._vfs)

    @property
    def _index_path(self) -> Path:
        return self._directory / "index.db"

    # -- reading

    @property
    def reader(self) -> Reader:
        return self._reader

    async def read(self, unit: Callable[[Reader], T]) -> T:
        if self._is_closed:
            raise StoreClosed
        return await self._loop.run_in_executor(self._bulk.pool, self._bulk.run, unit)

    def _files_here(self) -> BodyFiles:
        """A bulk read that reads bodies does so with its thread's own files."""
        return self._bulk.files() or self._files

    def read_body(self, ref: BodyRef, offset: int = 0, length: int | None = None) -> bytes:
        return self._files_here().read(ref, offset, length)

    def body_pieces(self, ref: BodyRef) -> Iterator[bytes]:
        return self._files_here().pieces(ref)

    def read_window(self, ref: BodyRef, length: int) -> tuple[int, bytes]:
        return self._files_here().window(ref, length)

    def mapped_body(self, ref: BodyRef) -> AbstractContextManager[Octets]:
        return self._files_here().mapped(ref)

    @property
    def digests(self) -> Digests:
        return self._digests

    # -- writing

    def new_body(self, room: int = 0) -> EmbeddedBodyWriter:
        settings = self._settings
        return EmbeddedBodyWriter(self._volume, self._spool, settings.spool_above, settings.reserve, self._fail, room)

    def write(self, unit: Unit[T], bodies: Sequence[NewBody], done: WriteDone[T], *, is_small: bool = False) -> None:
        item = Item(unit, bodies, done, is_small)
        if self._is_closed or self._is_full:
            item.error = StoreClosed() if self._is_closed else StoreFull("there was no space when the store was opened")
            self._loop.call_soon(self._announce, item)
            return
        if any(isinstance(body, SpooledBody) for body in bodies):
            self._sync_first(item)
            return
        self._queue(item)

    def _queue(self, item: Item) -> None:
        if not self._queued:
            self._loop.call_soon(self._hand_over)
        self._queued.append(item)

    def _hand_over(self) -> None:
        """What was queued while the writer was at work, or in this turn of the loop. Short units run here: beside the loop, on
        another thread, they would pass the interpreter back and forth with it at every statement (ADR 0008)."""
        if not self._queued or self._in_hand or self._gathers():
            return
        group = self._queued[:PREPARED_UNITS]
        handed = self._writer.put_prepared(group)
        if handed is Handed.NOT_TAKEN:
            group = self._queued[:]
            self._writer.put(group)
        del self._queued[: len(group)]
        self._in_hand = len(group)
        if handed is Handed.FINISHED:
            self._finished.append(group)
            self._loop.call_soon(self._announce_finished)

    def _gathers(self) -> bool:
        """Where the loop makes groups durable itself nothing is queued meanwhile, and each group would be of one or two units. So
        it turns on for a moment, until as many are there as were on their way when the last group was done."""
        if len(self._queued) >= min(self._senders, PREPARED_UNITS) or not self._writer.is_quick:
            self._gathers_until = 0.0
            return False
        now = monotonic()
        if not self._gathers_until:
            self._gathers_until = now + GATHER
        elif now >= self._gathers_until:
            self._gathers_until = 0.0
            return False
        if not self._is_turning:
            self._is_turning = True
            self._loop.call_soon(self._turned)
        return True

    def _turned(self) -> None:
        self._is_turning = False
        self._hand_over()

    def _sync_first(self, item: Item) -> None:
        spooled = [body for body in item.bodies if isinstance(body, SpooledBody)]

        def sync() -> None:
            for body in spooled:
                body.sync()

        future = self._syncing[item] = self._sync_pool.submit(sync)
        future.add_done_callback(lambda _: self._call_loop(self._spool_synced, item))

    def _spool_synced(self, item: Item) -> None:
        future = self._syncing.pop(item, None)
        if future is None:  # the store was closed meanwhile, and took it along
            return
        error = future.exception()
        if error is None:
            self._queue(item)
        else:
            item.error = StoreFailed(str(error))
            self._announce(item)
            self._fail(item.error)

    def _fail(self, failure: StoreFailed) -> None:
        self._writer.failed = self._writer.failed or failure
        self._tell_failure()

    async def perform(self, unit: Unit[T], bodies: Sequence[NewBody] = (), *, is_small: bool = False) -> T:
        outcome: asyncio.Future[T] = self._loop.create_future()

        def done(result: T | None, error: BaseException | None) -> None:
            if outcome.done():  # the wait was cancelled
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

        self.write(unit, bodies, done, is_small=is_small)
        return await outcome

    def perform_now(self, unit: Unit[T]) -> tuple[T] | None:
        if self._is_closed or self._is_full or self._queued or self._in_hand:
            return None
        item = Item(unit, (), _nobody)
        if not self._writer.run_lagging(item):
            return None
        if item.error is not None:
            raise item.error
        if item.changes:
            self._feed.publish(item.changes)
        return (item.result,)

    # -- space

    async def housekeep(self, now: int) -> Housekeeping:
        """Give space back: in small steps, which wait while there is other work; for idle hours."""
        keeper = Housekeeper(self, self._volume, self._directory, self._settings, now)
        done = await keeper.run()
        if done.deleted:
            self._files.close_deleted()
            await self._loop.run_in_executor(self._bulk.pool, self._bulk.close_deleted)
        return done

    # -- outcomes: from the writer's thread to the loop's

    def _call_loop(self, function: Callable[..., object], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            # nobody can be told any more; `close` still hands over what finished

    def _group_finished(self, group: list[Item]) -> None:
        self._finished.append(group)
        self._call_loop(self._announce_finished)

    def _announce_finished(self) -> None:
        while self._finished:
            group = self._finished.popleft()
            self._in_hand -= len(group)
            self._senders = len(group) + len(self._queued)
            for item in group:
                self._announce(item)
        if self._writer.failed is not None:
            self._tell_failure()
        self._hand_over()

    def _announce(self, item: Item) -> None:
        if item.error is None:
            for body in item.bodies:
                body.discard()
            if item.changes:
                self._feed.publish(item.changes)
        try:
            item.done(item.result, item.error)
        except Exception as error:
            self._loop.call_exception_handler({"message": "a unit's `done` raised", "exception": error})

    def _tell_failure(self) -> None:
        on_failure, self._on_failure = self._on_failure, None
        if on_failure is not None and self._writer.failed is not None:
            on_failure(self._writer.failed)

    # -- changes, by this process and others

    def observe(self, receive: Callable[[Sequence[Change]], None]) -> FeedSubscription:
        return self._feed.observe(receive)

    def subscribe(self, account_id: AccountId, receive: Callable[[Sequence[Change]], None]) -> FeedSubscription:
        account = self._reader.account(account_id)
        if self._look_timer is None and not self._is_closed:
            self._look_timer = self._loop.call_later(self._settings.look_seconds, self._look)
        return self._feed.subscribe(account_id, receive, ModSeq(0) if account is None else account.modseq)

    def _changes_above(self, account_id: AccountId, seen: ModSeq) -> list[Change]:
        """All of them, as far as the index can be read."""
        found: list[Change] = []
        with contextlib.suppress(apsw.Error):
            while some := self._reader.changes(account_id, found[-1].modseq if found else seen):
                found += some
        return found

    def _look(self) -> None:
        """Once in a while, as long as anyone listens: has another process written?"""
        self._look_timer = None
        if self._feed and not self._is_closed:
            self._writer.put(Look())
            self._look_timer = self._loop.call_later(self._settings.look_seconds, self._look)

    def _others_wrote(self) -> None:
        self._call_loop(self._start_catching_up)

    def _start_catching_up(self) -> None:
        if not self._feed or self._is_catching_up or self._is_closed:
            return
        self._is_catching_up = True
        seen = self._feed.seen()
        future = self._bulk.submit(lambda reader: _news(reader, seen))
        future.add_done_callback(lambda _: self._call_loop(self._caught_up, future))

    def _caught_up(self, future: "Future[list[Change]]") -> None:
        self._is_catching_up = False
        if self._is_closed:
            return
        changes = future.result()
        if changes:
            self._feed.publish(changes)
            self._start_catching_up()  # until nothing is left: it reads in bounded steps

    # -- the end

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._sync_pool.shutdown()
        for item in list(self._syncing):
            self._spool_synced(item)
        queued, self._queued = self._queued, []
        self._in_hand += len(queued)
        self._writer.put(queued)
        self._writer.end()
        self._announce_finished()
        self._bulk.close()
        self._digests.close()
        self._connection.close()
        self._files.close()


def _nobody(_result: object, _error: BaseException | None) -> None:
    """The one who asked has the outcome already."""


def _news(reader: Reader, seen: dict[AccountId, ModSeq]) -> list[Change]:
    """What is beyond these ModSeqs."""
    found: list[Change] = []
    for account_id, modseq in seen.items():
        account = reader.account(account_id)
        if account is not None and account.modseq > modseq:
            found += reader.changes(account_id, modseq)
    return found


def _make_directory(volume: Volume, directory: Path) -> None:
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        volume.sync_directory(directory.parent)
