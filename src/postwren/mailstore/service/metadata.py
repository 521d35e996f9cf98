"""Annotations of mailboxes and of the account (RFC 5464): `/shared/...` is everybody's who may see the mailbox, `/private/...`
each
login's own. Names compare without regard to case and are kept in lower case.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.errors import EntryInvalid, NoSuchMailbox, TooMany, ValueTooBig
from postwren.mailstore.model import Change, ChangeKind, Property
from postwren.mailstore.port import Reader, Transaction, Unit
from postwren.mailstore.service.lookup import owner
from postwren.terms import AccountId, MailboxId, ModSeq, Uid

__all__ = ["LIMITS", "Limits", "canonical_entry", "entries_of", "private_kind", "set_entries"]

SHARED: Final = "shared"
_NAME: Final = re.compile(r"/(?:shared|private)(?:/[^\x00-\x1f\x7f-\U0010ffff*%/]+)+")


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets of a value and of a name; entries of one account, in all its mailboxes (A-49)."""

    value: int = 65_536
    name: int = 1_024
    entries: int = 10_000


LIMITS: Final = Limits()


def canonical_entry(name: str) -> str:
    """As it is kept (section 3); EntryInvalid."""
    if len(name) > LIMITS.name or _NAME.fullmatch(lower := name.lower()) is None:
        raise EntryInvalid(name)
    return lower


def private_kind(login: str) -> str:
    """The kind of properties that are this login's own."""
    return f"private:{login}"


def _kind(name: str, login: str) -> str:
    return SHARED if name.startswith("/shared/") else private_kind(login)


def entries_of(reader: Reader, account_id: AccountId, mailbox_id: MailboxId, login: str) -> dict[str, bytes]:
    """All that this login sees; `mailbox_id` 0: of the account, which is the server to IMAP."""
    rows = [*reader.properties(account_id, mailbox_id, private_kind(login)), *reader.properties(account_id, mailbox_id, SHARED)]
    return {row.name: row.value for row in rows}


def set_entries(
    account_id: AccountId, mailbox_id: MailboxId, login: str, values: Mapping[str, bytes | None]
) -> Unit[Sequence[str]]:
    """Set values, None removes; all or none (section 4.3). Returns the names that changed. Names are canonical ones; ValueTooBig,
    TooMany."""
    for value in values.values():
        if value is not None and len(value) > LIMITS.value:
            raise ValueTooBig(LIMITS.value)

    def unit(tx: Transaction) -> Sequence[str]:
        account = owner(tx, account_id)
        if mailbox_id and tx.mailbox(account_id, mailbox_id) is None:
            raise NoSuchMailbox(mailbox_id)
        before = entries_of(tx, account_id, mailbox_id, login)
        changed = [name for name, value in values.items() if before.get(name) != value]
        more = sum((values[name] is not None) - (name in before) for name in changed)
        if more > 0 and tx.property_count(account_id) + more > LIMITS.entries:
            raise TooMany("entries", LIMITS.entries)
        for name in changed:
            value, kind = values[name], _kind(name, login)
            if value is None:
                tx.delete_property(account_id, mailbox_id, kind, name)
            else:
                tx.put_property(Property(account_id, mailbox_id, kind, name, value))
        if changed:
            modseq = ModSeq(account.modseq + 1)
            tx.update_account(account._replace(modseq=modseq))
            tx.insert_changes([Change(account_id, modseq, ChangeKind.METADATA, mailbox_id, Uid(0), Uid(0))])
        return changed

    return unit
