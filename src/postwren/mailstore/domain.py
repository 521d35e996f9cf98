"""Domains whose mail is ours, and the keys that sign what leaves from them (RFC 6376).

A domain may be without a row: mail for every address that an account has is taken. A row says more: that mail from it is signed,
and what its owner means to publish about it. Private keys are here and nowhere else: index.db is the owner's alone (mode 0600).
"""

import enum
from typing import NamedTuple, Protocol

from postwren.wire.secret import Secret

__all__ = ["DkimKey", "Domain", "DomainReader", "DomainWriter", "KeyState"]


class KeyState(enum.IntEnum):
    """A key is published before it signs, and stays published after it has: mail on its way is verified with it."""

    NEXT = 1
    ACTIVE = 2
    RETIRED = 3  # its private half is gone


class Domain(NamedTuple):
    """`name` in A-labels and lower case. What is published: `dmarc` (RFC 7489 section 6.3: none, quarantine, reject), and where
    reports go (an address; "" for nowhere)."""

    name: str
    created: int
    dmarc: str = "reject"
    reports: str = ""


class DkimKey(NamedTuple):
    """One key of a domain. `algorithm` is the word of k=: rsa or ed25519. `public` is its record in the DNS; `private` is PEM."""

    domain: str
    selector: str
    algorithm: str
    state: KeyState
    created: int
    public: str
    private: Secret[bytes]


class DomainReader(Protocol):
    """Reads."""

    def domain(self, name: str) -> Domain | None: ...
    def domains(self) -> list[Domain]:
        """By name."""

    def dkim_keys(self, domain: str) -> list[DkimKey]:
        """By selector."""


class DomainWriter(DomainReader, Protocol):
    """Writes inside a unit of work."""

    def put_domain(self, row: Domain) -> None:
        """In place of the row of this name."""

    def delete_domain(self, name: str) -> None:
        """With its keys; harmless where there is none."""

    def put_dkim_key(self, key: DkimKey) -> None:
        """In place of the key of this domain and selector."""

    def delete_dkim_key(self, domain: str, selector: str) -> None:
        """Harmless where there is none."""
