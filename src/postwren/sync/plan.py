"""Two-way synchronisation as a pure function: what both sides last agreed on, what each says now -> hunks (docs/sync.md).

    plan_mailboxes(base, local, remote)      which mailboxes to make, rename, delete
    plan(states)                             messages, for all mailboxes that changed on either side
    brake(hunks, sizes)                      whether so much would go that the user must say so

Only what differs from the base comes in here: the two sides find that out by columns, not by an object a message. What must
stay true (D-70, D-74): nothing is deleted but what was paired; an edit of one side that the other side did not make is never
undone; on any two sides that plan and apply in turn the second plan is empty.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from postwren.sync.hunk import (
    Adopt,
    Agree,
    Bind,
    Change,
    CopyRemote,
    CreateLocal,
    CreateRemote,
    DeleteLocal,
    DeleteRemote,
    ExpungeLocal,
    ExpungeRemote,
    Flags,
    Forget,
    ForgetMailbox,
    Hunk,
    MailboxHunk,
    MoveLocal,
    MoveRemote,
    Pull,
    Push,
    RenameLocal,
    RenameRemote,
    SetLocal,
    SetRemote,
)
from postwren.terms import INBOX, EmailId, MailboxId

__all__ = [
    "Agreed",
    "BaseMailbox",
    "Conflict",
    "LocalMailbox",
    "MailboxState",
    "New",
    "Plan",
    "RemoteMailbox",
    "brake",
    "merge",
    "plan",
    "plan_mailboxes",
]

MOST_GONE: Final = 50
"""Messages that may go in one run because the other side says so."""
MOST_GONE_SHARE: Final = 0.2
FEW: Final = 5
"""Below this many the share does not count: one message of three is nobody's accident."""


class Agreed(NamedTuple):
    """A pair: what stands for what, and the flags both sides last had in common."""

    remote_uid: int
    uid: int
    email_id: EmailId
    flags: Flags


class New(NamedTuple):
    """A message that is not paired. `email_id` is its own here; there it is the email of ours that it is known to be, if any."""

    flags: Flags
    email_id: EmailId | None


@dataclass(frozen=True, slots=True)
class MailboxState:
    """What differs between the sides in one mailbox. `pairs` are those that one of the other fields names, `changed` and
    `gone` go by the pair's remote UID. `storable`: the flags that the remote side keeps (None: any)."""

    mailbox_id: MailboxId
    pairs: Mapping[int, Agreed] = field(default_factory=dict)
    local_changed: Mapping[int, Flags] = field(default_factory=dict)
    local_gone: frozenset[int] = frozenset()
    local_new: Mapping[int, New] = field(default_factory=dict)
    remote_changed: Mapping[int, Flags] = field(default_factory=dict)
    remote_gone: frozenset[int] = frozenset()
    remote_new: Mapping[int, New] = field(default_factory=dict)
    storable: Flags | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both sides changed one message in ways that do not go together; `what` says which edit gave way."""

    mailbox_id: MailboxId
    remote_uid: int
    what: str


@dataclass(frozen=True, slots=True)
class Plan:
    """In the order in which it is to be carried out."""

    hunks: list[Hunk]
    conflicts: list[Conflict]


class _Place(NamedTuple):
    mailbox_id: MailboxId
    uid: int


# -- messages


def plan(states: Sequence[MailboxState], copies: Mapping[EmailId, tuple[MailboxId, int]] | None = None) -> Plan:
    """`copies`: where on the remote side an email of ours lies already (mailbox, remote UID), for those that are new here.

    A message that moved on one side and whose flags changed on the other is moved now; the flags are merged by the plan that
    follows, as the pair keeps its base."""
    planner = _Planner(states)
    planner.pair_the_unpaired()
    planner.find_moves()
    for state in states:
        planner.messages(state)
    return planner.result(copies or {})


class _Planner:
    def __init__(self, states: Sequence[MailboxState]) -> None:
        self.states = states
        self.local_new = {state.mailbox_id: dict(sorted(state.local_new.items())) for state in states}
        self.remote_new = {state.mailbox_id: dict(sorted(state.remote_new.items())) for state in states}
        self.settled: set[_Place] = set()  # pairs that a move took care of, by remote UID
        self.adopted: dict[MailboxId, list[tuple[int, int]]] = defaultdict(list)
        self.moved_here: dict[tuple[MailboxId, MailboxId], list[tuple[int, int]]] = defaultdict(list)
        self.moved_there: dict[tuple[MailboxId, MailboxId], list[tuple[int, int]]] = defaultdict(list)
        self.flags: dict[tuple[type[SetLocal | SetRemote | Agree], MailboxId, Change], list[int]] = defaultdict(list)
        self.gone: dict[tuple[type[ExpungeLocal] | type[ExpungeRemote] | type[Forget], MailboxId], list[int]] = defaultdict(list)
        self.conflicts: list[Conflict] = []

    def pair_the_unpaired(self) -> None:
        """New on both sides and one email: an interrupted push, or a mailbox that was there before (as often as it is there)."""
        for state in self.states:
            local, remote = self.local_new[state.mailbox_id], self.remote_new[state.mailbox_id]
            waiting = _by_email((uid, new.email_id) for uid, new in reversed(local.items()))
            for remote_uid, new in list(remote.items()):
                if new.email_id is not None and (uids := waiting.get(new.email_id)):
                    uid = uids.pop()
                    self.adopted[state.mailbox_id].append((remote_uid, uid))
                    del remote[remote_uid], local[uid]

    def find_moves(self) -> None:
        """Gone in one mailbox and new in another, with one email."""
        arrived_here = self._arrivals(self.local_new)
        arrived_there = self._arrivals(self.remote_new)
        for state in self.states:
            for remote_uid, pair in sorted(state.pairs.items()):
                is_gone_here, is_gone_there = remote_uid in state.local_gone, remote_uid in state.remote_gone
                source = _Place(state.mailbox_id, remote_uid)
                if is_gone_here and not is_gone_there and (places := arrived_here.get(pair.email_id)):
                    mailbox_id, uid = places.pop()
                    del self.local_new[mailbox_id][uid]
                    self.moved_here[state.mailbox_id, mailbox_id].append((remote_uid, uid))
                    self.settled.add(source)
                elif is_gone_there and not is_gone_here and (places := arrived_there.get(pair.email_id)):
                    mailbox_id, new_uid = places.pop()
                    del self.remote_new[mailbox_id][new_uid]
                    self.moved_there[state.mailbox_id, mailbox_id].append((remote_uid, new_uid))
                    self.settled.add(source)

    @staticmethod
    def _arrivals(new: Mapping[MailboxId, Mapping[int, New]]) -> dict[EmailId, list[_Place]]:
        found: dict[EmailId, list[_Place]] = defaultdict(list)
        for mailbox_id, messages in reversed(list(new.items())):
            for uid, message in reversed(list(messages.items())):
                if message.email_id is not None:
                    found[message.email_id].append(_Place(mailbox_id, uid))
        return found

    def messages(self, state: MailboxState) -> None:
        """What becomes of each pair."""
        for remote_uid, pair in sorted(state.pairs.items()):
            if _Place(state.mailbox_id, remote_uid) in self.settled:
                continue
            is_gone_here, is_gone_there = remote_uid in state.local_gone, remote_uid in state.remote_gone
            if is_gone_here and is_gone_there:
                self.gone[Forget, state.mailbox_id].append(remote_uid)
            elif is_gone_there:
                self.gone[ExpungeLocal, state.mailbox_id].append(remote_uid)
                self._lost(state.mailbox_id, pair, state.local_changed, "deleted on the server, flags changed here: deleted")
            elif is_gone_here:
                self.gone[ExpungeRemote, state.mailbox_id].append(remote_uid)
                self._lost(state.mailbox_id, pair, state.remote_changed, "deleted here, flags changed on the server: deleted")
            else:
                self._merge(state, pair)

    def _lost(self, mailbox_id: MailboxId, pair: Agreed, changed: Mapping[int, Flags], what: str) -> None:
        if not _is_same(changed.get(pair.remote_uid, pair.flags), pair.flags):
            self.conflicts.append(Conflict(mailbox_id, pair.remote_uid, what))

    def _merge(self, state: MailboxState, pair: Agreed) -> None:
        local = state.local_changed.get(pair.remote_uid, pair.flags)
        remote = state.remote_changed.get(pair.remote_uid, pair.flags)
        if state.storable is not None:  # what the server cannot keep is not missing there
            remote |= local - _kept(local, state.storable)
        merged = merge(pair.flags, local, remote)
        here, there = _difference(local, merged), _difference(remote, merged)
        if here is not None:
            self.flags[SetLocal, state.mailbox_id, here].append(pair.remote_uid)
        if there is not None:
            self.flags[SetRemote, state.mailbox_id, there].append(pair.remote_uid)
        if here is there is None and (alike := _difference(pair.flags, merged)) is not None:
            self.flags[Agree, state.mailbox_id, alike].append(pair.remote_uid)

    def result(self, copies: Mapping[EmailId, tuple[MailboxId, int]]) -> Plan:
        """The hunks in order: what brings before what takes away."""
        hunks: list[Hunk] = [Adopt(mailbox_id, tuple(pairs)) for mailbox_id, pairs in self.adopted.items()]
        hunks += [MoveRemote(*way, tuple(pairs)) for way, pairs in self.moved_here.items()]
        hunks += [MoveLocal(*way, tuple(pairs)) for way, pairs in self.moved_there.items()]
        hunks += [Pull(mailbox_id, tuple(new)) for mailbox_id, new in self.remote_new.items() if new]
        hunks += self._pushes(copies)
        hunks += [kind(mailbox_id, change, tuple(uids)) for (kind, mailbox_id, change), uids in self.flags.items()]
        hunks += [kind(mailbox_id, tuple(uids)) for (kind, mailbox_id), uids in self.gone.items()]
        return Plan(hunks, self.conflicts)

    def _pushes(self, copies: Mapping[EmailId, tuple[MailboxId, int]]) -> list[Hunk]:
        going = {_Place(mailbox_id, uid) for (_, mailbox_id), uids in self.gone.items() for uid in uids} | self.settled
        copied: dict[tuple[MailboxId, MailboxId], list[tuple[int, int]]] = defaultdict(list)
        pushed: dict[MailboxId, list[int]] = defaultdict(list)
        for mailbox_id, messages in self.local_new.items():
            for uid, new in messages.items():
                there = None if new.email_id is None else copies.get(new.email_id)
                if there is None or _Place(*there) in going:
                    pushed[mailbox_id].append(uid)
                else:
                    copied[there[0], mailbox_id].append((there[1], uid))
        hunks: list[Hunk] = [CopyRemote(*way, tuple(pairs)) for way, pairs in copied.items()]
        return [*hunks, *(Push(mailbox_id, tuple(uids)) for mailbox_id, uids in pushed.items())]


def _by_email(uids: Iterable[tuple[int, EmailId | None]]) -> dict[EmailId, list[int]]:
    found: dict[EmailId, list[int]] = defaultdict(list)
    for uid, email_id in uids:
        if email_id is not None:
            found[email_id].append(uid)
    return found


# -- flags


def merge(base: Flags, local: Flags, remote: Flags) -> Flags:
    """Both sides' edits since the base. A flag is either set in the base or not, so two sides cannot edit it in opposite ways.
    Keywords compare without regard to case (RFC 9051 section 2.3.2)."""
    in_base, here, there = _folded(base), _folded(local), _folded(remote)
    spelling = {**there, **here, **in_base}
    kept = (in_base.keys() & here.keys() & there.keys()) | ((here.keys() | there.keys()) - in_base.keys())
    return frozenset(spelling[flag] for flag in kept)


def _difference(now: Flags, wanted: Flags) -> Change | None:
    have, want = _folded(now), _folded(wanted)
    add = frozenset(want[flag] for flag in want.keys() - have.keys())
    remove = frozenset(have[flag] for flag in have.keys() - want.keys())
    return Change(add, remove) if add or remove else None


def _is_same(one: Flags, other: Flags) -> bool:
    return _folded(one).keys() == _folded(other).keys()


def _kept(flags: Flags, storable: Flags) -> Flags:
    known = _folded(storable)
    return frozenset(flag for flag in flags if flag.lower() in known)


def _folded(flags: Flags) -> dict[str, str]:
    return {flag.lower(): flag for flag in flags}


# -- the brake


def brake(hunks: Iterable[MailboxHunk | Hunk], sizes: Mapping[MailboxId, int]) -> dict[MailboxId, int]:
    """Messages that would go here because the server says so, by mailbox, where they are so many that the user must say so:
    more than 50 in all, or more than a fifth of a mailbox (`sizes`: messages before)."""
    gone: dict[MailboxId, int] = defaultdict(int)
    for hunk in hunks:
        match hunk:
            case ExpungeLocal(mailbox_id, uids):
                gone[mailbox_id] += len(uids)
            case DeleteLocal(mailbox_id, _, messages):
                gone[mailbox_id] += messages
    if sum(gone.values()) > MOST_GONE:
        return dict(gone)
    return {
        mailbox_id: count
        for mailbox_id, count in gone.items()
        if count >= FEW and count > MOST_GONE_SHARE * sizes.get(mailbox_id, 0)
    }


# -- mailboxes


class BaseMailbox(NamedTuple):
    """A mailbox as both sides last had it. `object_id` is RFC 8474's MAILBOXID, if the server has it."""

    mailbox_id: MailboxId
    name: str
    remote_name: str
    uidvalidity: int
    uidnext: int
    object_id: str | None


class LocalMailbox(NamedTuple):
    """A mailbox of the copy."""

    mailbox_id: MailboxId
    name: str
    messages: int


class RemoteMailbox(NamedTuple):
    """A mailbox on the server; `name` is what it is called here: levels joined by `/`."""

    remote_name: str
    name: str
    uidvalidity: int
    uidnext: int
    object_id: str | None


def plan_mailboxes(
    base: Sequence[BaseMailbox], local: Sequence[LocalMailbox], remote: Sequence[RemoteMailbox]
) -> list[MailboxHunk]:
    """In the order in which it is to be carried out. A mailbox that was renamed there is found again by its MAILBOXID, or by its
    UIDVALIDITY where only one can be meant."""
    here = {mailbox.mailbox_id: mailbox for mailbox in local}
    there = {mailbox.remote_name: mailbox for mailbox in remote}
    known = {mailbox.remote_name for mailbox in base}
    unknown = [mailbox for mailbox in remote if mailbox.remote_name not in known]
    hunks: list[MailboxHunk] = []
    taken: set[str] = set()  # remote names that a base accounts for
    for was in base:
        mine, theirs = here.get(was.mailbox_id), there.get(was.remote_name)
        if theirs is None and (theirs := _renamed(was, base, unknown, taken)) is not None:
            taken.add(theirs.remote_name)
        hunks += _of_one(was, mine, theirs)
    hunks += _new_ones(base, local, [mailbox for mailbox in unknown if mailbox.remote_name not in taken], hunks)
    return sorted(hunks, key=lambda hunk: _ORDER[type(hunk)])


_ORDER: Final[dict[type[MailboxHunk], int]] = {
    kind: place
    for place, kind in enumerate(
        (ForgetMailbox, RenameLocal, RenameRemote, Bind, CreateLocal, CreateRemote, DeleteRemote, DeleteLocal)
    )
}


def _of_one(was: BaseMailbox, mine: LocalMailbox | None, theirs: RemoteMailbox | None) -> list[MailboxHunk]:
    if mine is None and theirs is None:
        return [ForgetMailbox(was.mailbox_id, was.remote_name)]
    if theirs is None:
        assert mine is not None
        return [] if mine.name == INBOX else [DeleteLocal(was.mailbox_id, was.remote_name, mine.messages)]
    if mine is None:
        # mail that came there since nobody here has seen: it is not what was deleted here
        is_untouched = theirs.uidvalidity == was.uidvalidity and theirs.uidnext == was.uidnext
        forget = ForgetMailbox(was.mailbox_id, was.remote_name)
        return [DeleteRemote(was.mailbox_id, theirs.remote_name) if is_untouched else forget]
    if theirs.remote_name != was.remote_name:  # where both renamed it, the server's name wins
        return [RenameLocal(was.mailbox_id, theirs.name, theirs.remote_name)]
    if mine.name != was.name:
        return [RenameRemote(was.mailbox_id, was.remote_name, mine.name)]
    return []


def _renamed(
    was: BaseMailbox, base: Sequence[BaseMailbox], unknown: Sequence[RemoteMailbox], taken: set[str]
) -> RemoteMailbox | None:
    free = [mailbox for mailbox in unknown if mailbox.remote_name not in taken]
    if was.object_id is not None:
        return next((mailbox for mailbox in free if mailbox.object_id == was.object_id), None)
    alike = [mailbox for mailbox in free if mailbox.uidvalidity == was.uidvalidity and mailbox.uidnext >= was.uidnext]
    is_certain = len(alike) == 1 and sum(mailbox.uidvalidity == was.uidvalidity for mailbox in base) == 1
    return alike[0] if is_certain else None


def _new_ones(
    base: Sequence[BaseMailbox], local: Sequence[LocalMailbox], remote: Sequence[RemoteMailbox], before: Sequence[MailboxHunk]
) -> list[MailboxHunk]:
    """Those that no base names; a mailbox that was deleted here while mail came there is new again."""
    paired = {mailbox.mailbox_id for mailbox in base}
    free = {mailbox.name: mailbox for mailbox in local if mailbox.mailbox_id not in paired}
    renamed_to = {hunk.name for hunk in before if isinstance(hunk, RenameRemote)}
    hunks: list[MailboxHunk] = []
    for mailbox in remote:
        mine = free.pop(mailbox.name, None)
        if mine is not None:
            hunks.append(Bind(mine.mailbox_id, mailbox.remote_name))
        elif mailbox.name not in renamed_to:
            hunks.append(CreateLocal(mailbox.remote_name, mailbox.name))
    return hunks + [CreateRemote(mailbox.mailbox_id, mailbox.name) for mailbox in free.values()]
