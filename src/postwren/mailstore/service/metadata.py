"""Annotations of mailboxes and of the account (RFC 5464): `/shared/...` is everybody's who may see the mailbox, `/private/...`
each
login's own. Names compare without regard to case and are kept in lower case.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.errors import EntryInvalid, NoSuchMailbox, TooMany, ValueTooBig
from postwren.mailstore.model import Change, ChangeKind, Property
from postwren.mailstore.port import Reader, Transaction, Unit
from postwren.mailstore.service.lookup import owner
from postwren.terms import AccountId, MailboxId, ModSeq, Uid

__all__ = ["LIMITS", "Limits", "canonical_entry", "entries_of", "private_kind", "set_entries"]

SHARED: Final = "shared"
_SERVER: Final = "server-annotations"
_NAME: Final = re.compile(r"/(?:shared|private)(?:/[^\x00-\x1f\x7f-\U0010ffff*%/]+)+")


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets of a value and of a name; entries of one account, in all its mailboxes, and of the server (A-49)."""

    value: int = 65_536
    name: int = 1_024
    entries: int = 10_000
    server_entries: int = 100  # of the server, for all to see


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
    """All that this login sees; `mailbox_id` 0: of the server, where private ones are kept with the login's account."""
    private = {row.name: row.value for row in reader.properties(account_id, mailbox_id, private_kind(login))}
    if not mailbox_id:
        return private | _server_entries(reader)
    return private | {row.name: row.value for row in reader.properties(account_id, mailbox_id, SHARED)}


def _server_entries(reader: Reader) -> dict[str, bytes]:
    """They are no account's: a setting of the store holds them all (octets as Latin-1)."""
    kept = reader.setting(_SERVER)
    return {name: value.encode("latin-1") for name, value in json.loads(kept).items()} if kept else {}


def _set_server_entries(tx: Transaction, values: Mapping[str, bytes | None]) -> None:
    """TooMany."""
    entries = {name: value for name, value in {**_server_entries(tx), **values}.items() if value is not None}
    if len(entries) > LIMITS.server_entries:
        raise TooMany("entries", LIMITS.server_entries)
    tx.put_setting(_SERVER, json.dumps({name: value.decode("latin-1") for name, value in entries.items()}).encode())


def set_entries(account_id: AccountId, mailbox_id: MailboxId, login: str, values: Mapping[str, bytes | None]) -> Unit[None]:
    """Set values, None removes; all or none (section 4.3). Names are canonical ones; ValueTooBig, TooMany. Whether somebody may
    set what all see is the caller's to know."""
    for value in values.values():
        if value is not None and len(value) > LIMITS.value:
            raise ValueTooBig(LIMITS.value)

    def unit(tx: Transaction) -> None:
        account = owner(tx, account_id)
        if mailbox_id and tx.mailbox(account_id, mailbox_id) is None:
            raise NoSuchMailbox(mailbox_id)
        before = entries_of(tx, account_id, mailbox_id, login)
        changed = [name for name, value in values.items() if before.get(name) != value]
        if not mailbox_id and (of_server := {name: values[name] for name in changed if name.startswith("/shared/")}):
            _set_server_entries(tx, of_server)
            changed = [name for name in changed if name not in of_server]
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

    return unit
