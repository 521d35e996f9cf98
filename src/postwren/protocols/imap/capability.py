"""What our server can do, in its own words (RFC 9051 section 6.1.1 and the registry): one table.

For each name: where it is shown, and which commands must have a handler for it to be true. `missing` is asked when a server
starts, so that nothing is advertised that does not work; `shown` is what CAPABILITY says at this point. What depends on the
configuration (AUTH=, APPENDLIMIT=, ...) the session adds.
"""

import enum
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from postwren.protocols.imap.command import (
    Append,
    CancelUpdate,
    Command,
    Compress,
    Enable,
    Esearch,
    Fetch,
    GenUrlAuth,
    GetAcl,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    Id,
    Idle,
    List,
    ListRights,
    Login,
    Move,
    MyRights,
    Namespace,
    Notify,
    Replace,
    ResetKey,
    Search,
    Select,
    SetAcl,
    SetMetadata,
    SetQuota,
    Sort,
    StartTls,
    Status,
    Store,
    Thread,
    UidExpunge,
    Unauthenticate,
    Unselect,
    UrlFetch,
)

__all__ = ["CAPABILITIES", "CapabilityEntry", "When", "missing", "shown"]


class When(enum.Flag):
    """Where a capability holds. Before TLS only what is needed to get there: no login, nothing that tells who we are (A-02,
    A-05)."""

    IN_CLEAR = enum.auto()  # before TLS, where TLS can be had
    BEFORE_LOGIN = enum.auto()
    AFTER_LOGIN = enum.auto()


@dataclass(frozen=True, slots=True)
class CapabilityEntry:
    """`commands`: what must be handled for the name to be true."""

    name: str
    when: When
    commands: tuple[type[Command], ...]


_ALWAYS: Final = When.IN_CLEAR | When.BEFORE_LOGIN | When.AFTER_LOGIN
_IN: Final = When.AFTER_LOGIN
_LOGIN: Final = When.BEFORE_LOGIN

CAPABILITIES: Final[tuple[CapabilityEntry, ...]] = (
    CapabilityEntry("IMAP4rev2", _ALWAYS, (Login, Select, Fetch, Enable)),  # RFC 9051
    CapabilityEntry("IMAP4rev1", _ALWAYS, (Login, Select, Fetch)),  # RFC 3501
    CapabilityEntry("STARTTLS", When.IN_CLEAR, (StartTls,)),
    CapabilityEntry("LOGINDISABLED", When.IN_CLEAR, (StartTls,)),  # RFC 9051 section 6.2.3
    CapabilityEntry("SASL-IR", _ALWAYS, ()),  # RFC 4959
    CapabilityEntry("LITERAL-", _LOGIN | When.IN_CLEAR, ()),  # RFC 7888: what a stranger may send is small
    CapabilityEntry("LITERAL+", _IN, ()),
    CapabilityEntry("ID", _ALWAYS, (Id,)),  # RFC 2971
    CapabilityEntry("ENABLE", _ALWAYS, (Enable,)),  # RFC 5161
    CapabilityEntry("ACL", _IN, (GetAcl, SetAcl, ListRights, MyRights)),  # RFC 4314
    CapabilityEntry("RIGHTS=kxte", _IN, (GetAcl,)),
    CapabilityEntry("BINARY", _IN, (Fetch, Append)),  # RFC 3516
    CapabilityEntry("CATENATE", _IN, (Append,)),  # RFC 4469
    CapabilityEntry("CHILDREN", _IN, (List,)),  # RFC 3348
    CapabilityEntry("COMPRESS=DEFLATE", _IN, (Compress,)),  # RFC 4978
    CapabilityEntry("CONDSTORE", _IN, (Store, Fetch)),  # RFC 7162
    CapabilityEntry("CONTEXT=SEARCH", _IN, (Search, CancelUpdate)),  # RFC 5267
    CapabilityEntry("CONTEXT=SORT", _IN, (Sort, CancelUpdate)),
    CapabilityEntry("CREATE-SPECIAL-USE", _IN, (List,)),  # RFC 6154
    CapabilityEntry("ESEARCH", _IN, (Search,)),  # RFC 4731
    CapabilityEntry("ESORT", _IN, (Sort,)),  # RFC 5267
    CapabilityEntry("FILTERS", _IN, (Search, GetMetadata)),  # RFC 5466
    CapabilityEntry("I18NLEVEL=1", _IN, (Search, Sort, Thread)),  # RFC 5255 section 4.7
    CapabilityEntry("IDLE", _IN, (Idle,)),  # RFC 2177
    CapabilityEntry("INPROGRESS", _IN, ()),  # RFC 9585
    CapabilityEntry("LIST-EXTENDED", _IN, (List,)),  # RFC 5258
    CapabilityEntry("LIST-METADATA", _IN, (List, GetMetadata)),  # RFC 9590
    CapabilityEntry("LIST-MYRIGHTS", _IN, (List, MyRights)),  # RFC 8440
    CapabilityEntry("LIST-STATUS", _IN, (List, Status)),  # RFC 5819
    CapabilityEntry("METADATA", _IN, (GetMetadata, SetMetadata)),  # RFC 5464
    CapabilityEntry("MOVE", _IN, (Move,)),  # RFC 6851
    CapabilityEntry("MULTIAPPEND", _IN, (Append,)),  # RFC 3502
    CapabilityEntry("MULTISEARCH", _IN, (Esearch,)),  # RFC 7377
    CapabilityEntry("NAMESPACE", _IN, (Namespace,)),  # RFC 2342
    CapabilityEntry("NOTIFY", _IN, (Notify,)),  # RFC 5465
    CapabilityEntry("OBJECTID", _IN, (Fetch, Status)),  # RFC 8474
    CapabilityEntry("PARTIAL", _IN, (Search, Fetch)),  # RFC 9394
    CapabilityEntry("PREVIEW", _IN, (Fetch,)),  # RFC 8970
    CapabilityEntry("QRESYNC", _IN, (Select, Fetch)),  # RFC 7162
    CapabilityEntry("QUOTA", _IN, (GetQuota, GetQuotaRoot)),  # RFC 9208
    CapabilityEntry("QUOTA=RES-MESSAGE", _IN, (GetQuota, Status)),
    CapabilityEntry("QUOTA=RES-STORAGE", _IN, (GetQuota,)),
    CapabilityEntry("QUOTASET", _IN, (SetQuota,)),
    CapabilityEntry("REPLACE", _IN, (Replace,)),  # RFC 8508
    CapabilityEntry("SAVEDATE", _IN, (Fetch, Search)),  # RFC 8514
    CapabilityEntry("SEARCH=FUZZY", _IN, (Search,)),  # RFC 6203
    CapabilityEntry("SEARCHRES", _IN, (Search,)),  # RFC 5182
    CapabilityEntry("SORT", _IN, (Sort,)),  # RFC 5256
    CapabilityEntry("SORT=DISPLAY", _IN, (Sort,)),  # RFC 5957
    CapabilityEntry("SPECIAL-USE", _IN, (List,)),  # RFC 6154
    CapabilityEntry("STATUS=SIZE", _IN, (Status,)),  # RFC 8438
    CapabilityEntry("THREAD=ORDEREDSUBJECT", _IN, (Thread,)),  # RFC 5256
    CapabilityEntry("THREAD=REFERENCES", _IN, (Thread,)),
    CapabilityEntry("THREAD=REFS", _IN, (Thread,)),
    CapabilityEntry("UIDONLY", _IN, (Fetch, Search)),  # RFC 9586
    CapabilityEntry("UIDPLUS", _IN, (UidExpunge, Append)),  # RFC 4315
    CapabilityEntry("UNAUTHENTICATE", _IN, (Unauthenticate,)),  # RFC 8437
    CapabilityEntry("UNSELECT", _IN, (Unselect,)),  # RFC 3691
    CapabilityEntry("URLAUTH", _IN, (GenUrlAuth, UrlFetch, ResetKey)),  # RFC 4467
    CapabilityEntry("URLAUTH=BINARY", _IN, (UrlFetch,)),  # RFC 5524
    CapabilityEntry("UTF8=ACCEPT", _IN, (Append, Enable)),  # RFC 6855
    CapabilityEntry("WITHIN", _IN, (Search,)),  # RFC 5032
)


def missing(handled: Collection[type[Command]], without: Collection[str] = ()) -> Iterator[str]:
    """Capabilities that are said and not kept; `without` names those that are not offered."""
    for entry in CAPABILITIES:
        if entry.name not in without and not all(command in handled for command in entry.commands):
            yield entry.name


def shown(when: When, without: Collection[str] = ()) -> list[str]:
    """The names for one of the three points."""
    return [entry.name for entry in CAPABILITIES if when in entry.when and entry.name not in without]
