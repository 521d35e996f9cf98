"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, NAMESPACE (RFC 9051 sections 6.3.4 to 6.3.8 and 6.3.10, RFC 4314, 6154,
8474)."""

from typing import Final

from postwren.mailstore.service.mailboxes import (
    create_mailbox,
    delete_mailbox,
    rename_mailbox,
    subscribe,
    subscribe_name,
    subscriptions,
)
from postwren.mailstore.service.mailboxname import SEPARATOR
from postwren.protocols.imap import code
from postwren.protocols.imap.code import MailboxIdCode
from postwren.protocols.imap.command import Create, Delete, Namespace, Rename, Subscribe, Unsubscribe
from postwren.protocols.imap.response.sharing import NamespaceEntry, Namespaces
from postwren.server.imap.objectid import mailbox_id
from postwren.server.imap.place import OTHERS, find, find_new, reach
from postwren.server.imap.refusal import NO_RIGHTS, Refusal
from postwren.server.imap.session import ImapSession, waiting
from postwren.terms import INBOX, SpecialUse

__all__ = ["COMMANDS"]

NOT_ELSEWHERE: Final = Refusal("a mailbox stays with its owner", code.CANNOT)
UNKNOWN_USE: Final = Refusal("one use, and one that is known", code.USEATTR)
OWN_USES: Final = Refusal("what a mailbox is for is its owner's to say", code.USEATTR)
NOT_SUBSCRIBED: Final = Refusal("not subscribed to this", code.NONEXISTENT)
NAMESPACES: Final = Namespaces((NamespaceEntry(""),), (NamespaceEntry(OTHERS + SEPARATOR),))
_USES: Final = {use.value.lower(): use for use in SpecialUse}


async def create(session: ImapSession, tag: str, command: Create) -> None:
    """A delimiter at the end says that there will be mailboxes below: nothing that we need to know (section 6.3.4)."""
    uses = [_USES.get(use.lower()) for use in command.special_use]
    if len(uses) > 1 or None in uses:
        session.refuse(tag, UNKNOWN_USE)
        return
    account_id, name = find_new(session, command.mailbox.removesuffix(SEPARATOR))
    if uses and account_id != session.account_id:  # the owner's devices would keep sent mail and drafts where others read them
        session.refuse(tag, OWN_USES)
        return
    unit = create_mailbox(account_id, name, int(session.service.now()), uses[0] if uses else None)
    mailbox = await session.service.store.perform(unit)
    session.finish(tag, "CREATE done", MailboxIdCode(mailbox_id(account_id, mailbox.mailbox_id)))


async def delete(session: ImapSession, tag: str, command: Delete) -> None:
    """Mailboxes below it stay. A session that has it selected is told when it asks next."""
    found = reach(session, command.mailbox)
    if "x" not in found.rights:
        session.refuse(tag, NO_RIGHTS)
        return
    selected = session.selected
    if selected is not None and (selected.account_id, selected.mailbox_id) == (found.account_id, found.mailbox.mailbox_id):
        session.leave()
    unit = delete_mailbox(found.account_id, found.mailbox.mailbox_id, int(session.service.now()))
    await session.service.store.perform(unit)
    session.finish(tag, "DELETE done")


async def rename(session: ImapSession, tag: str, command: Rename) -> None:
    """RFC 4314 section 4: x on the old name, k above the new one."""
    found = reach(session, command.mailbox)
    account_id, name = find_new(session, command.new_name.removesuffix(SEPARATOR))
    if "x" not in found.rights:
        session.refuse(tag, NO_RIGHTS)
        return
    if account_id != found.account_id:
        session.refuse(tag, NOT_ELSEWHERE)
        return
    unit = rename_mailbox(account_id, found.mailbox.mailbox_id, name, int(session.service.now()))
    renamed = await session.service.store.perform(unit)
    selected = session.selected
    if selected is not None and (selected.account_id, selected.mailbox_id) == (account_id, renamed.mailbox_id):
        selected.name = command.new_name
    session.finish(tag, "RENAME done")


async def subscribe_(session: ImapSession, tag: str, command: Subscribe) -> None:
    """Only to what is there (section 6.3.7 allows to look)."""
    found = reach(session, command.mailbox)
    if found.account_id == session.account_id:
        unit = subscribe(found.account_id, found.mailbox.mailbox_id, True)
    else:
        unit = subscribe_name(session.account_id, found.name, True)
    await session.service.store.perform(unit)
    session.finish(tag, "SUBSCRIBE done")


async def unsubscribe(session: ImapSession, tag: str, command: Unsubscribe) -> None:
    found = find(session, command.mailbox)
    name = found.name if found is not None else INBOX if command.mailbox.upper() == INBOX else command.mailbox
    if found is not None and found.account_id == session.account_id:
        await session.service.store.perform(subscribe(found.account_id, found.mailbox.mailbox_id, False))
    elif name in subscriptions(session.service.store.reader, session.account_id):
        await session.service.store.perform(subscribe_name(session.account_id, name, False))
    else:
        session.refuse(tag, NOT_SUBSCRIBED)
        return
    session.finish(tag, "UNSUBSCRIBE done")


def namespace(session: ImapSession, tag: str, _: Namespace) -> None:
    session.say(NAMESPACES)
    session.finish(tag, "NAMESPACE done")


COMMANDS: Final = {
    Create: waiting(create),
    Delete: waiting(delete),
    Rename: waiting(rename),
    Subscribe: waiting(subscribe_),
    Unsubscribe: waiting(unsubscribe),
    Namespace: namespace,
}
