"""SEARCH, SORT, THREAD, ESEARCH, CANCELUPDATE (RFC 9051 section 6.4.4, RFC 4731, 5032, 5182, 5256, 5267, 5466, 5957, 6203, 7162,
7377, 8474, 8514, 9394). The key is a tree; its depth and size are bounded by the parser, `searchkey`."""

import enum
from dataclasses import dataclass
from typing import TypeAlias

from postwren.protocols.imap.numset import NumSet

__all__ = [
    "And",
    "CancelUpdate",
    "DateKey",
    "DateWhich",
    "EmailIdKey",
    "Esearch",
    "FilterKey",
    "FlagKey",
    "FuzzyKey",
    "HeaderKey",
    "ModSeqKey",
    "Not",
    "NumberKey",
    "Or",
    "ReturnOption",
    "Returns",
    "SaveDateSupportedKey",
    "Scope",
    "ScopeKind",
    "Search",
    "SearchKey",
    "SizeKey",
    "Sort",
    "SortKey",
    "TextKey",
    "Thread",
    "ThreadIdKey",
    "WithinKey",
]


@dataclass(frozen=True, slots=True)
class And:
    """All of them; no key at all is ALL."""

    keys: "tuple[SearchKey, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    left: "SearchKey"
    right: "SearchKey"


@dataclass(frozen=True, slots=True)
class Not:
    key: "SearchKey"


@dataclass(frozen=True, slots=True)
class NumberKey:
    """A sequence-set, or UID with one."""

    numbers: NumSet
    is_uid: bool


@dataclass(frozen=True, slots=True)
class FlagKey:
    """ANSWERED, UNSEEN, KEYWORD x, ...: `flag` as in flags (`\\Seen`, `$Junk`); RECENT is `\\Recent`; NEW is And of two, OLD a
    negation."""

    flag: str
    is_set: bool = True


class DateWhich(enum.Enum):
    INTERNAL = "INTERNAL"
    SENT = "SENT"
    SAVED = "SAVED"


@dataclass(frozen=True, slots=True)
class DateKey:
    """BEFORE, ON, SINCE (`relation` is "<", "=", ">=") of a date; `day` counts days since 1970-01-01, without zone."""

    which: DateWhich
    relation: str
    day: int


@dataclass(frozen=True, slots=True)
class WithinKey:
    """YOUNGER, OLDER: RFC 5032."""

    is_younger: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class SizeKey:
    """LARGER, SMALLER."""

    is_larger: bool
    size: int


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """HEADER, and BCC CC FROM SUBJECT TO; `field` in lower case; an empty text: the field is there."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class TextKey:
    """BODY, TEXT."""

    is_body: bool
    text: str


@dataclass(frozen=True, slots=True)
class ModSeqKey:
    """RFC 7162 section 3.1.5."""

    modseq: int


@dataclass(frozen=True, slots=True)
class EmailIdKey:
    email_id: str


@dataclass(frozen=True, slots=True)
class ThreadIdKey:
    thread_id: str


@dataclass(frozen=True, slots=True)
class SaveDateSupportedKey:
    """RFC 8514 section 4.3."""


@dataclass(frozen=True, slots=True)
class FilterKey:
    """RFC 5466."""

    name: str


@dataclass(frozen=True, slots=True)
class FuzzyKey:
    """RFC 6203."""

    key: "SearchKey"


SearchKey: TypeAlias = (
    And
    | Or
    | Not
    | NumberKey
    | FlagKey
    | DateKey
    | WithinKey
    | SizeKey
    | HeaderKey
    | TextKey
    | ModSeqKey
    | EmailIdKey
    | ThreadIdKey
    | SaveDateSupportedKey
    | FilterKey
    | FuzzyKey
)


class ReturnOption(enum.Enum):
    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"
    SAVE = "SAVE"
    UPDATE = "UPDATE"
    CONTEXT = "CONTEXT"
    RELEVANCY = "RELEVANCY"


@dataclass(frozen=True, slots=True)
class Returns:
    """RETURN (...); `RETURN ()` is {ALL}. `partial`: RFC 9394 and 5267, (first, last), negative from the end."""

    options: frozenset[ReturnOption]
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """`returns` is None where RETURN is absent; `charset` in capitals, None where absent. `key`'s texts are decoded."""

    is_uid: bool
    returns: Returns | None
    charset: str | None
    key: SearchKey


class SortKey(enum.Enum):
    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"
    RELEVANCY = "RELEVANCY"


@dataclass(frozen=True, slots=True)
class Sort:
    """`order`: (key, is reversed)."""

    is_uid: bool
    returns: Returns | None
    order: tuple[tuple[SortKey, bool], ...]
    charset: str
    key: SearchKey


@dataclass(frozen=True, slots=True)
class Thread:
    """`algorithm` in capitals."""

    is_uid: bool
    algorithm: str
    charset: str
    key: SearchKey


class ScopeKind(enum.Enum):
    """RFC 7377 section 2.2 and RFC 5465 section 6; NOTIFY uses them too."""

    SELECTED = "selected"
    SELECTED_DELAYED = "selected-delayed"
    INBOXES = "inboxes"
    PERSONAL = "personal"
    SUBSCRIBED = "subscribed"
    SUBTREE = "subtree"
    SUBTREE_ONE = "subtree-one"
    MAILBOXES = "mailboxes"


@dataclass(frozen=True, slots=True)
class Scope:
    """`mailboxes` for SUBTREE, SUBTREE_ONE and MAILBOXES."""

    kind: ScopeKind
    mailboxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Esearch:
    """RFC 7377; without IN it is the selected mailbox."""

    scopes: tuple[Scope, ...]
    returns: Returns | None
    charset: str | None
    key: SearchKey


@dataclass(frozen=True, slots=True)
class CancelUpdate:
    """RFC 5267 section 4.3.4."""

    tags: tuple[str, ...]
