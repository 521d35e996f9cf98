"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 9051 sections 6.3.4 to 6.3.8, RFC 6154 section 5.3)."""

from dataclasses import dataclass

__all__ = ["Create", "Delete", "Rename", "Subscribe", "Unsubscribe"]


@dataclass(frozen=True, slots=True)
class Create:
    """`special_use`: the attributes of USE as they were written (`\\Sent`). A trailing "/" of the name is kept."""

    mailbox: str
    special_use: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    mailbox: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    mailbox: str
