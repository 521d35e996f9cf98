"""STORE, COPY, MOVE, UID EXPUNGE (RFC 9051 sections 6.4.6 to 6.4.9, RFC 4315, 6851, 7162 section 3.1.3)."""

import enum
from dataclasses import dataclass

from postwren.protocols.imap.numset import NumSet

__all__ = ["Copy", "Move", "Store", "StoreAction", "UidExpunge"]


class StoreAction(enum.Enum):
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"
    REPLACE = "FLAGS"


@dataclass(frozen=True, slots=True)
class Store:
    is_uid: bool
    numbers: NumSet
    action: StoreAction
    flags: tuple[str, ...]
    is_silent: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    is_uid: bool
    numbers: NumSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class Move:
    is_uid: bool
    numbers: NumSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class UidExpunge:
    """RFC 4315 section 2.1."""

    numbers: NumSet
