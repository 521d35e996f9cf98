"""What one session sees of a maildrop: fixed numbers, marks for deletion, and what others removed meanwhile.

RFC 1939 sections 5 and 7. Message numbers count from 1 on the wire and from 0 here (`index`). Listings are rendered
in bulk from the maildrop's columns. While nothing changes in the mailbox its sessions share one `RenderedMaildrop`: a
device that asks every few minutes costs a look-up.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain, compress
from typing import Any, Final

from postwren.mailstore.model import Change, ChangeKind
from postwren.mailstore.port import Store
from postwren.mailstore.service.maildrop import Maildrop, open_maildrop
from postwren.terms import INBOX, AccountId, ModSeq, Uid

__all__ = ["MaildropCache", "MaildropView", "RenderedMaildrop"]

CACHED_MESSAGES: Final = 100_000  # some 20 MB
CACHED_MAILDROPS: Final = 1_000


class RenderedMaildrop:
    """A maildrop, and its whole listings once they were asked for. It never changes."""

    __slots__ = ("_list", "_uidl", "drop")

    def __init__(self, drop: Maildrop) -> None:
        self.drop = drop
        self._list: bytes | None = None
        self._uidl: bytes | None = None

    def list_lines(self) -> bytes:
        """`number SP size` for every message."""
        if self._list is None:
            self._list = _render(range(1, len(self.drop) + 1), self.drop.sizes, "%d %d\r\n")
        return self._list

    def uidl_lines(self) -> bytes:
        """`number SP unique-id` for every message."""
        if self._uidl is None:
            self._uidl = _render(range(1, len(self.drop) + 1), self.drop.uidls(), "%d %s\r\n")
        return self._uidl


def _render(numbers: Sequence[int], column: Sequence[Any], form: str) -> bytes:
    """One formatting for all lines: some 0.2 microseconds a message."""
    return (form * len(numbers) % tuple(chain.from_iterable(zip(numbers, column, strict=True)))).encode()


class MaildropCache:
    """The maildrops that were opened last, valid as long as their mailbox's highestmodseq stands."""

    __slots__ = ("_cached", "_messages", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cached: OrderedDict[AccountId, tuple[ModSeq, RenderedMaildrop]] = OrderedDict()
        self._messages = 0

    async def open(self, account_id: AccountId) -> RenderedMaildrop:
        """The account's INBOX as it stands now."""
        inbox = self._store.reader.mailbox_by_name(account_id, INBOX)
        cached = self._cached.get(account_id)
        if inbox is not None and cached is not None:
            modseq, rendered = cached
            if modseq == inbox.highestmodseq and rendered.drop.uidvalidity == inbox.uidvalidity:
                self._cached.move_to_end(account_id)
                return rendered
        rendered = RenderedMaildrop(await open_maildrop(self._store, account_id))
        if inbox is not None:
            # The maildrop may be newer than `inbox`; then no look-up will ever find it under this older ModSeq.
            self._keep(account_id, inbox.highestmodseq, rendered)
        return rendered

    def clear(self) -> None:
        """Messages were moved to other segments: what is kept here names the old ones, whose files will be deleted."""
        self._cached.clear()
        self._messages = 0

    def _keep(self, account_id: AccountId, modseq: ModSeq, rendered: RenderedMaildrop) -> None:
        old = self._cached.pop(account_id, None)
        if old is not None:
            self._messages -= len(old[1].drop)
        self._cached[account_id] = (modseq, rendered)
        self._messages += len(rendered.drop)
        while self._messages > CACHED_MESSAGES or len(self._cached) > CACHED_MAILDROPS:
            _, (_, evicted) = self._cached.popitem(last=False)
            self._messages -= len(evicted.drop)


class MaildropView:
    """A session's maildrop."""

    __slots__ = ("_gone", "_length", "_marked", "_rendered", "count", "drop", "size")

    def __init__(self, rendered: RenderedMaildrop) -> None:
        self._rendered = rendered
        self.drop = rendered.drop
        self._marked: set[int] = set()
        self._gone: set[int] = set()
        self._length = len(self.drop)
        self.count = self._length  # without what is marked
        self.size = self.drop.total_size

    def is_listed(self, number: int) -> bool:
        """Whether this message number stands for a message that is not marked."""
        return 0 < number <= self._length and number - 1 not in self._marked

    def is_there(self, number: int) -> bool:
        """Whether this number is listed, and no other session removed its message since the login (D-52)."""
        index = number - 1
        return 0 <= index < self._length and index not in self._marked and index not in self._gone

    def mark(self, number: int) -> None:
        """DELE of a listed message."""
        self._marked.add(number - 1)
        self.count -= 1
        self.size -= self.drop.sizes[number - 1]

    def reset(self) -> None:
        """RSET."""
        self._marked.clear()
        self.count = len(self.drop)
        self.size = self.drop.total_size

    def to_remove(self) -> list[Uid]:
        """The marked messages, ascending; some may be gone already, which is no fault of the removal."""
        return [self.drop.uids[index] for index in sorted(self._marked)]

    def list_lines(self) -> bytes:
        """LIST of what is not marked."""
        if not self._marked:
            return self._rendered.list_lines()
        kept = self._kept()
        return _render([*compress(range(1, len(kept) + 1), kept)], [*compress(self.drop.sizes, kept)], "%d %d\r\n")

    def uidl_lines(self) -> bytes:
        """UIDL of what is not marked."""
        if not self._marked:
            return self._rendered.uidl_lines()
        kept = self._kept()
        return _render([*compress(range(1, len(kept) + 1), kept)], [*compress(self.drop.uidls(), kept)], "%d %s\r\n")

    def _kept(self) -> bytearray:
        kept = bytearray(b"\1") * len(self.drop)
        for index in self._marked:
            kept[index] = 0
        return kept

    def follow(self, changes: Sequence[Change]) -> None:
        """What happened in the account."""
        for change in changes:
            if change.mailbox_id != self.drop.mailbox_id:
                continue
            if change.kind is ChangeKind.EXPUNGED:
                first, last = bisect_left(self.drop.uids, change.uid_lo), bisect_right(self.drop.uids, change.uid_hi)
                self._gone.update(range(first, last))
            elif change.kind is ChangeKind.MAILBOX_DELETED:
                self._gone.update(range(len(self.drop)))
