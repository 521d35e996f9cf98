"""Deadlines: one coarse timer over all links instead of one per connection (A-08, A-30).

Once a second every link is asked to judge its peer. A deadline belongs to what the core waits for, not to octets: a peer that
drips a command octet by octet does not push it back. The clock is an argument, so that tests sleep never.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from postwren.wire.core import Waiting

__all__ = ["DEADLINE_TICK", "Pace", "Patience", "Watch", "Watched"]

DEADLINE_TICK: Final = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a peer has. `command` is SMTP's (RFC 5321 section 4.5.3.2.7); POP3 has 600 (RFC 1939 section 3).

    Message octets: `bulk_rate` octets a second on average after `bulk_grace`, never `bulk_stall` without any. A peer that
    does not read must take `slow_reader_rate` octets a second over any `slow_reader` seconds in which it keeps us waiting."""

    handshake: float = 10
    login: float = 60
    command: float = 300
    bulk_grace: float = 30
    bulk_rate: float = 500
    bulk_stall: float = 300
    slow_reader: float = 60
    slow_reader_rate: float = 500


class Pace:
    """How long a peer has owed us the same thing. One per link, fed once a second; small."""

    __slots__ = ("_fresh", "_mark", "_octets", "_since", "_spell")

    def __init__(self, now: float, spell: Waiting) -> None:
        self._begin(now, spell, 0, 0)

    def _begin(self, now: float, spell: Waiting, mark: int, octets: int) -> None:
        self._spell, self._mark, self._octets = spell, mark, octets
        self._since = self._fresh = now

    def pardon(self, elapsed: float) -> None:
        """These seconds were ours, not the peer's."""
        self._since += elapsed
        self._fresh += elapsed

    def is_overdue(self, patience: Patience, now: float, spell: Waiting, events: int, octets: int) -> bool:
        """`events` counts what the core told so far, `octets` what came."""
        if spell is not self._spell or (spell is Waiting.COMMAND and events != self._mark):
            self._begin(now, spell, octets if spell is Waiting.BULK else events, octets)
            return False
        spent = now - self._since
        match spell:
            case Waiting.HANDSHAKE:
                return spent > patience.handshake
            case Waiting.LOGIN:  # events do not extend it: NOOP is no login
                return spent > patience.login
            case Waiting.COMMAND:
                return spent > patience.command
            case Waiting.BULK:
                return self._is_bulk_overdue(patience, now, spent, octets)
            case Waiting.NOTHING:
                return False

    def _is_bulk_overdue(self, patience: Patience, now: float, spent: float, octets: int) -> bool:
        if octets != self._octets:
            self._octets, self._fresh = octets, now
        is_slow = octets - self._mark < patience.bulk_rate * (spent - patience.bulk_grace)
        return is_slow or now - self._fresh > patience.bulk_stall

    def is_reader_too_slow(self, patience: Patience, now: float, taken: int) -> bool:
        """While we cannot write: `taken` counts octets that reached the peer so far."""
        if self._spell is not Waiting.NOTHING:
            self._begin(now, Waiting.NOTHING, taken, 0)
        elif now - self._since >= patience.slow_reader:
            if taken - self._mark < patience.slow_reader_rate * patience.slow_reader:
                return True
            self._begin(now, Waiting.NOTHING, taken, 0)
        return False


class Watched(Protocol):
    """What the watch watches: a link."""

    def judge(self, now: float, elapsed: float) -> None:
        """Drop the peer if it owes something for too long; `elapsed` seconds passed since the last time."""


class Watch:
    """The one timer of a server. It runs while there are links, by itself."""

    __slots__ = ("_handle", "_last", "_links", "clock")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._links: set[Watched] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._last = clock()

    def add(self, link: Watched) -> None:
        """Judge this link from now on."""
        self._links.add(link)
        if self._handle is None:
            self._last = self.clock()
            self._handle = asyncio.get_running_loop().call_later(DEADLINE_TICK, self._run)

    def discard(self, link: Watched) -> None:
        """The link is gone."""
        self._links.discard(link)
        if not self._links and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def tick(self) -> None:
        """Judge every link now."""
        now = self.clock()
        elapsed, self._last = now - self._last, now
        for link in list(self._links):
            link.judge(now, elapsed)

    def _run(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(DEADLINE_TICK, self._run)
        self.tick()
