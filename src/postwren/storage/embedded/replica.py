"""The rows of a copy (`mailstore/replica.py`): mixed into the index's reader and the writer's transaction."""

import json
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import apsw

from postwren.mailstore.replica import LARGEST, Pair, Replica, Taken, TakenState
from postwren.terms import AccountId, EmailId, MailboxId, Uid

__all__ = ["ReplicaRows", "ReplicaWrites"]

_PAIR: Final = "SELECT p.remote_uid, p.uid, p.email_id, p.flagset_id FROM"
_IN: Final = "json_each(?3) AS r CROSS JOIN pair AS p ON p.account_id = ?1 AND p.mailbox_id = ?2 AND"
_RANGE: Final = "BETWEEN r.value ->> 0 AND r.value ->> 1 ORDER BY p.remote_uid"


class _Index(Protocol):
    _connection: apsw.Connection

    def _rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]: ...


class ReplicaRows:
    """Reads."""

    def replicas(self: _Index, account_id: AccountId) -> list[Replica]:
        sql = "SELECT * FROM replica WHERE account_id = ? ORDER BY mailbox_id"
        return [Replica._make(row[1:]) for row in self._rows(sql, account_id)]

    def pairs(
        self: _Index, account_id: AccountId, mailbox_id: MailboxId, remote_uids: Sequence[tuple[int, int]] | None = None
    ) -> list[Pair]:
        if remote_uids is None:
            sql = f"{_PAIR} pair AS p WHERE p.account_id = ? AND p.mailbox_id = ? ORDER BY p.remote_uid"
            return list(map(Pair._make, self._rows(sql, account_id, mailbox_id)))
        sql = f"{_PAIR} {_IN} p.remote_uid {_RANGE}"
        return list(map(Pair._make, self._rows(sql, account_id, mailbox_id, json.dumps(remote_uids))))

    def pairs_of(self: _Index, account_id: AccountId, mailbox_id: MailboxId, uids: Sequence[tuple[int, int]]) -> list[Pair]:
        sql = f"{_PAIR} {_IN} p.uid {_RANGE}"
        return list(map(Pair._make, self._rows(sql, account_id, mailbox_id, json.dumps(uids))))

    def paired_uids(self: _Index, account_id: AccountId, mailbox_id: MailboxId) -> "array[int]":
        sql = "SELECT remote_uid FROM pair WHERE account_id = ? AND mailbox_id = ? AND remote_uid <= ? ORDER BY remote_uid"
        return array("I", (uid for (uid,) in self._connection.execute(sql, (account_id, mailbox_id, LARGEST))))

    def pair_count(self: _Index, account_id: AccountId, mailbox_id: MailboxId) -> int:
        sql = "SELECT count(*) FROM pair WHERE account_id = ? AND mailbox_id = ? AND remote_uid <= ?"
        return int(self._rows(sql, account_id, mailbox_id, LARGEST)[0][0])

    def paired_with(self: _Index, account_id: AccountId, email_ids: Iterable[EmailId]) -> list[tuple[MailboxId, Pair]]:
        sql = (
            "SELECT p.mailbox_id, p.remote_uid, p.uid, p.email_id, p.flagset_id FROM json_each(?2) AS e"
            " CROSS JOIN pair AS p INDEXED BY pair_email ON p.account_id = ?1 AND p.email_id = e.value ORDER BY 1, 2"
        )
        return [(row[0], Pair._make(row[1:])) for row in self._rows(sql, account_id, json.dumps(list(email_ids)))]

    def unpaired(self: _Index, account_id: AccountId, mailbox_id: MailboxId) -> list[Uid]:
        sql = (
            "SELECT uid FROM entry AS e WHERE account_id = ?1 AND mailbox_id = ?2 AND NOT EXISTS"
            " (SELECT 1 FROM pair AS p WHERE p.account_id = ?1 AND p.mailbox_id = ?2 AND p.uid = e.uid) ORDER BY uid"
        )
        return [uid for (uid,) in self._rows(sql, account_id, mailbox_id)]

    def taken(self: _Index, account_id: AccountId) -> list[Taken]:
        sql = "SELECT * FROM taken WHERE account_id = ? ORDER BY uidl"
        return [Taken._make((*row[1:7], TakenState(row[7]), row[8])) for row in self._rows(sql, account_id)]


class ReplicaWrites:
    """Writes."""

    def put_replica(self: _Index, account_id: AccountId, replica: Replica) -> None:
        self._connection.execute("INSERT OR REPLACE INTO replica VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (account_id, *replica))

    def delete_replica(self: _Index, account_id: AccountId, mailbox_id: MailboxId) -> None:
        for table in ("replica", "pair"):
            sql = f"DELETE FROM {table} WHERE account_id = ? AND mailbox_id = ?"  # noqa: S608 - names of ours
            self._connection.execute(sql, (account_id, mailbox_id))

    def put_pairs(self: _Index, account_id: AccountId, mailbox_id: MailboxId, pairs: Sequence[Pair]) -> None:
        sql = "INSERT OR REPLACE INTO pair VALUES (?, ?, ?, ?, ?, ?)"
        self._connection.executemany(sql, [(account_id, mailbox_id, *pair) for pair in pairs])

    def delete_pairs(self: _Index, account_id: AccountId, mailbox_id: MailboxId, remote_uids: Sequence[tuple[int, int]]) -> None:
        sql = "DELETE FROM pair WHERE account_id = ? AND mailbox_id = ? AND remote_uid BETWEEN ? AND ?"
        self._connection.executemany(sql, [(account_id, mailbox_id, lo, hi) for lo, hi in remote_uids])

    def put_taken(self: _Index, account_id: AccountId, rows: Sequence[Taken]) -> None:
        sql = "INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._connection.executemany(sql, [(account_id, *row) for row in rows])

    def delete_taken(self: _Index, account_id: AccountId, uidls: Iterable[bytes]) -> None:
        sql = "DELETE FROM taken WHERE account_id = ? AND uidl = ?"
        self._connection.executemany(sql, [(account_id, uidl) for uidl in uidls])
