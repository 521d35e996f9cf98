"""Whether the messages of the copy are what they were when they came: every octet is read and hashed again. That finds what no
comparison of flags and UIDs does: a flipped bit, or a message whose octets are gone.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple

from postwren.mailstore.errors import BodyCorrupt
from postwren.mailstore.model import Email
from postwren.mailstore.port import Reader, Store
from postwren.terms import AccountId, EmailId

__all__ = ["Read", "find_damaged", "places_of"]

AT_ONCE: Final = 1000  # messages of one snapshot
OCTETS_AT_ONCE: Final = 64_000_000


class Read(NamedTuple):
    """What was read so far: emails, their octets, and which of them are damaged."""

    emails: int
    octets: int
    damaged: frozenset[EmailId]


async def find_damaged(store: Store, account_id: AccountId, told: Callable[[Read], None]) -> Read:
    """Read every email of the account once, however many entries it has; `told` hears how far it is."""
    found = Read(0, 0, frozenset())
    after: int | None = 0
    while after is not None:
        some, after = await store.read(partial(_read_some, store, account_id, after))
        found = Read(found.emails + some.emails, found.octets + some.octets, found.damaged | some.damaged)
        told(found)
    return found


def _read_some(store: Store, account_id: AccountId, after: int, reader: Reader) -> tuple[Read, int | None]:
    emails = octets = 0
    damaged = set()
    for email in reader.emails(account_id, after):
        emails += 1
        octets += email.body.size
        if not _is_whole(store, email):
            damaged.add(email.email_id)
        if emails >= AT_ONCE or octets >= OCTETS_AT_ONCE:
            return Read(emails, octets, frozenset(damaged)), email.email_id
    return Read(emails, octets, frozenset(damaged)), None


def _is_whole(store: Store, email: Email) -> bool:
    content = sha256()
    try:
        for piece in store.body_pieces(email.body):
            content.update(piece)
    except (BodyCorrupt, OSError):  # its checksum, or its sectors
        return False
    return content.digest() == email.content_id


def places_of(account_id: AccountId, email_ids: frozenset[EmailId], reader: Reader) -> list[tuple[str, int]]:
    """(mailbox, UID) of the entries of these emails; emails that only wait to be brought back have none."""
    if not email_ids:
        return []
    found = []
    for mailbox in reader.mailboxes(account_id):
        uids, emails = reader.pick(account_id, mailbox.mailbox_id, None, ("uid", "email_id"))
        found += [(mailbox.name, uid) for uid, email_id in zip(uids, emails, strict=True) if email_id in email_ids]
    return found
