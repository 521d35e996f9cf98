"""STATUS (RFC 9051 section 6.3.11, RFC 7162, 7889, 8474, 9208): counters that are kept, never counted."""

from collections.abc import Callable, Sequence
from typing import Final

from postwren.mailstore.model import Mailbox
from postwren.mailstore.service.flags import DELETED, FlagSets
from postwren.protocols.imap.command.list import Status, StatusItem
from postwren.protocols.imap.response.list import MailboxStatus, StatusValue
from postwren.server.imap.objectid import mailbox_id
from postwren.server.imap.place import Place, reach
from postwren.server.imap.refusal import NO_MAILBOX
from postwren.server.imap.session import ImapSession, waiting

__all__ = ["COMMANDS", "mailbox_status"]

_VALUES: Final[dict[StatusItem, Callable[[Mailbox], StatusValue]]] = {
    StatusItem.MESSAGES: lambda mailbox: mailbox.messages,
    StatusItem.RECENT: lambda _: 0,
    StatusItem.UIDNEXT: lambda mailbox: mailbox.uidnext,
    StatusItem.UIDVALIDITY: lambda mailbox: mailbox.uidvalidity,
    StatusItem.UNSEEN: lambda mailbox: mailbox.unseen,
    StatusItem.DELETED: lambda mailbox: mailbox.deleted,
    StatusItem.SIZE: lambda mailbox: mailbox.size,
    StatusItem.HIGHESTMODSEQ: lambda mailbox: max(mailbox.highestmodseq, 1),
    StatusItem.MAILBOXID: lambda mailbox: mailbox_id(mailbox.account_id, mailbox.mailbox_id),
}


async def status(session: ImapSession, tag: str, command: Status) -> None:
    """The r right is needed (RFC 4314 section 4). Asking for HIGHESTMODSEQ switches CONDSTORE on (RFC 7162 section 3.1)."""
    found = reach(session, command.mailbox)
    if "r" not in found.rights:
        session.refuse(tag, NO_MAILBOX)
        return
    if StatusItem.HIGHESTMODSEQ in command.items:
        session.enabled.condstore = True
    session.say(await mailbox_status(session, found, command.items))
    session.finish(tag, "STATUS done")


async def mailbox_status(session: ImapSession, found: Place, items: Sequence[StatusItem]) -> MailboxStatus:
    """The response for a mailbox; only DELETED-STORAGE needs to look at messages."""
    mailbox = found.mailbox
    values: list[tuple[StatusItem, StatusValue]] = []
    for item in items:
        if item is StatusItem.APPENDLIMIT:
            values.append((item, session.service.settings.size_limit))
        elif item is StatusItem.DELETED_STORAGE:
            values.append((item, await _deleted_octets(session, mailbox) if mailbox.deleted else 0))
        else:
            values.append((item, _VALUES[item](mailbox)))
    return MailboxStatus(found.name, tuple(values))


async def _deleted_octets(session: ImapSession, mailbox: Mailbox) -> int:
    """RFC 9208 section 4.1.4: octets of what has \\Deleted."""
    account_id = mailbox.account_id

    handle = await session.service.snapshots.open(account_id, mailbox.mailbox_id)
    try:
        snapshot = await handle.loaded()
        flagsets = FlagSets(session.service.store.reader, account_id)
        deleted = {flagset_id for flagset_id in set(snapshot.flagset_ids) if DELETED in flagsets[flagset_id]}  # type: ignore[index]
        return sum(size for size, flagset_id in zip(snapshot.sizes, snapshot.flagset_ids, strict=True) if flagset_id in deleted)
    finally:
        handle.close()


COMMANDS: Final = {Status: waiting(status)}
