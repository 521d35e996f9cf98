"""One POP3 session a maildrop (RFC 1939 section 4), and nobody starved by it (A-47).

The first session that logs in holds the maildrop. A second login is refused at once ([IN-USE], RFC 2449 section 8.1.2),
and from then on the maildrop is wanted: the holder must move within `PATIENCE` seconds, again and again, or it gives way,
so that the second login's next try succeeds. What counts as a move is the session's to say (NOOP does not). A
session releases the maildrop when it ends, however it ends. IMAP and delivery never come here.
"""

from collections.abc import Callable
from typing import Final, Protocol

from postwren.terms import AccountId

__all__ = ["PATIENCE", "Alarm", "Clock", "Holder", "MaildropLock", "MaildropLocks"]

PATIENCE: Final = 60.0  # seconds


class Alarm(Protocol):
    """A call that is due later."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Time that never goes back, and calls that are due later: an asyncio loop, or a test's clock."""

    def time(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[[], object]) -> Alarm: ...


class Holder(Protocol):
    """A session that holds a maildrop."""

    def give_way(self) -> bool:
        """Another login waits: let go of the maildrop and delete nothing. False: it is at work just now, ask again later."""


class MaildropLocks:
    """Who holds what, in this process."""

    __slots__ = ("_held", "clock")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._held: dict[AccountId, MaildropLock] = {}

    def acquire(self, account_id: AccountId, holder: Holder) -> "MaildropLock | None":
        """The maildrop, or None while another session has it, which is then told that it is wanted."""
        held = self._held.get(account_id)
        if held is not None:
            held.want()
            return None
        lock = self._held[account_id] = MaildropLock(self, account_id, holder)
        return lock

    def release(self, account_id: AccountId) -> None:
        """For `MaildropLock.release` alone."""
        del self._held[account_id]


class MaildropLock:
    """One session's hold on one maildrop; `release` it exactly at the end of the session, or earlier."""

    __slots__ = ("_account_id", "_alarm", "_holder", "_is_released", "_locks", "_moved", "is_wanted")

    def __init__(self, locks: MaildropLocks, account_id: AccountId, holder: Holder) -> None:
        self._locks = locks
        self._account_id = account_id
        self._holder = holder
        self._alarm: Alarm | None = None
        self._moved = 0.0
        self._is_released = False
        self.is_wanted = False  # from then on the alarm is set

    def want(self) -> None:
        """Somebody waits: the clock starts, unless it runs already."""
        self.is_wanted = True
        if self._alarm is None:
            self._moved = self._locks.clock.time()
            self._alarm = self._locks.clock.call_later(PATIENCE, self._look)

    def moved(self) -> None:
        """The holder did something; it counts when somebody waits."""
        if self.is_wanted:
            self._moved = self._locks.clock.time()

    def _look(self) -> None:
        clock = self._locks.clock
        left = self._moved + PATIENCE - clock.time()
        if left > 0:
            self._alarm = clock.call_later(left, self._look)
        elif self._holder.give_way():
            self.release()
        else:
            self._alarm = clock.call_later(1.0, self._look)

    def release(self) -> None:
        """Let the next one in; harmless when called twice."""
        if not self._is_released:
            self._is_released = True
            if self._alarm is not None:
                self._alarm.cancel()
            self._locks.release(self._account_id)
