"""Space given back: segments that nothing names any more, and what is left in those that are mostly empty.

A segment less than half of which is live is compacted in two phases: its live records are copied to a new file, which is
synced; then rows are switched to the copy, some at a time. Only when no row names the old segment is it retired, and its file
is deleted later still, when nobody who read a row before can still want it. A crash between any two steps leaves at most
octets that no row names.
"""

import asyncio
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from postwren.mailstore.errors import BodyCorrupt
from postwren.mailstore.model import BodyRef
from postwren.storage.embedded.body import SpoolFile
from postwren.storage.embedded.record import HEADER_SIZE, parse_header
from postwren.storage.embedded.segment import RETIRED, SEALED, lock, segment_path
from postwren.storage.embedded.settings import Settings
from postwren.storage.embedded.volume import Volume

__all__ = ["Housekeeper", "Housekeeping"]

T = TypeVar("T")
ROWS_A_STEP: Final = 500


@dataclass(slots=True)
class Housekeeping:
    """What was done; octets are of files."""

    retired: int = 0
    compacted: int = 0
    deleted: int = 0
    octets_freed: int = 0
    corrupt: int = 0  # segments left alone because a record in them is bad


class Performer(Protocol):
    """The store, as far as it is needed here. Units and reads get the embedded adapter's own transaction and reader."""

    async def perform(self, unit: Callable[[Any], T]) -> T: ...
    async def read(self, unit: Callable[[Any], T]) -> T: ...


class Housekeeper:
    """One round, at the time `now`."""

    def __init__(self, store: Performer, volume: Volume, directory: Path, settings: Settings, now: int) -> None:
        self._store = store
        self._volume = volume
        self._segments = directory / "segments"
        self._spool = directory / "spool"
        self._settings = settings
        self._now = now
        self._report = Housekeeping()

    async def run(self) -> Housekeeping:
        sealed = await self._store.read(lambda reader: reader.segments(SEALED))
        for segment_id, _ in sealed:
            await self._look_at(segment_id)
        retired = await self._store.read(lambda reader: reader.segments(RETIRED))
        for segment_id, since in retired:
            if self._now - since >= self._settings.retired_seconds:
                await self._delete(segment_id)
        await self._sweep_orphans()
        return self._report

    async def _look_at(self, segment_id: int) -> None:
        path = segment_path(self._segments, segment_id)
        if not path.exists():  # `check` tells
            return
        records: list[BodyRef] = await self._store.read(lambda reader: reader.records(segment_id))
        live = sum(record.size + HEADER_SIZE for record in records)
        if records and live * 2 >= path.stat().st_size:
            return
        if records:
            try:
                await self._compact(path, records)
            except BodyCorrupt:  # evidence is not touched
                self._report.corrupt += 1
                return
            self._report.compacted += 1
            if await self._store.read(lambda reader: reader.records(segment_id)):
                return
        await self._store.perform(lambda tx: tx.retire_segment(segment_id, self._now))
        self._report.retired += 1

    async def _compact(self, path: Path, records: list[BodyRef]) -> None:
        file, offsets = await asyncio.to_thread(copy_records, self._volume, path, self._spool, records)
        try:
            first, target = records[:ROWS_A_STEP], 0

            def place(tx: Any) -> int:
                segment_id: int = tx.place_file(file)
                tx.move_bodies(zip(first, [segment_id] * len(first), offsets, strict=False))
                return segment_id

            target = await self._store.perform(place)
        finally:
            file.discard()  # harmless once it is a segment
        for start in range(ROWS_A_STEP, len(records), ROWS_A_STEP):
            some = [(ref, target, at) for ref, at in zip(records, offsets, strict=True)][start : start + ROWS_A_STEP]
            await self._store.perform(partial(_move, some))

    async def _delete(self, segment_id: int) -> None:
        if await self._store.read(lambda reader: reader.records(segment_id)):
            return
        path = segment_path(self._segments, segment_id)
        if path.exists():
            self._report.octets_freed += path.stat().st_size
            self._volume.unlink(path)
            self._volume.sync_directory(self._segments)
        await self._store.perform(lambda tx: tx.delete_segment(segment_id))
        self._report.deleted += 1

    async def _sweep_orphans(self) -> None:
        """Files that became segments in a transaction that never ended."""
        for path in sorted(self._segments.glob("*.seg")):
            if await self._store.read(partial(_is_known, int(path.stem))):
                continue
            if path.stat().st_mtime + self._settings.orphan_seconds < self._now:
                await self._sweep(path)

    async def _sweep(self, path: Path) -> None:
        fd = lock(path)
        if fd is None:  # its process is about to commit the rows that name it, whatever the clock says of its age
            return
        try:
            if not await self._store.read(partial(_is_known, int(path.stem))):  # it may have just done so
                self._report.octets_freed += os.fstat(fd).st_size
                self._volume.unlink(path)
        finally:
            os.close(fd)


def _move(moves: list[tuple[BodyRef, int, int]], tx: Any) -> None:
    tx.move_bodies(moves)


def _is_known(segment_id: int, reader: Any) -> bool:
    return bool(reader.is_segment_known(segment_id))


def copy_records(volume: Volume, path: Path, spool: Path, records: list[BodyRef]) -> tuple[SpoolFile, list[int]]:
    """A synced file with these records, and the new offsets of their octets. BodyCorrupt when one is bad."""
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    file = SpoolFile(volume, spool)
    try:
        offsets = []
        for record in records:
            data = os.pread(source, HEADER_SIZE + record.size, record.offset - HEADER_SIZE)
            header, octets = parse_header(data[:HEADER_SIZE]), memoryview(data)[HEADER_SIZE:]
            if header is None or header.crc != record.crc or len(octets) != record.size or zlib.crc32(octets) != record.crc:
                raise BodyCorrupt(f"{path.name}, offset {record.offset}")
            offsets.append(file.size + HEADER_SIZE)
            file.append(data)
        file.sync()
    except BaseException:
        file.discard()
        raise
    finally:
        os.close(source)
    return file, offsets
