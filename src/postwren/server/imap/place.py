"""Where a name leads: an account's mailbox, and what the session may do there (RFC 4314). The one door for every mailbox name.

What must stay true (A-45): nothing tells a mailbox that one may not see from one that is not there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.errors import MailboxNameInvalid
from postwren.mailstore.model import Mailbox
from postwren.mailstore.service.mailboxname import canonical, is_inferior
from postwren.protocols.imap.command.search import Scope, ScopeKind
from postwren.server.imap.session import ImapSession
from postwren.terms import INBOX, AccountId

__all__ = ["ALL_RIGHTS", "Place", "find", "in_scopes"]

ALL_RIGHTS: Final = frozenset("lrswipkxtea")


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
        name = canonical(name)
    except MailboxNameInvalid:
        return None
    mailbox = session.service.store.reader.mailbox_by_name(session.account_id, name)
    return None if mailbox is None else Place(session.account_id, mailbox, name, ALL_RIGHTS)


def in_scopes(session: ImapSession, scopes: Sequence[Scope]) -> list[Place]:
    """The mailboxes that these scopes name (RFC 5465 section 6), each once; without a scope it is the selected one."""
    if not scopes:
        return [found for found in [session.selected and find(session, session.selected.name)] if found]
    names = dict.fromkeys(name for scope in scopes for name in _names(session, scope))
    places = [find(session, name) for name in names]
    return [found for found in places if found is not None and "r" in found.rights]


def _names(session: ImapSession, scope: Scope) -> Iterator[str]:
    reader = session.service.store.reader
    match scope.kind:
        case ScopeKind.SELECTED | ScopeKind.SELECTED_DELAYED:
            if session.selected is not None:
                yield session.selected.name
        case ScopeKind.INBOXES:
            yield INBOX
        case ScopeKind.MAILBOXES:
            yield from scope.mailboxes
        case ScopeKind.PERSONAL:
            yield from (mailbox.name for mailbox in reader.mailboxes(session.account_id))
        case ScopeKind.SUBSCRIBED:
            yield from (mailbox.name for mailbox in reader.mailboxes(session.account_id) if mailbox.is_subscribed)
        case ScopeKind.SUBTREE | ScopeKind.SUBTREE_ONE:
            names = [mailbox.name for mailbox in reader.mailboxes(session.account_id)]
            for top in scope.mailboxes:
                depth = top.count("/") + 1
                yield from (name for name in names if name == top or (is_inferior(name, top) and _fits(scope, name, depth)))


def _fits(scope: Scope, name: str, depth: int) -> bool:
    return scope.kind is ScopeKind.SUBTREE or name.count("/") == depth
