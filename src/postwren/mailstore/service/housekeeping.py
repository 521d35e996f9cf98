"""What ends with time."""

from typing import Final

from postwren.mailstore.port import Store, Transaction, Unit
from postwren.terms import AccountId

__all__ = ["RECOVERY_TERM", "end_all_recovery", "end_recovery", "prune_digests"]

RECOVERY_TERM: Final = 30 * 24 * 3600
"""Seconds for which an expunged message can be brought back, unless an installation chooses otherwise."""
AT_ONCE: Final = 1000
"""Messages of one unit of work: mail that arrives waits for no more."""


def end_recovery(account_id: AccountId, now: int, term: int = RECOVERY_TERM, at_once: int = AT_ONCE) -> Unit[int]:
    """End the recovery of what was expunged more than `term` seconds ago: its octets may go. The tombstones stay. Returns
    how many ended; with `at_once` of them there may be more."""

    def unit(tx: Transaction) -> int:
        return tx.forget_expunged(account_id, now - term, at_once)

    return unit


async def end_all_recovery(store: Store, now: int, term: int = RECOVERY_TERM, at_once: int = AT_ONCE) -> int:
    """The same for every account that has something to end; returns how many messages."""
    whole = 0
    for account_id in await store.read(lambda reader: reader.ending(now - term)):
        while ended := await store.perform(end_recovery(account_id, now, term, at_once)):
            whole += ended
    return whole


async def prune_digests(store: Store) -> None:
    """Drop what was rendered of emails that are gone."""
    digests = store.digests
    for account_id in await store.read(lambda _: digests.accounts()):
        await store.read(lambda _, account_id=account_id: digests.prune(account_id))  # type: ignore[misc]
