"""The copy of an IMAP account beside the account: every mailbox, UID, flag and octet.

LIST and STATUS        the mailboxes
for each of them       SELECT and all UIDs; then windows of messages, several on the wire: FLAGS and BODY.PEEK[], hashed as
                       they come, or with `is_quick` their sizes and headers
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from postwren.client.conversation import ServerFailed
from postwren.client.imap import ImapClient, Selected, Step
from postwren.mailstore.model import Entry
from postwren.mailstore.port import Reader, Store
from postwren.mailstore.replica import LARGEST, Pair, Replica
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import FlagSets, normal
from postwren.protocols.imap.client import LiteralBegan
from postwren.protocols.imap.command import Fetch, Select
from postwren.protocols.imap.command.fetch import FetchItem, Item, Section, SectionText
from postwren.protocols.imap.response import Status, Tagged, Untagged
from postwren.protocols.imap.response.fetch import Fetched
from postwren.sync import mirror
from postwren.sync.hunk import Flags
from postwren.sync.identity import HEADER, headers_here
from postwren.sync.names import local_mailboxes, remote_mailboxes
from postwren.sync.remote import Remote
from postwren.sync.replica import HELD
from postwren.sync.report import Began, Difference, Noted
from postwren.sync.settings import Settings
from postwren.sync.verify import Tally
from postwren.terms import AccountId, EmailId
from postwren.wire.secret import Secret

__all__ = ["compare", "compare_all"]

WINDOW: Final = 250
_WHOLE: Final[tuple[FetchItem, ...]] = (Item.UID, Item.FLAGS, Section(is_peek=True))
_QUICK: Final[tuple[FetchItem, ...]] = (Item.UID, Item.FLAGS, Item.RFC822_SIZE, Section(text=SectionText.HEADER, is_peek=True))


async def compare(
    store: Store, account_id: AccountId, settings: Settings, secret: Secret[str], tally: Tally, *, is_quick: bool
) -> None:
    """Log in and compare. Raises `trouble.TROUBLE` and SyncFailed."""
    async with mirror.entered(settings, secret) as (client, mechanism):
        tally.tell(Began(settings.address, "imap", settings.host, client.tls_version or "", mechanism))
        await compare_all(store, account_id, client, tally, is_quick=is_quick)
        with suppress(ServerFailed, OSError):
            await client.logout()


async def compare_all(store: Store, account_id: AccountId, client: ImapClient, tally: Tally, *, is_quick: bool) -> None:
    """Every mailbox of either side."""
    listed = await (await Remote.enter(client)).mailboxes()
    tally.of = sum(mailbox.messages for mailbox in listed)
    account = store.reader.account(account_id)
    tally.of_octets = 0 if account is None else account.used
    replicas = {row.remote_name: row for row in store.reader.replicas(account_id)}

    def note(text: str) -> None:
        tally.tell(Noted(tally.address, text))

    for mailbox in remote_mailboxes(listed, bool, note):
        replica = replicas.pop(mailbox.remote_name, None)
        if replica is None or store.reader.mailbox(account_id, replica.mailbox_id) is None:
            tally.differ(mailbox.name, Difference.MAILBOX_MISSING_HERE)
        else:
            await _Comparison(store, account_id, client, replica, tally, is_quick).run()
    bound = {row.mailbox_id for row in store.reader.replicas(account_id)} - {row.mailbox_id for row in replicas.values()}
    for here in local_mailboxes(store, account_id):
        if here.mailbox_id not in bound:
            tally.differ(here.name, Difference.MAILBOX_MISSING_THERE)


class Seen(NamedTuple):
    """A message as the server showed it. `proof`: the hash of its octets, or of its header; None where it gave none."""

    flags: Flags
    size: int | None
    proof: bytes | None


class Side(NamedTuple):
    """A window's rows here: pairs, their entries by UID, and per email (size, proof)."""

    pairs: list[Pair]
    entries: dict[int, tuple[Entry, Flags]]
    emails: dict[EmailId, tuple[int, bytes]]


@dataclass(slots=True)
class _Comparison:
    """One mailbox. `keeps`: the flags that the server stores (None: any). `doubtful`: of the same size, but servers may read a
    header that is none in other ways than we: the octets decide."""

    store: Store
    account_id: AccountId
    client: ImapClient
    replica: Replica
    tally: Tally
    is_quick: bool
    keeps: Flags | None = None
    doubtful: list[int] = field(default_factory=list)

    async def run(self) -> None:
        selected, there = Selected(), array("Q")

        def told(response: Untagged) -> None:
            if not isinstance(response, Fetched):
                selected.take(response)
            elif response.uid is not None:
                there.append(response.uid)

        steps = [Step(Select(self.replica.remote_name), told), Step(Fetch(True, ((1, LARGEST),), (Item.UID,)), told)]
        answers = await self.client.run_all(steps)
        if failed := [answer for answer in answers if answer.status is not Status.OK]:
            self._differ(Difference.REFUSED, text=failed[0].text)
            return
        if self.replica.uidvalidity and selected.uidvalidity != self.replica.uidvalidity:
            self._differ(Difference.RENUMBERED)
            return
        await self._only_here()
        paired = await self.store.read(lambda reader: reader.paired_uids(self.account_id, self.replica.mailbox_id))
        both = array("Q")
        for uid, where in _merged(sorted(set(there)) if not _ascends(there) else there, paired):
            match where:
                case "both":
                    both.append(uid)
                case "there":
                    self._differ(Difference.MISSING_HERE, uid)
                case "here":
                    await self._missing_there(uid)
        storable = selected.permanent_flags
        self.keeps = None if storable is None or "\\*" in storable else frozenset(flag.lower() for flag in storable)
        await self._fetch(both, is_quick=self.is_quick)
        await self._fetch(self.doubtful, is_quick=False)

    async def _fetch(self, uids: Sequence[int], *, is_quick: bool) -> None:
        windows = (uids[start : start + WINDOW] for start in range(0, len(uids), WINDOW))
        answers = await self.client.run_all(_Window(self, list(window), is_quick).step() for window in windows)
        if failed := [answer for answer in answers if answer.status is not Status.OK]:
            self._differ(Difference.REFUSED, text=failed[0].text)

    def _differ(self, difference: Difference, there: int | None = None, here: int | None = None, text: str = "") -> None:
        self.tally.differ(self.replica.name, difference, there, here, text)

    async def _missing_there(self, uid: int) -> None:
        where = self.account_id, self.replica.mailbox_id
        for pair in await self.store.read(lambda reader: reader.pairs(*where, [(uid, uid)])):
            is_here = bool(self.store.reader.entries(*where, [(pair.uid, pair.uid)]))
            if is_here:  # else it is gone on both sides
                self._differ(Difference.MISSING_THERE, uid, pair.uid)

    async def _only_here(self) -> None:
        where = self.account_id, self.replica.mailbox_id
        held = [pair.uid for pair in await self.store.read(lambda reader: reader.pairs(*where, HELD))]
        for uid in [entry.uid for entry in self.store.reader.entries(*where, uidrange.of(held))]:
            self._differ(Difference.HELD, None, uid)
        for uid in await self.store.read(lambda reader: reader.unpaired(*where)):
            self._differ(Difference.UNPAIRED, None, uid)

    async def settle(self, seen: dict[int, Seen], uids: Sequence[int], *, is_quick: bool) -> None:
        """A window has come: compare it."""
        side = await self.store.read(partial(self._side, uids, is_quick))
        for pair in side.pairs:
            entry = side.entries.get(pair.uid)
            other = seen.get(pair.remote_uid)
            if entry is None:
                self._differ(Difference.MISSING_HERE, pair.remote_uid, None, "it was deleted here; the next run deletes it there")
            elif other is None or other.proof is None:
                self._differ(Difference.MISSING_THERE, pair.remote_uid, pair.uid)
            else:
                self._compare(pair, entry[1], other, side.emails.get(pair.email_id), is_quick)

    def _compare(self, pair: Pair, flags: Flags, other: Seen, email: tuple[int, bytes] | None, is_quick: bool) -> None:
        is_second = self.is_quick and not is_quick
        here, there = _lower(flags), _lower(other.flags)
        if not is_second and here != there and (here if self.keeps is None else here & self.keeps) != there:
            self._differ(Difference.FLAGS, pair.remote_uid, pair.uid, _said(flags, other.flags))
        if email is None:
            self._differ(Difference.MISSING_HERE, pair.remote_uid, pair.uid, "its octets are lost")
        elif is_quick and other.size == email[0] and other.proof != email[1]:
            self.doubtful.append(pair.remote_uid)
        elif other.proof != email[1] or (other.size is not None and other.size != email[0]):
            self._differ(Difference.OCTETS, pair.remote_uid, pair.uid)

    def _side(self, uids: Sequence[int], is_quick: bool, reader: Reader) -> Side:
        where = self.account_id, self.replica.mailbox_id
        pairs = reader.pairs(*where, uidrange.of(uids))
        flagsets = FlagSets(reader, self.account_id)
        rows = reader.entries(*where, uidrange.of([pair.uid for pair in pairs]))
        entries = {int(entry.uid): (entry, flagsets[entry.flagset_id]) for entry in rows}
        emails = reader.emails_of(self.account_id, sorted({pair.email_id for pair in pairs}))
        if is_quick:
            ids = [email.email_id for email in emails]
            headers = headers_here(self.store, self.account_id, ids, reader)
            proofs = {email_id: sha256(header).digest() for email_id, header in headers.items()}
        else:
            proofs = {email.email_id: email.content_id for email in emails}
        return Side(pairs, entries, {email.email_id: (email.body.size, proofs[email.email_id]) for email in emails})


class _Window:
    """Messages that are asked for by one command: what came of them."""

    def __init__(self, comparison: _Comparison, uids: Sequence[int], is_quick: bool) -> None:
        self._comparison = comparison
        self._is_quick = is_quick
        self._uids = uids
        self._wanted = set(uids)
        self._seen: dict[int, Seen] = {}
        self._octets = 0
        self._header = bytearray()
        self._hash = sha256()
        self._is_streamed = False

    def step(self) -> Step:
        items = _QUICK if self._is_quick else _WHOLE
        return Step(Fetch(True, tuple(uidrange.of(self._uids)), items), self._told, self._sink, done=self._done)

    def _sink(self, _: LiteralBegan) -> Callable[[bytes], object]:
        self._header.clear()
        self._hash = sha256()
        self._is_streamed = True
        return self._take

    def _take(self, data: bytes) -> None:
        self._octets += len(data)
        if not self._is_quick:
            self._hash.update(data)
        elif len(self._header) < HEADER:
            self._header += data[: HEADER - len(self._header)]

    def _told(self, response: Untagged) -> None:
        if not isinstance(response, Fetched) or response.uid not in self._wanted:
            return
        flags = frozenset(flag for flag in response.flags or () if flag.lower() != "\\recent")
        if not response.sections:  # somebody changes its flags meanwhile
            if (known := self._seen.get(response.uid)) is not None and response.flags is not None:
                self._seen[response.uid] = known._replace(flags=flags)
            return
        octets = response.sections[0].octets
        if isinstance(octets, bytes):
            self._sink_whole(octets)
        proof = self._proof() if self._is_streamed else None
        self._is_streamed = False
        self._seen.setdefault(response.uid, Seen(flags, response.size, proof))

    def _sink_whole(self, octets: bytes) -> None:
        self._header.clear()
        self._hash = sha256()
        self._is_streamed = True
        self._take(octets)

    def _proof(self) -> bytes:
        return sha256(bytes(self._header).rstrip(b"\r\n")).digest() if self._is_quick else self._hash.digest()

    async def _done(self, _: Tagged) -> None:
        await self._comparison.settle(self._seen, self._uids, is_quick=self._is_quick)
        self._comparison.tally.read(len(self._seen), self._octets)
        self._seen.clear()


Where = Literal["both", "there", "here"]


def _ascends(uids: Sequence[int]) -> bool:
    return all(uids[at] < uids[at + 1] for at in range(len(uids) - 1))


def _merged(there: Sequence[int], here: Sequence[int]) -> Iterator[tuple[int, Where]]:
    """UIDs of both sides, both ascending, with the side that has them."""
    at = 0
    for uid in there:
        while at < len(here) and here[at] < uid:
            yield here[at], "here"
            at += 1
        if at < len(here) and here[at] == uid:
            yield uid, "both"
            at += 1
        else:
            yield uid, "there"
    for rest in range(at, len(here)):
        yield here[rest], "here"


def _lower(flags: Flags) -> Flags:
    return frozenset(flag.lower() for flag in flags)


def _said(here: Flags, there: Flags) -> str:
    ours, theirs = _lower(here), _lower(there)
    sides = (
        ("here", [flag for flag in here if flag.lower() not in theirs]),
        ("there", [f for f in there if f.lower() not in ours]),
    )
    return "; ".join(f"only {side}: {' '.join(sorted(normal(flags)))}" for side, flags in sides if flags)
