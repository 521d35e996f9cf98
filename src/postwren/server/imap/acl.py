"""SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314).

Who may administer a mailbox (right a) sees and sets its rights; who may only look it up sees his own. Whether an identifier is
anybody's login is told to nobody (A-45).
"""

from typing import Final

from postwren.mailstore.service.acl import ALL, RIGHTS, canonical_identifier, parse_rights, set_rights, told
from postwren.protocols.imap.command.sharing import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from postwren.protocols.imap.response import Status
from postwren.protocols.imap.response.sharing import Acl, ListedRights, OwnRights
from postwren.server.imap.place import Place, reach
from postwren.server.imap.refusal import NO_RIGHTS, Refusal
from postwren.server.imap.session import ImapSession, waiting

__all__ = ["COMMANDS"]

NO_RIGHT: Final = Refusal("no such right", None, Status.BAD)
OWNERS: Final = Refusal("the rights of an owner stay as they are")


def _administered(session: ImapSession, tag: str, name: str) -> Place | None:
    """The mailbox; or None, and the command is refused."""
    found = reach(session, name)
    if "a" not in found.rights:
        session.refuse(tag, NO_RIGHTS)
        return None
    return found


def _owner(session: ImapSession, found: Place) -> str:
    owner = session.service.store.reader.account(found.account_id)
    return owner.login if owner is not None else ""


async def _set(session: ImapSession, tag: str, command: SetAcl | DeleteAcl, change: str, rights: frozenset[str]) -> None:
    found = _administered(session, tag, command.mailbox)
    if found is None:
        return
    if canonical_identifier(session.service.store.reader, command.identifier).removeprefix("-") == _owner(session, found):
        session.refuse(tag, OWNERS)
        return
    unit = set_rights(found.account_id, found.mailbox.mailbox_id, command.identifier, change, rights)
    await session.service.store.perform(unit)
    session.finish(tag, "ACL changed")


async def set_acl(session: ImapSession, tag: str, command: SetAcl) -> None:
    rights = parse_rights(command.rights)
    if rights is None:
        session.refuse(tag, NO_RIGHT)
    else:
        await _set(session, tag, command, command.change, rights)


async def delete_acl(session: ImapSession, tag: str, command: DeleteAcl) -> None:
    await _set(session, tag, command, "", frozenset())


async def get_acl(session: ImapSession, tag: str, command: GetAcl) -> None:
    found = _administered(session, tag, command.mailbox)
    if found is None:
        return
    grants = session.service.store.reader.grants(found.account_id, found.mailbox.mailbox_id)
    entries = [(_owner(session, found), told(ALL)), *((grant.identifier, told(frozenset(grant.rights))) for grant in grants)]
    session.say(Acl(found.name, tuple(entries)))
    session.finish(tag, "GETACL done")


async def list_rights(session: ImapSession, tag: str, command: ListRights) -> None:
    """The owner has all rights whatever happens; others any, each for itself, but the old letters go with theirs."""
    found = _administered(session, tag, command.mailbox)
    if found is None:
        return
    name = canonical_identifier(session.service.store.reader, command.identifier)
    is_owner = name == _owner(session, found)
    required, optional = (told(ALL), ()) if is_owner else ("", (*RIGHTS, "c", "d"))
    session.say(ListedRights(found.name, command.identifier, required, optional))
    session.finish(tag, "LISTRIGHTS done")


async def my_rights(session: ImapSession, tag: str, command: MyRights) -> None:
    found = reach(session, command.mailbox)
    session.say(OwnRights(found.name, told(found.rights)))
    session.finish(tag, "MYRIGHTS done")


COMMANDS: Final = {
    SetAcl: waiting(set_acl),
    DeleteAcl: waiting(delete_acl),
    GetAcl: waiting(get_acl),
    ListRights: waiting(list_rights),
    MyRights: waiting(my_rights),
}
