"""Flags and keywords (RFC 9051 section 2.3.2). They change by add and remove; a set read earlier is never written
back, so that two sessions that each add one both succeed (D-38)."""

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.columns import FlagColumns
from postwren.mailstore.errors import TooMany
from postwren.mailstore.model import Change, ChangeKind, Mailbox
from postwren.mailstore.port import Reader, Transaction, UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.terms import SYSTEM_FLAGS, AccountId, FlagSetId, MailboxId, ModSeq, Uid

__all__ = ["DELETED", "LIMITS", "SEEN", "FlagAction", "FlagSets", "FlagsChanged", "Limits", "change_flags", "intern", "normal"]

SEEN: Final = "\\Seen"
DELETED: Final = "\\Deleted"
_SYSTEM: Final[dict[str, str]] = {flag.lower(): flag for flag in SYSTEM_FLAGS}


class FlagAction(enum.Enum):
    """What is done with the flags given (RFC 9051 section 6.4.6)."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """`changed`: new sets, each with the UIDs that have it now and had another before; `modified` are UIDs that UNCHANGEDSINCE
    kept from it; `modseq` is the mailbox's highest now, and that of every changed entry."""

    changed: list[tuple[FlagSetId, UidRanges]]
    modified: list[Uid]
    modseq: ModSeq

    @property
    def rows(self) -> list[tuple[Uid, FlagSetId]]:
        """Each changed entry with its new set, ascending."""
        return sorted([(Uid(uid), flagset_id) for flagset_id, ranges in self.changed for uid in uidrange.uids_of(ranges)])


@dataclass(frozen=True, slots=True)
class Limits:
    """Of an account (A-49): a thousand keywords in many combinations fit."""

    sets: int = 20_000  # that were ever used
    flags: int = 200  # of one message


LIMITS: Final = Limits()


def intern(tx: Transaction, account_id: AccountId, flags: frozenset[str]) -> FlagSetId:
    """The id of a set; TooMany where the account has used up its sets."""
    flagset_id = tx.flagset_id(account_id, flags)
    if flagset_id > LIMITS.sets or len(flags) > LIMITS.flags:
        raise TooMany("keywords", LIMITS.sets)
    return flagset_id


def normal(flags: Iterable[str]) -> frozenset[str]:
    """System flags in their usual spelling; of keywords that differ in case only, one."""
    return frozenset(_by_lower(flags).values())


class FlagSets(dict[FlagSetId, frozenset[str]]):
    """The account's sets by id, each looked up once: thousands of entries share a few."""

    __slots__ = ("_account_id", "_reader")

    def __init__(self, reader: Reader, account_id: AccountId) -> None:
        super().__init__()
        self._reader = reader
        self._account_id = account_id

    def __missing__(self, flagset_id: FlagSetId) -> frozenset[str]:
        flags = self[flagset_id] = self._reader.flagset(self._account_id, flagset_id)
        return flags


def change_flags(
    account_id: AccountId,
    mailbox_id: MailboxId,
    uids: UidRanges,
    action: FlagAction,
    flags: Iterable[str],
    unchanged_since: ModSeq | None = None,
) -> Unit[FlagsChanged]:
    """Change flags of the entries in these ranges, under one new ModSeq (D-37). An entry whose set stays as it is keeps
    its ModSeq; one that changed after `unchanged_since` is left alone (RFC 7162 section 3.1.3)."""
    given = normal(flags)

    def unit(tx: Transaction) -> FlagsChanged:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        flagsets = FlagSets(tx, account_id)
        columns = tx.flag_columns(account_id, mailbox_id, uids)
        modified: list[Uid] = []
        if unchanged_since is not None:
            modified = [Uid(uid) for uid, modseq in zip(columns.uids, columns.modseqs, strict=True) if modseq > unchanged_since]
        modseq = ModSeq(account.modseq + 1)
        moves: Counter[tuple[FlagSetId, FlagSetId]] = Counter()
        changed: list[tuple[FlagSetId, UidRanges]] = []
        for old, mine in _by_set(columns, frozenset(modified)).items():
            new = intern(tx, account_id, _changed(flagsets[old], action, given))
            if new != old and mine:
                ranges = uidrange.of_ascending(mine)
                tx.set_flagset(account_id, mailbox_id, ranges, new, modseq)
                changed.append((new, ranges))
                moves[old, new] += len(mine)
        if not changed:
            return FlagsChanged([], modified, mailbox.highestmodseq)
        tx.update_mailbox(_recounted(mailbox, moves, flagsets, modseq))
        tx.update_account(account._replace(modseq=modseq))
        every = uidrange.union([each for _, ranges in changed for each in ranges])
        tx.insert_changes([Change(account_id, modseq, ChangeKind.FLAGS, mailbox_id, lo, hi) for lo, hi in every])
        return FlagsChanged(changed, modified, modseq)

    return unit


def _by_set(columns: FlagColumns, left_out: frozenset[int]) -> dict[FlagSetId, Sequence[int]]:
    """UIDs by the set that they have; ten thousand entries share a few."""
    if len(sets := set(columns.flagset_ids)) == 1 and not left_out:
        return {FlagSetId(sets.pop()): columns.uids}
    found: dict[int, list[int]] = {flagset_id: [] for flagset_id in sets}
    for uid, flagset_id in zip(columns.uids, columns.flagset_ids, strict=True):
        found[flagset_id].append(uid)
    return {FlagSetId(flagset_id): [uid for uid in uids if uid not in left_out] for flagset_id, uids in found.items()}


def _by_lower(flags: Iterable[str]) -> dict[str, str]:
    by_lower: dict[str, str] = {}
    for flag in sorted(flags):  # sorted: of two spellings, the same one wins always
        lower = flag.lower()
        by_lower.setdefault(lower, _SYSTEM.get(lower, flag))
    return by_lower


def _changed(old: frozenset[str], action: FlagAction, given: frozenset[str]) -> frozenset[str]:
    mine = _by_lower(old)
    if action is FlagAction.REMOVE:
        gone = {flag.lower() for flag in given}
        return frozenset(flag for lower, flag in mine.items() if lower not in gone)
    merged = frozenset(mine.get(lower, flag) for lower, flag in _by_lower(given).items())  # spelled as it is there
    return old | merged if action is FlagAction.ADD else merged


def _recounted(mailbox: Mailbox, moves: Counter[tuple[FlagSetId, FlagSetId]], flagsets: FlagSets, modseq: ModSeq) -> Mailbox:
    unseen, deleted = mailbox.unseen, mailbox.deleted
    for (old, new), count in moves.items():
        unseen += count * ((SEEN in flagsets[old]) - (SEEN in flagsets[new]))
        deleted += count * ((DELETED in flagsets[new]) - (DELETED in flagsets[old]))
    return mailbox._replace(highestmodseq=modseq, unseen=unseen, deleted=deleted)
