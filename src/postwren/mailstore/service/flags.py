"""Flags and keywords (RFC 9051 section 2.3.2). They change by add and remove; a set read earlier is never written
back, so that two sessions that each add one both succeed (D-38)."""

from collections.abc import Iterable
from typing import Final

from postwren.mailstore.port import Reader
from postwren.terms import SYSTEM_FLAGS, AccountId, FlagSetId

__all__ = ["DELETED", "SEEN", "FlagSets", "normal"]

SEEN: Final = "\\Seen"
DELETED: Final = "\\Deleted"
_SYSTEM: Final[dict[str, str]] = {flag.lower(): flag for flag in SYSTEM_FLAGS}


def normal(flags: Iterable[str]) -> frozenset[str]:
    """System flags in their usual spelling; of keywords that differ in case only, one."""
    by_lower: dict[str, str] = {}
    for flag in flags:
        lower = flag.lower()
        by_lower.setdefault(lower, _SYSTEM.get(lower, flag))
    return frozenset(by_lower.values())


class FlagSets(dict[FlagSetId, frozenset[str]]):
    """The account's sets by id, each looked up once: thousands of entries share a few."""

    __slots__ = ("_account_id", "_reader")

    def __init__(self, reader: Reader, account_id: AccountId) -> None:
        super().__init__()
        self._reader = reader
        self._account_id = account_id

    def __missing__(self, flagset_id: FlagSetId) -> frozenset[str]:
        flags = self[flagset_id] = self._reader.flagset(self._account_id, flagset_id)
        return flags
