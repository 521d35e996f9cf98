"""Searches that are kept up to date (RFC 5267 section 4.3): what a mailbox's news make of a result is told with them."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from postwren.mailstore import query as q
from postwren.mailstore.service import uidrange
from postwren.mailstore.snapshot import Snapshot
from postwren.protocols.imap.response import format_response
from postwren.protocols.imap.response.search import Esearch
from postwren.server.imap.selected import Selected

__all__ = ["keep_up_to_date"]

Find: TypeAlias = Callable[[Snapshot, q.Query], Iterable[int]]
"""UIDs, from the columns alone."""


def keep_up_to_date(selected: Selected, tag: str, query: q.Query, find: Find, uids: Sequence[int], *, is_uid: bool) -> None:
    """Tell what comes and goes, until the mailbox is left or CANCELUPDATE. The query is one of columns."""
    context = _Context(selected, tag, query, find, set(uids), is_uid)
    selected.contexts[tag] = context


class _Context:
    """One search. Its result is kept as a set of UIDs."""

    __slots__ = ("_find", "_is_uid", "_query", "_selected", "_tag", "_uids")

    def __init__(self, selected: Selected, tag: str, query: q.Query, find: Find, uids: set[int], is_uid: bool) -> None:
        self._find = find
        self._selected = selected
        self._tag = tag
        self._query = query
        self._uids = uids
        self._is_uid = is_uid

    def news(self, *, is_before: bool) -> bytes:
        """`is_before`: the numbers are those before an expunge that is told next, and only what goes is told."""
        selected = self._selected
        snapshot = selected.snapshot
        last = selected.view.largest_uid
        now = {uid for uid in self._find(snapshot, self._query) if uid <= last}
        gone = self._uids - now
        came = set() if is_before else now - self._uids
        self._uids = (self._uids - gone) | came
        return self._tell(gone, came)

    def _tell(self, gone: set[int], came: set[int]) -> bytes:
        """Position 0: where they stand in the result is of no use to an unsorted search (section 4.3.2)."""
        removes, adds = self._numbers(gone), self._numbers(came)
        if not (removes or adds):
            return b""
        response = Esearch(
            tag=self._tag,
            is_uid=self._is_uid,
            removes=((0, tuple(uidrange.of(removes))),) if removes else (),
            adds=((0, tuple(uidrange.of(adds))),) if adds else (),
        )
        return format_response(response, False)

    def _numbers(self, uids: set[int]) -> list[int]:
        if self._is_uid:
            return sorted(uids)
        return sorted(seqnum for seqnum in map(self._selected.view.seqnum, uids) if seqnum is not None)
