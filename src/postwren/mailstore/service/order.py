"""Sorting of what may be long, in a thread beside the loop: `list.sort` lets nobody else run until it is done."""

from collections.abc import Callable, Iterable
from heapq import merge
from typing import Any, Final, TypeVar

__all__ = ["in_order"]

T = TypeVar("T")
AT_ONCE: Final = 50_000
"""Some 20 milliseconds."""


def in_order(items: Iterable[T], key: Callable[[T], Any], is_reversed: bool = False) -> list[T]:
    """The items by key, ascending or descending, equal ones in the order given."""
    whole = list(items)
    if len(whole) <= AT_ONCE:
        whole.sort(key=key, reverse=is_reversed)
        return whole
    runs = [sorted(whole[at : at + AT_ONCE], key=key, reverse=is_reversed) for at in range(0, len(whole), AT_ONCE)]
    return list(merge(*runs, key=key, reverse=is_reversed))
