"""What is true of every store at any time, checked by reading all of it.

Tests run this whenever a store is closed, `postwren check` when somebody asks. It streams: entries are read a window of
UIDs at a time, and references are counted in four octets an email. Give it the reader of one `Store.read` (a
snapshot) where others may write meanwhile.
"""

import hashlib
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from postwren.mailstore.domain import KeyState
from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import Account, BodyRef, ChangeKind, Email, Entry, Mailbox
from postwren.mailstore.port import Reader
from postwren.mailstore.queue import QUEUE_LOGIN
from postwren.mailstore.service.flags import DELETED, SEEN
from postwren.terms import INBOX, AccountId, FlagSetId, MailboxId, ModSeq, Uid

__all__ = ["BodyPieces", "Violation", "check", "check_account", "check_domains", "check_queue"]

BodyPieces: TypeAlias = Callable[[BodyRef], Iterable[bytes]]
"""`Store.body_pieces`."""
WINDOW: Final = 20_000
QUEUE_WINDOW: Final = 1_000


class Violation(NamedTuple):
    """Something that must not be; `rule` is its name, `detail` for people."""

    account_id: AccountId | None
    mailbox_id: MailboxId | None
    rule: str
    detail: str


def check(reader: Reader, body_pieces: BodyPieces | None = None) -> Iterator[Violation]:
    """Everything that is wrong with the store; with `body_pieces`, every message's octets too."""
    accounts = set()
    for account in reader.accounts():
        accounts.add(account.account_id)
        yield from check_account(reader, account, body_pieces)
    for row in reader.addresses():
        if row.account_id not in accounts:
            yield Violation(row.account_id, None, "address", f"{row.address} reaches no account")
    queue = reader.account_by_login(QUEUE_LOGIN)
    if queue is not None:
        yield from check_account(reader, queue, body_pieces)
    yield from check_queue(reader, queue)
    yield from check_domains(reader)


def check_domains(reader: Reader) -> Iterator[Violation]:
    """A key that signs has a private half, and of each algorithm a domain has one; a retired key has none."""
    for domain in reader.domains():
        if domain.name != domain.name.lower() or not domain.name.isascii():
            yield Violation(None, None, "domain", f"{domain.name} is not in its canonical form")
        signing = Counter(key.algorithm for key in reader.dkim_keys(domain.name) if key.state is KeyState.ACTIVE)
        if any(count > 1 for count in signing.values()):
            yield Violation(None, None, "domain", f"{domain.name} has several keys of one kind that sign")
        for key in reader.dkim_keys(domain.name):
            if bool(key.private.reveal()) is (key.state is KeyState.RETIRED):
                yield Violation(None, None, "domain", f"{domain.name} has a key {key.selector} with the wrong state")


def check_queue(reader: Reader, queue: Account | None) -> Iterator[Violation]:
    """A queued message is an entry, a row and at least one recipient; none of these is there without the others."""

    def wrong(detail: str) -> Violation:
        return Violation(None if queue is None else queue.account_id, None, "queue", detail)

    entries = array("I") if queue is None else reader.pick(queue.account_id, MailboxId(1), None, ("uid",))[0]
    recipients, last, ahead = 0, Uid(0), iter(entries)
    entry = next(ahead, None)
    while messages := reader.queued_messages(last, QUEUE_WINDOW):
        for message in messages:
            last = message.uid
            while entry is not None and entry < last:
                yield wrong(f"message {entry} has no row: nobody would send it")
                entry = next(ahead, None)
            if entry != last:
                yield wrong(f"message {last} has a row and no entry")
            else:
                entry = next(ahead, None)
            rows = reader.queued_recipients(last)
            recipients += len(rows)
            if not rows:
                yield wrong(f"message {last} has no recipient left and is still there")
    for uid in (entry, *ahead) if entry is not None else ():
        yield wrong(f"message {uid} has no row: nobody would send it")
    if recipients != (counted := reader.queue_size()[1]):
        yield wrong(f"{counted - recipients} recipients are of no message")


def check_account(reader: Reader, account: Account, body_pieces: BodyPieces | None = None) -> Iterator[Violation]:
    """Everything that is wrong with one account."""
    return _AccountCheck(reader, account).run(body_pieces)


class _AccountCheck:
    """What is summed up while an account's rows go by."""

    __slots__ = ("account", "flagsets", "reader", "references", "used")

    def __init__(self, reader: Reader, account: Account) -> None:
        self.reader = reader
        self.account = account
        self.used = 0
        # by email id: how often it is named. Of the queue's emails nearly all are gone
        self.references: array[int] | Counter[int] = (
            Counter() if account.login == QUEUE_LOGIN else array("I", bytes(4 * account.next_email_id))
        )
        self.flagsets: dict[FlagSetId, frozenset[str]] = {}

    def run(self, body_pieces: BodyPieces | None) -> Iterator[Violation]:
        account = self.account
        if (found := self.reader.account_by_login(account.login)) is None or found.account_id != account.account_id:
            yield self.wrong("login", f"{account.login} is not found by its login")
        mailboxes = self.reader.mailboxes(account.account_id)
        yield from self.names(mailboxes)
        yield from self.sharing(mailboxes)
        for mailbox in mailboxes:
            yield from self.mailbox(mailbox)
            yield from self.pairs(mailbox)
        yield from self.tombstones()
        if self.used != account.used:
            yield self.wrong("used", f"the account says {account.used} octets, its entries have {self.used}")
        for email in self.reader.emails(account.account_id):
            yield from self.email(email, body_pieces)
        for email_id, count in self.references.items() if isinstance(self.references, Counter) else enumerate(self.references):
            if count:  # what was found is 0 again
                yield self.wrong("email", f"{count} entries name email {email_id}, which does not exist")
        yield from self.changes()

    def wrong(self, rule: str, detail: str, mailbox: Mailbox | None = None) -> Violation:
        return Violation(self.account.account_id, None if mailbox is None else mailbox.mailbox_id, rule, detail)

    def names(self, mailboxes: list[Mailbox]) -> Iterator[Violation]:
        seen: set[str] = set()
        validities: set[int] = set()
        for mailbox in mailboxes:
            name = mailbox.name
            if name in seen or unicodedata.normalize("NFC", name) != name or (name.upper() == INBOX and name != INBOX):
                yield self.wrong("name", f"{name!r} is there twice or not in its canonical form", mailbox)
            if mailbox.uidvalidity in validities or not 0 < mailbox.uidvalidity < self.account.next_uidvalidity:
                yield self.wrong("uidvalidity", f"{mailbox.uidvalidity} is not the mailbox's alone", mailbox)
            if mailbox.mailbox_id >= self.account.next_mailbox_id:
                yield self.wrong("mailbox id", "the counter is behind", mailbox)
            found = self.reader.mailbox_by_name(self.account.account_id, name)
            if found is None or found.mailbox_id != mailbox.mailbox_id:
                yield self.wrong("name", f"{name!r} is not found by its name", mailbox)
            seen.add(name)
            validities.add(mailbox.uidvalidity)
        if INBOX not in seen:
            yield self.wrong("inbox", "there is no INBOX")

    def sharing(self, mailboxes: list[Mailbox]) -> Iterator[Violation]:
        """Grants and annotations go with their mailbox."""
        for mailbox in mailboxes:
            for grant in self.reader.grants(mailbox.account_id, mailbox.mailbox_id):
                if grant not in self.reader.granted(grant.identifier):
                    yield self.wrong("grant", f"{grant.identifier} is not found by its identifier", mailbox)
                if not grant.rights:
                    yield self.wrong("grant", f"{grant.identifier} has no right", mailbox)

    def pairs(self, mailbox: Mailbox) -> Iterator[Violation]:
        """What a copy remembers of its mailbox names entries that are or were there, each once."""
        uids: set[Uid] = set()
        known = self.reader.flagsets(self.account.account_id)
        for pair in self.reader.pairs(self.account.account_id, mailbox.mailbox_id):
            if pair.uid in uids or not 0 < pair.uid < mailbox.uidnext or pair.flagset_id not in known:
                yield self.wrong("pair", f"{pair} names an entry that never was, or that has another pair", mailbox)
            uids.add(pair.uid)

    def mailbox(self, mailbox: Mailbox) -> Iterator[Violation]:
        messages = unseen = deleted = size = 0
        last, highest = Uid(0), ModSeq(0)
        uidls: set[str] = set()
        dead = self.reader.expunged_since(self.account.account_id, mailbox.mailbox_id, ModSeq(0))
        tombs = set(dead)
        for entry in self.entries(mailbox):
            messages += 1
            size += entry.size
            highest = max(highest, entry.modseq)
            yield from self.entry(mailbox, entry, last)
            if entry.uid in tombs:
                yield self.wrong("uid", f"{entry.uid} is there and expunged", mailbox)
            if entry.uidl is not None:
                if entry.uidl in uidls:
                    yield self.wrong("uidl", f"{entry.uidl} is there twice", mailbox)
                uidls.add(entry.uidl)
            flags = self.flagsets.get(entry.flagset_id, frozenset())
            unseen += SEEN not in flags
            deleted += DELETED in flags
            last = entry.uid
        if dead and max(dead) >= mailbox.uidnext:
            yield self.wrong("uid", f"expunged {max(dead)} is not below uidnext {mailbox.uidnext}", mailbox)
        counted = (messages, unseen, deleted, size)
        kept = (mailbox.messages, mailbox.unseen, mailbox.deleted, mailbox.size)
        if counted != kept:
            yield self.wrong("counters", f"(messages, unseen, deleted, size) says {kept}, is {counted}", mailbox)
        if not highest <= mailbox.highestmodseq <= self.account.modseq:
            yield self.wrong("modseq", f"{highest} <= {mailbox.highestmodseq} <= {self.account.modseq} fails", mailbox)
        if self.reader.expunged_since(self.account.account_id, mailbox.mailbox_id, mailbox.highestmodseq):
            yield self.wrong("modseq", "tombstones above highestmodseq", mailbox)
        self.used += size

    def entries(self, mailbox: Mailbox) -> Iterator[Entry]:
        for lo in range(0, mailbox.uidnext + 1, WINDOW):  # one beyond uidnext, to see what must not be there
            yield from self.reader.entries(self.account.account_id, mailbox.mailbox_id, [(lo, lo + WINDOW - 1)])

    def entry(self, mailbox: Mailbox, entry: Entry, last: Uid) -> Iterator[Violation]:
        if not last < entry.uid < mailbox.uidnext:
            yield self.wrong("uid", f"{last} < {entry.uid} < uidnext {mailbox.uidnext} fails", mailbox)
        if not mailbox.created_modseq <= entry.created_modseq <= entry.modseq:
            yield self.wrong("modseq", f"uid {entry.uid}: older than its creation", mailbox)
        if entry.flagset_id not in self.flagsets:
            try:
                self.flagsets[entry.flagset_id] = self.reader.flagset(self.account.account_id, entry.flagset_id)
            except KeyError:
                self.flagsets[entry.flagset_id] = frozenset()
                yield self.wrong("flagset", f"uid {entry.uid}: no set {entry.flagset_id}", mailbox)
        yield from self.named(entry.email_id, f"uid {entry.uid}", mailbox)

    def named(self, email_id: int, by: str, mailbox: Mailbox | None) -> Iterator[Violation]:
        if 0 < email_id < self.account.next_email_id:
            self.references[email_id] += 1
        else:
            yield self.wrong("email id", f"{by} names {email_id}, beyond the counter", mailbox)

    def tombstones(self) -> Iterator[Violation]:
        for row in self.reader.expunged(self.account.account_id):
            if row.email_id is not None:
                yield from self.named(row.email_id, f"expunged uid {row.uid} of mailbox {row.mailbox_id}", None)
            if row.modseq > self.account.modseq:
                yield self.wrong("modseq", f"expunged uid {row.uid}: {row.modseq} was never handed out")

    def email(self, email: Email, body_pieces: BodyPieces | None) -> Iterator[Violation]:
        if email.email_id >= self.account.next_email_id:
            yield self.wrong("email id", f"{email.email_id} is beyond the counter")
            return
        counted = self.references[email.email_id]
        self.references[email.email_id] = 0
        if counted != email.references or not counted:
            yield self.wrong("references", f"email {email.email_id} says {email.references}, is named {counted} times")
        found = self.reader.email_by_content(self.account.account_id, email.content_id)
        if found is None or found.email_id != email.email_id:
            yield self.wrong("content", f"email {email.email_id} is not found by its content")
        if body_pieces is not None and (why := _body_fault(email, body_pieces)):
            yield self.wrong("body", f"email {email.email_id}: {why}")

    def changes(self) -> Iterator[Violation]:
        expected = ModSeq(1)
        while changes := self.reader.changes(self.account.account_id, ModSeq(expected - 1)):
            for change in changes:
                if change.modseq == expected:
                    expected = ModSeq(expected + 1)
                elif change.kind is ChangeKind.SKIPPED and change.modseq > expected:
                    expected = ModSeq(change.modseq + 1)
                elif change.modseq != expected - 1:
                    yield self.wrong("changes", f"modseq {change.modseq} follows {expected - 1}")
                    expected = ModSeq(change.modseq + 1)
        if expected != self.account.modseq + 1:
            yield self.wrong("changes", f"they end at modseq {expected - 1}, the account is at {self.account.modseq}")


def _body_fault(email: Email, body_pieces: BodyPieces) -> str | None:
    digest = hashlib.sha256()
    size, has_dot_line, last = 0, False, b"\n"
    try:
        for piece in body_pieces(email.body):
            digest.update(piece)
            size += len(piece)
            has_dot_line = has_dot_line or b"\n." in piece or (last == b"\n" and piece[:1] == b".")
            last = piece[-1:]
    except (BodyCorrupt, MessageGone) as error:
        return f"its octets cannot be read: {type(error).__name__}"
    if size != email.body.size or digest.digest() != email.content_id:
        return "its octets are not those of its content id"
    if has_dot_line != email.has_dot_line:
        return "has_dot_line is wrong"
    return None
