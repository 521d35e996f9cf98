"""GETMETADATA and SETMETADATA (RFC 5464). The empty name is the server: `/private` is each login's own there, and `/shared` is
one for all, which only administrators write.
"""

from collections.abc import Iterable
from typing import Final

from postwren.mailstore.errors import TooMany
from postwren.mailstore.service.metadata import canonical_entry, entries_of, set_entries
from postwren.protocols.imap.code import MetadataCode
from postwren.protocols.imap.command.sharing import Depth, GetMetadata, SetMetadata
from postwren.protocols.imap.response.sharing import Metadata
from postwren.server.imap.place import Place, reach
from postwren.server.imap.refusal import NO_RIGHTS, Refusal
from postwren.server.imap.session import ImapSession, waiting
from postwren.terms import AccountId, MailboxId

__all__ = ["COMMANDS", "filter_of", "metadata_of"]

SERVER: Final = MailboxId(0)
TOO_MANY: Final = Refusal("there are too many entries already", MetadataCode("TOOMANY"))


def _place(session: ImapSession, name: str) -> tuple[AccountId, MailboxId, Place | None]:
    if not name:
        return session.account_id, SERVER, None
    found = reach(session, name)
    return found.account_id, found.mailbox.mailbox_id, found


async def get_metadata(session: ImapSession, tag: str, command: GetMetadata) -> None:
    """Values above MAXSIZE are left out, and the largest of them is told (section 4.2.1)."""
    account_id, mailbox_id, found = _place(session, command.mailbox)
    if found is not None and "r" not in found.rights:
        session.refuse(tag, NO_RIGHTS)
        return
    names = [canonical_entry(name) for name in command.entries]
    values = _matching(entries_of(session.service.store.reader, account_id, mailbox_id, session.login), names, command.depth)
    longest = 0
    if command.max_size is not None:
        sizes = [len(value) for value in values.values() if value is not None and len(value) > command.max_size]
        longest = max(sizes, default=0)
        values = {name: value for name, value in values.items() if value is None or len(value) <= command.max_size}
    if values:
        session.say(Metadata(found.name if found is not None else "", tuple(values.items())))
    session.finish(tag, "GETMETADATA done", MetadataCode("LONGENTRIES", longest) if longest else None)


def _matching(known: dict[str, bytes], names: Iterable[str], depth: Depth) -> dict[str, bytes | None]:
    """What is asked for; NIL for one that is not there, but nothing for what could be below it."""
    found: dict[str, bytes | None] = {}
    for name in names:
        if depth is Depth.ZERO or name in known:
            found[name] = known.get(name)
        if depth is Depth.ZERO:
            continue
        for other, value in known.items():
            below = other.removeprefix(name + "/")
            if below != other and (depth is Depth.INFINITY or "/" not in below):
                found[other] = value
    return found


def metadata_of(session: ImapSession, found: Place, entries: Iterable[str]) -> Metadata | None:
    """For LIST RETURN (METADATA ...), RFC 9590; None where the session may not read it."""
    if "r" not in found.rights:
        return None
    known = entries_of(session.service.store.reader, found.account_id, found.mailbox.mailbox_id, session.login)
    return Metadata(found.name, tuple(_matching(known, map(canonical_entry, entries), Depth.ZERO).items()))


def filter_of(session: ImapSession, name: str) -> bytes | None:
    """The value of a named search (RFC 5466 section 3): the session's own before one that is shared; None where there is none."""
    known = entries_of(session.service.store.reader, session.account_id, SERVER, session.login)
    return next(
        (known[entry] for kind in ("private", "shared") if (entry := f"/{kind}/filters/values/{name.lower()}") in known), None
    )


async def set_metadata(session: ImapSession, tag: str, command: SetMetadata) -> None:
    """Section 4.3: all or none. What all see needs the right to write (w); what is one's own, to read."""
    account_id, mailbox_id, found = _place(session, command.mailbox)
    values = {canonical_entry(name): value for name, value in command.values}
    is_shared = any(name.startswith("/shared/") for name in values)
    rights = found.rights if found is not None else frozenset("rw" if session.is_administrator else "r")
    if "r" not in rights or (is_shared and "w" not in rights):
        session.refuse(tag, NO_RIGHTS)
        return
    try:
        await session.service.store.perform(set_entries(account_id, mailbox_id, session.login, values))
    except TooMany:
        session.refuse(tag, TOO_MANY)
        return
    session.finish(tag, "SETMETADATA done")


COMMANDS: Final = {GetMetadata: waiting(get_metadata), SetMetadata: waiting(set_metadata)}
