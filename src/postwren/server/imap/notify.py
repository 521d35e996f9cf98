"""NOTIFY (RFC 5465): what happens elsewhere is told while nothing is asked.

The feeds of the accounts say that something happened in a mailbox; what is told is worked out when it can be sent, from the
rows as they
are then. So a thousand deliveries to a mailbox while a device does not read are one STATUS (A-46).
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.model import Change, ChangeKind, Mailbox
from postwren.mailstore.port import Subscription
from postwren.mailstore.service.mailboxname import is_inferior
from postwren.mailstore.service.metadata import entries_of
from postwren.protocols.imap import code
from postwren.protocols.imap.code import BadEvent
from postwren.protocols.imap.command.fetch import FetchItem
from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.command.notify import EventGroup, Notify, NotifyEvent
from postwren.protocols.imap.command.search import ScopeKind
from postwren.protocols.imap.response import Rendered, Status, Untagged, format_response
from postwren.protocols.imap.response.list import ListEntry, MailboxStatus
from postwren.protocols.imap.response.sharing import MetadataChanged
from postwren.server.imap.fetch import Walk, fetch_lines, spans_of
from postwren.server.imap.place import SELECTED, Place, all_places, in_scope
from postwren.server.imap.refusal import Refusal
from postwren.server.imap.rendering import layout_of
from postwren.server.imap.session import ImapSession, waiting
from postwren.server.imap.status import mailbox_status
from postwren.terms import AccountId, EmailId, MailboxId

__all__ = ["COMMANDS", "tell_new"]

OF_MESSAGES: Final = frozenset((NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE, NotifyEvent.FLAG_CHANGE))
SUPPORTED: Final = tuple(event for event in NotifyEvent if event is not NotifyEvent.ANNOTATION_CHANGE)
NO_SUCH_EVENT: Final = Refusal("these events can be asked for", BadEvent(tuple(event.value for event in SUPPORTED)))
TOGETHER: Final = Refusal(
    "MessageNew and MessageExpunge come together, and with FlagChange (RFC 5465 section 5)", None, Status.BAD
)
ONE_SELECTED: Final = Refusal("one of SELECTED and SELECTED-DELAYED, for messages only (RFC 5465 section 6.1)", None, Status.BAD)
TOO_MUCH: Final = Refusal("fewer mailboxes by name, please", code.NOTIFICATIONOVERFLOW)
MOST_NAMES: Final = 1_000

_EVENTS: Final[dict[ChangeKind, NotifyEvent]] = {
    ChangeKind.APPENDED: NotifyEvent.MESSAGE_NEW,
    ChangeKind.EXPUNGED: NotifyEvent.MESSAGE_EXPUNGE,
    ChangeKind.FLAGS: NotifyEvent.FLAG_CHANGE,
}
Key = tuple[AccountId, MailboxId]


@dataclass(frozen=True, slots=True)
class Known:
    """How a mailbox was told last."""

    name: str
    is_subscribed: bool


class Notifier:
    """What one session asked for, and what happened since it was told."""

    __slots__ = ("_happened", "_known", "_session", "_subscriptions", "groups")

    def __init__(self, session: ImapSession, groups: Sequence[EventGroup]) -> None:
        self._session = session
        self.groups = groups
        self._happened: dict[Key, set[ChangeKind]] = {}
        places = all_places(session)
        self._known = {_key(place.mailbox): _known(place) for place in places}
        store = session.service.store
        accounts = {session.account_id, *(place.account_id for place in places)}
        self._subscriptions: list[Subscription] = [store.subscribe(account_id, self._hear) for account_id in sorted(accounts)]

    def close(self) -> None:
        """Hear no more."""
        for subscription in self._subscriptions:
            subscription.cancel()
        self._subscriptions.clear()

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._happened.setdefault((change.account_id, change.mailbox_id), set()).add(change.kind)
        self._session.push()

    def events_for(self, place: Place) -> frozenset[NotifyEvent]:
        """All that some group asked for of this mailbox: groups add up (section 6)."""
        found: frozenset[NotifyEvent] = frozenset()
        for group in self.groups:
            if in_scope(group.scope, place):
                found |= group.events
        return found

    def __call__(self) -> bytes:
        """What is to be told now, rendered."""
        if not self._happened:
            return b""
        happened, self._happened = self._happened, {}
        places = {_key(place.mailbox): place for place in all_places(self._session)}
        responses: list[Untagged] = []
        responses += self._names(happened, places)
        for key, kinds in happened.items():
            place = places.get(key)
            if place is not None:
                responses += self._messages(place, kinds)
            if ChangeKind.METADATA in kinds:
                responses += self._metadata(key, place)
        is_utf8 = self._session.core.is_utf8
        return b"".join([format_response(response, is_utf8) for response in responses])

    # -- messages (sections 5.1 to 5.3)

    def _messages(self, place: Place, kinds: Iterable[ChangeKind]) -> list[Untagged]:
        selected = self._session.selected
        if selected is not None and _key(place.mailbox) == (selected.account_id, selected.mailbox_id):
            return []
        wanted = self.events_for(place) & {_EVENTS[kind] for kind in kinds if kind in _EVENTS}
        if not wanted or "r" not in place.rights:
            return []
        mailbox, has_modseq = place.mailbox, self._session.enabled.condstore or self._session.enabled.qresync
        items: dict[StatusItem, int] = {}
        if wanted & {NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE}:
            items = {StatusItem.UIDNEXT: mailbox.uidnext, StatusItem.MESSAGES: mailbox.messages}
        if NotifyEvent.FLAG_CHANGE in wanted:
            items |= {StatusItem.UIDVALIDITY: mailbox.uidvalidity, StatusItem.UNSEEN: mailbox.unseen}
        if has_modseq:
            items[StatusItem.HIGHESTMODSEQ] = mailbox.highestmodseq
        return [MailboxStatus(place.name, tuple(items.items()))]

    # -- names (sections 5.4, 5.5 and 5.9)

    def _names(self, happened: dict[Key, set[ChangeKind]], places: dict[Key, Place]) -> list[Untagged]:
        responses: list[Untagged] = []
        renamed: list[tuple[str, str]] = []
        for key in sorted(happened):
            before, place = self._known.get(key), places.get(key)
            now = _known(place) if place is not None else None
            if before == now:
                continue
            if place is None or now is None:
                self._known.pop(key, None)
                if before is not None and self._was_watched(before.name):
                    responses.append(ListEntry(before.name, attributes=("\\NonExistent",)))
                continue
            self._known[key] = now
            if not self._is_told(before, now, place, renamed):
                continue
            attributes = (*(("\\Subscribed",) if now.is_subscribed else ()), _children(place, places))
            old_name = before.name if before is not None and before.name != now.name else None
            responses.append(ListEntry(now.name, attributes=attributes, old_name=old_name))
        return responses

    def _is_told(self, before: Known | None, now: Known, place: Place, renamed: list[tuple[str, str]]) -> bool:
        """What was renamed with the mailbox above it is not told by itself."""
        events = self.events_for(place)
        if before is not None and before.name != now.name:
            is_with_above = any(
                is_inferior(before.name, old) and now.name == new + before.name[len(old) :] for old, new in renamed
            )
            renamed.append((before.name, now.name))
            return NotifyEvent.MAILBOX_NAME in events and not is_with_above
        return (NotifyEvent.MAILBOX_NAME if before is None else NotifyEvent.SUBSCRIPTION_CHANGE) in events

    def _was_watched(self, name: str) -> bool:
        """Whether a mailbox that is gone was one whose name was watched."""
        for group in self.groups:
            scope = group.scope
            is_below = any(name == above or is_inferior(name, above) for above in scope.mailboxes)
            if NotifyEvent.MAILBOX_NAME in group.events and (
                is_below or scope.kind in (ScopeKind.PERSONAL, ScopeKind.SUBSCRIBED)
            ):
                return True
        return False

    # -- annotations (sections 5.6 and 5.7)

    def _metadata(self, key: Key, place: Place | None) -> list[Untagged]:
        """All names that are set; which of them changed is not kept."""
        account_id, mailbox_id = key
        if mailbox_id == 0:
            asked = account_id == self._session.account_id and any(
                NotifyEvent.SERVER_METADATA_CHANGE in group.events for group in self.groups
            )
            name = ""
        else:
            events = self.events_for(place) if place is not None and "r" in place.rights else frozenset()
            asked = NotifyEvent.MAILBOX_METADATA_CHANGE in events
            name = place.name if place is not None else ""
        if not asked:
            return []
        entries = entries_of(self._session.service.store.reader, account_id, mailbox_id, self._session.login)
        return [MetadataChanged(name, tuple(entries))] if entries else []


def _key(mailbox: Mailbox) -> Key:
    return mailbox.account_id, mailbox.mailbox_id


def _known(place: Place) -> Known:
    return Known(place.name, place.mailbox.is_subscribed)


def _children(place: Place, places: dict[Key, Place]) -> str:
    has_some = any(is_inferior(other.name, place.name) for other in places.values())
    return "\\HasChildren" if has_some else "\\HasNoChildren"


def _objection(groups: Sequence[EventGroup]) -> Refusal | None:
    """Sections 3.1, 5 and 6.1."""
    if any(group.unknown or NotifyEvent.ANNOTATION_CHANGE in group.events for group in groups):
        return NO_SUCH_EVENT
    if sum(len(group.scope.mailboxes) for group in groups) > MOST_NAMES:
        return TOO_MUCH
    selected = [group for group in groups if group.scope.kind in SELECTED]
    if len(selected) > 1 or any(group.events - OF_MESSAGES for group in selected):
        return ONE_SELECTED
    both = {NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE}
    if any(group.events & OF_MESSAGES and not both <= group.events for group in groups):
        return TOGETHER
    return None


async def notify(session: ImapSession, tag: str, command: Notify) -> None:
    """SET replaces what was asked for before, and implies a NOOP; NONE is silence until something is asked."""
    objection = _objection(command.groups)
    if objection is not None:
        session.refuse(tag, objection)
        return
    session.watch(None)
    if command.groups:
        notifier = Notifier(session, command.groups)
        selected = next((group for group in command.groups if group.scope.kind in SELECTED), None)
        is_delayed = selected is not None and selected.scope.kind is ScopeKind.SELECTED_DELAYED
        tells_flags = selected is not None and NotifyEvent.FLAG_CHANGE in selected.events
        session.watch(notifier, _items(selected), is_delayed=is_delayed, tells_flags=tells_flags)
        if command.with_status:
            await _tell_status(session, notifier)
    session.finish(tag, "NOTIFY done")


def _items(selected: EventGroup | None) -> tuple[FetchItem, ...] | None:
    """What is fetched of new messages in the selected mailbox; None where its events are not asked for."""
    return None if selected is None or not selected.events else selected.fetch


async def _tell_status(session: ImapSession, notifier: Notifier) -> None:
    """Section 3.1: how things stand, of every watched mailbox but the selected one."""
    selected = session.selected
    for place in all_places(session):
        events = notifier.events_for(place) & OF_MESSAGES
        is_selected = selected is not None and _key(place.mailbox) == (selected.account_id, selected.mailbox_id)
        if not events or is_selected or "r" not in place.rights:
            continue
        items = [StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.UIDVALIDITY]
        if NotifyEvent.FLAG_CHANGE in events:
            items += [StatusItem.UNSEEN, StatusItem.HIGHESTMODSEQ]
        session.say(await mailbox_status(session, place, items))


_arrivals: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly


def tell_new(session: ImapSession, items: tuple[FetchItem, ...], first: int) -> None:
    """Section 5.2: what was asked for of new messages in the selected mailbox, those from UID `first` on, follows its EXISTS."""
    task = asyncio.get_running_loop().create_task(_tell_new(session, items, first))
    _arrivals.add(task)
    task.add_done_callback(_arrivals.discard)


async def _tell_new(session: ImapSession, items: tuple[FetchItem, ...], first: int) -> None:
    selected = session.selected
    if selected is None:
        return
    spans = spans_of(selected, [(first, selected.view.largest_uid)])
    is_utf8, is_uidonly, walk = session.core.is_utf8, session.enabled.uidonly, Walk()
    layout = layout_of(items, selected.account_id, is_utf8=is_utf8, is_uidonly=is_uidonly)
    if layout.names:
        rows = range(*selected.snapshot.span(first, selected.view.largest_uid))
        email_ids = [EmailId(selected.snapshot.email_ids[row]) for row in rows]
        walk.names = layout.names
        walk.rendered = await session.service.digester.columns(selected.account_id, email_ids, layout.names)
    if session.selected is selected and not session.is_closed:
        session.core.send(Rendered(fetch_lines(session, selected, layout, spans, walk)))
        session.link.flush()


COMMANDS: Final = {Notify: waiting(notify)}
