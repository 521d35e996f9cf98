"""ACL, quota and metadata commands (RFC 4314, 9208, 5464)."""

import enum
from dataclasses import dataclass

__all__ = [
    "DeleteAcl",
    "GetAcl",
    "GetMetadata",
    "GetQuota",
    "GetQuotaRoot",
    "ListRights",
    "MyRights",
    "SetAcl",
    "SetMetadata",
    "SetQuota",
]


@dataclass(frozen=True, slots=True)
class SetAcl:
    """`change` is "", "+" or "-"."""

    mailbox: str
    identifier: str
    change: str
    rights: str


@dataclass(frozen=True, slots=True)
class DeleteAcl:
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl:
    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights:
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights:
    mailbox: str


@dataclass(frozen=True, slots=True)
class GetQuota:
    root: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota:
    """Resource names in capitals with their limits."""

    root: str
    limits: tuple[tuple[str, int], ...]


class Depth(enum.Enum):
    """RFC 5464 section 4.2.2."""

    ZERO = "0"
    ONE = "1"
    INFINITY = "infinity"


@dataclass(frozen=True, slots=True)
class GetMetadata:
    """An empty mailbox name is the server."""

    mailbox: str
    entries: tuple[str, ...]
    depth: Depth = Depth.ZERO
    max_size: int | None = None


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """A value of None removes the entry."""

    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]
