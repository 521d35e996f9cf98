"""The rows of the queue (`mailstore/queue.py`): mixed into the reader and the transaction."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient
from postwren.terms import AccountId, Uid

__all__ = ["QueueRows", "QueueTables", "QueueWrites"]


class QueueTables:
    """The store's one queue, and the tokens of submissions."""

    __slots__ = ("messages", "recipients", "tokens")

    def __init__(self) -> None:
        self.messages: dict[Uid, QueuedMessage] = {}
        self.recipients: dict[tuple[Uid, int], QueuedRecipient] = {}
        self.tokens: dict[tuple[AccountId, bytes], int] = {}


class _Owner(Protocol):
    @property
    def queue(self) -> QueueTables: ...


class _Reader(Protocol):
    @property
    def _tables(self) -> Any: ...


class _Writer(_Reader, Protocol):
    _put: Callable[..., None]
    _insert: Callable[..., None]
    _update: Callable[..., None]
    _delete: Callable[..., Any]


def _queue(store: _Reader) -> QueueTables:
    tables: _Owner = store._tables
    return tables.queue


def _waiting(store: _Reader, domain: str) -> list[QueuedRecipient]:
    rows = _queue(store).recipients.values()
    return [row for row in rows if row.domain == domain and row.state is DeliveryState.WAITING]


class QueueRows:
    """Reads."""

    __slots__ = ()

    def queued_message(self: _Reader, uid: Uid) -> QueuedMessage | None:
        return _queue(self).messages.get(uid)

    def queued_messages(self: _Reader, after: Uid, limit: int) -> list[QueuedMessage]:
        return sorted(row for uid, row in _queue(self).messages.items() if uid > after)[:limit]

    def queued_recipients(self: _Reader, uid: Uid) -> list[QueuedRecipient]:
        return sorted(row for row in _queue(self).recipients.values() if row.uid == uid)

    def due_recipients(self: _Reader, domain: str, now: int, limit: int) -> list[QueuedRecipient]:
        due = [row for row in _waiting(self, domain) if row.next_attempt <= now]
        return sorted(due, key=lambda row: (row.next_attempt, row.uid, row.number))[:limit]

    def next_due(self: _Reader) -> list[tuple[str, int]]:
        earliest: dict[str, int] = {}
        for row in _queue(self).recipients.values():
            if row.state is DeliveryState.WAITING:
                earliest[row.domain] = min(row.next_attempt, earliest.get(row.domain, row.next_attempt))
        return sorted(earliest.items())

    def expiring_recipients(self: _Reader, domain: str, now: int, limit: int) -> list[QueuedRecipient]:
        return [row for row in _waiting(self, domain) if row.expires <= now][:limit]

    def unwarned_recipients(self: _Reader, domain: str, before: int, limit: int) -> list[QueuedRecipient]:
        rows = [row for row in _waiting(self, domain) if not row.warned and row.expires < before]
        return sorted(rows, key=lambda row: row.expires)[:limit]

    def queue_size(self: _Reader) -> tuple[int, int]:
        return len(_queue(self).messages), len(_queue(self).recipients)

    def submission_by_token(self: _Reader, account_id: AccountId, token: bytes) -> bool:
        return (account_id, token) in _queue(self).tokens


class QueueWrites:
    """Writes."""

    __slots__ = ()

    def insert_queued(self: _Writer, message: QueuedMessage, recipients: Sequence[QueuedRecipient]) -> None:
        self._insert(_queue(self).messages, message.uid, message)
        for row in recipients:
            self._insert(_queue(self).recipients, (row.uid, row.number), row)

    def put_recipients(self: _Writer, rows: Sequence[QueuedRecipient]) -> None:
        for row in rows:
            self._update(_queue(self).recipients, (row.uid, row.number), row)

    def delete_recipients(self: _Writer, keys: Iterable[tuple[Uid, int]]) -> None:
        rows = _queue(self).recipients
        for key in keys:
            if key in rows:
                self._delete(rows, key)

    def delete_queued(self: _Writer, uid: Uid) -> None:
        if uid in _queue(self).messages:
            self._delete(_queue(self).messages, uid)

    def put_token(self: _Writer, account_id: AccountId, token: bytes, now: int) -> None:
        self._put(_queue(self).tokens, (account_id, token), now)

    def forget_tokens(self: _Writer, before: int) -> None:
        tokens = _queue(self).tokens
        for key in [key for key, submitted in tokens.items() if submitted < before]:
            self._delete(tokens, key)
