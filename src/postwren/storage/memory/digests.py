"""What was rendered of each email, in a dict."""

from collections.abc import Sequence
from typing import Any

from postwren.mailstore.digests import RENDERED, DigestRow
from postwren.mailstore.port import Reader
from postwren.terms import AccountId, EmailId

__all__ = ["MemoryDigests"]


class MemoryDigests:
    """`Digests`; rows are checked against the emails at every reading."""

    __slots__ = ("_reader", "_rows")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rows: dict[tuple[AccountId, EmailId], DigestRow] = {}

    def _row(self, account_id: AccountId, email_id: int) -> DigestRow | None:
        row = self._rows.get((account_id, EmailId(email_id)))
        email = self._reader.email(account_id, EmailId(email_id))
        return row if row is not None and email is not None and email.content_id[:8] == row.content else None

    def column(self, account_id: AccountId, email_ids: Sequence[int], name: str) -> list[bytes | None]:
        if name not in RENDERED:
            raise KeyError(name)
        return [None if row is None else row[0] for row in self.columns(account_id, email_ids, (name,))]

    def columns(self, account_id: AccountId, email_ids: Sequence[int], names: Sequence[str]) -> list[tuple[Any, ...] | None]:
        at = [DigestRow._fields.index(name) for name in names]
        rows = [self._row(account_id, email_id) for email_id in email_ids]
        return [None if row is None else tuple([row[position] for position in at]) for row in rows]

    def missing(self, account_id: AccountId, email_ids: Sequence[int]) -> list[EmailId]:
        return [EmailId(email_id) for email_id in email_ids if self._row(account_id, email_id) is None]

    def put(self, rows: Sequence[DigestRow]) -> bool:
        self._rows |= {(row.account_id, row.email_id): row for row in rows}
        return True

    def accounts(self) -> list[AccountId]:
        return sorted({account_id for account_id, _ in self._rows})

    def prune(self, account_id: AccountId) -> None:
        mine = [key for key in self._rows if key[0] == account_id]
        for key in mine:
            if self._reader.email(*key) is None:
                del self._rows[key]
