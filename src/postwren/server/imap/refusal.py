"""What went wrong, as IMAP says it (RFC 9051 section 7.1, RFC 5530)."""

from typing import Final, NamedTuple

from postwren.mailstore.errors import (
    BodyCorrupt,
    EntryInvalid,
    IdentifierInvalid,
    MailboxExists,
    MailboxNameInvalid,
    MailstoreError,
    MessageGone,
    NoSuchAccount,
    NoSuchMailbox,
    OverQuota,
    QueryTooBig,
    SearchTooLong,
    SpecialUseTaken,
    StoreClosed,
    StoreFailed,
    StoreFull,
    TooMany,
    ValueTooBig,
)
from postwren.mailstore.service import metadata
from postwren.protocols.imap import code
from postwren.protocols.imap.code import Code, MetadataCode
from postwren.protocols.imap.response.condition import Status
from postwren.server.login import RefusalReason

__all__ = ["LOGIN_REFUSALS", "Refusal", "refusal_of"]


class Refusal(NamedTuple):
    """A tagged NO or BAD without its tag."""

    text: str
    code: Code | None = None
    status: Status = Status.NO


NO_MAILBOX: Final = Refusal("no such mailbox", code.NONEXISTENT)
READ_ONLY: Final = Refusal("the mailbox was opened read-only", code.CANNOT)
NO_RIGHTS: Final = Refusal("you may not do this here", code.NOPERM)
EXPUNGED: Final = Refusal("some of these messages are gone", code.EXPUNGEISSUED)
UID_REQUIRED: Final = Refusal("sequence numbers are switched off", code.UIDREQUIRED, Status.BAD)
NO_SUCH_MESSAGE: Final = Refusal("no such message", None, Status.BAD)
NOT_ENABLED: Final = Refusal("ENABLE QRESYNC first", None, Status.BAD)
TOO_BIG: Final = Refusal("the message is too big", code.TOOBIG)
TOO_MANY_CONNECTIONS: Final = Refusal("too many connections of this account", code.LIMIT)
BUG: Final = Refusal("internal error", code.SERVERBUG)

LOGIN_REFUSALS: Final[dict[RefusalReason, Refusal]] = {
    RefusalReason.WRONG: Refusal("wrong login or password", code.AUTHENTICATIONFAILED),
    RefusalReason.MALFORMED: Refusal("malformed authentication"),
    RefusalReason.CANCELLED: Refusal("authentication cancelled", None, Status.BAD),
    RefusalReason.PRIVACY_REQUIRED: Refusal("only under TLS: send STARTTLS first", code.PRIVACYREQUIRED),
    RefusalReason.UNSUPPORTED: Refusal("no such mechanism here", code.CANNOT),
    RefusalReason.BUSY: Refusal("busy; try again later", code.UNAVAILABLE),
}

STORE_REFUSALS: Final[dict[type[MailstoreError], Refusal]] = {
    NoSuchMailbox: NO_MAILBOX,
    MailboxExists: Refusal("there is such a mailbox", code.ALREADYEXISTS),
    MailboxNameInvalid: Refusal("no name for a mailbox", code.CANNOT),
    SpecialUseTaken: Refusal("another mailbox has this use", code.USEATTR),
    IdentifierInvalid: Refusal("nobody can be meant by this", code.CANNOT),
    EntryInvalid: Refusal("no name of an entry", None, Status.BAD),
    ValueTooBig: Refusal("the value is too big", MetadataCode("MAXSIZE", metadata.LIMITS.value)),
    TooMany: Refusal("there are too many already", code.LIMIT),
    OverQuota: Refusal("over quota", code.OVERQUOTA),
    MessageGone: EXPUNGED,
    BodyCorrupt: Refusal("a message is damaged in the store", code.CORRUPTION),
    QueryTooBig: Refusal("too many conditions", code.LIMIT),
    SearchTooLong: Refusal("the search took too long", code.LIMIT),
    NoSuchAccount: Refusal("the account is gone", code.UNAVAILABLE),
    StoreFull: Refusal("the store is full; try again later", code.UNAVAILABLE),
    StoreFailed: Refusal("the store failed; try again later", code.UNAVAILABLE),
    StoreClosed: Refusal("the server ends; try again later", code.UNAVAILABLE),
}


def refusal_of(error: MailstoreError) -> Refusal:
    """The answer to a refusal; one that cannot happen here is raised again, as the bug it is."""
    refusal = STORE_REFUSALS.get(type(error))
    if refusal is None:
        raise error
    return refusal
