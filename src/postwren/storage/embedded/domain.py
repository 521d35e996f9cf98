"""The rows of domains and their keys (`mailstore/domain.py`): mixed into the index's reader and the writer's transaction."""

from typing import Any, Protocol

import apsw

from postwren.mailstore.domain import DkimKey, Domain, KeyState
from postwren.wire.secret import Secret

__all__ = ["DomainRows", "DomainWrites"]


class _Index(Protocol):
    _connection: apsw.Connection

    def _row(self, sql: str, *bindings: Any) -> tuple[Any, ...] | None: ...
    def _rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]: ...


class DomainRows:
    """Reads."""

    def domain(self: _Index, name: str) -> Domain | None:
        row = self._row("SELECT * FROM domain WHERE name = ?", name)
        return None if row is None else Domain._make(row)

    def domains(self: _Index) -> list[Domain]:
        return list(map(Domain._make, self._rows("SELECT * FROM domain ORDER BY name")))

    def dkim_keys(self: _Index, domain: str) -> list[DkimKey]:
        rows = self._rows("SELECT * FROM dkim_key WHERE domain = ? ORDER BY selector", domain)
        return [DkimKey._make((*row[:3], KeyState(row[3]), *row[4:6], Secret(bytes(row[6])))) for row in rows]


class DomainWrites:
    """Writes."""

    def put_domain(self: _Index, row: Domain) -> None:
        self._connection.execute("INSERT OR REPLACE INTO domain VALUES (?, ?, ?, ?)", row)

    def delete_domain(self: _Index, name: str) -> None:
        self._connection.execute("DELETE FROM domain WHERE name = ?", (name,))
        self._connection.execute("DELETE FROM dkim_key WHERE domain = ?", (name,))

    def put_dkim_key(self: _Index, key: DkimKey) -> None:
        row = (*key[:6], key.private.reveal())
        self._connection.execute("INSERT OR REPLACE INTO dkim_key VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def delete_dkim_key(self: _Index, domain: str, selector: str) -> None:
        self._connection.execute("DELETE FROM dkim_key WHERE domain = ? AND selector = ?", (domain, selector))
