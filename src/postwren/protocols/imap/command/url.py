"""GENURLAUTH, URLFETCH, RESETKEY (RFC 4467, 5524)."""

from dataclasses import dataclass

__all__ = ["GenUrlAuth", "ResetKey", "UrlFetch", "UrlFetchItem"]


@dataclass(frozen=True, slots=True)
class GenUrlAuth:
    """(URL rump, mechanism) pairs."""

    urls: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class UrlFetchItem:
    """`extras`: BODY, BINARY, BODYPARTSTRUCTURE (RFC 5524); none for the plain form."""

    url: str
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UrlFetch:
    items: tuple[UrlFetchItem, ...]


@dataclass(frozen=True, slots=True)
class ResetKey:
    """`mailbox` None: all keys of the account."""

    mailbox: str | None = None
    mechanisms: tuple[str, ...] = ()
