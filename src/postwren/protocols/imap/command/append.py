"""APPEND and REPLACE (RFC 9051 section 6.3.12, RFC 3502, 4469, 6855, 8508). Messages do not travel in these: their octets come as
`event.MessageOffered`, `MessageChunk`, `MessageEnded` before the command; here is what goes with them."""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Append", "AppendMessage", "CatenatePart", "Octets", "Replace", "Url"]


@dataclass(frozen=True, slots=True)
class Octets:
    """A literal of a message, `number` counting the command's message literals from 0; `is_binary`: literal8 (RFC 3516), NUL allowed."""

    number: int
    size: int
    is_binary: bool = False
    is_utf8: bool = False  # UTF8 (~{n}) of RFC 6855 section 4


@dataclass(frozen=True, slots=True)
class Url:
    """URL of CATENATE (RFC 4469), as it was written."""

    url: str


CatenatePart: TypeAlias = Octets | Url


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """One message. `internaldate`: seconds since 1970, None where it was not given. `parts` has exactly one `Octets` without CATENATE."""

    flags: tuple[str, ...]
    internaldate: int | None
    parts: tuple[CatenatePart, ...]
    is_catenate: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """All of it, when its last octet has come."""

    mailbox: str
    messages: tuple[AppendMessage, ...]


@dataclass(frozen=True, slots=True)
class Replace:
    """RFC 8508: `number` is a sequence number or, with `is_uid`, a UID."""

    is_uid: bool
    number: int
    mailbox: str
    message: AppendMessage
