"""Who may do what with a mailbox (RFC 4314). Its owner may do everything, always; others what was granted to their login or to
`anyone`, less what was granted to these behind a "-".

Rights are letters: l lookup, r read, s seen, w write flags, i insert, p post, k create below, x delete the mailbox, t delete
messages,
e expunge, a administer. c and d are old names for k and for t, e, x together (section 2.1.1).
"""

import re
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.errors import IdentifierInvalid, TooMany
from postwren.mailstore.model import Change, ChangeKind, Grant, Mailbox
from postwren.mailstore.port import Reader, Transaction, Unit
from postwren.mailstore.service.accounts import canonical_login
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.terms import AccountId, MailboxId, ModSeq, Uid

__all__ = [
    "ALL",
    "ANYONE",
    "LIMITS",
    "NONE",
    "RIGHTS",
    "Limits",
    "in_order",
    "inherit",
    "parse_rights",
    "rights_of",
    "set_rights",
    "shared_with",
    "told",
]

RIGHTS: Final = "lrswipkxtea"
ALL: Final = frozenset(RIGHTS)
NONE: Final[frozenset[str]] = frozenset()
ANYONE: Final = "anyone"
_OLD: Final = {"c": "k", "d": "xte"}
_LETTERS: Final = re.compile(r"[a-z0-9]*")


@dataclass(frozen=True, slots=True)
class Limits:
    """Grants of one mailbox."""

    grants: int = 1000


LIMITS: Final = Limits()


def parse_rights(text: str) -> frozenset[str] | None:
    """The rights that these letters name; None where one of them is none."""
    rights = "".join(_OLD.get(letter, letter) for letter in text)
    return frozenset(rights) if frozenset(rights) <= ALL and _LETTERS.fullmatch(text) else None


def in_order(rights: frozenset[str]) -> str:
    """The letters in the order of `RIGHTS`."""
    return "".join(letter for letter in RIGHTS if letter in rights)


def told(rights: frozenset[str]) -> str:
    """The same with the old letters whose members are among them (section 2.1.1)."""
    return in_order(rights) + "".join(old for old, members in _OLD.items() if rights & frozenset(members))


def canonical_identifier(reader: Reader, identifier: str) -> str:
    """As it is kept; IdentifierInvalid. Whether there is such a login is nobody's business (A-45)."""
    sign, name = ("-", identifier[1:]) if identifier.startswith("-") else ("", identifier)
    if name == ANYONE:
        return sign + name
    login = canonical_login(reader, name)
    if login is None:
        raise IdentifierInvalid(identifier)
    return sign + login


def rights_of(reader: Reader, account_id: AccountId, mailbox_id: MailboxId, login: str) -> frozenset[str]:
    """What this login, which is not the owner's, may do."""
    given: set[str] = set()
    taken: set[str] = set()
    for grant in reader.grants(account_id, mailbox_id):
        if grant.identifier in (login, ANYONE):
            given.update(grant.rights)
        elif grant.identifier in (f"-{login}", f"-{ANYONE}"):
            taken.update(grant.rights)
    return frozenset(given - taken)


def shared_with(reader: Reader, account_id: AccountId, login: str) -> list[tuple[Mailbox, frozenset[str]]]:
    """Mailboxes of others that this login (of `account_id`) may look up, with its rights."""
    keys = {grant[:2] for identifier in (login, ANYONE) for grant in reader.granted(identifier) if grant.account_id != account_id}
    found = []
    for owner_id, mailbox_id in sorted(keys):
        mailbox, rights = reader.mailbox(owner_id, mailbox_id), rights_of(reader, owner_id, mailbox_id, login)
        if mailbox is not None and "l" in rights:
            found.append((mailbox, rights))
    return found


def set_rights(account_id: AccountId, mailbox_id: MailboxId, identifier: str, change: str, rights: frozenset[str]) -> Unit[None]:
    """Give (`change` "+"), take ("-") or replace ("") rights; none left is no entry. IdentifierInvalid, TooMany."""

    def unit(tx: Transaction) -> None:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        name = canonical_identifier(tx, identifier)
        grants = {grant.identifier: frozenset(grant.rights) for grant in tx.grants(account_id, mailbox_id)}
        before = grants.get(name, NONE)
        after = before | rights if change == "+" else before - rights if change == "-" else rights
        if after == before:
            return
        if not after:
            tx.delete_grant(account_id, mailbox_id, name)
        elif name not in grants and len(grants) >= LIMITS.grants:
            raise TooMany("grants", LIMITS.grants)
        else:
            tx.put_grant(Grant(account_id, mailbox_id, name, in_order(after)))
        modseq = ModSeq(account.modseq + 1)
        tx.update_account(account._replace(modseq=modseq))
        tx.insert_changes([Change(account_id, modseq, ChangeKind.MAILBOX_CHANGED, mailbox.mailbox_id, Uid(0), Uid(0))])

    return unit


def inherit(tx: Transaction, above: Mailbox, below: Mailbox) -> None:
    """A new mailbox begins with the grants of the one above it (section 4, under CREATE)."""
    for grant in tx.grants(above.account_id, above.mailbox_id):
        tx.put_grant(grant._replace(mailbox_id=below.mailbox_id))
