"""Where a connection is, and which command may come there (RFC 9051 section 3).

    NOT_AUTHENTICATED -> AUTHENTICATED <-> SELECTED        and from each -> LOGOUT

The table says what is out of place, not what leads where: a SELECT that fails leaves SELECTED for AUTHENTICATED, a login can
succeed and still be refused, UNAUTHENTICATE goes back. So it is the session that moves (`core.enter`), with the answer that says
so.

Two things are no states of the RFC and none here: the exchange of AUTHENTICATE, IDLE, and a literal that is awaited are modes of
the core, inside of one command; and STARTTLS is followed by the same state on a connection that forgot everything.
"""

import enum
from typing import Final

from postwren.protocols.imap.command import (
    Append,
    Authenticate,
    CancelUpdate,
    Capability,
    Check,
    Close,
    Command,
    Compress,
    Copy,
    Create,
    Delete,
    DeleteAcl,
    Enable,
    Esearch,
    Expunge,
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
    Logout,
    Lsub,
    Move,
    MyRights,
    Namespace,
    Noop,
    Notify,
    Rename,
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
    Subscribe,
    Thread,
    UidExpunge,
    Unauthenticate,
    Unselect,
    Unsubscribe,
    UrlFetch,
)

__all__ = ["ALLOWED", "State"]


class State(enum.Enum):
    """See above."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_ANY: Final[frozenset[type[Command]]] = frozenset({Capability, Noop, Logout, Id})

_AUTHENTICATED: Final[frozenset[type[Command]]] = _ANY | {
    Append,
    Compress,
    Create,
    Delete,
    DeleteAcl,
    Enable,
    Esearch,
    GenUrlAuth,
    GetAcl,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    Idle,
    List,
    ListRights,
    Lsub,
    MyRights,
    Namespace,
    Notify,
    Rename,
    ResetKey,
    Select,
    SetAcl,
    SetMetadata,
    SetQuota,
    Status,
    Subscribe,
    Unauthenticate,
    Unsubscribe,
    UrlFetch,
}

_SELECTED: Final[frozenset[type[Command]]] = _AUTHENTICATED | {
    CancelUpdate,
    Check,
    Close,
    Copy,
    Expunge,
    Fetch,
    Move,
    Replace,
    Search,
    Sort,
    Store,
    Thread,
    UidExpunge,
    Unselect,
}

ALLOWED: Final[dict[State, frozenset[type[Command]]]] = {
    State.NOT_AUTHENTICATED: _ANY | {Authenticate, Login, StartTls},
    State.AUTHENTICATED: _AUTHENTICATED,
    State.SELECTED: _SELECTED,
    State.LOGOUT: frozenset(),
}
