"""What the remote side says of a mailbox since a checkpoint, in as few round trips as the server allows (docs/sync.md, "Look" and
"Check").

    QRESYNC (RFC 7162)       SELECT with what we know, and what is new: one round trip
    CONDSTORE                SELECT, changed flags, what is new: one, and a list of UIDs where the numbers do not agree
    neither                  SELECT, all flags, what is new

What must stay true (D-70): a message counts as gone only where the number of those that are left agrees with EXISTS and the
server, asked for it, has it not; or where the whole list of UIDs lacks it. A server that contradicts itself is listed whole.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

from postwren.client.imap import ImapClient, Selected, Step
from postwren.mailstore.service import uidrange
from postwren.protocols.imap import code as codes
from postwren.protocols.imap.command import Fetch, Select
from postwren.protocols.imap.command.fetch import FetchItem, Item
from postwren.protocols.imap.command.select import QresyncState
from postwren.protocols.imap.response import Status, Tagged, Untagged
from postwren.protocols.imap.response.fetch import Fetched
from postwren.protocols.imap.response.size import Exists, Expunged, Vanished
from postwren.sync.hunk import Flags

__all__ = ["Abilities", "Arrived", "Checkpoint", "Known", "Look", "MailboxRefused", "look"]

RECENT: Final = "\\recent"
LARGEST: Final = (1 << 32) - 1  # not `*`, which stands for the last message also where that is older than what is asked for


class Abilities(NamedTuple):
    """What the server has beyond the least; a run falls back where it has not."""

    condstore: bool
    qresync: bool
    list_status: bool
    special_use: bool
    object_id: bool
    uidplus: bool
    move: bool

    @classmethod
    def of(cls, capabilities: frozenset[str]) -> "Abilities":
        rev2 = "IMAP4REV2" in capabilities
        qresync = "QRESYNC" in capabilities
        return cls(
            condstore=qresync or "CONDSTORE" in capabilities,
            qresync=qresync,
            list_status=rev2 or "LIST-STATUS" in capabilities,
            special_use=rev2 or "SPECIAL-USE" in capabilities,
            object_id="OBJECTID" in capabilities,
            uidplus=rev2 or "UIDPLUS" in capabilities,
            move=rev2 or "MOVE" in capabilities,
        )


class Checkpoint(NamedTuple):
    """How far a mailbox was compared. `highestmodseq` 0: the server does not count."""

    uidvalidity: int
    uidnext: int
    highestmodseq: int


class Known(NamedTuple):
    """The pairs of a mailbox: how many, and on demand their remote UIDs, ascending."""

    total: int
    uids: Callable[[], Sequence[int]]


class Arrived(NamedTuple):
    """A message that is not paired. `email_id` is the server's EMAILID (RFC 8474), if it has it."""

    uid: int
    flags: Flags
    size: int
    internaldate: int
    email_id: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """What is different there. `is_new_epoch`: UIDVALIDITY changed, so `changed` and `gone` say nothing and all messages are
    `new`. `storable`: the flags that stay (PERMANENTFLAGS; None: any). `was_listed`: every UID was asked for."""

    checkpoint: Checkpoint
    exists: int
    is_new_epoch: bool
    is_read_only: bool
    was_listed: bool
    storable: Flags | None
    changed: dict[int, Flags]
    gone: set[int]
    new: dict[int, Arrived]


class MailboxRefused(Exception):
    """The server does not let us in: no such mailbox, or no right to it."""


async def look(
    client: ImapClient, abilities: Abilities, mailbox: str, since: Checkpoint | None, known: Known, *, is_examine: bool = False
) -> Look:
    """Select a mailbox and say what differs from the checkpoint; it stays selected. Raises MailboxRefused, and what the
    client raises."""
    glance = _Glance(client, abilities, mailbox, since, is_examine)
    await glance.take()
    if since is not None and glance.selected.uidvalidity != since.uidvalidity:
        await glance.begin_anew()
        return glance.found(set(), was_listed=True, is_new_epoch=True)
    if glance.lacks_modseq():
        await glance.list_all()
    glance.part(known)
    uids = None if glance.listed is None and not glance.vanished else set(known.uids())
    gone = set() if uids is None else glance.gone(uids)
    is_right = known.total - len(gone) + len(glance.arrived) == glance.exists and not glance.goes_back()
    if not is_right or not await glance.are_absent(gone):
        uids = set(known.uids()) if uids is None else uids
        await glance.list_all()
        await glance.fetch_unknown(uids)
        gone = glance.gone(uids)
    return glance.found(gone, was_listed=glance.listed is not None)


class _Glance:
    """What a SELECT and the FETCHes beside it say."""

    def __init__(
        self, client: ImapClient, abilities: Abilities, mailbox: str, since: Checkpoint | None, is_examine: bool
    ) -> None:
        self._client = client
        self._mailbox = mailbox
        self._since = since
        self._is_examine = is_examine
        self._condstore = abilities.condstore
        self._has_modseq = abilities.condstore and since is not None and since.highestmodseq > 0
        self._qresync = abilities.qresync and self._has_modseq
        self._items: tuple[FetchItem, ...] = (Item.UID, Item.FLAGS, Item.RFC822_SIZE, Item.INTERNALDATE)
        if abilities.object_id:
            self._items += (Item.EMAILID,)
        self._first_new = 1 if since is None else since.uidnext
        self.selected = Selected()
        self.exists = 0
        self.changed: dict[int, Flags] = {}
        self.arrived: dict[int, Arrived] = {}
        self.vanished: list[tuple[int, int]] = []
        self.listed: array[int] | None = None  # the UIDs that were told, where all were asked for

    async def take(self) -> None:
        """SELECT, and all that can be asked in the same breath."""
        steps = [Step(self._select(), self._told)]
        if self._since is None:
            self.listed = array("I")
        if self._first_new > 1 and not self._qresync:
            modseq = self._since.highestmodseq if self._since is not None and self._has_modseq else None
            steps.append(Step(Fetch(True, ((1, self._first_new - 1),), (Item.UID, Item.FLAGS), modseq), self._told))
            self.listed = None if self._has_modseq else array("I")
        steps.append(Step(Fetch(True, ((self._first_new, LARGEST),), self._items), self._told))
        answers = await self._run(steps)
        self.selected.is_read_only = self._is_examine or answers[0].code == codes.READ_ONLY

    def _select(self) -> Select:
        since = self._since
        if self._qresync and since is not None:
            known = ((1, since.uidnext - 1),) if since.uidnext > 1 else None
            return Select(self._mailbox, self._is_examine, qresync=QresyncState(since.uidvalidity, since.highestmodseq, known))
        return Select(self._mailbox, self._is_examine, condstore=self._condstore)

    async def _run(self, steps: Sequence[Step]) -> list[Tagged]:
        answers = await self._client.run_all(steps)
        for answer in answers:
            if answer.status is not Status.OK:
                raise MailboxRefused(f"{self._mailbox}: {answer.text}")
        return answers

    async def _fetch(self, numbers: tuple[tuple[int, int], ...], items: tuple[FetchItem, ...]) -> None:
        await self._run([Step(Fetch(True, numbers, items), self._told)])

    def _told(self, response: Untagged) -> None:
        match response:
            case Fetched(uid=int(uid)):
                self._fetched(response, uid)
            case Exists(count):
                self.exists = count
            case Expunged():
                self.exists -= 1
            case Vanished(uids, is_earlier):
                self.vanished += uids
                self.exists -= 0 if is_earlier else sum(last - first + 1 for first, last in uids)
            case _:
                self.selected.take(response)

    def _fetched(self, response: Fetched, uid: int) -> None:
        flags = None if response.flags is None else _flags(response.flags)
        if self.listed is not None:
            self.listed.append(uid)
        if uid in self.arrived:
            if flags is not None:
                self.arrived[uid] = self.arrived[uid]._replace(flags=flags)
        elif uid < self._first_new or uid in self.changed:
            if flags is not None:
                self.changed[uid] = flags
        elif response.size is not None:  # else: a change of a message that is asked for later
            at = response.internaldate or 0
            self.arrived[uid] = Arrived(uid, flags or frozenset(), response.size, at, response.email_id)

    async def begin_anew(self) -> None:
        """Another UIDVALIDITY: nothing of what was asked by UID means anything."""
        self._since, self._first_new = None, 1
        self.changed, self.arrived, self.vanished, self.listed = {}, {}, [], None
        await self._fetch(((1, LARGEST),), self._items)

    def part(self, known: Known) -> None:
        """What is above the checkpoint and paired was sent from here: it is not new, but its flags may be."""
        uids = known.uids() if self.arrived else ()
        for uid in [uid for uid in self.arrived if _holds(uids, uid)]:
            self.changed[uid] = self.arrived.pop(uid).flags

    def lacks_modseq(self) -> bool:
        """We counted on MODSEQs, and this mailbox does not keep them any more (NOMODSEQ)."""
        return self._has_modseq and self.selected.highestmodseq is None

    def goes_back(self) -> bool:
        """Counters that only rise have fallen: nothing else that this server says is to be believed unseen."""
        since, uidnext, modseq = self._since, self.selected.uidnext, self.selected.highestmodseq
        if since is None:
            return False
        return (uidnext is not None and uidnext < since.uidnext) or (modseq is not None and modseq < since.highestmodseq)

    async def are_absent(self, gone: set[int]) -> bool:
        """Whether the server, asked for what it said is gone, has nothing of it."""
        if not gone or self.listed is not None:
            return True
        self.listed = array("I")
        await self._fetch(tuple(uidrange.of(gone)), (Item.UID,))
        told, self.listed = self.listed, None
        return gone.isdisjoint(told)

    async def list_all(self) -> None:
        """Every UID with its flags."""
        self.listed, self.vanished = array("I"), []
        await self._fetch(((1, LARGEST),), (Item.UID, Item.FLAGS))

    async def fetch_unknown(self, known: set[int]) -> None:
        """Messages that are there and not paired, whatever their UIDs; a wrong UIDNEXT may have hidden them."""
        present = set(self.listed or ())
        self.arrived = {uid: arrived for uid, arrived in self.arrived.items() if uid in present and uid not in known}
        self.changed = {uid: flags for uid, flags in self.changed.items() if uid in known}
        if missing := sorted(present - known - self.arrived.keys()):
            listed, first_new = self.listed, self._first_new
            self.listed, self._first_new = None, 1
            await self._fetch(tuple((uid, uid) for uid in missing), self._items)
            self.listed, self._first_new = listed, first_new

    def gone(self, known: set[int]) -> set[int]:
        """Those of the known that are not there any more."""
        if self.listed is not None:
            return known.difference(self.listed, self.arrived)
        largest = max(known, default=0)
        return known.intersection(chain.from_iterable(range(first, min(last, largest) + 1) for first, last in self.vanished))

    def found(self, gone: set[int], *, was_listed: bool, is_new_epoch: bool = False) -> Look:
        """What is told."""
        selected = self.selected
        uidnext = max(selected.uidnext or self._first_new, max(self.arrived, default=0) + 1)
        permanent = selected.permanent_flags
        return Look(
            Checkpoint(selected.uidvalidity, uidnext, selected.highestmodseq or 0),
            self.exists,
            is_new_epoch,
            selected.is_read_only,
            was_listed,
            None if permanent is None or "\\*" in permanent else _flags(permanent),
            self.changed,
            gone,
            self.arrived,
        )


def _holds(uids: Sequence[int], uid: int) -> bool:
    at = bisect_left(uids, uid)
    return at < len(uids) and uids[at] == uid


def _flags(flags: Sequence[str]) -> Flags:
    return frozenset(flag for flag in flags if flag.lower() != RECENT)
