"""The commands of IMAP: a file each (those without arguments share `nullary`): dataclass, parser, formatter.

Mailbox names are decoded text (`mailboxname`), flags and texts are str, numbers are ints: what a session sees has no trace of the
wire.

search       types of SEARCH, SORT, THREAD, ESEARCH;  searchkey, searching   their grammar
table        which parser and which formatter belong to which command
"""

from typing import TypeAlias

from postwren.protocols.imap.command.append import Append, Replace
from postwren.protocols.imap.command.fetch import Fetch
from postwren.protocols.imap.command.list import List, Lsub, Status
from postwren.protocols.imap.command.login import Authenticate, Compress, Enable, Id, Login
from postwren.protocols.imap.command.mailbox import Create, Delete, Rename, Subscribe, Unsubscribe
from postwren.protocols.imap.command.notify import Notify
from postwren.protocols.imap.command.nullary import (
    Capability,
    Check,
    Close,
    Expunge,
    Idle,
    Logout,
    Namespace,
    Noop,
    StartTls,
    Unauthenticate,
    Unselect,
)
from postwren.protocols.imap.command.search import CancelUpdate, Esearch, Search, Sort, Thread
from postwren.protocols.imap.command.select import Select
from postwren.protocols.imap.command.sharing import (
    DeleteAcl,
    GetAcl,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    ListRights,
    MyRights,
    SetAcl,
    SetMetadata,
    SetQuota,
)
from postwren.protocols.imap.command.store import Copy, Move, Store, UidExpunge
from postwren.protocols.imap.command.url import GenUrlAuth, ResetKey, UrlFetch

__all__ = [
    "Append",
    "Authenticate",
    "CancelUpdate",
    "Capability",
    "Check",
    "Close",
    "Command",
    "Compress",
    "Copy",
    "Create",
    "Delete",
    "DeleteAcl",
    "Enable",
    "Esearch",
    "Expunge",
    "Fetch",
    "GenUrlAuth",
    "GetAcl",
    "GetMetadata",
    "GetQuota",
    "GetQuotaRoot",
    "Id",
    "Idle",
    "List",
    "ListRights",
    "Login",
    "Logout",
    "Lsub",
    "Move",
    "MyRights",
    "Namespace",
    "Noop",
    "Notify",
    "Rename",
    "Replace",
    "ResetKey",
    "Search",
    "Select",
    "SetAcl",
    "SetMetadata",
    "SetQuota",
    "Sort",
    "StartTls",
    "Status",
    "Store",
    "Subscribe",
    "Thread",
    "UidExpunge",
    "Unauthenticate",
    "Unselect",
    "Unsubscribe",
    "UrlFetch",
]

Command: TypeAlias = (
    Append
    | Authenticate
    | CancelUpdate
    | Capability
    | Check
    | Close
    | Compress
    | Copy
    | Create
    | Delete
    | DeleteAcl
    | Enable
    | Esearch
    | Expunge
    | Fetch
    | GenUrlAuth
    | GetAcl
    | GetMetadata
    | GetQuota
    | GetQuotaRoot
    | Id
    | Idle
    | List
    | ListRights
    | Login
    | Logout
    | Lsub
    | Move
    | MyRights
    | Namespace
    | Noop
    | Notify
    | Rename
    | Replace
    | ResetKey
    | Search
    | Select
    | SetAcl
    | SetMetadata
    | SetQuota
    | Sort
    | StartTls
    | Status
    | Store
    | Subscribe
    | Thread
    | UidExpunge
    | Unauthenticate
    | Unselect
    | Unsubscribe
    | UrlFetch
)
