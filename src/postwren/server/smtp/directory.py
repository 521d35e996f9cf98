"""Whose mail an address is, remembered for a moment.

A look-up costs two dozen microseconds, most of them for pages that the last delivery made the reading connection forget, and a
sender on a busy connection asks for the same few recipients again and again. What is found is good for `REMEMBERED` seconds:
an address that another process takes away in that time is refused at the end of the data instead (its account is gone), or
reaches the account it belonged to a moment ago. What is not found is never remembered: a new address receives at once.
"""

from collections.abc import Callable
from typing import Final

from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import resolve
from postwren.terms import AccountId, Address

__all__ = ["REMEMBERED", "Directory"]

REMEMBERED: Final = 0.25
_MOST: Final = 4096


class Directory:
    """One for all connections of a server. `clock` counts seconds and never goes back; 0 `remembered` seconds are none."""

    __slots__ = ("_clock", "_forget_at", "_known", "_remembered", "_separator", "_store", "_unlimited")

    def __init__(self, store: Store, separator: str, clock: Callable[[], float], remembered: float = REMEMBERED) -> None:
        self._store = store
        self._separator = separator
        self._clock = clock
        self._remembered = remembered
        self._known: dict[Address, AccountId] = {}
        self._unlimited: set[AccountId] = set()
        self._forget_at = 0.0

    def account_of(self, address: Address) -> AccountId | None:
        """The account that this address reaches."""
        if self._clock() >= self._forget_at:
            self._forget()
        known = self._known.get(address)
        if known is None:
            known = resolve(self._store.reader, address, self._separator)
            if known is not None:
                if len(self._known) >= _MOST:
                    self._forget()
                self._known[address] = known
        return known

    def is_full(self, account_id: AccountId, size: int) -> bool:
        """Whether a message of `size` octets is too much for the account. That it has no quota is remembered like an address."""
        if self._clock() >= self._forget_at:
            self._forget()
        if account_id in self._unlimited:
            return False
        account = self._store.reader.account(account_id)
        if account is None or account.quota:
            return account is not None and account.quota < account.used + max(size, 1)
        self._unlimited.add(account_id)
        return False

    def _forget(self) -> None:
        self._known.clear()
        self._unlimited.clear()
        self._forget_at = self._clock() + self._remembered
