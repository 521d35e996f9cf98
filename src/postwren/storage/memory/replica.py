"""The rows of a copy (`mailstore/replica.py`): mixed into the reader and the transaction."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from postwren.mailstore.model import Entry
from postwren.mailstore.replica import LARGEST, Pair, Replica, Taken
from postwren.terms import AccountId, EmailId, MailboxId, Uid

__all__ = ["ReplicaRows", "ReplicaTables", "ReplicaWrites"]


class ReplicaTables:
    """The rows of one account."""

    __slots__ = ("pairs", "replicas", "taken")

    def __init__(self) -> None:
        self.replicas: dict[MailboxId, Replica] = {}
        self.pairs: dict[tuple[MailboxId, int], Pair] = {}
        self.taken: dict[bytes, Taken] = {}


class _Owned(Protocol):
    @property
    def entries(self) -> dict[MailboxId, dict[Uid, Entry]]: ...
    @property
    def replica(self) -> ReplicaTables: ...


class _Reader(Protocol):
    def _of(self, account_id: AccountId) -> Any: ...


class _Writer(_Reader, Protocol):
    _put: Callable[..., None]
    _delete: Callable[..., Any]


def _is_in(uid: int, ranges: Sequence[tuple[int, int]]) -> bool:
    at = bisect_left(ranges, (uid + 1, 0)) - 1
    return at >= 0 and ranges[at][0] <= uid <= ranges[at][1]


def _tables(store: _Reader, account_id: AccountId) -> ReplicaTables:
    owned: _Owned = store._of(account_id)
    return owned.replica


def _pairs(store: _Reader, account_id: AccountId, mailbox_id: MailboxId) -> list[Pair]:
    return sorted(pair for (place, _), pair in _tables(store, account_id).pairs.items() if place == mailbox_id)


class ReplicaRows:
    """Reads."""

    __slots__ = ()

    def replicas(self: _Reader, account_id: AccountId) -> list[Replica]:
        return sorted(_tables(self, account_id).replicas.values(), key=lambda replica: replica.mailbox_id)

    def pairs(
        self: _Reader, account_id: AccountId, mailbox_id: MailboxId, remote_uids: Sequence[tuple[int, int]] | None = None
    ) -> list[Pair]:
        pairs = _pairs(self, account_id, mailbox_id)
        return pairs if remote_uids is None else [pair for pair in pairs if _is_in(pair.remote_uid, remote_uids)]

    def pairs_of(self: _Reader, account_id: AccountId, mailbox_id: MailboxId, uids: Sequence[tuple[int, int]]) -> list[Pair]:
        return [pair for pair in _pairs(self, account_id, mailbox_id) if _is_in(pair.uid, uids)]

    def paired_uids(self: _Reader, account_id: AccountId, mailbox_id: MailboxId) -> "array[int]":
        uids = (pair.remote_uid for pair in _pairs(self, account_id, mailbox_id))
        return array("I", (uid for uid in uids if uid <= LARGEST))

    def pair_count(self: _Reader, account_id: AccountId, mailbox_id: MailboxId) -> int:
        return sum(pair.remote_uid <= LARGEST for pair in _pairs(self, account_id, mailbox_id))

    def paired_with(self: _Reader, account_id: AccountId, email_ids: Iterable[EmailId]) -> list[tuple[MailboxId, Pair]]:
        wanted = set(email_ids)
        pairs = _tables(self, account_id).pairs
        return sorted((place, pair) for (place, _), pair in pairs.items() if pair.email_id in wanted)

    def unpaired(self: _Reader, account_id: AccountId, mailbox_id: MailboxId) -> list[Uid]:
        paired = {pair.uid for pair in _pairs(self, account_id, mailbox_id)}
        owned: _Owned = self._of(account_id)
        return sorted(uid for uid in owned.entries.get(mailbox_id, {}) if uid not in paired)

    def taken(self: _Reader, account_id: AccountId) -> list[Taken]:
        return sorted(_tables(self, account_id).taken.values())


class ReplicaWrites:
    """Writes."""

    __slots__ = ()

    def put_replica(self: _Writer, account_id: AccountId, replica: Replica) -> None:
        self._put(_tables(self, account_id).replicas, replica.mailbox_id, replica)

    def delete_replica(self: _Writer, account_id: AccountId, mailbox_id: MailboxId) -> None:
        tables = _tables(self, account_id)
        if mailbox_id in tables.replicas:
            self._delete(tables.replicas, mailbox_id)
        for key in [key for key in tables.pairs if key[0] == mailbox_id]:
            self._delete(tables.pairs, key)

    def put_pairs(self: _Writer, account_id: AccountId, mailbox_id: MailboxId, pairs: Sequence[Pair]) -> None:
        rows = _tables(self, account_id).pairs
        uids = {pair.uid for pair in pairs}
        for key in [key for key, pair in rows.items() if key[0] == mailbox_id and pair.uid in uids]:
            self._delete(rows, key)
        for pair in pairs:
            self._put(rows, (mailbox_id, pair.remote_uid), pair)

    def delete_pairs(self: _Writer, account_id: AccountId, mailbox_id: MailboxId, remote_uids: Sequence[tuple[int, int]]) -> None:
        rows = _tables(self, account_id).pairs
        for key in [key for key in rows if key[0] == mailbox_id and _is_in(key[1], remote_uids)]:
            self._delete(rows, key)

    def put_taken(self: _Writer, account_id: AccountId, rows: Sequence[Taken]) -> None:
        for row in rows:
            self._put(_tables(self, account_id).taken, row.uidl, row)

    def delete_taken(self: _Writer, account_id: AccountId, uidls: Iterable[bytes]) -> None:
        rows = _tables(self, account_id).taken
        for uidl in uidls:
            if uidl in rows:
                self._delete(rows, uidl)
