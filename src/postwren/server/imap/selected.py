"""The selected mailbox of a session: its snapshot, the session's own numbering of it, and what is still to be told.

What must stay true (RFC 9051 sections 5.2, 7.4 and 7.5.1): numbers change only by EXPUNGE that was sent, and only where a command
may send it; EXISTS never names messages that a held-back EXPUNGE hides; flags are told as they are now, once, and not to the one
who set them. While a session idles nothing is kept but ranges of UIDs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from postwren.mailstore.port import UidRanges
from postwren.mailstore.service import uidrange
from postwren.mailstore.snapshot import Delta, Snapshot, SnapshotHandle
from postwren.protocols.imap.code import PermanentFlags
from postwren.protocols.imap.numset import STAR, NumSet, Saved
from postwren.protocols.imap.response import Status, format_response
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.size import Exists, FlagList, Vanished, format_exists, format_vanished
from postwren.protocols.imap.view import View
from postwren.server.imap.flagtext import SYSTEM, FlagTexts, ordered
from postwren.terms import AccountId, MailboxId, ModSeq

__all__ = ["TOLD_AT_ONCE", "Enabled", "Selected", "Update"]

MOST_RANGES: Final = 512
"""Changes that are kept apart; more are put together, so that a session that never asks stays small (A-46)."""
TOLD_AT_ONCE: Final = 4096
"""Messages whose flags are told in one go, before others get their turn."""


@dataclass(slots=True)
class Enabled:
    """What the client switched on (RFC 5161), or used so that it is on (RFC 7162 section 3.1)."""

    condstore: bool = False
    qresync: bool = False
    uidonly: bool = False
    utf8: bool = False
    rev2: bool = False


class Update(Protocol):
    """A search that is kept up to date (RFC 5267)."""

    def news(self, *, is_before: bool) -> bytes:
        """What came and went, rendered. `is_before`: an expunge is told next, and the numbers are those before it."""


class Selected:
    """See the module. `rights` are those of RFC 4314 that the session has, less what EXAMINE takes away."""

    __slots__ = (
        "_changed",
        "_expunged",
        "_going",
        "_keywords",
        "_own",
        "_sets",
        "account_id",
        "contexts",
        "handle",
        "is_behind",
        "is_gone",
        "is_read_only",
        "mailbox_id",
        "name",
        "rights",
        "stored",
        "tells_flags",
        "tells_uids",
        "texts",
        "view",
        "wake",
    )

    def __init__(
        self, handle: SnapshotHandle, name: str, rights: frozenset[str], texts: FlagTexts, *, is_read_only: bool
    ) -> None:
        snapshot = handle.snapshot
        self.handle = handle
        self.account_id: AccountId = snapshot.account_id
        self.mailbox_id: MailboxId = snapshot.mailbox_id
        self.name = name
        self.rights = rights
        self.texts = texts
        self.is_read_only = is_read_only
        self.is_gone = False  # deleted by somebody else: the session leaves it as soon as it can say so
        self.view = View(handle.uids, handle.count)
        self.stored: list[object] = []  # `store.py`: what became of STOREs that have not had their turn yet
        self.contexts: dict[str, Update] = {}  # by tag: searches that are kept up to date, RFC 5267
        self.wake: Callable[[], None] | None = None
        self.tells_flags = True  # NOTIFY may ask for no changes of flags, or for news with UIDs (RFC 5465 section 5.1)
        self.tells_uids = False
        self._expunged: list[tuple[int, int]] = []
        self._going: list[tuple[int, int]] = []  # ascending: of these expunges some were told, from the last on
        self._changed: list[tuple[int, int]] = []
        self._own: set[int] = set()  # ModSeqs of our own changes of flags, which are told already
        self._sets: set[int] = set()  # sets of flags whose keywords the client was told of
        self._keywords: set[str] = set()
        self.is_behind = False  # there is more to tell than one `news` said: call it again when the peer took that
        handle.listen(self._note)

    def close(self) -> None:
        """Let go of the snapshot."""
        self.wake = None
        self.contexts.clear()
        self.handle.close()

    @property
    def snapshot(self) -> Snapshot:
        """As it is now, with everything that was committed."""
        return self.handle.snapshot

    def _note(self, delta: Delta) -> None:
        """Take notes; it may be called from within `snapshot`."""
        if delta.is_gone:
            self.is_gone = True
        if delta.expunged:
            self._expunged.extend(delta.expunged)
        if delta.changed:
            self._changed.extend(delta.changed)
        if len(self._expunged) > MOST_RANGES:
            self._expunged = [*uidrange.union(self._expunged)]
        if len(self._changed) > MOST_RANGES:
            self._changed = [*_covering(uidrange.union(self._changed))]
        if self.wake is not None:
            self.wake()

    # -- numbers

    def resolve(self, numbers: NumSet, is_uid: bool) -> list[tuple[int, int]] | None:
        """Ranges of UIDs that the view has; None where a sequence number does not exist (which is BAD)."""
        view = self.view
        if not (is_uid or isinstance(numbers, Saved)) and not _exist(numbers, view.count):
            return None
        return view.resolve(numbers, is_uid=is_uid)

    def own(self, modseq: ModSeq) -> None:
        """This change of flags was ours and is told (or was not to be): its echo says nothing new."""
        self._own.add(modseq)

    # -- news

    def news(self, enabled: Enabled, *, may_expunge: bool) -> bytes:
        """What the client does not know yet, rendered; b"" where it knows all, or there is no such mailbox any more. While it
        `is_behind` there is more. Expunges come first, all of them; then numbers stay as they are until there is no more."""
        snapshot = self.handle.snapshot
        view = self.view
        if self.is_gone:
            self.is_behind = False
            return b""
        if not (self._going or self._expunged or self._changed) and view.count == snapshot.count:
            self._own.clear()
            self.is_behind = False
            return b""
        pieces: list[bytes] = []
        if may_expunge and (self._going or (self._expunged and not self.is_behind)):
            if not self._going:
                pieces += [update.news(is_before=True) for update in tuple(self.contexts.values())]
            pieces.append(self._tell_expunged(enabled))
            self.is_behind = bool(self._going)
            if self._going:
                return b"".join(pieces)
        known = view.largest_uid
        pieces.append(self._tell_appended(snapshot))
        pieces.append(self._tell_changed(snapshot, known, enabled))
        pieces += [update.news(is_before=False) for update in tuple(self.contexts.values())]
        return b"".join(pieces)

    def _tell_expunged(self, enabled: Enabled) -> bytes:
        """Some, the last ones first: each number is then true when it is told. All where a search is kept up to date, which tells
        what it loses before."""
        if not self._going:
            self._going, self._expunged = [*uidrange.union(self._expunged)], []
        view = self.view
        left = view.count if self.contexts else TOLD_AT_ONCE
        spans: list[tuple[int, int]] = []
        while self._going and left:
            low, high = self._going.pop()
            start, end = view.span(low, high)
            if end - start > left:
                start = end - left
                self._going.append((low, view.shown[start] - 1))
            if start < end:
                spans.append((start, end))
                left -= end - start
        spans.reverse()
        uids = [uid for start, end in spans for uid in view.shown[start:end]]
        view.remove(spans)
        if enabled.qresync or enabled.uidonly:  # RFC 7162 section 3.2.10, RFC 9586 section 3.3
            return format_vanished(Vanished(tuple(uidrange.of_ascending(uids))), False) if uids else b""
        seqnums = [seqnum for start, end in reversed(spans) for seqnum in range(end, start, -1)]
        return (b"* %d EXPUNGE\r\n" * len(seqnums)) % tuple(seqnums)

    def _tell_appended(self, snapshot: Snapshot) -> bytes:
        return format_exists(Exists(self.view.count), False) if self.view.learn(snapshot.uids) else b""

    def _tell_changed(self, snapshot: Snapshot, known: int, enabled: Enabled) -> bytes:
        """Flags of messages up to UID `known`: of those behind it the client knows nothing yet."""
        ranges, self._changed = uidrange.union(self._changed), []
        self.is_behind = False
        if not self.tells_flags:
            self._own.clear()
            return b""
        rows: list[int] = []
        for at, (lo, hi) in enumerate(ranges):
            start, end = snapshot.span(lo, min(hi, known))
            stop = min(end, start + TOLD_AT_ONCE - len(rows))
            rows += range(start, stop)
            if stop < end:
                self._changed = [(snapshot.uids[stop], hi), *ranges[at + 1 :]]
                self.is_behind = True
                break
        if self._own:
            own, modseqs = self._own, snapshot.modseqs
            rows = [row for row in rows if modseqs[row] not in own]
            if not self.is_behind:
                self._own.clear()
        with_uid = enabled.qresync or enabled.rev2 or self.tells_uids
        return self.tell_flags(snapshot, rows, enabled, with_uid=with_uid) if rows else b""

    def tell_flags(self, snapshot: Snapshot, rows: Sequence[int], enabled: Enabled, *, with_uid: bool) -> bytes:
        """A FETCH of the flags of these rows, those that the view has."""
        flagset_ids = [snapshot.flagset_ids[row] for row in rows]
        fresh = self.tell_keywords(flagset_ids)
        columns: list[Sequence[object]] = []
        uids = [snapshot.uids[row] for row in rows]
        if enabled.uidonly:
            line = b"* %d UIDFETCH (FLAGS %b"
            columns.append(uids)
        else:
            seqnums = self._seqnums(snapshot, rows, uids)
            if len(seqnums) != len(rows):
                return fresh
            line = b"* %d FETCH (" + (b"UID %d " if with_uid else b"") + b"FLAGS %b"
            columns += [seqnums, uids] if with_uid else [seqnums]
        columns.append([self.texts[flagset_id] for flagset_id in flagset_ids])
        if enabled.condstore:
            line += b" MODSEQ (%d)"
            columns.append([snapshot.modseqs[row] for row in rows])
        values = tuple([value for each in zip(*columns, strict=True) for value in each])
        return fresh + ((line + b")\r\n") * len(rows)) % values

    def _seqnums(self, snapshot: Snapshot, rows: Sequence[int], uids: Sequence[int]) -> Sequence[int]:
        if self.view.shown is snapshot.uids:
            return [row + 1 for row in rows]
        return [seqnum for seqnum in map(self.view.seqnum, uids) if seqnum is not None]

    def tell_keywords(self, flagset_ids: Sequence[int]) -> bytes:
        """RFC 9051 section 7.3.5: FLAGS again, where a message has a keyword that it did not name."""
        fresh = set(flagset_ids) - self._sets
        if not fresh:
            return b""
        keywords = self.learn(fresh)
        if not keywords:
            return b""
        flags = tuple(self.flags())
        permanent = Condition(Status.OK, "keywords may be made", PermanentFlags((*flags, "\\*")))
        says = format_response(FlagList(flags), False)
        return says if self.is_read_only else says + format_response(permanent, False)

    def learn(self, flagset_ids: set[int]) -> set[str]:
        """Count these sets as told; returns keywords that are new by that."""
        self._sets |= flagset_ids
        flags = frozenset().union(*(self.texts.set_of(flagset_id) for flagset_id in flagset_ids))
        fresh = set(flags) - self._keywords - set(SYSTEM)
        self._keywords |= fresh
        return fresh

    def flags(self) -> list[str]:
        """What FLAGS names."""
        return [*SYSTEM, *ordered(self._keywords)]


def _exist(numbers: tuple[tuple[int, int], ...], count: int) -> bool:
    """Whether these sequence numbers are there; in an empty mailbox not even `*` is."""
    return count > 0 and all(end <= count or end == STAR for ends in numbers for end in ends)


def _covering(ranges: UidRanges) -> UidRanges:
    """Few ranges that hold all of these: flags told once too often do no harm."""
    if len(ranges) <= MOST_RANGES:
        return ranges
    return [(ranges[0][0], ranges[-1][1])]
