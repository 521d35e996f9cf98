"""Passwords that were right a moment ago: a device that polls every minute is not hashed every minute (A-62).

What is kept is an HMAC, under a key that lives and dies with the process, over login and password both: one account's
password is nobody else's (CVE-2025-30189). An entry counts only while the account has the hash it was proved against.
"""

import hmac
from collections import OrderedDict
from typing import Final

from postwren.terms import AccountId
from postwren.wire.secret import Secret

__all__ = ["SuccessCache", "fingerprint"]

TERM: Final = 300.0  # seconds
CAPACITY: Final = 10_000


def fingerprint(key: bytes, login: str, password: Secret[str]) -> bytes:
    """Login and password as one value that tells neither."""
    name = login.encode(errors="surrogatepass")
    secret = password.reveal().encode(errors="surrogatepass")
    return hmac.digest(key, len(name).to_bytes(4, "big") + name + secret, "sha256")


class SuccessCache:
    """By account and fingerprint; the oldest go first when it is full."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[AccountId, bytes], tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def knows(self, account_id: AccountId, password_hash: str, print_: bytes, now: float) -> bool:
        """Whether this was right within the term, against the hash that the account has now."""
        entry = self._entries.get((account_id, print_))
        if entry is None:
            return False
        proved, until = entry
        if proved == password_hash and now < until <= now + TERM:
            return True
        del self._entries[account_id, print_]
        return False

    def remember(self, account_id: AccountId, password_hash: str, print_: bytes, now: float) -> None:
        """It was right."""
        self._entries[account_id, print_] = (password_hash, now + TERM)
        self._entries.move_to_end((account_id, print_))
        if len(self._entries) > CAPACITY:
            self._entries.popitem(last=False)
