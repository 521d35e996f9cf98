"""What a server says by itself while an account is watched, and whether the copy has it already.

Every STATUS and LIST is overheard, whoever asked for it: one that comes while a run goes on must not be lost, and one that says
what the run has just brought about must not start another. So what was heard of a mailbox is kept until the copy's row agrees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from postwren.mailstore.port import Reader
from postwren.mailstore.replica import Replica
from postwren.protocols.imap import code as codes
from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.response import Untagged
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.fetch import Fetched
from postwren.protocols.imap.response.list import ListEntry, MailboxStatus
from postwren.protocols.imap.response.size import Exists, Expunged, Vanished
from postwren.terms import AccountId

__all__ = ["Hearing", "News", "edits"]

MOST_MAILBOXES: Final = 20_000
"""Of which something is kept; a server that names more has all of it looked at."""

_GONE: Final = "\\nonexistent"


@dataclass(slots=True)
class _Heard:
    """The last that was said of a mailbox. `serial` is new each time something is said unasked, for a server need not say what
    changed."""

    values: dict[StatusItem, int] = field(default_factory=dict)
    serial: int = 0
    has_lost: bool = False  # a message, maybe to another mailbox


@dataclass(frozen=True, slots=True)
class News:
    """`names`: what is different there, as far as was heard, by remote name, with what tells one hearing from the next.
    `is_simple`: messages came or flags changed in mailboxes that are known; nothing moved."""

    names: frozenset[tuple[str, object]]
    is_simple: bool


class Hearing:
    """`is_waiting`: nothing was asked, so that whatever comes is news. `attended`: the selected mailbox. `has_overflowed`: the
    server tells no more (RFC 5465 section 5.8)."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}
        self._listed: dict[str, bool] = {}  # whether it exists
        self._renamed = 0
        self._serial = 0
        self.is_waiting = False
        self.has_overflowed = False
        self.attended = ""

    def hear(self, response: Untagged) -> bool:
        """Whether it may be news."""
        match response:
            case MailboxStatus(mailbox, values):
                self.note(mailbox, {item: value for item, value in values if isinstance(value, int)})
            case ListEntry():
                self._listed[response.mailbox] = _GONE not in {attribute.lower() for attribute in response.attributes}
                self._renamed += self.is_waiting
            case Condition(code=codes.NOTIFICATIONOVERFLOW):
                self.has_overflowed = True
            case Exists() | Expunged() | Vanished() | Fetched() if self.is_waiting and self.attended:
                heard = self._heard.setdefault(self.attended, _Heard())
                heard.values, heard.serial = {}, self._next_serial()
                heard.has_lost |= isinstance(response, Expunged | Vanished)
            case _:
                return False
        if len(self._heard) > MOST_MAILBOXES or len(self._listed) > MOST_MAILBOXES:
            self.forget()
            self.has_overflowed = True
        return True

    def note(self, mailbox: str, values: Mapping[StatusItem, int]) -> None:
        """How a mailbox stands there."""
        heard = self._heard.setdefault(mailbox, _Heard())
        if self.is_waiting:
            heard.serial = self._next_serial()
        if not values.items() <= heard.values.items():  # a run asks for less than all, and what is as it was is no news
            heard.values = dict(values)
        heard.has_lost = False

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def forget(self) -> None:
        """Everything will be looked at."""
        self._heard.clear()
        self._listed.clear()

    def news(self, reader: Reader, account_id: AccountId) -> News:
        """What the copy has not."""
        replicas = {row.remote_name: row for row in reader.replicas(account_id)}
        found: set[tuple[str, object]] = set()
        is_simple = True
        for name, heard in list(self._heard.items()):
            replica = replicas.get(name)
            if replica is None:
                found.add((name, "unknown"))
                is_simple = False
                continue
            total = reader.pair_count(account_id, replica.mailbox_id)
            if _is_as_here(heard.values, replica, total):
                del self._heard[name]
                continue
            found.add((name, (tuple(sorted((item.value, value) for item, value in heard.values.items())), heard.serial)))
            is_simple &= not heard.has_lost and heard.values.get(StatusItem.MESSAGES, total) >= total
        for name, exists in list(self._listed.items()):
            if exists == (name in replicas):
                del self._listed[name]
            else:
                found.add((name, exists))
                is_simple = False
        if self._renamed:
            found.add(("", self._renamed))
            is_simple = False
        return News(frozenset(found), is_simple)


def _is_as_here(values: Mapping[StatusItem, int], replica: Replica, total: int) -> bool:
    """Only where enough of it was said: where modseqs are counted a run asks for no more than these (`Remote.mailboxes`)."""
    there = tuple(values.get(item) for item in (StatusItem.UIDVALIDITY, StatusItem.HIGHESTMODSEQ))
    uidnext, messages = values.get(StatusItem.UIDNEXT), values.get(StatusItem.MESSAGES)
    if (uidnext or replica.uidnext, total if messages is None else messages) != (replica.uidnext, total):
        return False
    if replica.highestmodseq:
        return there == (replica.uidvalidity, replica.highestmodseq)
    return None not in (uidnext, messages) and there[0] == replica.uidvalidity and not there[1]


Edits: TypeAlias = frozenset[tuple[int, object]]


def edits(reader: Reader, account_id: AccountId) -> Edits:
    """What changed here and is not known to have been carried over, with what tells one change from the next."""
    replicas = {row.mailbox_id: row for row in reader.replicas(account_id)}
    mailboxes = {row.mailbox_id: row for row in reader.mailboxes(account_id)}
    found: set[tuple[int, object]] = {(mailbox_id, "gone") for mailbox_id in replicas.keys() - mailboxes.keys()}
    for mailbox_id, mailbox in mailboxes.items():
        replica = replicas.get(mailbox_id)
        if replica is None or replica.name != mailbox.name:
            found.add((mailbox_id, mailbox.name))
        if replica is not None and mailbox.highestmodseq > replica.modseq:
            found.add((mailbox_id, mailbox.highestmodseq))
    return frozenset(found)
