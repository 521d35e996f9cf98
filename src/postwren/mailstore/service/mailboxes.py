"""Mailboxes: create, delete, rename, subscribe (RFC 9051 sections 6.3.4 to 6.3.8).

A subscription is to a name: it outlives its mailbox, and is there again for the next one of that name (section 6.3.7).
A new mailbox begins with the grants of the one above it (RFC 4314 section 4). A UIDVALIDITY comes from the account's counter
and is used once: no mailbox of a name that was used before can be taken
for the earlier one (D-33, D-34). A rename keeps the mailbox with its UIDs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.errors import MailboxExists, MailboxNameInvalid, SpecialUseTaken, TooMany
from postwren.mailstore.model import Account, Change, ChangeKind, Mailbox, Property
from postwren.mailstore.port import Reader, Transaction, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.acl import inherit
from postwren.mailstore.service.copymove import move_entries
from postwren.mailstore.service.lookup import owner, owner_and_mailbox
from postwren.mailstore.service.mailboxname import canonical, is_inferior, superiors
from postwren.mailstore.service.placement import take_out
from postwren.terms import INBOX, AccountId, MailboxId, ModSeq, SpecialUse, Uid, UidValidity

__all__ = [
    "LIMITS",
    "Limits",
    "create_mailbox",
    "delete_mailbox",
    "rename_mailbox",
    "set_special_use",
    "subscribe",
    "subscribe_name",
    "subscriptions",
]

_SUBSCRIBED: Final = "subscribed"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of an account: mailboxes, and subscriptions to names that are no mailbox of its own (A-49)."""

    mailboxes: int = 10_000
    subscriptions: int = 10_000


LIMITS: Final = Limits()


def create_mailbox(account_id: AccountId, name: str, now: int, special_use: SpecialUse | None = None) -> Unit[Mailbox]:
    """A new mailbox, and the missing ones above it (section 6.3.4). MailboxNameInvalid is raised at once."""
    name = canonical(name)

    def unit(tx: Transaction) -> Mailbox:
        account = owner(tx, account_id)
        if tx.mailbox_by_name(account_id, name) is not None:
            raise MailboxExists(name)
        _check_special_use(tx, account_id, special_use)
        account = account._replace(modseq=ModSeq(account.modseq + 1))
        account = _create_superiors(tx, account, name, now)
        account, mailbox = _create_one(tx, account, name, now, special_use)
        tx.update_account(account)
        return mailbox

    return unit


def delete_mailbox(account_id: AccountId, mailbox_id: MailboxId, now: int) -> Unit[None]:
    """Delete the mailbox; its messages are expunged and stay recoverable. Mailboxes below it stay."""

    def unit(tx: Transaction) -> None:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        if mailbox.name == INBOX:
            raise MailboxNameInvalid(INBOX, "INBOX cannot be deleted")
        modseq = ModSeq(account.modseq + 1)
        used = account.used
        if mailbox.messages:
            take_out(tx, mailbox, uidrange.all_of(mailbox), modseq, now, recoverable=True)
            used -= mailbox.size
        if mailbox.is_subscribed and len(tx.properties(account_id, MailboxId(0), _SUBSCRIBED)) < LIMITS.subscriptions:
            tx.put_property(Property(account_id, MailboxId(0), _SUBSCRIBED, mailbox.name, b""))
        tx.delete_mailbox(account_id, mailbox_id)
        tx.update_account(account._replace(modseq=modseq, used=used))
        tx.insert_changes([_change(mailbox, modseq, ChangeKind.MAILBOX_DELETED)])

    return unit


def rename_mailbox(account_id: AccountId, mailbox_id: MailboxId, name: str, now: int) -> Unit[Mailbox]:
    """Give the mailbox and those below it another name; returns the mailbox of the new name. INBOX is not renamed: its
    messages move to a new mailbox of that name (section 6.3.6)."""
    name = canonical(name)

    def unit(tx: Transaction) -> Mailbox:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        if is_inferior(name, mailbox.name) and mailbox.name != INBOX:
            raise MailboxNameInvalid(name, "below itself")
        if tx.mailbox_by_name(account_id, name) is not None:
            raise MailboxExists(name)
        account = account._replace(modseq=ModSeq(account.modseq + 1))
        account = _create_superiors(tx, account, name, now)
        if mailbox.name == INBOX:
            account, renamed = _create_one(tx, account, name, now, None)
            move_entries(tx, mailbox, None, renamed.mailbox_id, now, account.modseq)
        else:
            _rename_all(tx, mailbox, name, account.modseq)
        tx.update_account(account)
        renamed_now = tx.mailbox_by_name(account_id, name)
        assert renamed_now is not None
        return renamed_now

    return unit


def subscribe(account_id: AccountId, mailbox_id: MailboxId, is_subscribed: bool) -> Unit[None]:
    """Set whether the mailbox is one that its owner wants listed."""

    def unit(tx: Transaction) -> None:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        if mailbox.is_subscribed != is_subscribed:
            _update(tx, account, mailbox._replace(is_subscribed=is_subscribed))

    return unit


def subscriptions(reader: Reader, account_id: AccountId) -> list[str]:
    """All names that the account is subscribed to; not all of them are mailboxes."""
    mine = [mailbox.name for mailbox in reader.mailboxes(account_id) if mailbox.is_subscribed]
    return sorted([*mine, *(row.name for row in reader.properties(account_id, MailboxId(0), _SUBSCRIBED))])


def subscribe_name(account_id: AccountId, name: str, is_subscribed: bool) -> Unit[None]:
    """The same for a name that is no mailbox of the account: one of somebody else, or one that is gone. TooMany."""

    def unit(tx: Transaction) -> None:
        account = owner(tx, account_id)
        if not is_subscribed:
            tx.delete_property(account_id, MailboxId(0), _SUBSCRIBED, name)
        elif len(tx.properties(account_id, MailboxId(0), _SUBSCRIBED)) >= LIMITS.subscriptions:
            raise TooMany("subscriptions", LIMITS.subscriptions)
        else:
            tx.put_property(Property(account_id, MailboxId(0), _SUBSCRIBED, name, b""))
        modseq = ModSeq(account.modseq + 1)
        tx.update_account(account._replace(modseq=modseq))
        tx.insert_changes([Change(account_id, modseq, ChangeKind.MAILBOX_CHANGED, MailboxId(0), Uid(0), Uid(0))])

    return unit


def set_special_use(account_id: AccountId, mailbox_id: MailboxId, special_use: SpecialUse | None) -> Unit[None]:
    """Say what the mailbox is for (RFC 6154); one mailbox a use (JMAP needs it)."""

    def unit(tx: Transaction) -> None:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        if mailbox.special_use == special_use:
            return
        if mailbox.name == INBOX:
            raise MailboxNameInvalid(INBOX, "INBOX has its use")
        _check_special_use(tx, account_id, special_use)
        _update(tx, account, mailbox._replace(special_use=special_use))

    return unit


def _check_special_use(tx: Transaction, account_id: AccountId, special_use: SpecialUse | None) -> None:
    if special_use is None:
        return
    for other in tx.mailboxes(account_id):
        if other.special_use == special_use:
            raise SpecialUseTaken(special_use, other.name)


def _create_superiors(tx: Transaction, account: Account, name: str, now: int) -> Account:
    for above in superiors(name):
        if tx.mailbox_by_name(account.account_id, above) is None:
            account, _ = _create_one(tx, account, above, now, None)
    return account


def _create_one(
    tx: Transaction, account: Account, name: str, now: int, special_use: SpecialUse | None
) -> tuple[Account, Mailbox]:
    """A mailbox under the account's present ModSeq; the account's row comes back for the caller to write. TooMany."""
    if len(tx.mailboxes(account.account_id)) >= LIMITS.mailboxes:
        raise TooMany("mailboxes", LIMITS.mailboxes)
    # the clock only ever raises it: after a restored backup, numbers given out since are passed over (D-34)
    uidvalidity = max(account.next_uidvalidity, now)
    mailbox = Mailbox(
        account.account_id,
        account.next_mailbox_id,
        name,
        UidValidity(uidvalidity),
        Uid(1),
        account.modseq,
        messages=0,
        unseen=0,
        deleted=0,
        size=0,
        special_use=special_use,
        is_subscribed=_take_subscription(tx, account.account_id, name),
        created_modseq=account.modseq,
    )
    tx.insert_mailbox(mailbox)
    above = tx.mailbox_by_name(account.account_id, superiors(name)[-1]) if superiors(name) else None
    if above is not None:
        inherit(tx, above, mailbox)
    tx.insert_changes([_change(mailbox, account.modseq, ChangeKind.MAILBOX_CREATED)])
    account = account._replace(next_mailbox_id=MailboxId(mailbox.mailbox_id + 1), next_uidvalidity=UidValidity(uidvalidity + 1))
    return account, mailbox


def _take_subscription(tx: Transaction, account_id: AccountId, name: str) -> bool:
    """Whether the account is subscribed to a name that becomes a mailbox, which knows it from here on."""
    is_subscribed = any(row.name == name for row in tx.properties(account_id, MailboxId(0), _SUBSCRIBED))
    if is_subscribed:
        tx.delete_property(account_id, MailboxId(0), _SUBSCRIBED, name)
    return is_subscribed


def _rename_all(tx: Transaction, mailbox: Mailbox, name: str, modseq: ModSeq) -> None:
    account_id, old = mailbox.account_id, mailbox.name
    inferiors = [other for other in tx.mailboxes(account_id) if is_inferior(other.name, old)]
    # shorter names first: `a/b` becoming `a` frees the name that `a/b/b` takes
    moving = [mailbox, *sorted(inferiors, key=lambda other: len(other.name))]
    for other in moving:
        target = canonical(name + other.name[len(old) :])
        if tx.mailbox_by_name(account_id, target) is not None:
            raise MailboxExists(target)
        if other.is_subscribed:  # a subscription is to a name (section 6.3.7)
            tx.put_property(Property(account_id, MailboxId(0), _SUBSCRIBED, other.name, b""))
        tx.update_mailbox(other._replace(name=target, is_subscribed=_take_subscription(tx, account_id, target)))
    tx.insert_changes(_changes(moving, modseq))


def _changes(mailboxes: Iterable[Mailbox], modseq: ModSeq) -> list[Change]:
    return [_change(mailbox, modseq, ChangeKind.MAILBOX_CHANGED) for mailbox in mailboxes]


def _update(tx: Transaction, account: Account, mailbox: Mailbox) -> None:
    modseq = ModSeq(account.modseq + 1)
    tx.update_mailbox(mailbox)
    tx.update_account(account._replace(modseq=modseq))
    tx.insert_changes([_change(mailbox, modseq, ChangeKind.MAILBOX_CHANGED)])


def _change(mailbox: Mailbox, modseq: ModSeq, kind: ChangeKind) -> Change:
    return Change(mailbox.account_id, modseq, kind, mailbox.mailbox_id, Uid(0), Uid(0))
