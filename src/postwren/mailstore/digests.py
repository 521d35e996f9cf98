"""What was rendered of each email: derived data, which may be lost or wrong in its version at any time and is rendered again.

A row belongs to one content: it carries the first octets of the content id and the renderer's version, and is as good as missing
where they are not the email's and ours. So neither a restored backup, whose ids are handed out again, nor a newer renderer ever
answers with another message's envelope.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from postwren.mailstore.model import Email
from postwren.terms import AccountId, EmailId

if TYPE_CHECKING:
    from postwren.message.digest import Digest  # it loads all that renders, which commands do without

__all__ = ["RENDERED", "DigestRow", "Digests", "row_of"]

RENDERED: Final = ("envelope", "body", "bodystructure")
"""The columns that are IMAP octets, never empty, without NUL."""


class DigestRow(NamedTuple):
    """One email's. The columns behind `content` are what `Digests.columns` may be asked for, by these names."""

    account_id: AccountId
    email_id: EmailId
    content: bytes  # the first 8 octets of the content id
    bodystructure: bytes
    body: bytes
    envelope: bytes
    header: bytes | None  # the fields of `message.usual`; None where they must be read from the message
    header_size: int
    sent_date: int | None
    sent_offset: int
    is_reply: bool
    base_subject: str
    subject: str
    from_mailbox: str
    from_display: str
    to_mailbox: str
    to_display: str
    cc_mailbox: str
    cc_display: str
    message_id: str | None
    references: str  # joined by line feeds
    preview: str


def row_of(email: Email, digest: "Digest") -> DigestRow:
    """What is kept of a digest."""
    sender, to, cc = digest.sent_from, digest.sent_to, digest.sent_cc
    return DigestRow(
        account_id=email.account_id,
        email_id=email.email_id,
        content=email.content_id[:8],
        bodystructure=digest.bodystructure,
        body=digest.body,
        envelope=digest.envelope,
        header=digest.header,
        header_size=digest.header_size,
        sent_date=digest.sent_date,
        sent_offset=digest.sent_offset,
        is_reply=digest.is_reply,
        base_subject=digest.base_subject,
        subject=digest.subject,
        from_mailbox=sender.mailbox,
        from_display=sender.display,
        to_mailbox=to.mailbox,
        to_display=to.display,
        cc_mailbox=cc.mailbox,
        cc_display=cc.display,
        message_id=digest.message_id,
        references="\n".join(digest.references),
        preview=digest.preview,
    )


class Digests(Protocol):
    """Rows by email. Every method may be called on the loop's thread and inside `Store.read`; none of them raises for
    what the volume does: what cannot be read is missing, what cannot be written is dropped."""

    def column(self, account_id: AccountId, email_ids: Sequence[int], name: str) -> list[bytes | None]:
        """One of `RENDERED` for each of these emails, in their order; None where it is missing. Ascending ids without gaps are
        fastest."""

    def columns(self, account_id: AccountId, email_ids: Sequence[int], names: Sequence[str]) -> list[tuple[Any, ...] | None]:
        """Some columns for each of these emails, in their order; None where the row is missing."""

    def missing(self, account_id: AccountId, email_ids: Sequence[int]) -> list[EmailId]:
        """Which of these have no row, in their order."""

    def put(self, rows: Sequence[DigestRow]) -> bool:
        """Keep these; False where the volume did not take them."""

    def accounts(self) -> list[AccountId]:
        """Those that have rows, ascending."""

    def prune(self, account_id: AccountId) -> None:
        """Drop rows of emails that are gone (of an account that is gone: all)."""
