"""STORE and UID STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import DELETED, SEEN, FlagAction, FlagsChanged, change_flags
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


def store(session: ImapSession, tag: str, command: Store) -> Later:
    selected = session.selected
    assert selected is not None
    if session.enabled.uidonly and not command.is_uid:
        session.refuse(tag, UID_REQUIRED)
        return None
    if command.unchanged_since is not None:
        enable_condstore(session)
    ranges = selected.resolve(command.numbers, command.is_uid)
    flags = allowed_flags(command.flags, selected.rights)
    if ranges is None:
        session.refuse(tag, NO_SUCH_MESSAGE)
    elif is_unknown(command.flags):
        session.refuse(tag, NO_SUCH_FLAG)
    elif selected.is_read_only:
        session.refuse(tag, READ_ONLY)
    elif (command.flags and not flags) or not selected.rights & frozenset("swt"):
        session.refuse(tag, NO_RIGHTS)
    elif not ranges:
        session.finish(tag, "STORE done", may_expunge=command.is_uid)
    else:
        return _store(session, tag, command, ranges, flags)
    return None


def _store(session: ImapSession, tag: str, command: Store, ranges: UidRanges, flags: tuple[str, ...]) -> Later:
    """A few messages at once, in this turn; many away from the loop, so many at a time that it is free in between."""
    selected = session.selected
    assert selected is not None
    since = None if command.unchanged_since is None else ModSeq(command.unchanged_since)
    action = ACTIONS[command.action]
    spans = spans_of(selected, ranges)

    def unit(some: UidRanges) -> Unit[FlagsChanged]:
        return change_flags(selected.account_id, selected.mailbox_id, some, action, flags, since)

    def tell(parts: Sequence[FlagsChanged]) -> None:
        _tell(session, selected, tag, command, spans, parts)

    if sum(end - start for start, end in spans) <= AT_ONCE:
        try:
            done = session.service.store.perform_now(unit(ranges))
        except MailstoreError as error:
            session.refuse(tag, refusal_of(error))
            return None
        if done is not None:
            tell(done)
            return None
    return session.attempt(tag, _store_later(session, selected, cut(selected, spans), unit, tell))


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


async def _store_later(
    session: ImapSession,
    selected: Selected,
    parts: Iterator[UidRanges],
    unit: Callable[[UidRanges], Unit[FlagsChanged]],
    tell: Callable[[Sequence[FlagsChanged]], None],
) -> None:
    done = []
    for part in parts:
        done.append(await session.service.store.perform(unit(part)))
        if session.selected is not selected:
            return
    tell(done)


def _tell(
    session: ImapSession, selected: Selected, tag: str, command: Store, spans: Sequence[Span], parts: Sequence[FlagsChanged]
) -> None:
    for part in parts:
        if part.changed:
            selected.own(part.modseq)
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
