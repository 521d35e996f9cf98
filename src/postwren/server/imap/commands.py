"""All commands and who handles them: one line a family. A family's file ends with its own table."""

from typing import Any, Final

from postwren.server.imap import append, copy, fetch, login, search, select, store
from postwren.server.imap.capability import check
from postwren.server.imap.session import Handler, Table

__all__ = ["TABLE"]

COMMANDS: Final[dict[type[Any], Handler]] = {
    **login.COMMANDS,
    **select.COMMANDS,
    **fetch.COMMANDS,
    **store.COMMANDS,
    **copy.COMMANDS,
    **append.COMMANDS,
    **search.COMMANDS,
}

check(COMMANDS)

TABLE: Final = Table(login.greet, login.auth_response, append.AppendUpload, COMMANDS)
