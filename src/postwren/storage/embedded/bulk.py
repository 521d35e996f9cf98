"""Bulk reads: a few threads, each with a connection and files of its own, each read on one snapshot.

More than one, so that who opens a mailbox does not wait for who searches a large one.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from postwren.mailstore.port import Reader
from postwren.storage.embedded.bodies import BodyFiles
from postwren.storage.embedded.index import snapshot
from postwren.storage.embedded.reader import EmbeddedReader

__all__ = ["BulkReads"]

T = TypeVar("T")
THREADS: Final = 3
CACHE_KIB: Final = 8 << 10
"""Of each: bulk reads pass every page once, so what a larger cache would hold of a large mailbox is memory and nothing else."""


class _Place:
    """What one thread reads with."""

    def __init__(self, connection: apsw.Connection, segments: Path, open_segments: int) -> None:
        self.connection = connection
        self.reader = EmbeddedReader(connection)
        self.files = BodyFiles(segments, open_segments, self.reader.is_segment_known)
        self.in_use = threading.Lock()


class BulkReads:
    """The threads. `open_index` makes a connection."""

    def __init__(self, open_index: Callable[[], apsw.Connection], segments: Path, open_segments: int) -> None:
        self._open_index = open_index
        self._segments = segments
        self._open_segments = open_segments
        self.pool = ThreadPoolExecutor(THREADS, "postwren-reader")
        self._here = threading.local()
        self._lock = threading.Lock()
        self._places: list[_Place] = []

    def run(self, unit: Callable[[Reader], T]) -> T:
        """On one of the threads."""
        place = self._place()
        with place.in_use, snapshot(place.connection):
            return unit(place.reader)

    def submit(self, unit: Callable[[Reader], T]) -> "Future[T]":
        """From elsewhere."""
        return self.pool.submit(self.run, unit)

    def _place(self) -> _Place:
        place: _Place | None = getattr(self._here, "place", None)
        if place is None:
            connection = self._open_index()
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            place = self._here.place = _Place(connection, self._segments, self._open_segments)
            with self._lock:
                self._places.append(place)
        return place

    def files(self) -> BodyFiles | None:
        """The files of the thread that asks; None where it is none of ours."""
        place: _Place | None = getattr(self._here, "place", None)
        return None if place is None else place.files

    def close_deleted(self) -> None:
        """Segments were deleted: give back their space, thread by thread, when what each reads is read. It may wait."""
        with self._lock:
            places = tuple(self._places)
        for place in places:
            with place.in_use:
                place.files.close_deleted()

    def close(self) -> None:
        """Wait for what runs, then release everything."""
        self.pool.shutdown()
        for place in self._places:
            place.files.close()
            place.connection.close()
