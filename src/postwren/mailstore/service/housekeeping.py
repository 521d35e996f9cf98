"""What ends with time."""

from typing import Final

from postwren.mailstore.port import Transaction, Unit
from postwren.terms import AccountId

__all__ = ["RECOVERY_TERM", "end_recovery"]

RECOVERY_TERM: Final = 30 * 24 * 3600
"""Seconds for which an expunged message can be brought back."""


def end_recovery(account_id: AccountId, now: int) -> Unit[int]:
    """End the recovery of what was expunged more than the term ago: its octets may go. The tombstones stay. Returns
    how many ended; to be run again and again, in the background."""

    def unit(tx: Transaction) -> int:
        return tx.forget_expunged(account_id, now - RECOVERY_TERM)

    return unit
