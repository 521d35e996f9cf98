"""What may be asked of a mailbox: a closed set of conditions, as a tree.

IMAP's SEARCH (RFC 9051 section 6.4.4, RFC 5032, 6203, 7162, 8474, 8514) and JMAP's filters become this; sequence numbers and
"me" are gone by then. Dates are days since 1970-01-01, as the standard compares them: without time and zone.
A tree comes from a peer: `check_bounds` before anything else, and no recursion over it anywhere.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.mailstore.errors import QueryTooBig
from postwren.mailstore.port import UidRanges
from postwren.terms import EmailId, ModSeq

__all__ = [
    "ALL",
    "And",
    "Body",
    "Day",
    "DayOf",
    "EmailIs",
    "Fuzzy",
    "HasFlag",
    "Header",
    "Larger",
    "Limits",
    "ModSeqFrom",
    "Not",
    "Older",
    "Or",
    "Query",
    "Relation",
    "SaveDateSupported",
    "Smaller",
    "Text",
    "ThreadIs",
    "Uids",
    "Younger",
    "check_bounds",
    "is_about_modseq",
    "is_fuzzy",
    "nodes",
    "parts_of",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a query."""

    conditions: int = 5_000
    texts: int = 200  # conditions that look into messages
    depth: int = 100


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class And:
    """All of them; of none it is true of every message."""

    queries: "tuple[Query, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them; of none it is true of no message."""

    queries: "tuple[Query, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    query: "Query"


@dataclass(frozen=True, slots=True)
class Uids:
    ranges: UidRanges


@dataclass(frozen=True, slots=True)
class HasFlag:
    """Without regard to case (RFC 9051 section 2.3.2)."""

    flag: str


@dataclass(frozen=True, slots=True)
class Larger:
    size: int


@dataclass(frozen=True, slots=True)
class Smaller:
    size: int


class DayOf(enum.Enum):
    """Which date: of a message without a Date field, no condition on SENT is true."""

    INTERNAL = "internaldate"  # in UTC, in which it is kept
    SENT = "sent"  # as the sender wrote it, in the sender's zone
    SAVED = "savedate"


class Relation(enum.Enum):
    BEFORE = "before"
    ON = "on"
    SINCE = "since"


@dataclass(frozen=True, slots=True)
class Day:
    of: DayOf
    relation: Relation
    day: int


@dataclass(frozen=True, slots=True)
class Younger:
    """RFC 5032: the internal date is within the last `seconds`; `now` in seconds since 1970."""

    seconds: int
    now: int


@dataclass(frozen=True, slots=True)
class Older:
    seconds: int
    now: int


@dataclass(frozen=True, slots=True)
class Header:
    """A field of this name (any case) holds the text; with no text: there is such a field. Subject, From, To, Cc, Bcc too."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """The text is in the body, not in the header."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """The text is anywhere in the message."""

    text: str


@dataclass(frozen=True, slots=True)
class ModSeqFrom:
    """RFC 7162 section 3.1.5: this mod-sequence or a higher one. Entries have one for all their flags, so that a search for one
    flag's asks for the same."""

    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class EmailIs:
    email_id: EmailId


@dataclass(frozen=True, slots=True)
class ThreadIs:
    """RFC 8474 section 5.2; in the form that `service/thread.py: thread_id` gives."""

    thread_id: str


@dataclass(frozen=True, slots=True)
class SaveDateSupported:
    """RFC 8514 section 4.3: true of every message, in every mailbox of ours."""


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """RFC 6203: matched exactly, which section 3 allows, but ordered by relevance."""

    query: "Query"


Query: TypeAlias = (
    And
    | Or
    | Not
    | Uids
    | HasFlag
    | Larger
    | Smaller
    | Day
    | Younger
    | Older
    | Header
    | Body
    | Text
    | ModSeqFrom
    | EmailIs
    | ThreadIs
    | SaveDateSupported
    | Fuzzy
)

ALL: Final = And(())


def parts_of(query: Query) -> tuple[Query, ...]:
    """The conditions that it is made of."""
    match query:
        case And(queries) | Or(queries):
            return queries
        case Not(inner) | Fuzzy(inner):
            return (inner,)
        case _:
            return ()


def nodes(query: Query) -> Iterator[Query]:
    """Every condition of the tree."""
    waiting = [query]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(parts_of(node))


def check_bounds(query: Query, limits: Limits = LIMITS) -> None:
    """QueryTooBig when it is deeper or has more conditions than anybody needs."""
    level: list[Query] = [query]
    count = texts = 0
    for _ in range(limits.depth):
        count += len(level)
        texts += sum(isinstance(node, Header | Body | Text) for node in level)
        if count > limits.conditions or texts > limits.texts:
            raise QueryTooBig("too many conditions")
        level = [part for node in level for part in parts_of(node)]
        if not level:
            return
    raise QueryTooBig("conditions are nested too deep")


def is_about_modseq(query: Query) -> bool:
    """Whether the answer must tell the highest mod-sequence (RFC 7162 section 3.1.5)."""
    return any(isinstance(node, ModSeqFrom) for node in nodes(query))


def is_fuzzy(query: Query) -> bool:
    """Whether relevance may be asked for (RFC 6203 section 4)."""
    return any(isinstance(node, Fuzzy) for node in nodes(query))
