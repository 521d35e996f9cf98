"""The sync of a segment beside the commit of the index (ADR 0001)."""

import threading
from queue import SimpleQueue

from postwren.storage.embedded.volume import Volume

__all__ = ["SyncThread"]


class SyncThread:
    """Runs one `fdatasync` beside the writer."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._requests: SimpleQueue[int | None] = SimpleQueue()
        self._outcomes: SimpleQueue[OSError | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="postwren-sync", daemon=True)
        self._thread.start()

    def start(self, fd: int) -> None:
        self._requests.put(fd)

    def wait(self) -> None:
        """The sync is done, or its OSError is raised."""
        error = self._outcomes.get()
        if error is not None:
            raise error

    def end(self) -> None:
        self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (fd := self._requests.get()) is not None:
            try:
                self._volume.sync(fd)
            except OSError as error:
                self._outcomes.put(error)
            else:
                self._outcomes.put(None)
