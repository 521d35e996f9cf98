"""What waits on a device to be sent by its account's own server: rows of the queue, and what is known of each (docs/sync.md).

What must stay true (D-71): before the first octet of a message leaves, its rows say HANDED_OVER, durably. Whatever ends behind
that without an answer (a kill, a lost connection) leaves them so, and they become DOUBTFUL, which nobody sends again by itself;
unless the server promised that a repeat under the same token is one message (ADR 0020), which holds for its place, and for days.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from postwren.delivery.queue import TOKENS_KEPT, Also, Report, send_report
from postwren.exchange.connection import Letter
from postwren.mailstore.errors import NoSuchAccount, OverQuota
from postwren.mailstore.model import Account
from postwren.mailstore.port import NewBody, Reader, Store, Transaction, Unit
from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient, outbox_of
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.flags import SEEN
from postwren.mailstore.service.queue import change_recipients, queue_mailbox
from postwren.mailstore.service.sent import is_for_sent, sent_mailbox
from postwren.message.compose import field, mailbox, message, structured_field, text_part
from postwren.message.date import format_date
from postwren.message.encodedword import decode_words
from postwren.message.header import read_header
from postwren.terms import AccountId, MailboxId, Uid

__all__ = [
    "TROUBLE",
    "Handed",
    "Waiting",
    "doubt",
    "doubted",
    "hand_over",
    "header_of",
    "is_in_sent",
    "sent_copy",
    "set_rows",
    "trouble_of",
    "waiting",
]

TROUBLE: Final = ("sync", "outbox-trouble")
"""Kind and name of the property in which is written why nothing leaves."""
_AT_ONCE: Final = 500
_HEAD: Final = 65_536  # octets of a message in which header fields are looked for
_LOOKED_AT: Final = 200  # messages at the end of Sent
_TRUSTED: Final = TOKENS_KEPT - 86_400  # seconds: a day less than a server keeps tokens
_HANDED: Final = re.compile(r"handed over to (\S+) at ([0-9]{1,12})(?: as ([0-9a-f]+))?")
_FIELDS: Final = ("From", "To", "Subject", "Date", "Message-ID")


class Waiting(NamedTuple):
    """A message with those of its recipients that are in an outbox."""

    message: QueuedMessage
    recipients: list[QueuedRecipient]
    octets: int


@dataclass(frozen=True, slots=True)
class Handed:
    """That octets left for a place (HOST:PORT) at a time (seconds since 1970), under a token or "": a `QueuedRecipient.reply`."""

    place: str
    at: int
    token: str

    def __str__(self) -> str:
        return f"handed over to {self.place} at {self.at}" + (f" as {self.token}" if self.token else "")

    @classmethod
    def parse(cls, reply: str) -> Self | None:
        """None where the reply is something else."""
        found = _HANDED.fullmatch(reply)
        return None if found is None else cls(found[1], int(found[2]), found[3] or "")

    def may_be_repeated(self, now: float) -> bool:
        """Whether the server recognises it now."""
        return bool(self.token) and 0 <= now - self.at < _TRUSTED


def waiting(reader: Reader, login: str) -> list[Waiting]:
    """Everything in an account's outbox, the oldest first."""
    where, last, key = queue_mailbox(reader), Uid(0), outbox_of(login)
    found: list[Waiting] = []
    while where is not None and (messages := reader.queued_messages(last, _AT_ONCE)):
        for queued in messages:
            rows = [row for row in reader.queued_recipients(queued.uid) if row.domain == key]
            if rows:
                entries = reader.entries(*where, [(queued.uid, queued.uid)])
                found.append(Waiting(queued, rows, entries[0].size if entries else 0))
        last = messages[-1].uid
    return found


def header_of(store: Store, uid: Uid) -> dict[str, str]:
    """What people know a queued message by; nothing where it cannot be read."""
    reader = store.reader
    where = queue_mailbox(reader)
    entries = [] if where is None else reader.entries(*where, [(uid, uid)])
    email = reader.email(entries[0].account_id, entries[0].email_id) if entries else None
    if email is None:
        return {}
    fields = read_header(store.read_body(email.body, 0, min(email.body.size, _HEAD)))
    values = {name: decode_words(fields.first(name.lower().encode()) or b"") for name in _FIELDS}
    return {name: value for name, value in values.items() if value}


def trouble_of(reader: Reader, account_id: AccountId) -> dict[str, object] | None:
    """Why the last pass could not use the server (`text`), and since when (`at`); None where it could."""
    kind, name = TROUBLE
    for row in reader.properties(account_id, MailboxId(0), kind):
        if row.name == name:
            return dict(json.loads(row.value))
    return None


# -- units of work


def hand_over(rows: Sequence[QueuedRecipient], handed: Handed) -> Unit[bool]:
    """Before the octets leave. False, and nothing is written, where somebody changed the rows meanwhile."""

    def unit(tx: Transaction) -> bool:
        kept = {row.number: row for row in tx.queued_recipients(rows[0].uid)}
        if any(kept.get(row.number) != row for row in rows):
            return False
        change_recipients(tx, [row._replace(state=DeliveryState.HANDED_OVER, reply=str(handed)) for row in rows], [])
        return True

    return unit


def set_rows(uid: Uid, rows: Iterable[QueuedRecipient]) -> Unit[None]:
    """These rows as they are here, as far as they are there."""
    wanted = list(rows)

    def unit(tx: Transaction) -> None:
        kept = {row.number for row in tx.queued_recipients(uid)}
        change_recipients(tx, [row for row in wanted if row.number in kept], [])

    return unit


def doubt(uid: Uid, rows: Iterable[QueuedRecipient], address: str, note: NewBody, now: int, queue_now: int) -> Unit[None]:
    """These may have been sent: they rest until somebody decides, and `note` (`doubted`) tells the account so."""
    put = set_rows(uid, [row._replace(state=DeliveryState.DOUBTFUL) for row in rows])

    def unit(tx: Transaction) -> None:
        put(tx)
        send_report(tx, address, Report(note, "7BIT", False), now, queue_now)

    return unit


def doubted(uid: Uid, rows: Sequence[QueuedRecipient], address: str, header: dict[str, str], now: int, token: str) -> bytes:
    """The message that tells of it."""
    handed = Handed.parse(rows[0].reply)
    place = handed.place if handed is not None else "the server"
    when = format_date(handed.at) if handed is not None else "an unknown time"
    known = "".join(f"  {name}: {header[name][:300]}\n" for name in _FIELDS if name in header)
    people = "".join(f"  {row.address}\n" for row in rows)
    text = (
        f"A message of yours may have been sent, or not. It was handed over to {place}\n({when}), and the connection, or this\n"
        "program, ended before an answer was here. It is not sent again by itself, for\nit could arrive twice.\n\n"
        f"{known}\nIts recipients:\n{people}\n"
        "Is it in the mailbox for sent mail, or did it arrive? Then forget it here:\n\n"
        f"  postwren sync outbox drop {uid} --was-sent\n\nElse send it again:\n\n  postwren sync outbox retry {uid}\n"
    )
    fields = [
        structured_field("From", mailbox("mailer-daemon@localhost", "Outbox")),
        structured_field("To", address),
        field("Subject", f"Was it sent? {header.get('Subject', '')}".rstrip()),
        structured_field("Date", format_date(now)),
        structured_field("Message-ID", f"<{token}@localhost>"),
        structured_field("Auto-Submitted", "auto-generated"),
    ]
    return message(fields, text_part(text))


# -- the copy of what was sent


def is_in_sent(store: Store, account: Account, message_id: str) -> bool:
    """Whether the mail program has put its own copy there: among the last messages of the mailboxes for sent mail."""
    reader, wanted = store.reader, message_id.strip().encode()
    for box in reader.mailboxes(account.account_id):
        if not is_for_sent(box):
            continue
        (uids,) = reader.pick(account.account_id, box.mailbox_id, None, ("uid",))
        for entry in reader.entries(account.account_id, box.mailbox_id, [(uid, uid) for uid in uids[-_LOOKED_AT:]]):
            email = reader.email(account.account_id, entry.email_id)
            if email is not None:
                head = read_header(store.read_body(email.body, 0, min(email.body.size, _HEAD)))
                if (head.first(b"message-id") or b"").strip() == wanted:
                    return True
    return False


def sent_copy(store: Store, account_id: AccountId, letter: Letter, now: int) -> Also:
    """Put in with the conclusion that it was sent, so that it is there once, whatever is killed. A full account has none."""

    def unit_with(body: NewBody) -> Unit[None]:
        def unit(tx: Transaction) -> None:
            box = sent_mailbox(tx, account_id, now)
            with contextlib.suppress(OverQuota, NoSuchAccount):
                deliver([Target(account_id, box.name, frozenset((SEEN,)))], body, now)(tx)

        return unit

    def also() -> tuple[Unit[None], NewBody]:
        writer = store.new_body()
        try:
            for piece in letter.pieces():
                writer.write(piece)
            body = writer.finish()
        except BaseException:
            writer.discard()
            raise
        return unit_with(body), body

    return also
