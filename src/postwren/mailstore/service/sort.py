"""SORT (RFC 5256 section 3, RFC 5957, RFC 6203 section 6): rows of a mailbox in the order that somebody wants.

Text is compared as i;unicode-casemap orders it, which is octet by octet once it is folded. Rows that are equal stay in mailbox
order, also where a key is reversed.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Any

from postwren.mailstore.service.keys import Keys

__all__ = ["SortKey", "needs_keys", "relevance", "sort"]


class SortKey(enum.Enum):
    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"
    RELEVANCY = "RELEVANCY"


_OF_COLUMNS = frozenset({SortKey.ARRIVAL, SortKey.SIZE, SortKey.RELEVANCY})


def needs_keys(order: Sequence[tuple[SortKey, bool]]) -> bool:
    """Whether the keys of messages are looked at; else `sort` may be given none."""
    return any(key not in _OF_COLUMNS for key, _ in order)


def sort(
    rows: Sequence[int],
    order: Sequence[tuple[SortKey, bool]],
    internaldates: Sequence[int],
    sizes: Sequence[int],
    keys: Callable[[int], Keys],
) -> list[int]:
    """The rows (ascending positions in the columns) by these keys, each with whether it is reversed; `keys(row)` is asked once a
    row and key. One stable pass a key, the last key first."""
    found = list(rows)
    for key, is_reversed in reversed(_first_of_each(order)):
        values = _values(found, key, internaldates, sizes, keys)
        found.sort(key=values.__getitem__, reverse=is_reversed)
    return found


def _first_of_each(order: Sequence[tuple[SortKey, bool]]) -> list[tuple[SortKey, bool]]:
    """A key that comes again decides nothing any more: the passes are no more than there are keys."""
    first: dict[SortKey, bool] = {}
    for key, is_reversed in order:
        first.setdefault(key, is_reversed)
    return list(first.items())


def _values(
    rows: Sequence[int], key: SortKey, internaldates: Sequence[int], sizes: Sequence[int], keys: Callable[[int], Keys]
) -> dict[int, Any]:
    """What is compared, by row."""
    match key:
        case SortKey.ARRIVAL:
            return {row: internaldates[row] for row in rows}
        case SortKey.SIZE:
            return {row: sizes[row] for row in rows}
        case SortKey.RELEVANCY:  # the most relevant first, and newer is more relevant
            return {row: -internaldates[row] for row in rows}
        case SortKey.DATE:  # RFC 5256 section 2.2
            return {row: internaldates[row] if (sent := keys(row).sent) is None else sent for row in rows}
        case SortKey.SUBJECT:
            return {row: keys(row).subject for row in rows}
        case SortKey.FROM:
            return {row: keys(row).sent_from for row in rows}
        case SortKey.TO:
            return {row: keys(row).sent_to for row in rows}
        case SortKey.CC:
            return {row: keys(row).sent_cc for row in rows}
        case SortKey.DISPLAYFROM:
            return {row: keys(row).display_from for row in rows}
        case SortKey.DISPLAYTO:
            return {row: keys(row).display_to for row in rows}


def relevance(rows: Sequence[int], internaldates: Sequence[int]) -> list[int]:
    """A score from 1 to 100 for each row (RFC 6203 section 4): the newest has 100, the oldest 1, equal dates the same."""
    if not rows:
        return []
    dates = [internaldates[row] for row in rows]
    low, span = min(dates), max(dates) - min(dates)
    return [100 if not span else 1 + (date - low) * 99 // span for date in dates]
