"""All commands and who handles them: one line a family. A family's file ends with its own table."""

from typing import Any, Final

from postwren.server.imap import (
    acl,
    append,
    copy,
    fetch,
    login,
    mailbox,
    metadata,
    notify,
    quota,
    search,
    select,
    status,
    store,
    url,
)
from postwren.server.imap import list as listing
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
    **mailbox.COMMANDS,
    **listing.COMMANDS,
    **status.COMMANDS,
    **acl.COMMANDS,
    **quota.COMMANDS,
    **metadata.COMMANDS,
    **notify.COMMANDS,
    **url.COMMANDS,
}

check(COMMANDS)

TABLE: Final = Table(login.greet, login.auth_response, append.AppendUpload, notify.tell_new, COMMANDS)
