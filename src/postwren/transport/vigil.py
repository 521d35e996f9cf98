"""The loop stays awake for a moment where peers answer faster than a sleeping thread wakes.

A thread that sleeps on its sockets is woken through the scheduler: in some 5 microseconds on bare metal, in 50 on a virtual
machine, whose idle processor goes back to the host. A peer nearby, which sends its next command 20 microseconds after our
answer, pays that each time. So the loop polls for `STAY` seconds after an answer instead of sleeping, as kernels do for network
devices, but only where that pays: after `PROVEN` commands in a row that followed an answer within `QUICK` seconds, and while no
session waits for another thread, which needs the interpreter. Each time that it was in vain twice as many are asked for: a peer
with a real network in between costs next to nothing.
"""

import time
from collections.abc import Callable
from typing import Final

__all__ = ["MOST_PROVEN", "PROVEN", "QUICK", "STAY", "Vigil"]

STAY: Final = 120e-6
QUICK: Final = 200e-6
PROVEN: Final = 4
MOST_PROVEN: Final = 4096


class Vigil:
    """One for all links of a loop, which count their sessions that wait in `waiting`. `clock` must see microseconds."""

    __slots__ = ("_answered", "_call_soon", "_clock", "_is_awake", "_proven", "_quick", "_until", "waiting")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], clock: Callable[[], float] = time.perf_counter) -> None:
        self._call_soon = call_soon
        self._clock = clock
        self.waiting = 0
        self._answered = self._until = 0.0
        self._quick = 0  # commands in a row that came at once
        self._proven = PROVEN  # so many are asked for
        self._is_awake = False

    def heard(self) -> None:
        """Octets came."""
        if self._until:
            self._until = 0.0
            self._proven = PROVEN
        elif self._clock() - self._answered < QUICK:
            self._quick += 1
        else:
            self._quick = 0

    def answered(self) -> None:
        """What came was dealt with."""
        self._answered = now = self._clock()
        if self._quick >= self._proven and not self.waiting:
            self._until = now + STAY
            if not self._is_awake:
                self._is_awake = True
                self._call_soon(self._stay)

    def _stay(self) -> None:
        """One turn of the loop without sleep."""
        if self._clock() < self._until:
            self._call_soon(self._stay)
            return
        self._is_awake = False
        if self._until:  # nobody came
            self._until = 0.0
            self._quick = 0
            self._proven = min(2 * self._proven, MOST_PROVEN)
