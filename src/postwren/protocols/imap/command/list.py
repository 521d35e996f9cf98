"""LIST, LSUB, STATUS (RFC 9051 sections 6.3.9 and 6.3.11, RFC 5258, 5819, 6154, 8440, 9590; LSUB: RFC 3501 section 6.3.9)."""

import enum
from dataclasses import dataclass

__all__ = ["List", "ListReturn", "ListSelect", "Lsub", "Status", "StatusItem"]


class ListSelect(enum.Enum):
    """Selection options."""

    SUBSCRIBED = "SUBSCRIBED"
    REMOTE = "REMOTE"
    RECURSIVEMATCH = "RECURSIVEMATCH"
    SPECIAL_USE = "SPECIAL-USE"


class StatusItem(enum.Enum):
    """RFC 9051 section 6.3.11; RFC 3501 (RECENT), 7162 (HIGHESTMODSEQ), 8474 (MAILBOXID), 7889 (APPENDLIMIT), 9208 (DELETED-STORAGE)."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    DELETED = "DELETED"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    MAILBOXID = "MAILBOXID"
    APPENDLIMIT = "APPENDLIMIT"
    DELETED_STORAGE = "DELETED-STORAGE"


@dataclass(frozen=True, slots=True)
class ListReturn:
    """Return options. `metadata` are entries of RFC 9590; `status` is None where STATUS is not asked for."""

    subscribed: bool = False
    children: bool = False
    special_use: bool = False
    my_rights: bool = False
    status: tuple[StatusItem, ...] | None = None
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class List:
    """`is_extended`: any option or a list of patterns was written. `returned` is None where RETURN is absent."""

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[ListSelect] = frozenset()
    returned: ListReturn | None = None
    is_extended: bool = False


@dataclass(frozen=True, slots=True)
class Lsub:
    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Status:
    mailbox: str
    items: tuple[StatusItem, ...]
