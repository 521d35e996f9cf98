"""The rows of domains and their keys (`mailstore/domain.py`): mixed into the reader and the transaction."""

from collections.abc import Callable
from typing import Any, Protocol

from postwren.mailstore.domain import DkimKey, Domain

__all__ = ["DomainRows", "DomainTables", "DomainWrites"]


class DomainTables:
    """All domains that have a row."""

    __slots__ = ("keys", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, Domain] = {}
        self.keys: dict[tuple[str, str], DkimKey] = {}


class _Reader(Protocol):
    @property
    def _tables(self) -> Any: ...


class _Writer(_Reader, Protocol):
    _put: Callable[..., None]
    _delete: Callable[..., Any]


def _own(store: _Reader) -> DomainTables:
    tables: DomainTables = store._tables.own_domains
    return tables


class DomainRows:
    """Reads."""

    __slots__ = ()

    def domain(self: _Reader, name: str) -> Domain | None:
        return _own(self).rows.get(name)

    def domains(self: _Reader) -> list[Domain]:
        return sorted(_own(self).rows.values())

    def dkim_keys(self: _Reader, domain: str) -> list[DkimKey]:
        return [key for place, key in sorted(_own(self).keys.items()) if place[0] == domain]


class DomainWrites:
    """Writes."""

    __slots__ = ()

    def put_domain(self: _Writer, row: Domain) -> None:
        self._put(_own(self).rows, row.name, row)

    def delete_domain(self: _Writer, name: str) -> None:
        tables = _own(self)
        if name in tables.rows:
            self._delete(tables.rows, name)
        for place in [place for place in tables.keys if place[0] == name]:
            self._delete(tables.keys, place)

    def put_dkim_key(self: _Writer, key: DkimKey) -> None:
        self._put(_own(self).keys, (key.domain, key.selector), key)

    def delete_dkim_key(self: _Writer, domain: str, selector: str) -> None:
        if (domain, selector) in _own(self).keys:
            self._delete(_own(self).keys, (domain, selector))
