"""What went wrong, as POP3 says it (RFC 1939 section 3; codes of RFC 2449 section 8 and RFC 3206)."""

from typing import Final

from postwren.mailstore.errors import (
    BodyCorrupt,
    MailstoreError,
    MessageGone,
    NoSuchAccount,
    NoSuchMailbox,
    StoreClosed,
    StoreFailed,
    StoreFull,
)
from postwren.protocols.pop3.reply import Reply, err
from postwren.server.login import RefusalReason

__all__ = [
    "BUG",
    "GAVE_WAY",
    "IN_USE",
    "LOGIN_REFUSALS",
    "NOT_REMOVED",
    "NO_SUCH_MESSAGE",
    "TOO_MANY_CONNECTIONS",
    "reply_to",
]

NO_SUCH_MESSAGE: Final = err("no such message")
IN_USE: Final = err("another session has this maildrop; try again in a minute", "IN-USE")
GAVE_WAY: Final = err("another login waited for this idle session; nothing was deleted", "SYS/TEMP")
TOO_MANY_CONNECTIONS: Final = err("too many connections of this account", "SYS/TEMP")
NOT_REMOVED: Final = err("some deleted messages not removed", "SYS/TEMP")  # RFC 1939 section 6, in its words
BUG: Final = err("internal error; nothing was deleted", "SYS/TEMP")

LOGIN_REFUSALS: Final[dict[RefusalReason, Reply]] = {
    RefusalReason.WRONG: err("wrong login or password", "AUTH"),
    RefusalReason.MALFORMED: err("malformed authentication"),
    RefusalReason.CANCELLED: err("authentication cancelled"),
    RefusalReason.PRIVACY_REQUIRED: err("only under TLS: send STLS first"),
    RefusalReason.UNSUPPORTED: err("no such mechanism here"),
    RefusalReason.BUSY: err("busy; try again later", "SYS/TEMP"),
}

STORE_REFUSALS: Final[dict[type[MailstoreError], Reply]] = {
    MessageGone: err("the message was removed meanwhile"),
    BodyCorrupt: err("the message is damaged in the store", "SYS/PERM"),
    NoSuchAccount: err("the account is gone", "SYS/PERM"),
    NoSuchMailbox: err("the account is gone", "SYS/PERM"),
    StoreFull: err("the store is full; try again later", "SYS/TEMP"),
    StoreFailed: err("the store failed; try again later", "SYS/TEMP"),
    StoreClosed: err("the server ends; try again later", "SYS/TEMP"),
}


def reply_to(error: MailstoreError) -> Reply:
    """The reply to a refusal; one that cannot happen here is raised again, as the bug it is."""
    reply = STORE_REFUSALS.get(type(error))
    if reply is None:
        raise error
    return reply
