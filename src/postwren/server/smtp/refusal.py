"""Refusals of reception: from what the store, the login and the steps of delivery say to replies. Replies for unknown
recipients are one text, whoever asks for whatever (A-32)."""

from typing import Final

from postwren.delivery.inbound import Objection
from postwren.mailstore.errors import (
    AlreadySubmitted,
    MailstoreError,
    NoSuchAccount,
    NoSuchMailbox,
    OverQuota,
    StoreClosed,
    StoreFailed,
    StoreFull,
)
from postwren.protocols.smtp.reply import BARE_LINE_END, MESSAGE_TOO_BIG, Reply
from postwren.protocols.smtp.server import Fault
from postwren.server.login.outcome import RefusalReason

__all__ = [
    "ACCEPTED",
    "ALREADY_SUBMITTED",
    "AUTH_REQUIRED",
    "BUG",
    "FAULTS",
    "LOGINS",
    "MAILBOX_FULL",
    "NO_HOLD_HERE",
    "NO_RELAY",
    "NO_SUCH_DOMAIN",
    "NO_TLS",
    "NO_WAY_OUT",
    "OBJECTIONS",
    "SERVER_ENDS",
    "TIMED_OUT",
    "UNKNOWN_RECIPIENT",
    "store_refusal",
]

ACCEPTED: Final = Reply(250, "2.0.0", "Message kept")
ALREADY_SUBMITTED: Final = Reply(250, "2.0.0", "Message was already accepted")
UNKNOWN_RECIPIENT: Final = Reply(550, "5.1.1", "No such recipient here")  # RFC 3463 3.2
NO_RELAY: Final = Reply(550, "5.7.1", "No mail for this domain here, and this server does not relay")
NO_WAY_OUT: Final = Reply(550, "5.7.1", "This server sends no mail to other hosts")
NO_HOLD_HERE: Final = Reply(550, "5.7.1", "Nothing is held back here: send it without a release time")
NO_SUCH_DOMAIN: Final = Reply(550, "5.1.2", "No mail can be sent to this domain: it is no name of the Internet's")  # RFC 3463 3.2
MAILBOX_FULL: Final = Reply(452, "4.2.2", "The mailbox is full")
AUTH_REQUIRED: Final = Reply(530, "5.7.0", "Authentication required")  # RFC 4954 6
NO_TLS: Final = Reply(454, "4.7.0", "TLS is not available here now")  # RFC 3207 4
TIMED_OUT: Final = Reply(421, "4.4.2", "Nothing was heard for too long")  # RFC 5321 4.5.3.2.7
SERVER_ENDS: Final = Reply(421, "4.3.2", "The server is closing")  # RFC 5321 3.8
BUG: Final = Reply(451, "4.3.0", "Something is wrong with this server; please try later")

_STORE: Final[dict[type[MailstoreError], Reply]] = {
    StoreFull: Reply(452, "4.3.1", "There is no space for mail here now; please try later"),  # D-04
    OverQuota: MAILBOX_FULL,
    StoreFailed: Reply(421, "4.3.0", "This server cannot keep mail now; please try later"),
    StoreClosed: SERVER_ENDS,
    NoSuchAccount: UNKNOWN_RECIPIENT,  # removed between RCPT and the end of the data
    NoSuchMailbox: UNKNOWN_RECIPIENT,
    AlreadySubmitted: ALREADY_SUBMITTED,
}
OBJECTIONS: Final[dict[Objection, Reply]] = {
    Objection.HEADER_TOO_BIG: Reply(552, "5.3.4", "The header is too big"),
    Objection.LOOP: Reply(554, "5.4.6", "Too many hops: a mail loop"),  # RFC 3463 3.5
}
FAULTS: Final[dict[Fault, Reply]] = {
    Fault.BARE_LINE_END: BARE_LINE_END,
    Fault.TOO_BIG: MESSAGE_TOO_BIG,
}
LOGINS: Final[dict[RefusalReason, Reply]] = {  # RFC 4954 4, 6
    RefusalReason.WRONG: Reply(535, "5.7.8", "Authentication credentials invalid"),
    RefusalReason.MALFORMED: Reply(501, "5.5.2", "The login is not in the form of this mechanism"),
    RefusalReason.CANCELLED: Reply(501, "5.7.0", "Authentication cancelled"),
    RefusalReason.PRIVACY_REQUIRED: Reply(538, "5.7.11", "Start TLS first: no password is asked for in the clear"),
    RefusalReason.UNSUPPORTED: Reply(504, "5.5.4", "No such mechanism here"),
    RefusalReason.BUSY: Reply(454, "4.7.0", "Too many logins; please try later"),
}


def store_refusal(error: BaseException) -> Reply:
    """The reply to what went wrong in a unit of work; what is no refusal is a bug."""
    return _STORE.get(type(error), BUG) if isinstance(error, MailstoreError) else BUG
