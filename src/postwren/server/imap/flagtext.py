"""Sets of flags as IMAP writes them, rendered once: thousands of messages share a few."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from postwren.mailstore.port import Store
from postwren.terms import AccountId, FlagSetId

__all__ = ["SYSTEM", "FlagTexts", "FlagTextsOfAll", "ordered"]

SYSTEM: Final = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
_RANK: Final = {flag: rank for rank, flag in enumerate(SYSTEM)}
_ACCOUNTS: Final = 1_000


def ordered(flags: Iterable[str]) -> list[str]:
    """System flags first, then keywords by name."""
    return sorted(flags, key=lambda flag: (_RANK.get(flag, len(SYSTEM)), flag))


class FlagTexts(dict[int, bytes]):
    """`(\\Seen $work)` by the set's id, of one account; `flags` gives the set itself. An id never changes its meaning."""

    __slots__ = ("_account_id", "_store", "flags")

    def __init__(self, store: Store, account_id: AccountId) -> None:
        super().__init__()
        self._store = store
        self._account_id = account_id
        self.flags: dict[int, frozenset[str]] = {}

    def __missing__(self, flagset_id: int) -> bytes:
        flags = self.flags[flagset_id] = self._store.reader.flagset(self._account_id, FlagSetId(flagset_id))
        text = self[flagset_id] = f"({' '.join(ordered(flags))})".encode()
        return text

    def set_of(self, flagset_id: int) -> frozenset[str]:
        """The flags behind an id."""
        if flagset_id not in self.flags:
            self[flagset_id]
        return self.flags[flagset_id]

    def having(self, flag: str, flagset_ids: Iterable[int]) -> set[int]:
        """Those of these sets that hold a flag."""
        return {flagset_id for flagset_id in set(flagset_ids) if flag in self.set_of(flagset_id)}


class FlagTextsOfAll:
    """By account, those used last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_account: OrderedDict[AccountId, FlagTexts] = OrderedDict()

    def of(self, account_id: AccountId) -> FlagTexts:
        """One account's."""
        texts = self._by_account.get(account_id)
        if texts is None:
            texts = self._by_account[account_id] = FlagTexts(self._store, account_id)
            if len(self._by_account) > _ACCOUNTS:
                self._by_account.popitem(last=False)
        else:
            self._by_account.move_to_end(account_id)
        return texts
