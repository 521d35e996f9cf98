"""Sets of UIDs as closed, ascending, disjoint ranges: made, counted, searched."""

from collections.abc import Iterable

from postwren.mailstore.model import Mailbox
from postwren.mailstore.port import UidRanges
from postwren.terms import Uid

__all__ = ["all_of", "of"]


def of(uids: Iterable[int]) -> list[tuple[Uid, Uid]]:
    """The ranges of these UIDs, which may come in any order and more than once."""
    ranges: list[tuple[Uid, Uid]] = []
    first = last = -1
    for uid in sorted(uids):
        if uid > last + 1 or first < 0:
            if first >= 0:
                ranges.append((Uid(first), Uid(last)))
            first = uid
        last = uid
    if first >= 0:
        ranges.append((Uid(first), Uid(last)))
    return ranges


def all_of(mailbox: Mailbox) -> UidRanges:
    """Every UID that the mailbox has given so far."""
    return [(1, mailbox.uidnext - 1)] if mailbox.uidnext > 1 else []
