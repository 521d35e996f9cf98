"""SORT (RFC 5256 section 3, RFC 5957, RFC 6203 section 6): what a search found, in the order that somebody wants.

Text is compared as i;unicode-casemap orders it, which is octet by octet once it is folded. Messages that are equal stay in
mailbox order, also where a key is reversed.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final

from postwren.mailstore.service.keys import Key
from postwren.mailstore.service.order import in_order

__all__ = ["SortKey", "keys_for", "relevance", "sort"]


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


_KEYS: Final = {
    SortKey.CC: Key.CC,
    SortKey.DATE: Key.SENT,
    SortKey.FROM: Key.FROM,
    SortKey.SUBJECT: Key.SUBJECT,
    SortKey.TO: Key.TO,
    SortKey.DISPLAYFROM: Key.DISPLAY_FROM,
    SortKey.DISPLAYTO: Key.DISPLAY_TO,
}


def keys_for(order: Sequence[tuple[SortKey, bool]]) -> list[Key]:
    """The columns of keys that `sort` will ask for."""
    return list(dict.fromkeys(_KEYS[key] for key, _ in order if key in _KEYS))


def sort(
    order: Sequence[tuple[SortKey, bool]],
    internaldates: Sequence[int],
    sizes: Sequence[int],
    column: Callable[[Key], Sequence[Any]],
) -> list[int]:
    """The positions 0, 1, ... of the parallel columns by these keys, each with whether it is reversed. One stable pass a key, the
    last key first."""
    found = list(range(len(sizes)))
    for key, is_reversed in reversed(_first_of_each(order)):
        match key:
            case SortKey.ARRIVAL:
                values: Sequence[Any] = internaldates
            case SortKey.SIZE:
                values = sizes
            case SortKey.RELEVANCY:  # the most relevant comes first
                values = [-date for date in internaldates]
            case SortKey.DATE:  # RFC 5256 section 2.2
                sent = column(Key.SENT)
                values = [each if date is None else date for date, each in zip(sent, internaldates, strict=True)]
            case _:
                values = column(_KEYS[key])
        found = in_order(found, values.__getitem__, is_reversed)
    return found


def _first_of_each(order: Sequence[tuple[SortKey, bool]]) -> list[tuple[SortKey, bool]]:
    """A key that comes again decides nothing any more: there are no more passes than keys."""
    first: dict[SortKey, bool] = {}
    for key, is_reversed in order:
        first.setdefault(key, is_reversed)
    return list(first.items())


def relevance(internaldates: Sequence[int]) -> list[int]:
    """A score from 1 to 100 for each message (RFC 6203 section 4): the newest has 100, the oldest 1, equal dates the same."""
    if not internaldates:
        return []
    low, span = min(internaldates), max(internaldates) - min(internaldates)
    return [100 if not span else 1 + (date - low) * 99 // span for date in internaldates]
