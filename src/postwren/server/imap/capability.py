"""What the server can do, in one table: a capability that is named here is one that works (RFC 9051 section 6.1.1).

`needs` are the commands without which a capability would be a lie: `check` fails at start where one has no handler.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from postwren.protocols.imap.command import (
    Append,
    Authenticate,
    CancelUpdate,
    Command,
    Copy,
    Enable,
    Fetch,
    Id,
    Idle,
    Move,
    Replace,
    Search,
    Select,
    Sort,
    Store,
    Thread,
    Unauthenticate,
    Unselect,
)
from postwren.protocols.imap.command.store import UidExpunge
from postwren.server.imap.session import ImapSession

__all__ = ["CAPABILITIES", "Capability", "capabilities", "check"]


class Capability(NamedTuple):
    """`is_early`: named before login too."""

    name: str
    needs: tuple[type[Command], ...] = ()
    is_early: bool = False


CAPABILITIES: Final = (
    Capability("IMAP4rev1", is_early=True),
    Capability("IMAP4rev2", is_early=True),
    Capability("SASL-IR", (Authenticate,), is_early=True),  # RFC 4959
    Capability("LITERAL+", is_early=True),  # RFC 7888
    Capability("ID", (Id,), is_early=True),  # RFC 2971
    Capability("ENABLE", (Enable,), is_early=True),  # RFC 5161
    Capability("IDLE", (Idle,), is_early=True),  # RFC 2177
    Capability("BINARY", (Fetch, Append)),  # RFC 3516
    Capability("CONDSTORE", (Fetch, Store, Search, Select)),  # RFC 7162
    Capability("QRESYNC", (Select, Fetch)),  # RFC 7162
    Capability("UIDPLUS", (Append, Copy, UidExpunge)),  # RFC 4315
    Capability("UNSELECT", (Unselect,)),  # RFC 3691
    Capability("MOVE", (Move,)),  # RFC 6851
    Capability("MULTIAPPEND", (Append,)),  # RFC 3502
    Capability("CATENATE", (Append,)),  # RFC 4469
    Capability("REPLACE", (Replace,)),  # RFC 8508
    Capability("ESEARCH", (Search,)),  # RFC 4731
    Capability("SEARCHRES", (Search,)),  # RFC 5182
    Capability("PARTIAL", (Search, Fetch)),  # RFC 9394
    Capability("WITHIN", (Search,)),  # RFC 5032
    Capability("SEARCH=FUZZY", (Search,)),  # RFC 6203
    Capability("SORT", (Sort,)),  # RFC 5256
    Capability("SORT=DISPLAY", (Sort,)),  # RFC 5957
    Capability("ESORT", (Sort,)),  # RFC 5267
    Capability("CONTEXT=SEARCH", (Search, CancelUpdate)),  # RFC 5267
    Capability("CONTEXT=SORT", (Sort, CancelUpdate)),
    Capability("THREAD=ORDEREDSUBJECT", (Thread,)),  # RFC 5256
    Capability("THREAD=REFERENCES", (Thread,)),
    Capability("THREAD=REFS", (Thread,)),
    Capability("OBJECTID", (Fetch, Search)),  # RFC 8474
    Capability("SAVEDATE", (Fetch, Search)),  # RFC 8514
    Capability("PREVIEW", (Fetch,)),  # RFC 8970
    Capability("UIDONLY", (Fetch,)),  # RFC 9586
    Capability("INPROGRESS"),  # RFC 9585
    Capability("UTF8=ACCEPT", (Enable, Append)),  # RFC 6855
    Capability("UNAUTHENTICATE", (Unauthenticate,)),  # RFC 8437
)


def check(commands: Mapping[type[Command], Any]) -> None:
    """Raise ValueError for a capability that nobody implements."""
    lies = [each.name for each in CAPABILITIES if not set(commands).issuperset(each.needs)]
    if lies:
        raise ValueError(f"capabilities without a handler: {', '.join(lies)}")


def capabilities(session: ImapSession) -> tuple[str, ...]:
    """What holds now. STARTTLS is named only where it may come, and LOGIN is disabled where a password would be seen."""
    settings = session.service.settings
    if session.account_id:
        limits = (f"APPENDLIMIT={settings.size_limit}", f"SAVELIMIT={settings.save_limit}")  # RFC 7889, RFC 9738
        compress = ("COMPRESS=DEFLATE",) if settings.is_compressing and not session.core.is_compressed else ()
        return (*(each.name for each in CAPABILITIES), *limits, *compress)
    mechanisms = session.service.authenticator.mechanisms(session.link)
    names = [each.name for each in CAPABILITIES if each.is_early]
    if session.link.can_start_tls:
        names.append("STARTTLS")
    if "PLAIN" not in mechanisms:
        names.append("LOGINDISABLED")
    return (*names, *(f"AUTH={mechanism}" for mechanism in mechanisms))
