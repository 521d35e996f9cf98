"""How much an account may submit: messages and recipients within an hour, so that a stolen password sends little.

A bucket an account: full at first, it fills again evenly within an hour. What is spent is kept in memory: a restart forgives.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postwren.protocols.smtp.reply import Reply
from postwren.terms import AccountId

__all__ = ["Allowance", "Limits"]

_HOUR: Final = 3600.0
_FORGET_EVERY: Final = 1000  # accounts that were added


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one account within an hour; each recipient of each message counts."""

    messages: int = 300
    recipients: int = 3000


class Allowance:
    """One for all connections of a server. `clock` counts seconds and never goes back."""

    __slots__ = ("_clock", "_full_at", "_limits", "_sweep_at")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._full_at: dict[AccountId, tuple[float, float]] = {}  # when the buckets of messages and recipients are full
        self._sweep_at = _FORGET_EVERY

    def objection(self, account_id: AccountId, recipients: int) -> Reply | None:
        """Why one message more with so many recipients is too much now."""
        messages_full, recipients_full = self._full_at.get(account_id, (0.0, 0.0))
        return self._too_much(messages_full, 1, self._limits.messages, f"{self._limits.messages} messages") or self._too_much(
            recipients_full, recipients, self._limits.recipients, f"to {self._limits.recipients} recipients"
        )

    def spend(self, account_id: AccountId, recipients: int) -> Reply | None:
        """Take it; or why not, and nothing is taken."""
        objection = self.objection(account_id, recipients)
        if objection is None:
            now = self._clock()
            messages_full, recipients_full = self._full_at.get(account_id, (0.0, 0.0))
            self._full_at[account_id] = (
                max(messages_full, now) + _HOUR / self._limits.messages,
                max(recipients_full, now) + recipients * _HOUR / self._limits.recipients,
            )
            if len(self._full_at) >= self._sweep_at:
                self._sweep(now)
        return objection

    def _too_much(self, full_at: float, wanted: int, limit: int, what: str) -> Reply | None:
        missing = max(full_at - self._clock(), 0.0) * limit / _HOUR
        excess = missing + wanted - limit
        if excess <= 1e-6:
            return None
        if wanted > limit:
            return Reply(452, "4.5.3", f"One message may go to {limit} recipients here")
        minutes = max(1, math.ceil(excess * _HOUR / limit / 60))
        return Reply(452, "4.7.1", f"This account may send {what} an hour; try again in {minutes} minute{'s'[: minutes > 1]}")

    def _sweep(self, now: float) -> None:
        self._full_at = {account: times for account, times in self._full_at.items() if max(times) > now}
        self._sweep_at = len(self._full_at) + _FORGET_EVERY
