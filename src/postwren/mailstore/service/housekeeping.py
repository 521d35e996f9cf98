"""What ends with time."""

from typing import Final

from postwren.mailstore.port import Transaction, Unit
from postwren.terms import AccountId

__all__ = ["RECOVERY_TERM", "end_recovery"]

RECOVERY_TERM: Final = 30 * 24 * 3600
"""Seconds for which an expunged message can be brought back, unless an installation chooses otherwise."""


def end_recovery(account_id: AccountId, now: int, term: int = RECOVERY_TERM) -> Unit[int]:
    """End the recovery of what was expunged more than `term` seconds ago: its octets may go. The tombstones stay. Returns
    how many ended; to be run again and again, in the background."""

    def unit(tx: Transaction) -> int:
        return tx.forget_expunged(account_id, now - term)

    return unit
