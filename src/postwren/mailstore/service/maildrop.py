"""POP3's maildrop (RFC 1939): INBOX as it stood at the login, fixed for the session, as parallel columns.

Removal goes by UID, so a message that another session expunged meanwhile never stands for another one (D-52).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from postwren.mailstore.errors import NoSuchMailbox
from postwren.mailstore.model import BodyRef, Mailbox
from postwren.mailstore.port import Reader, Store, Unit
from postwren.mailstore.service import expunge, uidrange
from postwren.terms import INBOX, AccountId, MailboxId, Uid, UidValidity

__all__ = ["Maildrop", "open_maildrop", "remove"]

_SMALL: Final = 200
"""Messages that are read on the loop: below this, a trip to another thread costs more than the look-up."""


class Maildrop:
    """The messages of one session, numbered from 0 here (POP3 counts from 1)."""

    __slots__ = (
        "_uidls",
        "account_id",
        "crcs",
        "dot_lines",
        "mailbox_id",
        "offsets",
        "segments",
        "sizes",
        "total_size",
        "uids",
        "uidvalidity",
    )

    def __init__(self, mailbox: Mailbox, rows: Sequence[tuple[Uid, int, str | None, int, int, int, bool]]) -> None:
        self.account_id: AccountId = mailbox.account_id
        self.mailbox_id: MailboxId = mailbox.mailbox_id
        self.uidvalidity: UidValidity = mailbox.uidvalidity
        # columns, not objects: ten thousand messages cost a login a few milliseconds
        self.uids: tuple[Uid, ...]
        self.sizes: tuple[int, ...]
        self._uidls: tuple[str | None, ...]
        self.segments: tuple[int, ...]
        self.offsets: tuple[int, ...]
        self.crcs: tuple[int, ...]
        self.dot_lines: tuple[bool, ...]
        columns: Iterable[Any] = zip(*rows, strict=True) if rows else ((),) * 7
        self.uids, self.sizes, self._uidls, self.segments, self.offsets, self.crcs, self.dot_lines = columns
        self.total_size = sum(self.sizes)

    def __len__(self) -> int:
        return len(self.uids)

    def body(self, index: int) -> BodyRef:
        """Where the octets are."""
        return BodyRef(self.segments[index], self.offsets[index], self.sizes[index], self.crcs[index])

    def uidl(self, index: int) -> str:
        """The unique-id (RFC 1939 section 7)."""
        return self._uidls[index] or f"{self.uidvalidity:x}.{self.uids[index]:x}"

    def uidls(self) -> list[str]:
        """All of them, in order."""
        prefix = f"{self.uidvalidity:x}."
        return [uidl or f"{prefix}{uid:x}" for uid, uidl in zip(self.uids, self._uidls, strict=True)]


async def open_maildrop(store: Store, account_id: AccountId) -> Maildrop:
    """The account's INBOX as it stands now (NoSuchMailbox when the account is gone)."""
    inbox = store.reader.mailbox_by_name(account_id, INBOX)
    if inbox is not None and inbox.messages < _SMALL:
        # INBOX itself never changes its id or UIDVALIDITY, so these two look-ups agree
        return Maildrop(inbox, store.reader.maildrop_rows(account_id, inbox.mailbox_id))

    def unit(reader: Reader) -> Maildrop:
        inbox = reader.mailbox_by_name(account_id, INBOX)
        if inbox is None:
            raise NoSuchMailbox(INBOX)
        return Maildrop(inbox, reader.maildrop_rows(account_id, inbox.mailbox_id))

    return await store.read(unit)


def remove(account_id: AccountId, mailbox_id: MailboxId, uids: Sequence[Uid], now: int) -> Unit[int]:
    """POP3's UPDATE: destroy these, all or none (D-51); what is gone already is no fault. Returns how many went."""
    expunging = expunge.expunge(account_id, mailbox_id, uidrange.of(uids), now, only_deleted=False)
    return lambda tx: len(expunging(tx).uids)
