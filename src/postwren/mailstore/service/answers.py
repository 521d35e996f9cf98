"""Answers of searches that were given lately: clients that show a mailbox ask the same again whenever they come back to it.

An answer is good as long as the mailbox has the same messages. What they say never changes; where a query asks of flags or
mod-sequences, which do, its answer is not kept.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final

from postwren.mailstore import query as q
from postwren.mailstore.service.search import FixedColumns

__all__ = ["Answers"]

MOST: Final = 32
MOST_MESSAGES: Final = 50_000
"""Of a mailbox; an answer holds up to 100 octets of each."""


class Answers:
    """The last ones."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[FixedColumns, Any]] = OrderedDict()

    def get(self, question: Hashable, columns: FixedColumns) -> Any:
        """The answer to this question about this mailbox; None where it is not known."""
        try:
            known = self._kept.get(question)
        except TypeError:  # a list is in it
            return None
        if known is None or not _has_same_messages(known[0], columns):
            return None
        self._kept.move_to_end(question)
        return known[1]

    def put(self, question: Hashable, columns: FixedColumns, query: q.Query, answer: Any) -> None:
        """Keep an answer, if it is one that can be kept."""
        if len(columns.uids) > MOST_MESSAGES or any(isinstance(node, q.HasFlag | q.ModSeqFrom) for node in q.nodes(query)):
            return
        try:
            self._kept[question] = columns, answer
        except TypeError:
            return
        self._kept.move_to_end(question)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)


def _has_same_messages(one: FixedColumns, other: FixedColumns) -> bool:
    """The query decides which columns there are, so that both have the same ones."""
    return (
        one.uids == other.uids
        and one.email_ids == other.email_ids
        and one.internaldates == other.internaldates
        and one.savedates == other.savedates
        and one.sizes == other.sizes
    )
