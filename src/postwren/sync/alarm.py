"""Waiting for a while, and no longer than that on a machine that slept meanwhile; and how long to wait for another try."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["Alarm", "Pace"]

SLEPT: Final = 30.0
"""Seconds by which the clock must have run ahead: the loop's own stands still while the machine sleeps."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `renew`: how long NOTIFY is trusted, for routers forget a quiet connection after some ten minutes. `poll`: between
    two looks at what nobody tells; IDLE begins anew behind each (RFC 2177 asks for less than 29 minutes). `answer`: how long a
    server that was silent has to show that it is still there. `again` to `at_most`: before another try, longer each time;
    `refused` at least behind a login that was refused, for that is counted there. `parting`: for the end. `tick`: how often the
    clock is looked at."""

    poll: float = 300.0
    renew: float = 540.0
    answer: float = 20.0
    again: float = 2.0
    at_most: float = 300.0
    refused: float = 300.0
    parting: float = 2.0
    tick: float = 15.0
    chance: Callable[[], float] = random.random

    def delay(self, failures: int, *, is_refused: bool = False) -> float:
        """Before the try that follows so many that failed; jittered, so that devices do not come back all at once."""
        most = min(self.again * 2.0 ** min(failures - 1, 30), self.at_most)
        return max(most, self.refused if is_refused else 0.0) * (0.5 + self.chance() / 2)


class Alarm:
    """Calls `ring` once, after so many seconds, or as soon as `clock` (seconds since 1970) tells that the machine slept."""

    def __init__(self, seconds: float, clock: Callable[[], float], tick: float, ring: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._tick = tick
        self._ring = ring
        self._due = self._loop.time() + seconds
        self._lead = clock() - self._loop.time()
        self.has_rung = False
        self._handle = self._set()

    def _set(self) -> asyncio.TimerHandle:
        return self._loop.call_later(max(min(self._tick, self._due - self._loop.time()), 0), self._look)

    def _look(self) -> None:
        now = self._loop.time()
        lead = self._clock() - now
        if now >= self._due or lead - self._lead > SLEPT:
            self.has_rung = True
            self._ring()
        else:
            self._handle = self._set()

    def cancel(self) -> None:
        """It does not ring any more."""
        self._handle.cancel()
