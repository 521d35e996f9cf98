"""What messages are sorted, threaded and dated by (RFC 5256, RFC 5957), as columns: read out of the stored digests or, where
there is none, out of the message's header; text is folded (RFC 5255 section 4.6).

A key of an email never changes, so the columns that were used last are kept.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol

from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import BodyRef
from postwren.mailstore.neighbours import Windows, read_header_columns
from postwren.mailstore.port import Reader
from postwren.message.fold import fold
from postwren.message.glance import header_columns
from postwren.terms import AccountId, EmailId

__all__ = ["MOST_OCTETS", "DigestColumns", "Key", "Keys", "Linked", "ReadBody", "read_email", "thread_id"]

ReadBody = Callable[[BodyRef, int, int | None], bytes]
"""`Store.read_body`."""
MOST_OCTETS: Final = 64 << 20
"""Of a message, so much is looked at."""
MOST_KEPT: Final = 500_000
"""Values of all columns together, 60 to 500 octets each; a column that alone is longer is not kept."""


class Key(enum.Enum):
    """A column. Text is folded."""

    SENT = "sent"  # seconds since 1970, or None: INTERNALDATE stands for it (RFC 5256 section 2.2)
    SENT_THERE = "sent there"  # the same by the sender's clock, as if that were UTC: SENTON looks at the day alone
    SUBJECT = "subject"  # the base subject
    FROM = "from"
    TO = "to"
    CC = "cc"
    DISPLAY_FROM = "display from"
    DISPLAY_TO = "display to"
    LINKED = "linked"
    THREAD_ID = "thread id"


class Linked(NamedTuple):
    """What THREAD looks at."""

    sent: int | None
    subject: bytes
    is_reply: bool  # by its subject
    message_id: str | None
    references: tuple[str, ...]


class DigestColumns(Protocol):
    """`Store.digests`, as far as it is needed here."""

    def columns(self, account_id: AccountId, email_ids: Sequence[int], names: Sequence[str]) -> list[tuple[Any, ...] | None]: ...


def thread_id(message_id: str | None, references: Sequence[str]) -> str | None:
    """RFC 8474 section 5.2: the same for all messages that name the same first ancestor. It is made from the message alone, so it
    never changes and needs no table; a conversation whose References were cut at the head falls into two. None (NIL) for a
    message that has no id and answers none."""
    root = references[0] if references else message_id
    return None if root is None else "T" + sha256(root.encode("utf-8", "replace")).hexdigest()[:24]


class Keys:
    """Columns of keys. One for a store; its methods are called inside `Store.read`, by one thread at a time."""

    def __init__(self, read_body: ReadBody, digests: DigestColumns | None = None, windows: Windows | None = None) -> None:
        self._read_body = read_body
        self._digests = digests
        self._windows = windows  # else messages are read one by one
        self._kept: OrderedDict[tuple[AccountId, Key], dict[int, Any]] = OrderedDict()

    def column(self, reader: Reader, account_id: AccountId, email_ids: Sequence[int], key: Key) -> list[Any]:
        """The key of each of these emails, in their order; that of an empty message where the email is gone."""
        known = self._kept.pop((account_id, key), None) or {}
        missing = [email_id for email_id in dict.fromkeys(email_ids) if email_id not in known]
        if missing:
            known.update(zip(missing, self._read(reader, account_id, missing, key), strict=True))
        self._keep(account_id, key, known)
        return [known[email_id] for email_id in email_ids]

    def _keep(self, account_id: AccountId, key: Key, known: dict[int, Any]) -> None:
        if len(known) > MOST_KEPT:
            return
        self._kept[account_id, key] = known
        while sum(map(len, self._kept.values())) > MOST_KEPT:
            self._kept.popitem(last=False)

    def _read(self, reader: Reader, account_id: AccountId, email_ids: Sequence[int], key: Key) -> list[Any]:
        names, value = _KEYS[key]
        rows: Sequence[tuple[Any, ...] | None] = [None] * len(email_ids)
        if self._digests is not None:
            rows = self._digests.columns(account_id, email_ids, names)
        scanned: dict[EmailId, tuple[Any, ...]] = {}
        if self._windows is not None and None in rows:
            unknown = [email_id for email_id, row in zip(email_ids, rows, strict=True) if row is None]
            scanned = read_header_columns(self._windows, reader.emails_of(account_id, unknown), names)
        return [
            value(*(row or scanned.get(EmailId(email_id)) or self._scan(reader, account_id, email_id, names)))
            for email_id, row in zip(email_ids, rows, strict=True)
        ]

    def _scan(self, reader: Reader, account_id: AccountId, email_id: int, names: tuple[str, ...]) -> tuple[Any, ...]:
        """One that is large, or damaged, or gone."""
        return header_columns(read_email(reader, self._read_body, account_id, EmailId(email_id)) or b"", names)


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


# -- the columns of digests, and what keys are made of


def _sent_there(sent: int | None, offset: int) -> int | None:
    return None if sent is None else sent + offset * 60


def _linked(sent: int | None, subject: str, is_reply: int, message_id: str | None, references: str) -> Linked:
    return Linked(sent, fold(subject), bool(is_reply), message_id, tuple(references.split("\n")) if references else ())


_KEYS: Final[dict[Key, tuple[tuple[str, ...], Callable[..., Any]]]] = {
    Key.SENT: (("sent_date",), lambda sent: sent),
    Key.SENT_THERE: (("sent_date", "sent_offset"), _sent_there),
    Key.SUBJECT: (("base_subject",), fold),
    Key.FROM: (("from_mailbox",), fold),
    Key.TO: (("to_mailbox",), fold),
    Key.CC: (("cc_mailbox",), fold),
    Key.DISPLAY_FROM: (("from_display",), fold),
    Key.DISPLAY_TO: (("to_display",), fold),
    Key.LINKED: (("sent_date", "base_subject", "is_reply", "message_id", "references"), _linked),
    Key.THREAD_ID: (
        ("message_id", "references"),
        lambda message_id, references: thread_id(message_id, references.split("\n") if references else ()),
    ),
}
