"""Where a name leads: an account's mailbox, and what the session may do there (RFC 4314). The one door for every mailbox name.

    INBOX, Work/2024                          the session's own
    Other Users/ann@example.org/Work          somebody else's, where he may look it up

What must stay true (A-45): nothing tells a mailbox that one may not see from one that is not there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.errors import MailboxNameInvalid, NoSuchMailbox
from postwren.mailstore.model import Mailbox
from postwren.mailstore.service.acl import ALL, rights_of, shared_with
from postwren.mailstore.service.mailboxname import SEPARATOR, canonical, is_inferior, superiors
from postwren.protocols.imap.command.search import Scope, ScopeKind
from postwren.server.imap.session import ImapSession
from postwren.terms import INBOX, AccountId, MailboxId

__all__ = [
    "NOBODY",
    "NOTHING",
    "OTHERS",
    "SELECTED",
    "Place",
    "all_places",
    "find",
    "find_new",
    "in_scope",
    "in_scopes",
    "name_of",
    "own_places",
    "reach",
    "shared_places",
]

OTHERS: Final = "Other Users"
NOBODY: Final = AccountId(0)
NOTHING: Final = MailboxId(0)
SELECTED: Final = (ScopeKind.SELECTED, ScopeKind.SELECTED_DELAYED)


@dataclass(frozen=True, slots=True)
class Place:
    """A mailbox as the session reaches it: `name` is how it names it."""

    account_id: AccountId
    mailbox: Mailbox
    name: str
    rights: frozenset[str]


def find(session: ImapSession, name: str) -> Place | None:
    """None: there is nothing that this session may see."""
    try:
        account_id, local = _owner_of(session, name)
    except MailboxNameInvalid:
        return None
    reader = session.service.store.reader
    mailbox = reader.mailbox_by_name(account_id, local)
    if account_id == session.account_id:
        return Place(account_id, mailbox, local, ALL) if mailbox is not None else None
    rights = rights_of(reader, account_id, _id_of(mailbox), session.login)
    if mailbox is None or "l" not in rights:
        return None
    return Place(account_id, mailbox, name_of(session, mailbox), rights)


def reach(session: ImapSession, name: str) -> Place:
    """`find`; NoSuchMailbox."""
    found = find(session, name)
    if found is None:
        raise NoSuchMailbox(NOTHING)
    return found


def find_new(session: ImapSession, name: str) -> tuple[AccountId, str]:
    """Where a mailbox of this name would be made: the account, and its name there. Among another's mailboxes that is below one in
    which this session may create (right k); NoSuchMailbox otherwise. MailboxNameInvalid."""
    account_id, local = _owner_of(session, name)
    if account_id != session.account_id:
        reader = session.service.store.reader
        above = [reader.mailbox_by_name(account_id, superior) for superior in superiors(local)]
        nearest = next((mailbox for mailbox in reversed(above) if mailbox is not None), None)
        if "k" not in rights_of(reader, account_id, _id_of(nearest), session.login):
            raise NoSuchMailbox(NOTHING)
    return account_id, local


def name_of(session: ImapSession, mailbox: Mailbox) -> str:
    """How the session names a mailbox."""
    if mailbox.account_id == session.account_id:
        return mailbox.name
    owner = session.service.store.reader.account(mailbox.account_id)
    return SEPARATOR.join((OTHERS, owner.login if owner is not None else "", mailbox.name))


def own_places(session: ImapSession) -> Iterator[Place]:
    """All mailboxes of the session's account."""
    for mailbox in session.service.store.reader.mailboxes(session.account_id):
        yield Place(session.account_id, mailbox, mailbox.name, ALL)


def shared_places(session: ImapSession) -> Iterator[Place]:
    """All mailboxes of others that the session may look up."""
    for mailbox, rights in shared_with(session.service.store.reader, session.account_id, session.login):
        yield Place(mailbox.account_id, mailbox, name_of(session, mailbox), rights)


def all_places(session: ImapSession) -> list[Place]:
    """Both."""
    return [*own_places(session), *shared_places(session)]


def _owner_of(session: ImapSession, name: str) -> tuple[AccountId, str]:
    """The account that a name belongs to and its name there; NOBODY where there is no such other account. MailboxNameInvalid
    before anybody is looked up."""
    if name.partition(SEPARATOR)[0] != OTHERS:
        return session.account_id, canonical(name)
    login, _, local = name[len(OTHERS) + 1 :].partition(SEPARATOR)
    local = canonical(local)
    owner = session.service.store.reader.account_by_login(login.lower())
    if owner is None or owner.account_id == session.account_id:
        return NOBODY, local
    return owner.account_id, local


def _id_of(mailbox: Mailbox | None) -> MailboxId:
    """Rights are looked up of what is not there, too: neither the answer nor its time tells (A-45)."""
    return mailbox.mailbox_id if mailbox is not None else NOTHING


def in_scope(scope: Scope, place: Place) -> bool:
    """Whether a mailbox is among those that a scope names (section 6; RFC 7377 section 2.2). The selected one is the
    session's."""
    name, is_own = place.name, place.name == place.mailbox.name
    match scope.kind:
        case ScopeKind.INBOXES:
            return is_own and name == INBOX
        case ScopeKind.PERSONAL:
            return is_own
        case ScopeKind.SUBSCRIBED:
            return is_own and place.mailbox.is_subscribed
        case ScopeKind.MAILBOXES:
            return name in scope.mailboxes
        case ScopeKind.SUBTREE:
            return any(name == above or is_inferior(name, above) for above in scope.mailboxes)
        case ScopeKind.SUBTREE_ONE:
            return any(
                name == above or (is_inferior(name, above) and "/" not in name[len(above) + 1 :]) for above in scope.mailboxes
            )
        case ScopeKind.SELECTED | ScopeKind.SELECTED_DELAYED:
            return False


def in_scopes(session: ImapSession, scopes: Sequence[Scope]) -> list[Place]:
    """The mailboxes that these scopes name and that the session may read, each once; without a scope it is the selected one."""
    selected = session.selected
    places: list[Place] = []
    for place in all_places(session):
        is_selected = selected is not None and (selected.account_id, selected.mailbox_id) == place.mailbox[:2]
        wants_selected = not scopes or any(scope.kind in SELECTED for scope in scopes)
        if "r" in place.rights and ((is_selected and wants_selected) or any(in_scope(scope, place) for scope in scopes)):
            places.append(place)
    return places
