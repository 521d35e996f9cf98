"""The remote side over IMAP: what its mailboxes are, messages from it and to it, and every change that a hunk asks for.

All UIDs here are the server's. Commands that need one another's answers wait; all others go in one breath. What a server lacks is
done in a longer way: MOVE as copy and expunge, UID EXPUNGE only where nothing else is marked.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from postwren.client.imap import ImapClient, Step
from postwren.mailstore.port import BodyWriter, NewBody
from postwren.mailstore.service import uidrange
from postwren.protocols.imap import code as codes
from postwren.protocols.imap.client import LiteralBegan
from postwren.protocols.imap.command import (
    Append,
    Copy,
    Create,
    Delete,
    Enable,
    Expunge,
    Fetch,
    List,
    Move,
    Rename,
    Select,
    Status,
    Store,
    Subscribe,
    UidExpunge,
    Unselect,
)
from postwren.protocols.imap.command.append import AppendMessage, Octets
from postwren.protocols.imap.command.fetch import Item, Section, SectionText
from postwren.protocols.imap.command.list import ListReturn, StatusItem
from postwren.protocols.imap.command.search import FlagKey
from postwren.protocols.imap.command.store import StoreAction
from postwren.protocols.imap.response import Status as Answer
from postwren.protocols.imap.response import Tagged, Untagged
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.fetch import Fetched
from postwren.protocols.imap.response.list import ListEntry, MailboxStatus, StatusValue
from postwren.protocols.imap.value import Ranges
from postwren.sync.hunk import Change, Flags
from postwren.sync.look import Abilities, Checkpoint, Known, Look, MailboxRefused, look
from postwren.terms import INBOX, SpecialUse

__all__ = ["Listed", "Outgoing", "Pulled", "Remote", "local_name", "remote_name"]

WHOLE: Final = Section(is_peek=True)
PIECE: Final = 1 << 20
"""Octets of a large message that are asked for at once; what came is kept when the line is cut."""
_NO_MAILBOX: Final = frozenset({"\\noselect", "\\nonexistent"})
_CHANGED: Final = (StatusItem.UIDVALIDITY, StatusItem.HIGHESTMODSEQ)
"""Where messages that vanish count as changes too (RFC 7162 section 3.2.1), nothing is as it was without these being so."""
_USES: Final = {use.value.lower(): use for use in SpecialUse}


@dataclass(frozen=True, slots=True)
class Listed:
    """A mailbox as LIST and STATUS tell it; `checkpoint` None: the server did not say how it stands."""

    remote_name: str
    delimiter: str | None
    special_use: SpecialUse | None
    checkpoint: Checkpoint | None
    messages: int
    object_id: str | None


class Stood(NamedTuple):
    """How a mailbox stood when it was last compared."""

    uidvalidity: int
    uidnext: int
    messages: int
    object_id: str | None

    def values(self) -> dict[StatusItem, StatusValue]:
        """As STATUS tells it."""
        told: dict[StatusItem, StatusValue] = {StatusItem.UIDNEXT: self.uidnext, StatusItem.MESSAGES: self.messages}
        return told | ({StatusItem.MAILBOXID: self.object_id} if self.object_id is not None else {})


class Pulled(NamedTuple):
    """A message that came; `body` belongs to whoever gets this."""

    uid: int
    flags: Flags
    internaldate: int
    body: NewBody


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be appended; `pieces` are its octets, `size` in all, asked for when its turn comes."""

    key: int  # the caller's name for it
    flags: Flags
    internaldate: int
    size: int
    pieces: Callable[[], Iterator[bytes]]


Landed = Callable[[list[Pulled]], Awaitable[None]]
Kept = Callable[[Outgoing, int | None], Awaitable[None]]
"""(message, its UID there or None where the server does not tell)."""


class Remote:
    """One connection, logged in. Raises what the client raises, and MailboxRefused."""

    def __init__(self, client: ImapClient, abilities: Abilities) -> None:
        self.client = client
        self.abilities = abilities
        self._selected: str | None = None
        self._has_enabled = False

    @classmethod
    async def enter(cls, client: ImapClient) -> "Remote":
        """Behind the login."""
        return cls(client, Abilities.of(await client.capabilities()))

    # -- mailboxes

    async def mailboxes(self, known: Mapping[str, Stood] | None = None) -> list[Listed]:
        """All of them with how they stand: one round trip with LIST-STATUS, two without. Of those that are `known` by names a
        server with QRESYNC is asked for no more than tells a change; the rest is as it was, or SELECT says it."""
        items = self._items()
        known = known if known and self.abilities.qresync and self.abilities.list_status else {}
        entries: list[ListEntry] = []
        states: dict[str, dict[StatusItem, StatusValue]] = {}

        def told(response: Untagged) -> None:
            match response:
                case ListEntry():
                    entries.append(response)
                case MailboxStatus(mailbox, values):
                    states[mailbox] = dict(values)

        asked = _CHANGED if known else items
        returned = ListReturn(special_use=self.abilities.special_use, status=asked if self.abilities.list_status else None)
        is_extended = self.abilities.list_status or self.abilities.special_use
        await self._all([*self._enable(), Step(List("", ("*",), returned=returned if is_extended else None), told)])
        entries = [entry for entry in entries if not _NO_MAILBOX & {attribute.lower() for attribute in entry.attributes}]
        missing = []
        for entry in entries:
            stood, values = known.get(entry.mailbox), states.get(entry.mailbox)
            if values is not None and stood is not None and values.get(StatusItem.UIDVALIDITY) == stood.uidvalidity:
                values |= stood.values() | values
            elif values is None or known:
                missing.append(entry.mailbox)
        await self.client.run_all([Step(Status(name, items), told) for name in missing])  # one may refuse
        return [_listed(entry, states.get(entry.mailbox, {})) for entry in entries]

    def _items(self) -> tuple[StatusItem, ...]:
        """What says whether a mailbox is as it was."""
        items = [StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.UIDVALIDITY]
        items += [StatusItem.HIGHESTMODSEQ] * self.abilities.condstore + [StatusItem.MAILBOXID] * self.abilities.object_id
        return tuple(items)

    def _enable(self) -> list[Step]:
        """Once, in the same breath as the first command."""
        if self._has_enabled or not self.abilities.qresync:
            return []
        self._has_enabled = True
        return [Step(Enable(("QRESYNC",)))]

    async def create(self, name: str) -> None:
        """A mailbox; it is subscribed, so that other clients show it. One that is there already is no fault."""
        answers = await self.client.run_all([Step(Create(name)), Step(Subscribe(name))])
        if answers[0].status is not Answer.OK and answers[0].code != codes.ALREADYEXISTS:
            raise MailboxRefused(f"{name}: {answers[0].text}")

    async def rename(self, name: str, new_name: str) -> None:
        """The mailbox keeps its messages and their UIDs."""
        self._selected = None
        await self._all([Step(Rename(name, new_name)), Step(Subscribe(new_name))], needed=1)

    async def delete(self, name: str) -> None:
        """The mailbox and all that is in it. It is left first: some servers drop who has it selected."""
        if self._selected == name:
            self._selected = None
            await self._all([Step(Select(INBOX, is_examine=True))])
        await self._all([Step(Delete(name))])

    # -- waiting

    async def attend(self, name: str) -> dict[StatusItem, int]:
        """Select a mailbox read-only, so that IDLE tells of it; how it stands."""
        await self._all(self._enable())
        self._selected = None
        selected = await self.client.select(name, is_examine=True)
        state = {StatusItem.UIDVALIDITY: selected.uidvalidity, StatusItem.MESSAGES: selected.exists}
        if selected.uidnext is not None:
            state[StatusItem.UIDNEXT] = selected.uidnext
        if self.abilities.condstore:
            state[StatusItem.HIGHESTMODSEQ] = selected.highestmodseq or 0
        return state

    async def leave(self) -> None:
        """Have no mailbox selected (RFC 3691), and say how the one that was stands: of a selected one NOTIFY tells nothing
        (RFC 5465 section 6.1). What comes goes to the client's `unsolicited` and `overheard`."""
        name, self._selected = self._selected, None
        if name is not None:
            steps = [Step(Unselect()), Step(Status(name, self._items()))]
            await self._all(steps, needed=1)

    # -- from there

    async def look(self, name: str, since: Checkpoint | None, known: Known, *, is_examine: bool = False) -> Look:
        """Select a mailbox and say what differs (`look.look`)."""
        await self._all(self._enable())
        self._selected = None
        found = await look(self.client, self.abilities, name, since, known, is_examine=is_examine)
        self._selected = None if is_examine else name
        return found

    async def headers(self, name: str, uids: Sequence[int]) -> dict[int, bytes]:
        """The headers of these messages: what tells one from another before it is fetched."""
        found: dict[int, bytes] = {}

        def told(response: Untagged) -> None:
            if isinstance(response, Fetched) and response.uid is not None and response.sections:
                octets = response.sections[0].octets
                found[response.uid] = octets if isinstance(octets, bytes) else b"".join(streamed)
                streamed.clear()

        streamed: list[bytes] = []
        items = (Item.UID, Section(text=SectionText.HEADER, is_peek=True))
        await self._in(name, [Step(Fetch(True, _ranges(uids), items), told, lambda _: streamed.append)] if uids else [])
        return found

    async def pull(self, name: str, windows: Iterable[Sequence[int]], new_body: Callable[[], BodyWriter], landed: Landed) -> None:
        """Messages, window by window in one breath; `landed` gets those of a window once they are whole, and of a window that is
        cut those that are."""
        pulling = _Pulling(new_body, landed)
        try:
            await self._in(name, map(pulling.step, windows))
        finally:
            await pulling.end()

    async def pull_piece(self, name: str, uid: int, offset: int, write: Callable[[bytes], object]) -> int:
        """Up to 1 MB of a message from an octet on; how many came (0: it ends there)."""
        came = 0

        def take(data: bytes) -> None:
            nonlocal came
            came += len(data)
            write(data)

        def told(response: Untagged) -> None:
            if isinstance(response, Fetched):
                for section in response.sections:
                    if isinstance(section.octets, bytes):
                        take(section.octets)

        item = Section(is_peek=True, partial=(offset, PIECE))
        await self._in(name, [Step(Fetch(True, ((uid, uid),), (Item.UID, item)), told, lambda _: take)])
        return came

    # -- to there

    async def push(self, name: str, uidvalidity: int, messages: Iterable[Outgoing], kept: Kept) -> None:
        """Append them, in one breath as far as the server lets; `kept` is called behind each that is taken. Raises MailboxRefused
        in the end where one was not."""
        uidvalidity = uidvalidity if self.abilities.uidplus else -1  # without UIDPLUS the code means nothing
        await self._all(_append_step(name, uidvalidity, message, kept) for message in messages)

    async def change_flags(self, name: str, change: Change, uids: Sequence[int]) -> None:
        """Add some, remove some."""
        steps = [(StoreAction.ADD, change.add), (StoreAction.REMOVE, change.remove)]
        numbers = _ranges(uids)
        await self._in(name, [Step(Store(True, numbers, action, tuple(sorted(flags)), True)) for action, flags in steps if flags])

    async def copy(self, name: str, uids: Sequence[int], destination: str) -> dict[int, int] | None:
        """Where the copies lie, by UID; None where the server does not tell."""
        answer = (await self._in(name, [Step(Copy(True, _ranges(uids), destination))]))[-1]
        return _moved(answer.code) if self.abilities.uidplus else None

    async def move(self, name: str, uids: Sequence[int], destination: str) -> dict[int, int] | None:
        """Where they lie now, by UID; None where the server does not tell."""
        if not self.abilities.move:
            where = await self.copy(name, uids, destination)
            await self.expunge(name, uids)
            return where
        found: list[codes.Code] = []

        def told(response: Untagged) -> None:
            if isinstance(response, Condition) and isinstance(response.code, codes.CopyUid):
                found.append(response.code)

        answer = (await self._in(name, [Step(Move(True, _ranges(uids), destination), told)]))[-1]
        return _moved(found[0] if found else answer.code)

    async def expunge(self, name: str, uids: Sequence[int]) -> None:
        r"""These and no others. Without UIDPLUS they stay marked where something else is marked \Deleted as well."""
        mark = Step(Store(True, _ranges(uids), StoreAction.ADD, ("\\Deleted",), True))
        if self.abilities.uidplus:
            await self._in(name, [mark, Step(UidExpunge(_ranges(uids)))])
            return
        await self._in(name, [mark])
        if set(await self.client.search(FlagKey("\\Deleted", True))) <= set(uids):
            await self._in(name, [Step(Expunge())])

    # -- the conversation

    async def _in(self, name: str, steps: Iterable[Step]) -> list[Tagged]:
        """With this mailbox selected, which goes in the same breath."""
        first = [] if self._selected == name else [Step(Select(name, condstore=self.abilities.condstore))]
        self._selected = None
        answers = await self._all(_chained([*self._enable(), *first], steps))
        self._selected = name
        return answers

    async def _all(self, steps: Iterable[Step], needed: int | None = None) -> list[Tagged]:
        answers = await self.client.run_all(steps)
        for answer in answers[:needed]:
            if answer.status is not Answer.OK:
                raise MailboxRefused(answer.text)
        return answers


class _Pulling:
    """Windows that are fetched, each by one command and kept together. Dovecot answers several commands at once: a message
    belongs to the window that asked for it, whichever command waits for its answer."""

    def __init__(self, new_body: Callable[[], BodyWriter], landed: Landed) -> None:
        self._new_body = new_body
        self._landed = landed
        self._wanted: dict[int, list[Pulled]] = {}  # by UID, its window's
        self._windows: dict[int, list[Pulled]] = {}  # what came of those that are not ended
        self._writer: BodyWriter | None = None

    def step(self, uids: Sequence[int]) -> Step:
        window: list[Pulled] = []
        self._windows[id(window)] = window
        self._wanted.update(dict.fromkeys(uids, window))
        items = (Item.UID, Item.FLAGS, Item.INTERNALDATE, WHOLE)
        return Step(Fetch(True, _ranges(uids), items), self._told, self._sink, done=partial(self._done, window))

    def _sink(self, _: LiteralBegan) -> Callable[[bytes], object]:
        self._drop()
        self._writer = self._new_body()
        return self._writer.write

    def _told(self, response: Untagged) -> None:
        if not isinstance(response, Fetched) or response.uid is None or not response.sections:
            return self._drop()
        window = self._wanted.get(response.uid)
        if window is None:
            return self._drop()
        octets = response.sections[0].octets
        writer, self._writer = self._writer, None
        if isinstance(octets, bytes):
            writer = self._new_body()
            writer.write(octets)
        if writer is None:  # NIL: the server has no octets for it now
            return None
        del self._wanted[response.uid]  # one that is said twice is taken once
        flags = frozenset(flag for flag in response.flags or () if flag.lower() != "\\recent")
        window.append(Pulled(response.uid, flags, response.internaldate or 0, writer.finish()))
        return None

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    async def _done(self, window: list[Pulled], _: Tagged) -> None:
        self._drop()
        del self._windows[id(window)]
        if window:
            await self._landed(window)

    async def end(self) -> None:
        """What is whole is kept, however the commands ended."""
        self._drop()
        for window in self._windows.values():
            if window:
                await self._landed(window)


def _append_step(name: str, uidvalidity: int, message: Outgoing, kept: Kept) -> Step:
    append = AppendMessage(tuple(sorted(message.flags)), message.internaldate, (Octets(0, message.size),))

    async def done(answer: Tagged) -> None:
        if answer.status is Answer.OK:
            code = answer.code
            is_told = isinstance(code, codes.AppendUid) and code.uidvalidity == uidvalidity
            await kept(message, code.uids[0][0] if is_told and isinstance(code, codes.AppendUid) else None)

    return Step(Append(name, (append,)), bodies=[message.pieces()], done=done)


def _moved(code: codes.Code | None) -> dict[int, int] | None:
    if not isinstance(code, codes.CopyUid):
        return None
    sources = [uid for first, last in code.source for uid in _either_way(first, last)]
    places = [uid for first, last in code.destination for uid in _either_way(first, last)]
    return dict(zip(sources, places, strict=False)) if len(sources) == len(places) else None


def _either_way(first: int, last: int) -> range:
    return range(first, last + 1) if first <= last else range(first, last - 1, -1)


def _ranges(uids: Sequence[int]) -> Ranges:
    return tuple(uidrange.of(uids))


def _chained(first: Sequence[Step], rest: Iterable[Step]) -> Iterator[Step]:
    yield from first
    yield from rest


def _listed(entry: ListEntry, values: dict[StatusItem, StatusValue]) -> Listed:
    numbers = {item: value for item, value in values.items() if isinstance(value, int)}
    checkpoint = None
    if StatusItem.UIDVALIDITY in numbers and StatusItem.UIDNEXT in numbers:
        modseq = numbers.get(StatusItem.HIGHESTMODSEQ, 0)
        checkpoint = Checkpoint(numbers[StatusItem.UIDVALIDITY], numbers[StatusItem.UIDNEXT], modseq)
    object_id = values.get(StatusItem.MAILBOXID)
    uses = [_USES[attribute.lower()] for attribute in entry.attributes if attribute.lower() in _USES]
    return Listed(
        entry.mailbox,
        entry.delimiter,
        uses[0] if uses else None,
        checkpoint,
        numbers.get(StatusItem.MESSAGES, 0),
        object_id if isinstance(object_id, str) else None,
    )


# -- names

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def local_name(name: str, delimiter: str | None) -> str:
    """What a remote mailbox is called here: levels joined by `/`, whatever the server's delimiter (A-93: it is a name and
    never a path)."""
    levels = [name] if delimiter is None else name.split(delimiter)
    levels = [_CONTROL.sub("_", level).replace("/", "\N{DIVISION SLASH}") for level in levels if level]
    if levels and levels[0].upper() == INBOX:
        levels[0] = INBOX
    return "/".join(levels)


def remote_name(name: str, delimiter: str | None) -> str:
    """What a mailbox of ours is called there."""
    if delimiter is None:
        return name.replace("/", "_")
    if delimiter == "/":
        return name
    return delimiter.join(level.replace(delimiter, "_") for level in name.split("/"))
