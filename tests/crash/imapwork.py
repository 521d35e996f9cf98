"""What IMAP does to a store, unit by unit, and what may be found after it was cut off: for the fault sweep and the power cuts.

Two mailboxes of one account. What was acknowledged is known; of what was not, the one state that is also allowed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.unit.embedded.disk import ann

from postwren.mailstore import invariant
from postwren.mailstore.errors import MailstoreError, StoreFailed
from postwren.mailstore.model import BodyRef
from postwren.mailstore.port import NewBody, Transaction, Unit
from postwren.mailstore.service.append import Appended, NewMessage, append
from postwren.mailstore.service.copymove import Transferred, copy, move
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.storage.embedded import EmbeddedStore
from postwren.terms import AccountId, MailboxId

__all__ = ["Imap", "State", "found_in", "judge", "message"]

NOW = 1_700_000_000
NOBODY = AccountId(0)
PLACES = ("INBOX", "Work")
State = dict[str, dict[int, bytes]]
"""Octets by mailbox and UID."""


def message(number: int, size: int = 300) -> bytes:
    start = b"Subject: number %d\r\n\r\n" % number
    return start + b"." * (size - len(start) - 2) + b"\r\n"


@dataclass
class Imap:
    """One session. `kept` is acknowledged."""

    store: EmbeddedStore
    kept: State = field(default_factory=lambda: {place: {} for place in PLACES})
    maybe: list[State] = field(default_factory=list)  # where a command leads that runs, or of which nobody knows
    refused: list[BaseException] = field(default_factory=list)
    highest: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PLACES, 0))
    account_id: AccountId = NOBODY
    ids: dict[str, MailboxId] = field(default_factory=dict)

    async def begin(self) -> None:
        account = await ann(self.store)
        self.account_id = account.account_id
        if self.store.reader.mailbox_by_name(self.account_id, "Work") is None:
            await self.store.perform(create_mailbox(self.account_id, "Work", NOW))
        for place in PLACES:
            box = self.store.reader.mailbox_by_name(self.account_id, place)
            assert box is not None
            self.ids[place] = box.mailbox_id

    def bodies(self, texts: Sequence[bytes]) -> list[NewBody]:
        found: list[NewBody] = []
        for text in texts:
            writer = self.store.new_body()
            writer.write(text)
            found.append(writer.finish())
        return found

    def next_uids(self, place: str, count: int) -> range:
        box = self.store.reader.mailbox_by_name(self.account_id, place)
        assert box is not None
        return range(box.uidnext, box.uidnext + count)

    async def perform(self, then: State, unit: Unit[Any], bodies: Sequence[NewBody] = ()) -> None:
        """It leads from `kept` to `then`, or is refused and leads nowhere."""
        self.maybe = [then]
        try:
            await self.store.perform(unit, bodies)
        except MailstoreError as error:
            self.refused.append(error)
            self.maybe = [then] if isinstance(error, StoreFailed) else []
            for body in bodies:
                body.discard()
        else:
            self.kept, self.maybe = then, []
            for place in PLACES:
                self.highest[place] = max([self.highest[place], *then[place]])

    async def append(self, place: str, *texts: bytes) -> None:
        try:
            bodies = self.bodies(texts)
        except MailstoreError as error:
            self.refused.append(error)
            return
        uids = self.next_uids(place, len(texts))
        then = self.kept | {place: self.kept[place] | dict(zip(uids, texts, strict=True))}
        messages = [NewMessage(body, NOW, frozenset()) for body in bodies]
        await self.perform(then, append(self.account_id, self.ids[place], messages, NOW), bodies)

    async def transfer(self, place: str, other: str, *uids: int, is_move: bool) -> None:
        uids = tuple(uid for uid in uids if uid in self.kept[place])
        target = self.kept[other] | {
            new: self.kept[place][uid] for uid, new in zip(uids, self.next_uids(other, len(uids)), strict=True)
        }
        source = {uid: text for uid, text in self.kept[place].items() if not is_move or uid not in uids}
        work = move if is_move else copy
        ranges = [(uid, uid) for uid in uids]
        unit: Unit[Transferred] = work(self.account_id, self.ids[place], ranges, self.ids[other], NOW)
        await self.perform({place: source, other: target}, unit)

    async def expunge(self, place: str, *uids: int) -> None:
        rest = {uid: text for uid, text in self.kept[place].items() if uid not in uids}
        unit = expunge(self.account_id, self.ids[place], [(uid, uid) for uid in uids], NOW, only_deleted=False)
        await self.perform(self.kept | {place: rest}, unit)

    async def replace(self, place: str, uid: int, text: bytes) -> None:
        """RFC 8508, as the server does it: one unit."""
        try:
            bodies = self.bodies([text])
        except MailstoreError as error:
            self.refused.append(error)
            return
        [new] = self.next_uids(place, 1)
        put = append(self.account_id, self.ids[place], [NewMessage(bodies[0], NOW, frozenset())], NOW)
        take = expunge(self.account_id, self.ids[place], [(uid, uid)], NOW, only_deleted=False)

        def unit(tx: Transaction) -> Appended:
            done = put(tx)
            take(tx)
            return done

        rest = {each: octets for each, octets in self.kept[place].items() if each != uid}
        await self.perform(self.kept | {place: rest | {new: text}}, unit, bodies)

    async def work(self, first: int) -> None:
        """One of everything, short and long."""
        await self.append("INBOX", message(first))
        await self.append("INBOX", message(first + 1), message(first + 2, 20_000), message(first + 3))
        inbox = sorted(self.kept["INBOX"])
        await self.transfer("INBOX", "Work", *inbox[:2], is_move=False)
        await self.transfer("INBOX", "Work", *inbox[1:3], is_move=True)
        for uid in sorted(self.kept["Work"])[:1]:
            await self.replace("Work", uid, message(first + 4))
        await self.expunge("Work", *sorted(self.kept["Work"])[:2])
        await self.expunge("INBOX", *sorted(self.kept["INBOX"])[2:])


def found_in(store: EmbeddedStore) -> State:
    account = store.reader.account_by_login("ann@example.org")
    return {place: dict(_contents(store, account.account_id, place)) if account else {} for place in PLACES}


def _contents(store: EmbeddedStore, account_id: AccountId, place: str) -> Iterator[tuple[int, bytes]]:
    box = store.reader.mailbox_by_name(account_id, place)
    for uid, size, _, segment, offset, crc, _ in store.reader.maildrop_rows(account_id, box.mailbox_id) if box else ():
        yield uid, store.read_body(BodyRef(segment, offset, size, crc))


async def judge(store: EmbeddedStore, allowed: Sequence[State], highest: dict[str, int]) -> None:
    """What is there is one of what may be; the store is sound; no UID that was given out comes again."""
    found = found_in(store)
    assert found in allowed, [{place: sorted(each) for place, each in state.items()} for state in (found, *allowed)]
    assert list(invariant.check(store.reader, store.body_pieces)) == []
    again = Imap(store, kept=found)
    await again.begin()
    for place in PLACES:
        await again.append(place, message(10**6))
        assert max(again.kept[place]) > highest[place]
