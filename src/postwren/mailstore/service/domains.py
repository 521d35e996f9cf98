"""Domains that are ours, and the life of their keys: made, published, signing, retired (`mailstore/domain.py`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.domain import DkimKey, Domain, KeyState
from postwren.mailstore.errors import DomainExists, DomainInvalid, NoSuchDomain
from postwren.mailstore.port import Reader, Transaction, Unit
from postwren.mailstore.service.accounts import ascii_domain
from postwren.wire.secret import Secret

__all__ = [
    "NewKey",
    "activate_keys",
    "active_keys",
    "add_domain",
    "canonical_domain",
    "change_domain",
    "find_domain",
    "new_selectors",
    "prepare_keys",
    "remove_domain",
]

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made."""

    selector: str
    algorithm: str
    public: str
    private: Secret[bytes]

    def row(self, domain: str, state: KeyState, now: int) -> DkimKey:
        """As it is kept."""
        return DkimKey(domain, self.selector, self.algorithm, state, now, self.public, self.private)


def canonical_domain(text: str) -> str:
    """A-labels in lower case; raises DomainInvalid."""
    name = ascii_domain(text.strip().rstrip("."))
    if name is None or "." not in name:
        raise DomainInvalid(text)
    return name


def find_domain(reader: Reader, text: str) -> Domain:
    """The domain of a name as people type it; raises NoSuchDomain."""
    row = reader.domain(canonical_domain(text))
    if row is None:
        raise NoSuchDomain(text)
    return row


def active_keys(reader: Reader, domain: str) -> list[DkimKey]:
    """What signs mail from this domain; none where it has no row."""
    return [key for key in reader.dkim_keys(domain) if key.state is KeyState.ACTIVE]


def new_selectors(taken: Sequence[str], month: str, count: int) -> list[str]:
    """So many names for keys that a domain does not have: the month (202611) and a letter, or two."""
    ends = [*_LETTERS, *(first + second for first in _LETTERS for second in _LETTERS)]
    return [name for end in ends if (name := month + end) not in taken][:count]


def add_domain(row: Domain, keys: Sequence[NewKey]) -> Unit[Domain]:
    """A domain with keys that sign at once: nobody has to wait for the DNS to send, and a signature that cannot be verified yet
    says no less than none."""

    def unit(tx: Transaction) -> Domain:
        if tx.domain(row.name) is not None:
            raise DomainExists(row.name)
        tx.put_domain(row)
        for key in keys:
            tx.put_dkim_key(key.row(row.name, KeyState.ACTIVE, row.created))
        return row

    return unit


def change_domain(name: str, *, dmarc: str | None = None, reports: str | None = None) -> Unit[Domain]:
    """What is to be published of it; None leaves it as it is."""

    def unit(tx: Transaction) -> Domain:
        row = find_domain(tx, name)
        row = Domain(
            row.name,
            row.created,
            row.dmarc if dmarc is None else dmarc,
            row.reports if reports is None else reports,
        )
        tx.put_domain(row)
        return row

    return unit


def prepare_keys(name: str, keys: Sequence[NewKey], now: int) -> Unit[list[DkimKey]]:
    """Keys that will sign when they are published. Those that were prepared before and never signed are dropped, and so are
    retired ones, whose time is over."""

    def unit(tx: Transaction) -> list[DkimKey]:
        domain = find_domain(tx, name).name
        for old in tx.dkim_keys(domain):
            if old.state is not KeyState.ACTIVE:
                tx.delete_dkim_key(domain, old.selector)
        rows = [key.row(domain, KeyState.NEXT, now) for key in keys]
        for row in rows:
            tx.put_dkim_key(row)
        return rows

    return unit


def activate_keys(name: str) -> Unit[list[DkimKey]]:
    """The prepared keys sign from now on; those that signed until now are retired, and their private halves are gone. Returns the
    retired ones; none where nothing was prepared, and then nothing happens."""

    def unit(tx: Transaction) -> list[DkimKey]:
        domain = find_domain(tx, name).name
        keys = tx.dkim_keys(domain)
        if not any(key.state is KeyState.NEXT for key in keys):
            return []
        retired = [key._replace(state=KeyState.RETIRED, private=Secret(b"")) for key in keys if key.state is KeyState.ACTIVE]
        for key in retired:
            tx.put_dkim_key(key)
        for key in keys:
            if key.state is KeyState.NEXT:
                tx.put_dkim_key(key._replace(state=KeyState.ACTIVE))
        return retired

    return unit


def remove_domain(name: str) -> Unit[None]:
    """Its keys are gone and its mail is no longer signed; addresses in it stay."""

    def unit(tx: Transaction) -> None:
        tx.delete_domain(find_domain(tx, name).name)

    return unit
