"""STORE and UID STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import UidRanges
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import (
    DELETED,
    SEEN,
    FlagAction,
    FlagChange,
    FlagsChanged,
    change_flags,
    change_flags_in_turn,
)
from postwren.protocols.imap.code import Modified
from postwren.protocols.imap.command.fetch import FetchItem, Item
from postwren.protocols.imap.command.store import Store, StoreAction
from postwren.protocols.imap.response import Status
from postwren.server.imap.fetch import Span, Walk, enable_condstore, fetch_lines, spans_of
from postwren.server.imap.flagtext import SYSTEM
from postwren.server.imap.refusal import EXPUNGED, NO_RIGHTS, NO_SUCH_MESSAGE, READ_ONLY, UID_REQUIRED, Refusal, refusal_of
from postwren.server.imap.rendering import layout_of
from postwren.server.imap.selected import Selected
from postwren.server.imap.session import ImapSession, Later, numbered
from postwren.terms import ModSeq

__all__ = ["AT_A_TIME", "COMMANDS", "NO_SUCH_FLAG", "allowed_flags", "cut", "is_unknown"]

NO_SUCH_FLAG: Final = Refusal("no such system flag", None, Status.BAD)

AT_ONCE: Final = 500
"""Messages: so many are changed and told on the loop, in 2 ms at most."""
AHEAD: Final = 63
"""STOREs that have come behind one and are done with it, in one unit of work."""
AT_A_TIME: Final = 10_000
"""And so many in one unit of work: a STORE need not be one as a whole (RFC 9051 section 6.4.6), but each message is changed or
not."""

ACTIONS: Final = {
    StoreAction.ADD: FlagAction.ADD,
    StoreAction.REMOVE: FlagAction.REMOVE,
    StoreAction.REPLACE: FlagAction.REPLACE,
}


def is_unknown(flags: tuple[str, ...]) -> bool:
    """Whether there is a system flag that nobody knows, or one that only a server sets (RFC 9051 section 2.3.2)."""
    return any(flag.startswith("\\") and flag not in SYSTEM for flag in flags)


def allowed_flags(flags: tuple[str, ...], rights: frozenset[str]) -> tuple[str, ...]:
    """Those that these rights allow to set (RFC 4314 section 4): `s` for \\Seen, `t` for \\Deleted, `w` for the others."""
    needed = {SEEN: "s", DELETED: "t"}
    return tuple(flag for flag in flags if needed.get(flag, "w") in rights)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A STORE that may be done. `spans` are its messages' positions in the view."""

    command: Store
    spans: Sequence[Span]
    change: FlagChange

    @property
    def count(self) -> int:
        return sum(end - start for start, end in self.spans)


@dataclass(frozen=True, slots=True)
class Stored:
    """A STORE that was taken up before its turn. None: it is to be done alone."""

    wanted: Wanted
    done: FlagsChanged | None


def store(session: ImapSession, tag: str, command: Store) -> Later:
    selected = session.selected
    assert selected is not None
    stored = selected.stored.pop(0) if selected.stored else None
    if isinstance(stored, Stored) and stored.wanted.command is command:
        if stored.done is None:
            return _store_run(session, selected, tag, [stored.wanted])
        _tell(session, selected, tag, stored.wanted, [stored.done])
        return None
    if command.unchanged_since is not None and (command.is_uid or not session.enabled.uidonly):
        enable_condstore(session)
    wanted = _judge(session, selected, command)
    if isinstance(wanted, Refusal):
        session.refuse(tag, wanted)
    elif not wanted.spans:
        session.finish(tag, "STORE done", may_expunge=command.is_uid)
    elif wanted.count > AT_ONCE:
        return session.attempt(tag, _store_many(session, selected, tag, wanted))
    else:
        return _store_run(session, selected, tag, [wanted, *_following(session, selected, wanted)])
    return None


def _judge(session: ImapSession, selected: Selected, command: Store) -> Wanted | Refusal:
    if session.enabled.uidonly and not command.is_uid:
        return UID_REQUIRED
    ranges = selected.resolve(command.numbers, command.is_uid)
    flags = allowed_flags(command.flags, selected.rights)
    if ranges is None:
        return NO_SUCH_MESSAGE
    if is_unknown(command.flags):
        return NO_SUCH_FLAG
    if selected.is_read_only:
        return READ_ONLY
    if (command.flags and not flags) or not selected.rights & frozenset("swt"):
        return NO_RIGHTS
    since = None if command.unchanged_since is None else ModSeq(command.unchanged_since)
    return Wanted(command, spans_of(selected, ranges), FlagChange(ranges, ACTIONS[command.action], flags, since))


def _following(session: ImapSession, selected: Selected, first: Wanted) -> Iterator[Wanted]:
    """STOREs that have come behind this one, and that give the same answers when they are done with it: none of them names a
    message that another one does, or asks when it was changed; all name messages in the same way."""
    taken = {at for start, end in first.spans for at in range(start, end)}
    for place in range(AHEAD):
        command = session.core.following(Store, place)
        if command is None or command.is_uid is not first.command.is_uid or first.change.unchanged_since is not None:
            return
        wanted = _judge(session, selected, command)
        if isinstance(wanted, Refusal) or command.unchanged_since is not None or len(taken) + wanted.count > AT_ONCE:
            return
        if not (wanted.spans and all(taken.isdisjoint(range(start, end)) for start, end in wanted.spans)):
            return
        taken.update(at for start, end in wanted.spans for at in range(start, end))
        yield wanted


def _store_run(session: ImapSession, selected: Selected, tag: str, run: Sequence[Wanted]) -> Later:
    """A few messages at once, in this turn, where that can be."""
    unit = change_flags_in_turn(selected.account_id, selected.mailbox_id, [wanted.change for wanted in run])
    try:
        done = session.service.store.perform_now(unit)
    except MailstoreError as error:
        if len(run) > 1:
            return _store_alone(session, selected, tag, run)
        session.refuse(tag, refusal_of(error))
        return None
    if done is None:
        return session.attempt(tag, _store_later(session, selected, tag, run))
    selected.handle.know(done[0])
    _take_up(session, selected, tag, run, done[0])
    return None


def _store_alone(session: ImapSession, selected: Selected, tag: str, run: Sequence[Wanted]) -> Later:
    """One of these is refused. Which, each is told in its turn."""
    selected.stored = [Stored(wanted, None) for wanted in run[1:]]
    return _store_run(session, selected, tag, run[:1])


async def _store_later(session: ImapSession, selected: Selected, tag: str, run: Sequence[Wanted]) -> None:
    unit = change_flags_in_turn(selected.account_id, selected.mailbox_id, [wanted.change for wanted in run])
    try:
        done = await session.service.store.perform(unit)
    except MailstoreError:
        if len(run) == 1 or session.selected is not selected:
            raise
        handled = _store_alone(session, selected, tag, run)
        if handled is not None:
            await handled
        return
    if session.selected is selected:
        _take_up(session, selected, tag, run, done)


def _take_up(session: ImapSession, selected: Selected, tag: str, run: Sequence[Wanted], done: Sequence[FlagsChanged]) -> None:
    """All of it is done; tell the first, and the others when they have their turn."""
    for each in done:
        if each.changed:
            selected.own(each.modseq)
    if len(run) > 1:
        selected.stored = [Stored(wanted, each) for wanted, each in zip(run[1:], done[1:], strict=True)]
    _tell(session, selected, tag, run[0], done[:1])


async def _store_many(session: ImapSession, selected: Selected, tag: str, wanted: Wanted) -> None:
    """Away from the loop, so many at a time that it is free in between."""
    command = wanted.command
    is_told_apart = command.unchanged_since is not None or (command.is_silent and session.enabled.condstore)
    done: list[FlagsChanged] = []
    for part in cut(selected, wanted.spans):
        unit = change_flags(selected.account_id, selected.mailbox_id, part, *wanted.change[1:])
        outcome = await session.service.store.perform(unit)
        if session.selected is not selected:
            return
        if outcome.changed:
            selected.own(outcome.modseq)
        if not is_told_apart:  # a million ranges are not kept for nothing
            outcome = replace(outcome, changed=[(flagset_id, ()) for flagset_id, _ in outcome.changed])
        done.append(outcome)
    _tell(session, selected, tag, wanted, done)


def cut(selected: Selected, spans: Sequence[Span]) -> Iterator[UidRanges]:
    """Ranges of UIDs, up to `AT_A_TIME` messages each; the next ones are looked for when they are asked for. The spans are of
    the view as it is at the first."""
    shown, part, left = selected.view.shown, list[tuple[int, int]](), AT_A_TIME
    for start, end in spans:
        while start < end:
            step = min(left, end - start)
            part += uidrange.of_ascending(shown[start : start + step])
            start, left = start + step, left - step
            if not left:
                yield part
                part, left = [], AT_A_TIME
    if part:
        yield part


def _tell(session: ImapSession, selected: Selected, tag: str, wanted: Wanted, parts: Sequence[FlagsChanged]) -> None:
    command, spans = wanted.command, wanted.spans
    for part in parts:
        if part.changed:
            session.render(selected.tell_keywords([flagset_id for flagset_id, _ in part.changed]))
    modified = [uid for part in parts for uid in part.modified]
    if modified or (command.is_silent and session.enabled.condstore):
        every = [each for part in parts for _, ranges in part.changed for each in ranges]
        spans = spans_of(selected, uidrange.union(every))
    walk = Walk()
    items = _items(session, command)
    layout = layout_of(tuple(items), selected.account_id, is_utf8=False, is_uidonly=session.enabled.uidonly)
    lines = fetch_lines(session, selected, layout, spans, walk) if items else iter(())
    if sum(end - start for start, end in spans) > AT_ONCE:
        session.stream(lines, lambda: _answer(session, selected, tag, command, modified, walk))
    else:
        session.render(b"".join(lines))
        _answer(session, selected, tag, command, modified, walk)


def _items(session: ImapSession, command: Store) -> list[FetchItem]:
    """What is told of each message: with mod-sequences on, a silent STORE tells them still (RFC 7162 section 3.1.3)."""
    items: list[FetchItem] = []
    if not command.is_silent:
        items.append(Item.FLAGS)
    if session.enabled.condstore:
        items.append(Item.MODSEQ)
    with_uid = (command.is_uid or session.enabled.qresync) and not session.enabled.uidonly
    return [Item.UID, *items] if items and with_uid else items


def _answer(session: ImapSession, selected: Selected, tag: str, command: Store, modified: Sequence[int], walk: Walk) -> None:
    if walk.is_expunged and not command.is_uid:
        session.refuse(tag, EXPUNGED)
    elif modified:
        of = selected.view.seqnum
        numbers = modified if command.is_uid else [seqnum for seqnum in map(of, modified) if seqnum is not None]
        code = Modified(tuple(uidrange.of(numbers)))
        session.finish(tag, "some had been changed", code, may_expunge=command.is_uid)
    else:
        session.finish(tag, "STORE done", may_expunge=command.is_uid)


COMMANDS: Final = {Store: numbered(store)}
