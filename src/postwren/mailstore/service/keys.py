"""What messages are sorted, threaded and dated by, text folded already (RFC 5256, RFC 5957; collation: RFC 5255 section 4.6)."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import BodyRef
from postwren.mailstore.port import Reader
from postwren.message.digest import Digest, digest
from postwren.message.fold import fold
from postwren.terms import AccountId, EmailId

__all__ = ["MOST_OCTETS", "NO_KEYS", "KeySource", "Keys", "ReadBody", "ScannedKeys", "keys_of", "read_email"]

ReadBody = Callable[[BodyRef, int, int | None], bytes]
"""`Store.read_body`."""
MOST_OCTETS: Final = 64 << 20
"""Of a message, so much is looked at."""


class Keys(NamedTuple):
    """One message's."""

    sent: int | None  # seconds since 1970; None: INTERNALDATE stands for it
    sent_offset: int  # the zone of Date, in minutes
    subject: bytes  # base subject
    is_reply: bool  # of the subject it came from
    sent_from: bytes
    sent_to: bytes
    sent_cc: bytes
    display_from: bytes
    display_to: bytes
    message_id: str | None
    references: tuple[str, ...]

    @property
    def thread_id(self) -> str | None:
        """RFC 8474 section 5.2: the same for all messages that name the same first ancestor. It is made from the message alone,
        so it never changes and needs no table; a conversation whose References were cut at the head falls into two. None (NIL)
        for a message that has no id and answers none."""
        root = self.references[0] if self.references else self.message_id
        return None if root is None else "T" + sha256(root.encode("utf-8", "replace")).hexdigest()[:24]


NO_KEYS: Final = Keys(None, 0, b"", False, b"", b"", b"", b"", b"", None, ())


def keys_of(found: Digest) -> Keys:
    """The keys of a message that was read."""
    return Keys(
        found.sent_date,
        found.sent_offset,
        fold(found.base_subject),
        found.is_reply,
        fold(found.sent_from.mailbox),
        fold(found.sent_to.mailbox),
        fold(found.sent_cc.mailbox),
        fold(found.sent_from.display),
        fold(found.sent_to.display),
        found.message_id,
        found.references,
    )


class KeySource(Protocol):
    """Where keys come from: stored digests, or the messages themselves."""

    def keys(self, reader: Reader, account_id: AccountId, email_ids: Sequence[EmailId]) -> list[Keys]:
        """In order, `NO_KEYS` for an email that is gone. Called where `reader` may be used: off the loop, in batches."""


class ScannedKeys:
    """Reads the messages: right, and slow."""

    def __init__(self, read_body: ReadBody) -> None:
        self._read_body = read_body

    def keys(self, reader: Reader, account_id: AccountId, email_ids: Sequence[EmailId]) -> list[Keys]:
        found = (read_email(reader, self._read_body, account_id, email_id) for email_id in email_ids)
        return [NO_KEYS if octets is None else keys_of(digest(octets)) for octets in found]


def read_email(
    reader: Reader, read_body: ReadBody, account_id: AccountId, email_id: EmailId, length: int = MOST_OCTETS
) -> bytes | None:
    """The first octets of an email; None when it is gone or cannot be read (`postwren check` tells of those)."""
    email = reader.email(account_id, email_id)
    if email is None:
        return None
    try:
        return read_body(email.body, 0, None if email.body.size <= length else length)
    except (BodyCorrupt, MessageGone):
        return None
