"""When to try again, when to warn, when to give up (RFC 5321 section 4.5.4.1), and by which clock.

Pure: the time, and what jitter needs, are arguments. All seconds here are the queue's own (`QueueClock`), but for `wall`.
"""

from dataclasses import dataclass
from typing import Final, Self

__all__ = ["LONGEST_GAP", "QueueClock", "SavedClock", "Schedule"]

LONGEST_GAP: Final = 6 * 3600
"""By so much the queue's clock advances at most while no server runs. Above the longest interval, so that after a weekend
everything is due at once; far below what it takes to give up, for nobody tried meanwhile."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The first retry comes soon, for a host that greylists; then at least 30 minutes lie between two attempts, and more each
    time. `jitter`: up to this part of an interval is added, so that what failed together is not tried together for ever."""

    first: int = 300
    second: int = 1800
    longest: int = 4 * 3600
    growth: float = 2.0
    jitter: float = 0.25
    warn_after: int = 4 * 3600  # the sender hears that it takes long
    give_up_after: int = 5 * 86_400

    def next_attempt(self, attempts: int, now: int, draw: float) -> int:
        """When to try again after so many failed attempts (from 1); 0 <= `draw` < 1."""
        if attempts <= 1:
            return now + int(self.first * (1 + draw))  # 5 to 10 minutes
        doublings = min(attempts - 2, 64)  # beyond that it is the longest anyway, and a float ends somewhere
        interval = min(self.second * self.growth**doublings, self.longest)
        return now + int(interval * (1 + self.jitter * draw))

    def is_warning_due(self, expires: int, now: int) -> bool:
        """Whether a message that is given up after `expires` has waited so long that its sender should know."""
        return expires < self.unwarned_before(now)

    def unwarned_before(self, now: int) -> int:
        """`expires` of those of whom the sender should know is before this (`QueueReader.unwarned_recipients`)."""
        return now + self.give_up_after - self.warn_after + 1


@dataclass(frozen=True, slots=True)
class SavedClock:
    """What is kept of the clock: it showed `queue` seconds when the system's clock showed `wall`."""

    queue: int
    wall: int

    def encode(self) -> bytes:
        """For a setting of the store."""
        return b"%d %d" % (self.queue, self.wall)

    @classmethod
    def decode(cls, data: bytes | None) -> Self:
        """None, as in a new store, is a clock that begins: at 1, for an attempt at 0 is one that somebody asked for."""
        queue, wall = (data or b"1 0").split()
        return cls(int(queue), int(wall))

    def advanced(self, wall: int) -> int:
        """What the clock shows when the system's shows `wall`, as far as one can know without having run meanwhile."""
        return self.queue + min(max(wall - self.wall, 0), LONGEST_GAP) if self.wall else self.queue

    def wall_of(self, moment: int) -> int:
        """For people: what the system's clock will show at this moment of the queue's."""
        return self.wall + moment - self.queue


class QueueClock:
    """Runs with the monotonic clock; a jump of the system's clock moves it by `LONGEST_GAP` at a restart, and by nothing else
    (D-08). Whoever runs it saves it now and then: after a crash it may show again what it showed since."""

    __slots__ = ("_begun", "_monotonic")

    def __init__(self, saved: SavedClock, monotonic: float, wall: float) -> None:
        self._begun = saved.advanced(int(wall))
        self._monotonic = monotonic

    def now(self, monotonic: float) -> int:
        """Seconds, never going back."""
        return self._begun + int(monotonic - self._monotonic)

    def saved(self, monotonic: float, wall: float) -> SavedClock:
        """To be kept."""
        return SavedClock(self.now(monotonic), int(wall))
