"""SELECT, EXAMINE, CLOSE, UNSELECT, IDLE (RFC 9051 sections 6.3.2, 6.3.3, 6.3.13, 6.4.1 and 6.4.2; RFC 7162 sections 3.1.2
and 3.2.5).

A mailbox of up to some ten thousand messages is in memory when SELECT is answered; of a larger one the counters are told, and the
commands that need numbers wait for the columns.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from postwren.mailstore.port import Reader, UidRanges
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import SEEN
from postwren.mailstore.snapshot import SnapshotHandle
from postwren.protocols.imap import code
from postwren.protocols.imap.code import HighestModSeq, MailboxIdCode, PermanentFlags, UidNext, UidValidityCode, Unseen
from postwren.protocols.imap.command import Close, Idle, Select, Unselect
from postwren.protocols.imap.command.select import QresyncState
from postwren.protocols.imap.numset import STAR, Saved
from postwren.protocols.imap.response import Continuation, Status, Untagged, format_response
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.list import ListEntry
from postwren.protocols.imap.response.size import Exists, FlagList, Recent, Vanished, format_vanished
from postwren.protocols.imap.state import State
from postwren.server.imap import place
from postwren.server.imap.copy import expunge_deleted
from postwren.server.imap.objectid import mailbox_id
from postwren.server.imap.place import Place
from postwren.server.imap.refusal import NO_MAILBOX, NOT_ENABLED
from postwren.server.imap.selected import TOLD_AT_ONCE, Selected
from postwren.server.imap.session import Handler, ImapSession, Later, waiting
from postwren.server.imap.store import allowed_flags
from postwren.terms import ModSeq

__all__ = ["COMMANDS"]

OF_CHANGE: Final = frozenset("swite")
"""Rights without any of which a mailbox is read-only (RFC 4314 section 5.2)."""

FEW_GONE: Final = 5_000
"""UIDs that were given and are gone: so many tombstones at most are read on the loop."""
GONE_AT_ONCE: Final = 20_000


def select(session: ImapSession, tag: str, command: Select) -> Later:
    if command.qresync is not None and not session.enabled.qresync:  # RFC 7162 section 3.2.5
        session.refuse(tag, NOT_ENABLED)
        return None
    was_selected = session.selected is not None
    session.leave()
    if was_selected:  # RFC 9051 section 7.1: what follows is of another mailbox
        session.say(Condition(Status.OK, "the mailbox before is closed", code.CLOSED))
    found = place.find(session, command.mailbox)
    if found is None or "r" not in found.rights:
        session.refuse(tag, NO_MAILBOX)
        return None
    if command.condstore or command.qresync is not None:
        session.enabled.condstore = True
    handle = session.service.snapshots.at_hand(found.account_id, found.mailbox.mailbox_id)
    if handle is None:
        return session.attempt(tag, _load(session, tag, command, found))
    return _enter(session, tag, command, found, handle)


async def _load(session: ImapSession, tag: str, command: Select, found: Place) -> None:
    """The mailbox must be read first."""
    handle = await session.service.snapshots.open(found.account_id, found.mailbox.mailbox_id)
    if session.is_closed:
        handle.close()
        return
    later = _enter(session, tag, command, found, handle)
    if later is not None:
        await later


def _enter(session: ImapSession, tag: str, command: Select, found: Place, handle: SnapshotHandle) -> Later:
    """The mailbox is selected."""
    is_read_only = command.is_examine or not OF_CHANGE & found.rights
    rights = found.rights - OF_CHANGE if command.is_examine else found.rights
    texts = session.service.flag_texts.of(found.account_id)
    selected = session.selected = Selected(handle, found.name, rights, texts, is_read_only=is_read_only)
    session.core.enter(State.SELECTED)
    session.rouse()
    _tell(session, selected, handle)

    def done() -> None:
        says = "EXAMINE done" if command.is_examine else "SELECT done"
        session.finish(tag, says, code.READ_ONLY if is_read_only else code.READ_WRITE)

    if command.qresync is not None and command.qresync.uidvalidity == handle.snapshot.uidvalidity:
        snapshot = handle.snapshot
        if not snapshot.is_loaded or snapshot.uidnext - snapshot.count > FEW_GONE:
            return session.attempt(tag, _resynchronize_later(session, selected, command.qresync, done))
        reader = session.service.store.reader
        gone = reader.expunged_since(selected.account_id, selected.mailbox_id, ModSeq(command.qresync.modseq))
        session.stream(_resynchronize(session, selected, command.qresync, gone), done)
    else:
        done()
    return None


async def _resynchronize_later(session: ImapSession, selected: Selected, state: QresyncState, done: Callable[[], None]) -> None:
    """The columns are needed, and what may be a hundred thousand tombstones is read off the loop. Of what happens meanwhile the
    selected mailbox takes notes."""
    await selected.handle.loaded()

    def unit(reader: Reader) -> Sequence[int]:
        return reader.expunged_since(selected.account_id, selected.mailbox_id, ModSeq(state.modseq))

    gone = await session.service.store.read(unit)
    if session.selected is selected:
        session.stream(_resynchronize(session, selected, state, gone), done)


def _tell(session: ImapSession, selected: Selected, handle: SnapshotHandle) -> None:
    """RFC 9051 section 6.3.2; RECENT and UNSEEN are of RFC 3501 section 6.3.1."""
    snapshot = handle.snapshot
    flagset_ids: set[int] = {*snapshot.flagsets}
    if not snapshot.is_loaded:
        flagset_ids.update(session.service.store.reader.flagsets(snapshot.account_id))
    selected.learn(flagset_ids)
    is_utf8, is_rev2 = session.core.is_utf8, session.enabled.rev2
    question = ("SELECT", selected.name, selected.is_read_only, selected.rights, is_utf8, is_rev2)
    said = snapshot.answer(question)
    if said is None:
        responses = _responses(selected, handle, is_rev2=is_rev2)
        said = b"".join([format_response(response, is_utf8) for response in responses])
        snapshot.remember(question, snapshot.highestmodseq, said)
    session.render(said)


def _responses(selected: Selected, handle: SnapshotHandle, *, is_rev2: bool) -> list[Untagged]:
    snapshot = handle.snapshot
    flags = tuple(selected.flags())
    permanent = () if selected.is_read_only else allowed_flags((*flags, "\\*"), selected.rights)
    responses: list[Untagged] = [
        FlagList(flags),
        Condition(Status.OK, "flags that are kept", PermanentFlags(permanent)),
        Exists(selected.view.count),
    ]
    if not is_rev2:
        responses.append(Recent(0))
        unseen = _first_unseen(selected, handle)
        if unseen:
            responses.append(Condition(Status.OK, "the first unseen message", Unseen(unseen)))
    return [
        *responses,
        Condition(Status.OK, "UIDs are valid", UidValidityCode(snapshot.uidvalidity)),
        Condition(Status.OK, "the next UID", UidNext(snapshot.uidnext)),
        Condition(Status.OK, "the highest mod-sequence", HighestModSeq(max(snapshot.highestmodseq, 1))),
        Condition(Status.OK, "the mailbox's id", MailboxIdCode(mailbox_id(selected.account_id, selected.mailbox_id))),
        *([ListEntry(selected.name)] if is_rev2 else []),
    ]


def _first_unseen(selected: Selected, handle: SnapshotHandle) -> int:
    """0 where all are seen, or it is not known yet."""
    snapshot = handle.snapshot
    if not snapshot.is_loaded:
        return 0
    unseen = snapshot.flagsets - selected.texts.having(SEEN, snapshot.flagsets)
    return min([snapshot.flagset_ids.index(flagset_id) + 1 for flagset_id in unseen], default=0)


def _resynchronize(session: ImapSession, selected: Selected, state: QresyncState, gone: Sequence[int]) -> Iterator[bytes]:
    """RFC 7162 section 3.2.5.1: what went and what changed since the client was here, a piece at a time. Tombstones stay for
    ever, so that the client's message sequence match data is of no use to us."""
    wanted = _known(state)
    view = selected.view
    for first in range(0, len(gone), GONE_AT_ONCE):
        uids = gone[first : first + GONE_AT_ONCE]
        if view.shown is not selected.snapshot.uids:  # what went since it was opened, the view still has
            uids = [uid for uid in uids if view.seqnum(uid) is None]
        if wanted is not None:
            uids = [uid for uid in uids if _is_in(wanted, uid)]
        if uids:
            yield format_vanished(Vanished(tuple(uidrange.of_ascending(uids)), is_earlier=True), False)
    for first in range(0, view.count if selected.snapshot.highestmodseq > state.modseq else 0, TOLD_AT_ONCE):
        if session.selected is not selected:
            return
        snapshot = selected.snapshot
        start, end = snapshot.span(view.shown[first], view.shown[min(first + TOLD_AT_ONCE, view.count) - 1])
        modseqs, all_uids = snapshot.modseqs, snapshot.uids
        if max(modseqs[start:end], default=0) > state.modseq:
            rows = [row for row in range(start, end) if modseqs[row] > state.modseq and _is_in(wanted, all_uids[row])]
            yield selected.tell_flags(snapshot, rows, session.enabled, with_uid=True) if rows else b""


def _known(state: QresyncState) -> UidRanges | None:
    """The UIDs that the client names; None: all."""
    numbers = state.known_uids
    if numbers is None or isinstance(numbers, Saved):
        return None
    return uidrange.union([(min(lo, hi), max(lo, hi)) for lo, hi in numbers if STAR not in (lo, hi)])


def _is_in(ranges: UidRanges | None, uid: int) -> bool:
    return ranges is None or uidrange.contains(ranges, uid)


def unselect(session: ImapSession, tag: str, _: Unselect) -> Later:
    session.leave()
    session.finish(tag, "UNSELECT done")
    return None


async def close(session: ImapSession, tag: str, _: Close) -> None:
    """RFC 9051 section 6.4.1: what has \\Deleted goes, and nobody is told."""
    selected = session.selected
    assert selected is not None
    if selected.is_read_only or "e" not in selected.rights:
        session.leave()
        session.finish(tag, "CLOSE done")
        return
    known = (1, selected.view.largest_uid if selected.handle.is_loaded else uidrange.LARGEST)
    outcome = await expunge_deleted(session, selected, [known])
    is_resynchronizing = session.enabled.qresync
    session.leave()
    session.finish(tag, "CLOSE done", HighestModSeq(outcome.modseq) if is_resynchronizing and outcome.uids else None)


def idle(session: ImapSession, tag: str, _: Idle) -> Later:
    """RFC 2177: what happens is told at once, until DONE."""
    session.idle_tag = tag
    session.core.send(Continuation("idling"))
    session.tell_news()
    session.rouse()
    return None


COMMANDS: Final[dict[type[Any], Handler]] = {
    Select: select,
    Unselect: unselect,
    Close: waiting(close),
    Idle: idle,
}
