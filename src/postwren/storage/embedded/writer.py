"""The writer: one thread, one connection, group commit.

All units that wait when the writer comes round form a group and run inside one transaction; their messages go into the segment
in one write, whose sync runs in a second thread beside the commit of the index; when both are durable, all outcomes go to the
loop in one call. The next group gathers meanwhile. A group of short units the loop runs itself (`put_prepared`, ADR 0008), and
hands over with the transaction open; the baton says whose the connection, the segment and the transaction's rows are.

What must stay true:
- nothing is acknowledged before both syncs returned (D-01); nothing refused leaves a row (D-03);
- a unit that raises undoes only itself: most raise before they wrote anything; for the others the group starts again, each unit
  in a savepoint of its own;
- a full volume undoes the group, whose units are then tried one by one: what fits is kept, and it recovers by itself (D-04);
- after a failed sync nothing is tried again: the group's rows are taken back as far as that is possible, and the store refuses
  everything from then on. A unit may run twice (after the first run was undone), so it must not keep state of its own.
"""

import enum
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final

import apsw

from postwren.mailstore.errors import StoreFailed, StoreFull
from postwren.mailstore.model import Change, ChangeKind
from postwren.mailstore.port import NewBody, Unit, WriteDone
from postwren.storage.embedded.body import MemoryBody
from postwren.storage.embedded.index import FAULTS, PAGE, immediate, refusal_of, roll_back, value
from postwren.storage.embedded.lag import LogSync, lengthen, mark_lag
from postwren.storage.embedded.recovery import take_back
from postwren.storage.embedded.segment import OwnSegment
from postwren.storage.embedded.settings import Settings
from postwren.storage.embedded.syncthread import SyncThread
from postwren.storage.embedded.transaction import EmbeddedTransaction
from postwren.storage.embedded.volume import Volume

__all__ = ["PREPARED_UNITS", "Handed", "Item", "Look", "Writer"]


@dataclass(slots=True, eq=False)
class Item:
    """A unit of work on its way through the writer, then with its outcome."""

    unit: Unit[Any]
    bodies: Sequence[NewBody]
    done: WriteDone[Any]
    is_small: bool = False  # a few rows, and no message
    result: Any = None
    error: BaseException | None = None
    changes: list[Change] = field(default_factory=list)

    @property
    def is_short(self) -> bool:
        """A delivery or an append of a short message, or a few rows."""
        return all(isinstance(body, MemoryBody) for body in self.bodies) if self.bodies else self.is_small

    @property
    def has_expunged(self) -> bool:
        """A MOVE or a REPLACE, or a recipient that went in exchange for a report, among others: to take back what it added would
        leave its message nowhere."""
        return any(change.kind in (ChangeKind.EXPUNGED, ChangeKind.QUEUE) for change in self.changes)

    @property
    def octets(self) -> int:
        return sum(body.size for body in self.bodies)


class Look:
    """Asks the writer to see whether another process wrote."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A group whose units have run inside an open transaction: what is left is to make it durable. It comes with the baton."""

    group: list[Item]


PREPARED_UNITS: Final = 64
"""So many are run on the loop at once; more would keep it too long."""
SLOW: Final = 0.05
MESSAGES: Final = 16
"""So many messages more may take so long again: a large MULTIAPPEND is no slow disk."""
OFF_LOOP: Final = 60.0
"""Seconds: units that keep the loop this long (pages of the index come from a slow disk) run off the loop for a while."""
QUICK: Final = 0.001
QUICK_UNIT: Final = 0.0001
"""Seconds, and more for each unit: a group that is durable so soon keeps the loop for less time than to hand it to a thread,
and the interpreter back and forth. Where most groups were that quick, the loop makes the next ones durable itself (ADR
0013); one that takes `SLOW` seconds ends that for `OFF_LOOP`."""
PROVEN: Final = 8
MOST_PROVEN: Final = 64


class Handed(enum.Enum):
    """What became of a group that was to run on the loop."""

    NOT_TAKEN = "not taken"  # nothing happened
    ON_ITS_WAY = "on its way"  # `finished` will be called
    FINISHED = "finished"  # every item has its outcome


class HalfDone(Exception):
    """A unit raised after it had written."""


class Writer:
    """Owns the writing connection and the process's segment. `finished` is called on the writer's thread with the outcomes of
    a group, `foreign` when another process was seen to have written."""

    def __init__(
        self,
        connection: apsw.Connection,
        segment: OwnSegment,
        volume: Volume,
        directory: Path,
        settings: Settings,
        finished: Callable[[list[Item]], None],
        foreign: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._segment = segment
        self._volume = volume
        self._directory = directory
        self._settings = settings
        self._finished = finished
        self._foreign = foreign
        self._queue: SimpleQueue[list[Item] | Prepared | Look | None] = SimpleQueue()
        self._waiting: list[Item] = []
        self._is_look_due = False
        self._idle_from = monotonic()
        self._off_loop_until = self._here_from = 0.0
        self._quick = 0  # groups that were durable quickly; half of them forgotten with each that was not
        self._is_alone = False  # one unit, whose group the loop makes durable
        self._baton = threading.Lock()  # who holds it may use the connection and the segment
        self._transaction = EmbeddedTransaction(connection, segment)
        self._data_version = self._read_data_version()
        self._log_pages = 1  # so that the first idle moment comes
        self.failed: StoreFailed | None = None
        connection.set_wal_hook(self._log_grew)
        self._log_sync = LogSync(volume, directory, settings.lag_seconds, self._log_failed)
        self._is_lag_marked = False
        self._sync = SyncThread(volume)
        self._thread = threading.Thread(target=self._run, name="postwren-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, items: list[Item] | Look) -> None:
        self._queue.put(items)

    def put_prepared(self, group: list[Item]) -> Handed:
        """On the loop's thread, while nothing that was put is unfinished: run these units here and now, and leave only their
        durability to the writer's; or not even that, where the disk `is_quick`. NOT_TAKEN when that cannot be (other kinds of
        units, another process that writes, a checkpoint, anything out of the ordinary)."""
        if not all(item.is_short for item in group) or not self._baton.acquire(blocking=False):
            return Handed.NOT_TAKEN
        begun = monotonic()
        if self.failed is None and self._segment.is_ready and begun >= self._off_loop_until and self._prepare(group):
            messages = sum(len(item.bodies) for item in group)
            if monotonic() - begun > SLOW * (1 + messages // MESSAGES):
                self._off_loop_until = begun + OFF_LOOP
            if self.is_quick and self.failed is None:
                self._finish_here(group)
                return Handed.FINISHED
            self._queue.put(Prepared(group))
            return Handed.ON_ITS_WAY
        self._baton.release()
        return Handed.NOT_TAKEN

    @property
    def is_quick(self) -> bool:
        """Groups are durable so soon that the loop does it itself."""
        return self._quick >= PROVEN

    def _finish_here(self, group: list[Item]) -> None:
        """On the loop's thread: make a prepared group durable, and give the baton back."""
        begun, pages = monotonic(), self._log_pages
        self._is_alone = len(group) == 1
        self._run_group(group, is_prepared=True)
        self._is_alone = False
        self._note_pace(group, begun)
        if self._idle_from - begun > SLOW:
            self._quick, self._here_from = 0, self._idle_from + OFF_LOOP
        self._baton.release()
        if not pages:  # the writer sleeps without a thought of a checkpoint
            self._queue.put([])

    def _note_pace(self, group: list[Item], begun: float) -> None:
        """A group is durable just now. After one that leaves the log beyond its length the writer has a turn, and folds it in."""
        self._idle_from = now = monotonic()
        if self._log_pages * PAGE > self._settings.wal_octets or now < self._here_from:
            self._quick = 0
        elif now - begun < QUICK + QUICK_UNIT * len(group):
            self._quick = min(self._quick + 1, MOST_PROVEN)
        else:
            self._quick //= 2

    def run_lagging(self, item: Item) -> bool:
        """On the loop's thread, while nothing that was put is unfinished: run a unit that changes flags only, and commit it. Its
        sync follows within `lag_seconds` (ADR 0012), or with the next group's commit. False as for `put_prepared`."""
        if not self._settings.lag_seconds or not self._baton.acquire(blocking=False):
            return False
        try:
            begun = monotonic()
            if self.failed is not None or begun < self._off_loop_until or self._log_pages * PAGE > self._settings.wal_octets:
                return False
            if not self._log_pages:
                self._queue.put([])  # the writer sleeps until there is something in the log
            if not self._commit_lagging(item):
                return False
            self._idle_from = monotonic()
            if self._idle_from - begun > SLOW:
                self._off_loop_until = begun + OFF_LOOP
            return True
        finally:
            self._baton.release()

    def _commit_lagging(self, item: Item) -> bool:
        self._connection.set_busy_timeout(0)
        try:
            if self._is_lag_marked:  # until then, it is synced
                self._execute("PRAGMA synchronous = NORMAL")
            self._begin()
            self._run_unit(item)
            if not self._is_lag_marked:
                mark_lag(self._connection, self._volume.boot())
            self._execute("COMMIT")
        except Exception as error:  # as in `_prepare`; but a log that could not be written or synced is not tried again
            self._undo_prepared([item])
            item.error = None
            if isinstance(error, FAULTS) and isinstance(refused := refusal_of(error), StoreFailed):
                self._fail(refused)
            return False
        finally:
            self._execute("PRAGMA synchronous = FULL")
            self._connection.set_busy_timeout(int(self._settings.lock_seconds * 1000))
        self._segment.keep()
        if self._is_lag_marked:
            self._log_sync.wake()
        self._is_lag_marked = True
        return True

    def _log_failed(self, error: OSError) -> None:
        """On the log's thread: what was answered may be lost, and nothing can be trusted any more."""
        self.failed = self.failed or StoreFailed(str(error))
        self._finished([])

    def _prepare(self, group: list[Item]) -> bool:
        self._connection.set_busy_timeout(0)  # the loop waits for no other process
        try:
            self._check_reserve()
            self._begin()
            for item in group:
                self._run_unit(item)
        except Exception:  # whatever it is: the writer's thread will find it again, and judge
            self._undo_prepared(group)
            return False
        finally:
            self._connection.set_busy_timeout(int(self._settings.lock_seconds * 1000))
        return True

    def _undo_prepared(self, group: list[Item]) -> None:
        try:
            self._undo(group)
        except StoreFailed as error:
            self._fail(error, group)

    def end(self) -> None:
        """Finish what is queued; blocks."""
        self._queue.put(None)
        self._thread.join()
        self._sync.end()
        self._log_sync.end()

    def _log_grew(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    # -- the thread

    def _run(self) -> None:
        is_open = True
        while is_open:
            is_open = self._gather()
            while self._waiting:
                group = self._next_group()
                with self._baton:
                    self._run_group(group)
                    self._bound_log()
                    self._idle_from = monotonic()
                self._finished(group)  # without the baton, so that the loop can prepare the next group at once
                is_open = self._take_queued() and is_open
        with self._baton:
            self._close()

    def _bound_log(self) -> None:
        if self._log_pages * PAGE > self._settings.wal_octets:
            self._checkpoint()

    def _gather(self) -> bool:
        """Wait for work; an idle moment is used for a checkpoint. False when there is no more to come."""
        while True:
            if self._is_look_due:
                self._is_look_due = False
                self._if_free(self._look)  # where it is not, the loop's group looks for itself
            left = self._idle_from + self._settings.idle_seconds - monotonic()
            try:
                got = self._queue.get(timeout=max(0.0, left) if self._log_pages else None)
            except Empty:
                if monotonic() >= self._idle_from + self._settings.idle_seconds:  # the loop may have been busy without us
                    self._if_free(self._rest)
                continue
            is_open = self._take(got) and self._take_queued()
            if not is_open or self._waiting:
                return is_open

    def _if_free(self, action: Callable[[], None]) -> None:
        if self._baton.acquire(blocking=False):
            try:
                action()
            finally:
                self._baton.release()

    def _rest(self) -> None:
        self._checkpoint()
        self._fill_log()

    def _take_queued(self) -> bool:
        is_open = True
        try:
            while True:
                is_open = self._take(self._queue.get_nowait()) and is_open
        except Empty:
            return is_open

    def _take(self, got: "list[Item] | Prepared | Look | None") -> bool:
        if isinstance(got, Prepared):
            self._finish(got.group)
        elif isinstance(got, Look):
            self._is_look_due = True
        elif got is not None:
            self._waiting += got
        return got is not None

    def _finish(self, group: list[Item]) -> None:
        """Make a prepared group durable, and give the baton back."""
        if self.failed is not None:  # meanwhile, while a message in the spool was synced
            self._undo_prepared(group)
        begun = monotonic()
        self._run_group(group, is_prepared=True)
        self._bound_log()
        self._note_pace(group, begun)
        self._baton.release()
        self._finished(group)

    def _next_group(self) -> list[Item]:
        octets, count = 0, 0
        for item in self._waiting[: self._settings.batch_units]:
            count += 1
            octets += item.octets
            if octets >= self._settings.batch_octets:
                break
        group = self._waiting[:count]
        del self._waiting[:count]
        return group

    # -- a group

    def _run_group(self, group: list[Item], *, is_prepared: bool = False) -> None:
        """Every item has its outcome when this returns. One that was kept stays so, whatever fails after it."""
        if self.failed is None:
            try:
                if is_prepared:
                    self._make_durable(group)
                else:
                    self._commit(group)
                return
            except StoreFull as error:
                self._recover_from_full(group, error)
                return
            except StoreFailed as error:
                self._fail(error, group)
            except Exception as error:  # a bug, or another process that never gives the index back
                self._give_up(group, error)
        if self.failed is not None:
            for item in group:
                item.result, item.error, item.changes = None, StoreFailed(*self.failed.args), []

    def _give_up(self, group: list[Item], error: Exception) -> None:
        try:
            self._undo(group)
        except StoreFailed as failure:
            self._fail(failure, group)
        for item in group:
            item.error = error

    def _recover_from_full(self, group: list[Item], error: StoreFull) -> None:
        if len(group) == 1:
            group[0].result, group[0].error, group[0].changes = None, error, []
            return
        for item in group:
            item.error = None
            self._run_group([item])

    def _commit(self, group: list[Item]) -> None:
        """StoreFull: nothing of it was kept. StoreFailed: nobody knows."""
        try:
            if any(item.bodies for item in group):
                self._check_reserve()
                self._segment.make_ready()
            self._begin()
            try:
                for item in group:
                    self._run_unit(item)
            except HalfDone:
                self._undo(group)
                self._begin()
                for item in group:
                    self._run_unit_in_savepoint(item)
        except FAULTS as error:
            self._undo(group)
            raise refusal_of(error) from error
        self._make_durable(group)

    def _begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        self._see_others()
        self._segment.record_synced()

    def _check_reserve(self) -> None:
        if self._volume.free(self._directory) < self._settings.reserve:
            raise StoreFull("less than the reserve is free")

    def _run_unit(self, item: Item) -> None:
        """Run a unit, note its outcome. HalfDone: it raised after it had written."""
        transaction, mark = self._transaction, self._segment.mark()
        changes = self._connection.total_changes()
        transaction.begin(item.bodies)
        item.error = None
        try:
            item.result = item.unit(transaction)
            transaction.finish()
            item.changes = transaction.changed
        except FAULTS:
            raise
        except BaseException as error:
            item.error = error
            transaction.forget()
            self._segment.undo(mark)
            if self._connection.total_changes() != changes:
                raise HalfDone from error

    def _run_unit_in_savepoint(self, item: Item) -> None:
        self._execute("SAVEPOINT unit")
        try:
            self._run_unit(item)
        except HalfDone:
            self._execute("ROLLBACK TO unit")
        self._execute("RELEASE unit")

    def _make_durable(self, group: list[Item]) -> None:
        is_syncing = False
        fault: Exception | None = None
        try:
            is_syncing = self._segment.write()
            if is_syncing and self._is_alone:  # two short syncs, or two threads woken and one sync: it comes to the same
                is_syncing = False
                self._sync_here()
            elif is_syncing:
                self._sync.start(self._segment.fd)
                if any(item.bodies and item.has_expunged for item in group):  # REPLACE: the old one goes when the new one is kept
                    is_syncing = False
                    self._wait_for_sync()
            self._execute("COMMIT")
        except StoreFailed as error:
            fault = error
        except FAULTS as error:
            fault = refusal_of(error)
        except Exception as error:  # the index broke, beyond a full or failing volume
            fault = StoreFailed(str(error))
        if is_syncing:  # always waited for: its outcome must not be taken for the next group's
            try:
                self._wait_for_sync()
            except StoreFailed as error:
                fault = error
        if fault is None:
            self._segment.keep()
            return
        if isinstance(fault, StoreFull):
            self._undo(group)
        raise fault

    def _wait_for_sync(self) -> None:
        try:
            self._sync.wait()
        except OSError as error:  # a failed sync is never "full": what was written may be lost already
            raise StoreFailed(str(error)) from error

    def _sync_here(self) -> None:
        try:
            self._volume.sync(self._segment.fd)
        except OSError as error:  # as above
            raise StoreFailed(str(error)) from error

    def _undo(self, group: list[Item]) -> None:
        """Nothing of the group happened."""
        for item in group:
            item.result, item.changes = None, []
        self._transaction.forget()
        try:
            roll_back(self._connection)
            self._segment.drop()
        except (apsw.Error, OSError) as error:
            raise StoreFailed(str(error)) from error

    def _fail(self, error: StoreFailed, group: Sequence[Item] = ()) -> None:
        """The last write of this store: rows that may not be durable are taken back, so that what was refused does not appear
        after a restart. It may fail as well; then recovery decides by checksums."""
        self.failed = error
        self._transaction.forget()
        try:
            roll_back(self._connection)
            with immediate(self._connection):
                take_back(self._connection, [change for item in group if not item.has_expunged for change in item.changes])
        except (apsw.Error, OSError):
            roll_back(self._connection)

    # -- other processes, the log

    def _read_data_version(self) -> int:
        return int(value(self._connection, "PRAGMA data_version"))

    def _see_others(self) -> None:
        version = self._read_data_version()
        if version != self._data_version:
            self._data_version = version
            self._transaction.forget()
            self._foreign()

    def _look(self) -> None:
        try:
            self._see_others()
        except apsw.Error as error:
            self._fail(StoreFailed(str(error)))
            self._finished([])

    def _checkpoint(self) -> None:
        """Fold the log into the index, as far as no reader holds it."""
        self._log_pages = 0
        if self.failed is not None:
            return
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.FullError, apsw.BusyError):
            return  # the log stays, and grows; writes will tell
        except apsw.Error as error:
            self._fail(StoreFailed(str(error)))
            self._finished([])

    def _fill_log(self) -> None:
        """Give the log its full length, in zeros, which are no frames: a commit that overwrites needs no change of the file's
        length on the disk (20 kB beside the sync of a growing segment: 0.54 ms instead of 0.66). The lock keeps others from
        appending."""
        wanted = self._settings.wal_octets
        if self.failed is not None or self._volume.free(self._directory) < self._settings.reserve + wanted:
            return
        try:
            with immediate(self._connection):
                fd = os.open(self._directory / "index.db-wal", os.O_RDWR | os.O_CLOEXEC)
                try:
                    size = os.fstat(fd).st_size
                    if size < wanted:
                        lengthen(self._volume, fd, size, wanted)
                finally:
                    os.close(fd)
        except FAULTS as error:
            refused = refusal_of(error)
            if isinstance(refused, StoreFailed):
                self._fail(refused)
                self._finished([])
        except apsw.BusyError:
            return

    def _close(self) -> None:
        try:
            if self.failed is None and self._segment.fd >= 0:
                self._execute("BEGIN IMMEDIATE")
                self._segment.record_synced(1)
                self._execute("COMMIT")
        except apsw.Error:
            roll_back(self._connection)
        self._segment.release()
        self._connection.close()
