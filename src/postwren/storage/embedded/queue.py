"""The rows of the queue (`mailstore/queue.py`): mixed into the index's reader and the writer's transaction.

Two indexes hold the recipients that wait, by domain: what is due, what expires. A look-up never passes rows that it does not
return, whatever waits for a domain.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import apsw

from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient
from postwren.terms import AccountId, Uid

__all__ = ["QueueRows", "QueueWrites"]

_RECIPIENTS: Final = "SELECT * FROM queued_recipient"
# One step of the index a domain: the next domain is looked up, not found by passing all recipients of this one.
_NEXT_DUE: Final = (
    "WITH RECURSIVE d (domain) AS (SELECT min(domain) FROM queued_recipient INDEXED BY queued_recipient_due WHERE state = 1"
    " UNION ALL SELECT (SELECT min(domain) FROM queued_recipient INDEXED BY queued_recipient_due"
    " WHERE state = 1 AND domain > d.domain) FROM d WHERE d.domain NOTNULL)"
    " SELECT domain, (SELECT min(next_attempt) FROM queued_recipient AS r INDEXED BY queued_recipient_due"
    " WHERE r.state = 1 AND r.domain = d.domain) FROM d WHERE domain NOTNULL"
)


class _Index(Protocol):
    _connection: apsw.Connection

    def _row(self, sql: str, *bindings: Any) -> tuple[Any, ...] | None: ...
    def _rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]: ...


def _message(row: tuple[Any, ...]) -> QueuedMessage:
    return QueuedMessage._make((*row[:7], bool(row[7]), bool(row[8]), bytes(row[9])))


def _recipient(row: tuple[Any, ...]) -> QueuedRecipient:
    return QueuedRecipient._make((*row[:6], DeliveryState(row[6]), *row[7:10], bool(row[10]), row[11]))


class QueueRows:
    """Reads."""

    def queued_message(self: _Index, uid: Uid) -> QueuedMessage | None:
        row = self._row("SELECT * FROM queued WHERE uid = ?", uid)
        return None if row is None else _message(row)

    def queued_messages(self: _Index, after: Uid, limit: int) -> list[QueuedMessage]:
        return list(map(_message, self._rows("SELECT * FROM queued WHERE uid > ? ORDER BY uid LIMIT ?", after, limit)))

    def queued_recipients(self: _Index, uid: Uid) -> list[QueuedRecipient]:
        return list(map(_recipient, self._rows(f"{_RECIPIENTS} WHERE uid = ? ORDER BY number", uid)))

    def due_recipients(self: _Index, domain: str, now: int, limit: int) -> list[QueuedRecipient]:
        sql = (
            f"{_RECIPIENTS} INDEXED BY queued_recipient_due WHERE state = 1 AND domain = ? AND next_attempt <= ?"
            " ORDER BY next_attempt, uid, number LIMIT ?"
        )
        return list(map(_recipient, self._rows(sql, domain, now, limit)))

    def next_due(self: _Index) -> list[tuple[str, int]]:
        return [(domain, due) for domain, due in self._rows(_NEXT_DUE)]

    def expiring_recipients(self: _Index, domain: str, now: int, limit: int) -> list[QueuedRecipient]:
        sql = (
            f"{_RECIPIENTS} INDEXED BY queued_recipient_expires WHERE state = 1 AND domain = ? AND warned IN (0, 1)"
            " AND expires <= ? LIMIT ?"
        )
        return list(map(_recipient, self._rows(sql, domain, now, limit)))

    def unwarned_recipients(self: _Index, domain: str, before: int, limit: int) -> list[QueuedRecipient]:
        sql = (
            f"{_RECIPIENTS} INDEXED BY queued_recipient_expires WHERE state = 1 AND domain = ? AND warned = 0 AND expires < ?"
            " ORDER BY expires LIMIT ?"
        )
        return list(map(_recipient, self._rows(sql, domain, before, limit)))

    def queue_size(self: _Index) -> tuple[int, int]:
        row = self._row("SELECT (SELECT count(*) FROM queued), (SELECT count(*) FROM queued_recipient)")
        assert row is not None, "an aggregate has one row"
        return row[0], row[1]

    def submission_by_token(self: _Index, account_id: AccountId, token: bytes) -> bool:
        return self._row("SELECT 1 FROM submission WHERE account_id = ? AND token = ?", account_id, token) is not None


class QueueWrites:
    """Writes."""

    def insert_queued(self: _Index, message: QueuedMessage, recipients: Sequence[QueuedRecipient]) -> None:
        self._connection.execute("INSERT INTO queued VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", message)
        self._connection.executemany("INSERT INTO queued_recipient VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", recipients)

    def put_recipients(self: _Index, rows: Sequence[QueuedRecipient]) -> None:
        sql = (
            "UPDATE queued_recipient SET address = ?, domain = ?, notify = ?, orcpt = ?, state = ?, attempts = ?,"
            " next_attempt = ?, expires = ?, warned = ?, reply = ? WHERE uid = ? AND number = ?"
        )
        for row in rows:
            self._connection.execute(sql, (*row[2:], *row[:2]))
            if not self._connection.changes():
                raise KeyError(row[:2])

    def delete_recipients(self: _Index, keys: Iterable[tuple[Uid, int]]) -> None:
        self._connection.executemany("DELETE FROM queued_recipient WHERE uid = ? AND number = ?", list(keys))

    def delete_queued(self: _Index, uid: Uid) -> None:
        self._connection.execute("DELETE FROM queued WHERE uid = ?", (uid,))

    def put_token(self: _Index, account_id: AccountId, token: bytes, now: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO submission VALUES (?, ?, ?)", (account_id, token, now))

    def forget_tokens(self: _Index, before: int) -> None:
        self._connection.execute("DELETE FROM submission WHERE submitted < ?", (before,))
