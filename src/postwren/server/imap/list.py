"""LIST and LSUB (RFC 9051 section 6.3.9, RFC 5258, 5819, 6154, 8440, 9590; LSUB: RFC 3501 section 6.3.9).

Names are gathered once: mailboxes, subscriptions, and the levels above them that are no mailboxes. What of it is told depends
on patterns
and selection. One LIST with RETURN (STATUS ...) tells a device all that changed anywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from postwren.mailstore.service.acl import told
from postwren.mailstore.service.mailboxes import subscriptions
from postwren.mailstore.service.mailboxname import superiors
from postwren.protocols.imap.command.list import List, ListReturn, ListSelect, Lsub
from postwren.protocols.imap.pattern import MailboxPattern
from postwren.protocols.imap.response.list import ListEntry
from postwren.protocols.imap.response.sharing import OwnRights
from postwren.server.imap.metadata import metadata_of
from postwren.server.imap.place import Place, all_places
from postwren.server.imap.session import ImapSession, waiting
from postwren.server.imap.status import mailbox_status

__all__ = ["COMMANDS"]

NO_OPTIONS: Final = ListReturn(children=True, special_use=True)
"""RFC 9051 section 7.3.1: \\HasChildren is told in any case, and what a mailbox is for costs nothing."""


@dataclass(slots=True)
class Name:
    """A name that can be listed: of a mailbox, a subscription, or a level above one."""

    text: str
    place: Place | None = None
    is_subscribed: bool = False
    has_children: bool = False
    below: set[str] = field(default_factory=set)  # selection options that something below fits: CHILDINFO

    def attributes(self, returned: ListReturn) -> tuple[str, ...]:
        """In the order of RFC 9051 section 7.3.1."""
        found = ["\\NonExistent"] if self.place is None else []
        if returned.subscribed and self.is_subscribed:
            found.insert(0, "\\Subscribed")
        if returned.children:
            found.append("\\HasChildren" if self.has_children else "\\HasNoChildren")
        if returned.special_use and self.place is not None and self.place.mailbox.special_use is not None:
            found.append(self.place.mailbox.special_use.value)
        return tuple(found)


def gather(session: ImapSession) -> dict[str, Name]:
    """All names that the session may know of."""
    names: dict[str, Name] = {}
    for found in all_places(session):
        names[found.name] = Name(found.name, found)
    for text in subscriptions(session.service.store.reader, session.account_id):
        names.setdefault(text, Name(text)).is_subscribed = True
    for name in list(names.values()):
        for above in superiors(name.text):
            parent = names.setdefault(above, Name(above))
            parent.has_children |= name.place is not None
            if name.is_subscribed:
                parent.below.add(ListSelect.SUBSCRIBED.value)
            if name.place is not None and name.place.mailbox.special_use is not None:
                parent.below.add(ListSelect.SPECIAL_USE.value)
    return dict(sorted(names.items(), key=lambda item: (item[0] != "INBOX", item[0])))


async def list_(session: ImapSession, tag: str, command: List) -> None:
    returned = command.returned if command.returned is not None else ListReturn() if command.is_extended else NO_OPTIONS
    selection = command.selection
    if ListSelect.SUBSCRIBED in selection:  # RFC 5258 section 3.1: it implies the return option
        returned = _with(returned, subscribed=True)
    if ListSelect.SPECIAL_USE in selection:
        returned = _with(returned, special_use=True)
    returned = _with(returned, children=True)
    if command.patterns == ("",) and not command.is_extended:
        session.say(ListEntry("", attributes=("\\NoSelect",)))  # RFC 9051 section 6.3.9: the delimiter and the root
        session.finish(tag, "LIST done")
        return
    patterns = [MailboxPattern(command.reference + text) for text in command.patterns if text or command.is_extended]
    for name in gather(session).values():
        if any(pattern.matches(name.text) for pattern in patterns):
            await _tell(session, name, selection, returned, is_extended=command.is_extended)
    session.finish(tag, "LIST done")


def _with(returned: ListReturn, *, subscribed: bool = False, children: bool = False, special_use: bool = False) -> ListReturn:
    return ListReturn(
        returned.subscribed or subscribed,
        returned.children or children,
        returned.special_use or special_use,
        returned.my_rights,
        returned.status,
        returned.metadata,
    )


def _is_selected(name: Name, selection: Iterable[ListSelect]) -> bool:
    """Whether a name fits the selection options."""
    for option in selection:
        if option is ListSelect.SUBSCRIBED and not name.is_subscribed:
            return False
        if option is ListSelect.SPECIAL_USE and (name.place is None or name.place.mailbox.special_use is None):
            return False
    return True


async def _tell(
    session: ImapSession, name: Name, selection: frozenset[ListSelect], returned: ListReturn, *, is_extended: bool
) -> None:
    """The responses for a name that a pattern matches. A level above what fits is told with CHILDINFO where RECURSIVEMATCH asks
    for it (RFC 5258 section 3.5); one that is no mailbox only where it leads somewhere."""
    is_selected = _is_selected(name, selection)
    child_info: tuple[str, ...] = ()
    if ListSelect.RECURSIVEMATCH in selection:
        wanted = {option.value for option in selection}
        child_info = tuple(sorted(name.below & wanted))
    if not is_selected and not child_info:
        return
    if name.place is None and not name.has_children and not (name.is_subscribed and ListSelect.SUBSCRIBED in selection):
        return
    session.say(ListEntry(name.text, attributes=name.attributes(returned), child_info=child_info if is_extended else ()))
    if name.place is not None and is_selected:
        await _tell_more(session, name.place, returned)


async def _tell_more(session: ImapSession, place: Place, returned: ListReturn) -> None:
    """What RETURN asked for beside the LIST response."""
    if returned.my_rights:
        session.say(OwnRights(place.name, told(place.rights)))
    if returned.status is not None and "r" in place.rights:
        session.say(await mailbox_status(session, place, returned.status))
    if returned.metadata:
        response = metadata_of(session, place, returned.metadata)
        if response is not None:
            session.say(response)


def lsub(session: ImapSession, tag: str, command: Lsub) -> None:
    """RFC 3501 section 6.3.9: subscribed names; with `%` also levels above one, as \\NoSelect."""
    pattern = MailboxPattern(command.reference + command.pattern)
    names = gather(session)
    for name in names.values():
        if not pattern.matches(name.text):
            continue
        if name.is_subscribed:
            session.say(ListEntry(name.text, attributes=() if name.place is not None else ("\\NoSelect",), is_lsub=True))
        elif command.pattern.endswith("%") and ListSelect.SUBSCRIBED.value in name.below:
            session.say(ListEntry(name.text, attributes=("\\NoSelect",), is_lsub=True))
    session.finish(tag, "LSUB done")


COMMANDS: Final = {List: waiting(list_), Lsub: lsub}
