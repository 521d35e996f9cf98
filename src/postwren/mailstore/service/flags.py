"""Flags and keywords (RFC 9051 section 2.3.2). They change by add and remove; a set read earlier is never written
back, so that two sessions that each add one both succeed (D-38)."""

import enum
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from postwren.mailstore.columns import FlagColumns
from postwren.mailstore.errors import TooMany
from postwren.mailstore.model import Change, ChangeKind, Mailbox
from postwren.mailstore.port import Reader, Transaction, UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.lookup import owner_and_mailbox
from postwren.terms import SYSTEM_FLAGS, AccountId, FlagSetId, MailboxId, ModSeq, Uid

__all__ = [
    "DELETED",
    "LIMITS",
    "SEEN",
    "FlagAction",
    "FlagChange",
    "FlagSets",
    "FlagsChanged",
    "Limits",
    "change_flags",
    "change_flags_in_turn",
    "intern",
    "normal",
]

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


class FlagChange(NamedTuple):
    """A change of flags of the entries in these ranges."""

    uids: UidRanges
    action: FlagAction
    flags: Iterable[str]
    unchanged_since: ModSeq | None = None


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
    unit = change_flags_in_turn(account_id, mailbox_id, [FlagChange(uids, action, flags, unchanged_since)])

    def one(tx: Transaction) -> FlagsChanged:
        return unit(tx)[0]

    return one


def change_flags_in_turn(account_id: AccountId, mailbox_id: MailboxId, changes: Sequence[FlagChange]) -> Unit[list[FlagsChanged]]:
    """Several changes, each as `change_flags` and under a ModSeq of its own (RFC 7162 section 3.1), of which no two may name the
    same entry. The rows of account and mailbox change once; a refusal is of all of them."""
    given = [normal(change.flags) for change in changes]

    def unit(tx: Transaction) -> list[FlagsChanged]:
        account, mailbox = owner_and_mailbox(tx, account_id, mailbox_id)
        flagsets = FlagSets(tx, account_id)
        columns = tx.flag_columns(account_id, mailbox_id, uidrange.union([span for change in changes for span in change.uids]))
        done: list[FlagsChanged] = []
        news: list[Change] = []
        moves: Counter[tuple[FlagSetId, FlagSetId]] = Counter()
        modseq, highest = account.modseq, mailbox.highestmodseq
        for change, flags in zip(changes, given, strict=True):
            mine = columns if len(changes) == 1 else _part(columns, change.uids)
            modified = _modified(mine, change.unchanged_since)
            changed: list[tuple[FlagSetId, UidRanges]] = []
            for old, uids in _by_set(mine, frozenset(modified)).items():
                new = intern(tx, account_id, _changed(flagsets[old], change.action, flags))
                if new != old and uids:
                    changed.append((new, uidrange.of_ascending(uids)))
                    moves[old, new] += len(uids)
            if changed:
                modseq = highest = ModSeq(modseq + 1)
                for new, ranges in changed:
                    tx.set_flagset(account_id, mailbox_id, ranges, new, modseq)
                every = uidrange.union([each for _, ranges in changed for each in ranges])
                news += [Change(account_id, modseq, ChangeKind.FLAGS, mailbox_id, lo, hi) for lo, hi in every]
            done.append(FlagsChanged(changed, modified, highest))
        if news:
            tx.update_mailbox(_recounted(mailbox, moves, flagsets, modseq))
            tx.update_account(account._replace(modseq=modseq))
            tx.insert_changes(news)
        return done

    return unit


def _part(columns: FlagColumns, ranges: UidRanges) -> FlagColumns:
    part = FlagColumns(array("I"), array("I"), array("Q"))
    for lo, hi in ranges:
        start, end = bisect_left(columns.uids, lo), bisect_right(columns.uids, hi)
        for mine, every in zip(part, columns, strict=True):
            mine.extend(every[start:end])
    return part


def _modified(columns: FlagColumns, unchanged_since: ModSeq | None) -> list[Uid]:
    if unchanged_since is None:
        return []
    return [Uid(uid) for uid, modseq in zip(columns.uids, columns.modseqs, strict=True) if modseq > unchanged_since]


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


@lru_cache(maxsize=64)  # a client does the same to one message after the other
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
