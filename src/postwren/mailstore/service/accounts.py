"""Accounts: logins, credentials and the addresses that reach them.

A login is an address (RFC 5321 section 4.1.2) in its canonical form: the domain in lower case and A-labels
(RFC 5890), the local part NFC and in lower case, because nobody here may be Ann beside ann. Addresses are kept in
the same form. A UIDVALIDITY that was used under a login that is created again is never used again (D-33).
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import idna

from postwren.mailstore.errors import (
    AccountExists,
    AddressTaken,
    LoginInvalid,
    NoSuchAddress,
)
from postwren.mailstore.model import Account, AddressRow, Change, ChangeKind, Credentials, Mailbox
from postwren.mailstore.port import Reader, Transaction, Unit
from postwren.mailstore.service.lookup import owner
from postwren.mailstore.service.metadata import private_kind
from postwren.terms import INBOX, AccountId, Address, EmailId, MailboxId, ModSeq, Uid, UidValidity

__all__ = [
    "LIMITS",
    "Limits",
    "add_address",
    "ascii_domain",
    "canonical_address",
    "canonical_login",
    "create_account",
    "remove_account",
    "remove_address",
    "resolve",
    "set_credentials",
    "set_quota",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """RFC 5321 section 4.5.3.1: octets."""

    local_part: int = 64
    domain: int = 255


LIMITS: Final = Limits()
_UIDVALIDITY_FLOOR: Final = "uidvalidity-floor"
_ATOM: Final = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+'  # all but specials: a class of so many letters takes long to compile
_LOCAL_PART: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*")
"""Dot-string of RFC 5321 section 4.1.2; letters beyond ASCII by RFC 6531 section 3.3."""


def create_account(login: str, credentials: Credentials, now: int, quota: int = 0) -> Unit[Account]:
    """A new account with an INBOX and the address of its login. LoginInvalid is raised at once."""
    address = _login_address(login)

    def unit(tx: Transaction) -> Account:
        if tx.account_by_login(str(address)) is not None:
            raise AccountExists(str(address))
        if tx.address(address) is not None:
            raise AddressTaken(address)
        account_id = tx.next_account_id()
        modseq, inbox_id = ModSeq(1), MailboxId(1)
        uidvalidity = max(now, 1, int(tx.setting(_UIDVALIDITY_FLOOR) or 0))
        account = Account(
            account_id,
            str(address),
            credentials,
            now,
            modseq,
            MailboxId(inbox_id + 1),
            EmailId(1),
            UidValidity(uidvalidity + 1),
            used=0,
            quota=quota,
        )
        tx.insert_account(account)
        tx.insert_address(AddressRow(address, account_id))
        tx.insert_mailbox(
            Mailbox(account_id, inbox_id, INBOX, UidValidity(uidvalidity), Uid(1), modseq, 0, 0, 0, 0, None, True, modseq)
        )
        tx.insert_changes([Change(account_id, modseq, ChangeKind.MAILBOX_CREATED, inbox_id, Uid(0), Uid(0))])
        return account

    return unit


def set_credentials(account_id: AccountId, credentials: Credentials) -> Unit[None]:
    """Replace how the login proves itself."""

    def unit(tx: Transaction) -> None:
        tx.update_account(owner(tx, account_id)._replace(credentials=credentials))

    return unit


def set_quota(account_id: AccountId, octets: int, messages: int) -> Unit[None]:
    """What the account may keep; 0 is no limit. What it has above a limit stays."""

    def unit(tx: Transaction) -> None:
        tx.update_account(owner(tx, account_id)._replace(quota=octets, message_quota=messages))

    return unit


def remove_account(account_id: AccountId) -> Unit[None]:
    """Remove the account with all its mail and addresses, what others granted to its login and its own annotations of their
    mailboxes, at once and beyond recovery."""

    def unit(tx: Transaction) -> None:
        account = owner(tx, account_id)
        floor = max(account.next_uidvalidity, int(tx.setting(_UIDVALIDITY_FLOOR) or 0))
        tx.put_setting(_UIDVALIDITY_FLOOR, b"%d" % floor)
        for identifier in (account.login, f"-{account.login}"):  # whoever has this login next is somebody else
            for grant in tx.granted(identifier):
                tx.delete_grant(*grant[:3])
        tx.delete_properties(private_kind(account.login))
        tx.delete_account(account_id)

    return unit


def add_address(account_id: AccountId, address: Address) -> Unit[None]:
    """Let an address (with an empty local part: everything else in its domain) reach the account."""
    canonical = canonical_address(address)

    def unit(tx: Transaction) -> None:
        owner(tx, account_id)
        if tx.address(canonical) is not None:
            raise AddressTaken(canonical)
        tx.insert_address(AddressRow(canonical, account_id))

    return unit


def remove_address(address: Address) -> Unit[None]:
    """The address reaches nobody any more."""
    canonical = canonical_address(address)

    def unit(tx: Transaction) -> None:
        if tx.address(canonical) is None:
            raise NoSuchAddress(address)
        tx.delete_address(canonical)

    return unit


def resolve(reader: Reader, address: Address, separator: str = "+") -> AccountId | None:
    """Whose mail this is: the address itself, the one without its subaddress (RFC 5233), or the domain's catch-all."""
    address = canonical_address(address)
    row = reader.address(address)
    if row is None and separator and (cut := address.local.find(separator)) > 0:
        row = reader.address(Address(address.local[:cut], address.domain))
    if row is None and address.local:
        row = reader.address(Address("", address.domain))
    return None if row is None else row.account_id


def canonical_address(address: Address) -> Address:
    """The form in which addresses are kept and found."""
    local, domain = address.local.lower(), address.domain.lower()
    if not local.isascii():
        local = unicodedata.normalize("NFC", local)
    if not domain.isascii():
        domain = ascii_domain(domain) or domain
    return Address(local, domain)


def canonical_login(reader: Reader, text: str) -> str | None:
    """The login that somebody means who types this, whether it exists or not; None when it can be no login. A bare
    local part means the one domain, where there is exactly one."""
    if "@" not in text:
        domain = reader.only_domain()
        if domain is None:
            return None
        text = f"{text}@{domain}"
    try:
        return str(_login_address(text))
    except LoginInvalid:
        return None


def _login_address(login: str) -> Address:
    local, at, domain = login.strip().rpartition("@")
    if not at or not local or not domain:
        raise LoginInvalid(login, "a login is an address, like ann@example.org")
    if len(local.encode(errors="replace")) > LIMITS.local_part:
        raise LoginInvalid(login, f"more than {LIMITS.local_part} octets before the @")
    if _LOCAL_PART.fullmatch(local) is None or not local.isprintable():
        raise LoginInvalid(login, f"{local!r} is not a name that mail can be sent to")
    name = ascii_domain(domain)
    if name is None or len(name) > LIMITS.domain:
        raise LoginInvalid(login, f"{domain!r} is not a domain name")
    return canonical_address(Address(local, name))


def ascii_domain(domain: str) -> str | None:
    """A-labels of a domain (RFC 5890, UTS 46), or None when it is none."""
    if len(domain) > LIMITS.domain:
        return None
    try:
        return idna.encode(domain, uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        return None
