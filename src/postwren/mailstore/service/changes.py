"""What happened in a mailbox since a ModSeq (RFC 7162): the two halves of a resynchronisation.

Read both in one `Store.read`, so that they tell of the same moment. Tombstones are kept for ever: `vanished` never
leaves out a UID that was expunged (D-37).
"""

from postwren.mailstore.model import Entry
from postwren.mailstore.port import Reader, UidRanges
from postwren.mailstore.service import uidrange
from postwren.terms import AccountId, MailboxId, ModSeq

__all__ = ["changed_since", "vanished"]


def changed_since(reader: Reader, account_id: AccountId, mailbox_id: MailboxId, modseq: ModSeq) -> list[Entry]:
    """Entries that came or changed after `modseq`, ascending by UID (CHANGEDSINCE, section 3.1.4)."""
    return reader.changed_since(account_id, mailbox_id, modseq)


def vanished(reader: Reader, account_id: AccountId, mailbox_id: MailboxId, modseq: ModSeq) -> UidRanges:
    """UIDs that were expunged after `modseq` (VANISHED (EARLIER), section 3.2.10)."""
    return uidrange.of(reader.expunged_since(account_id, mailbox_id, modseq))
