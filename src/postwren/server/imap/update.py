"""Searches that are kept up to date (RFC 5267 section 4.3): what a mailbox's news make of a result is told with them."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from postwren.mailstore import query as q
from postwren.mailstore.port import Store
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.keys import Keys
from postwren.mailstore.service.sort import SortKey, keys_for, sort
from postwren.mailstore.snapshot import Snapshot
from postwren.protocols.imap.code import NoUpdate
from postwren.protocols.imap.response import Status, format_response
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.search import Esearch
from postwren.server.imap.searchresult import in_order
from postwren.server.imap.selected import Selected

__all__ = ["MOST_SORTED", "Order", "Sorter", "keep_in_order", "keep_up_to_date", "not_kept"]

Find: TypeAlias = Callable[[Snapshot, q.Query], Iterable[int]]
"""UIDs, from the columns alone."""
Order: TypeAlias = Sequence[tuple[SortKey, bool]]
Moves: TypeAlias = tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
"""(context position, what is taken out or put in there), each pair as things are when those before it are done."""
MOST_SORTED: Final = 2_000
"""Messages of a result that is kept in order: what is new is compared with all of them, on the loop."""
MOST_NEW: Final = 200
"""Messages that come at once: they may have to be read for what they are sorted by."""


def keep_up_to_date(selected: Selected, tag: str, query: q.Query, find: Find, uids: Sequence[int], *, is_uid: bool) -> None:
    """Tell what comes and goes, until the mailbox is left or CANCELUPDATE. The query is one of columns."""
    selected.contexts[tag] = _Context(selected, tag, query, find, set(uids), is_uid)


def keep_in_order(
    selected: Selected, tag: str, query: q.Query, find: Find, uids: Sequence[int], sorter: "Sorter", *, is_uid: bool
) -> None:
    """The same for SORT: `uids` are in its order, and up to `MOST_SORTED`."""
    selected.contexts[tag] = _SortedContext(selected, tag, query, find, list(uids), is_uid, sorter)


def not_kept(tag: str) -> Condition:
    """RFC 5267 section 4.3.1."""
    return Condition(Status.NO, "not kept up to date", NoUpdate(tag))


class Sorter:
    """Puts messages in one order. What they are sorted by is kept, so that only new ones are looked at; the keys are its own, for
    the loop's thread alone."""

    def __init__(self, store: Store, order: Order) -> None:
        self._reader = store.reader
        self._keys = Keys(store.read_body, store.digests, store)
        self._order = order
        self.reads_messages = bool(keys_for(order))

    def sorted(self, snapshot: Snapshot, uids: Iterable[int]) -> list[int]:
        """These UIDs, which the snapshot has, in order."""
        rows = [bisect_left(snapshot.uids, uid) for uid in sorted(uids)]
        email_ids = [snapshot.email_ids[row] for row in rows]
        dates, sizes = [snapshot.internaldates[row] for row in rows], [snapshot.sizes[row] for row in rows]
        places = sort(self._order, dates, sizes, lambda key: self._keys.column(self._reader, snapshot.account_id, email_ids, key))
        return [snapshot.uids[rows[place]] for place in places]


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
        return self._tell(snapshot, gone, came) if gone or came else b""

    def _tell(self, snapshot: Snapshot, gone: set[int], came: set[int]) -> bytes:  # noqa: ARG002 - who sorts needs it
        """Position 0: where they stand in the result is of no use to an unsorted search (section 4.3.2)."""
        removes, adds = sorted(self._numbers(gone)), sorted(self._numbers(came))
        return self._format(
            ((0, tuple(uidrange.of(removes))),) if removes else (), ((0, tuple(uidrange.of(adds))),) if adds else ()
        )

    def _format(self, removes: Moves, adds: Moves) -> bytes:
        if not (removes or adds):
            return b""
        return format_response(Esearch(tag=self._tag, is_uid=self._is_uid, removes=removes, adds=adds), False)

    def _numbers(self, uids: Iterable[int]) -> list[int]:
        """As the command counts, in the order given."""
        if self._is_uid:
            return list(uids)
        return [seqnum for seqnum in map(self._selected.view.seqnum, uids) if seqnum is not None]


class _SortedContext(_Context):
    """One SORT. What a message is sorted by never changes, so those that stay keep their order."""

    __slots__ = ("_ordered", "_sorter")

    def __init__(
        self, selected: Selected, tag: str, query: q.Query, find: Find, uids: list[int], is_uid: bool, sorter: Sorter
    ) -> None:
        super().__init__(selected, tag, query, find, set(uids), is_uid)
        self._ordered = uids
        self._sorter = sorter

    def _tell(self, snapshot: Snapshot, gone: set[int], came: set[int]) -> bytes:
        if len(self._uids) > MOST_SORTED or (len(came) > MOST_NEW and self._sorter.reads_messages):
            self._selected.contexts.pop(self._tag, None)
            return format_response(not_kept(self._tag), False)
        removes = self._moves(self._ordered, gone, is_removal=True)
        self._ordered = [uid for uid in self._ordered if uid not in gone]
        if came:
            self._ordered = self._sorter.sorted(snapshot, self._uids)
        return self._format(removes, self._moves(self._ordered, came, is_removal=False))

    def _moves(self, ordered: Sequence[int], moved: set[int], *, is_removal: bool) -> Moves:
        """Runs of neighbours in the result, with the position of the first when those before it were taken out or put in."""
        runs: list[tuple[int, list[int]]] = []
        before = 0
        for at, uid in enumerate(ordered, 1):
            if uid not in moved:
                continue
            position = at - before if is_removal else at
            if runs and (position == runs[-1][0] if is_removal else position == runs[-1][0] + len(runs[-1][1])):
                runs[-1][1].append(uid)
            else:
                runs.append((position, [uid]))
            before += 1
        return tuple([(position, tuple(in_order(self._numbers(uids)))) for position, uids in runs])
