"""COPY, MOVE, EXPUNGE and UID EXPUNGE (RFC 9051 sections 6.4.3, 6.4.7 to 6.4.9; RFC 4315, RFC 6851)."""

from typing import Final

from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import UidRanges, Unit
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.copymove import Transferred, copy, copy_across, move
from postwren.mailstore.service.expunge import ExpungeOutcome, expunge
from postwren.protocols.imap import code
from postwren.protocols.imap.code import CopyUid, HighestModSeq, MessageLimit
from postwren.protocols.imap.command import Copy, Expunge, Move
from postwren.protocols.imap.command.store import UidExpunge
from postwren.protocols.imap.response import Status
from postwren.protocols.imap.response.condition import Condition
from postwren.server.imap import place
from postwren.server.imap.fetch import spans_of
from postwren.server.imap.place import Place
from postwren.server.imap.refusal import EXPUNGED, NO_RIGHTS, NO_SUCH_MESSAGE, READ_ONLY, UID_REQUIRED, Refusal
from postwren.server.imap.selected import Selected
from postwren.server.imap.session import ImapSession, Later, numbered
from postwren.server.imap.store import AT_A_TIME, allowed_flags, cut

__all__ = ["COMMANDS", "TRY_CREATE", "expunge_deleted"]

TRY_CREATE: Final = Refusal("no such mailbox", code.TRYCREATE)


def copy_(session: ImapSession, tag: str, command: Copy | Move) -> Later:
    selected = session.selected
    assert selected is not None
    if session.enabled.uidonly and not command.is_uid:
        session.refuse(tag, UID_REQUIRED)
        return None
    ranges = selected.resolve(command.numbers, command.is_uid)
    found = place.find(session, command.mailbox)
    refusal = _objection(selected, command, found)
    if ranges is None:
        session.refuse(tag, NO_SUCH_MESSAGE)
    elif found is None or refusal is not None:
        session.refuse(tag, refusal or TRY_CREATE, may_expunge=True)
    elif not ranges:
        session.finish(tag, "nothing to do")
    elif isinstance(command, Move):
        return session.attempt(tag, _move(session, tag, command, ranges, found))
    else:
        return session.attempt(tag, _copy(session, tag, command, ranges, found))
    return None


def _objection(selected: Selected, command: Copy | Move, found: Place | None) -> Refusal | None:
    """Why not; a mailbox that one may not see is none (A-45)."""
    if isinstance(command, Move) and selected.is_read_only:
        return READ_ONLY
    if found is None:
        return TRY_CREATE
    if "i" not in found.rights or (isinstance(command, Move) and not {"e", "t"} <= selected.rights):
        return NO_RIGHTS
    return None


async def _copy(session: ImapSession, tag: str, command: Copy | Move, ranges: UidRanges, found: Place) -> None:
    """D-31: all or none. Messages that are gone and not told so yet: none (RFC 2180 section 4.4.1)."""
    selected = session.selected
    assert selected is not None
    if not command.is_uid and _is_any_gone(selected, ranges):
        session.refuse(tag, EXPUNGED, may_expunge=True)
        return
    now = int(session.service.now())
    limit = session.service.settings.save_limit
    spans = spans_of(selected, ranges)
    if sum(end - start for start, end in spans) > limit:  # RFC 9738 section 3.1
        session.refuse(tag, Refusal("too many messages at once", MessageLimit(limit)), may_expunge=True)
        return
    done = await session.service.store.perform(_copy_unit(selected, ranges, found, now))
    if not session.is_closed:
        session.finish(tag, "COPY done", _copy_uid(done))


async def _move(session: ImapSession, tag: str, command: Move, ranges: UidRanges, found: Place) -> None:
    """RFC 6851 section 4.3: COPYUID comes before the EXPUNGE responses, so it is untagged."""
    selected = session.selected
    assert selected is not None
    if not command.is_uid and _is_any_gone(selected, ranges):
        session.refuse(tag, EXPUNGED, may_expunge=True)
        return
    now = int(session.service.now())
    if found.account_id == selected.account_id:
        done = await _move_within(session, selected, ranges, found, now)
    else:  # no unit of work spans accounts: what the answer says happened did, and a crash between leaves both
        done = await session.service.store.perform(_copy_unit(selected, ranges, found, now))
        gone = expunge(selected.account_id, selected.mailbox_id, uidrange.of(done.source), now, only_deleted=False)
        await session.service.store.perform(gone)
    if session.is_closed:
        return
    copy_uid = _copy_uid(done)
    if copy_uid is not None:
        session.say(Condition(Status.OK, "moved", copy_uid))
    session.finish(tag, "MOVE done", _highest(session) if done.source else None)


async def _move_within(session: ImapSession, selected: Selected, ranges: UidRanges, found: Place, now: int) -> Transferred:
    """Each message as a whole (RFC 6851 section 3.3), of many some at a time, so that others come in between. What was moved
    before it went wrong is told."""
    done = Transferred(found.mailbox.uidvalidity, [], [])
    try:
        for part in cut(selected, spans_of(selected, ranges)):
            unit = move(selected.account_id, selected.mailbox_id, part, found.mailbox.mailbox_id, now)
            moved = await session.service.store.perform(unit)
            done = Transferred(moved.uidvalidity, done.source + moved.source, done.destination + moved.destination)
            if session.is_closed:
                break
    except MailstoreError:
        copy_uid = _copy_uid(done)
        if copy_uid is not None and not session.is_closed:
            session.say(Condition(Status.OK, "moved, before it went wrong", copy_uid))
        raise
    return done


def _copy_unit(selected: Selected, ranges: UidRanges, found: Place, now: int) -> Unit[Transferred]:
    """Within the account, or into somebody else's."""
    if found.account_id == selected.account_id:
        return copy(selected.account_id, selected.mailbox_id, ranges, found.mailbox.mailbox_id, now)

    def kept(flags: frozenset[str]) -> tuple[str, ...]:
        return allowed_flags(tuple(flags), found.rights)

    there = found.account_id, found.mailbox.mailbox_id
    return copy_across(selected.account_id, selected.mailbox_id, ranges, *there, now, kept)


def _is_any_gone(selected: Selected, ranges: UidRanges) -> bool:
    snapshot, view = selected.snapshot, selected.view
    if snapshot.uids is view.shown:
        return False
    for lo, hi in ranges:
        start, end = view.span(lo, hi)
        first, last = snapshot.span(lo, hi)
        if snapshot.uids[first:last] != view.shown[start:end]:
            return True
    return False


def _copy_uid(done: Transferred) -> CopyUid | None:
    if not done.source:
        return None
    return CopyUid(done.uidvalidity, tuple(uidrange.of(done.source)), tuple(uidrange.of(done.destination)))


def _highest(session: ImapSession) -> HighestModSeq | None:
    """RFC 7162 section 3.2.7: what a resynchronising client counts from."""
    selected = session.selected
    return HighestModSeq(selected.snapshot.highestmodseq) if session.enabled.qresync and selected is not None else None


def expunge_(session: ImapSession, tag: str, command: Expunge | UidExpunge) -> Later:
    selected = session.selected
    assert selected is not None
    known: UidRanges | None = [(1, selected.view.largest_uid)] if selected.view.count else []
    if isinstance(command, UidExpunge):
        known = selected.resolve(command.numbers, is_uid=True)
    if selected.is_read_only:
        session.refuse(tag, READ_ONLY, may_expunge=True)
    elif "e" not in selected.rights:
        session.refuse(tag, NO_RIGHTS, may_expunge=True)
    elif not known:
        session.finish(tag, "nothing to do")
    else:
        return session.attempt(tag, _expunge(session, tag, known))
    return None


async def _expunge(session: ImapSession, tag: str, ranges: UidRanges) -> None:
    """D-32: what has \\Deleted, and of that what the session knows (D-36)."""
    selected = session.selected
    assert selected is not None
    outcome = await expunge_deleted(session, selected, ranges)
    if not session.is_closed:
        session.finish(tag, "EXPUNGE done", _highest(session) if outcome.uids else None)


async def expunge_deleted(session: ImapSession, selected: Selected, ranges: UidRanges) -> ExpungeOutcome:
    """Some at a time, so that others come in between; the outcome names what went last."""
    done: ExpungeOutcome | None = None
    while True:
        now = int(session.service.now())
        unit = expunge(selected.account_id, selected.mailbox_id, ranges, now, most=AT_A_TIME)
        outcome = await session.service.store.perform(unit)
        done = outcome if outcome.uids or done is None else done
        if not outcome.is_more or session.is_closed:
            return done
        ranges = uidrange.above(ranges, outcome.uids[-1])


COMMANDS: Final = {
    Copy: numbered(copy_),
    Move: numbered(copy_),
    Expunge: numbered(expunge_),
    UidExpunge: numbered(expunge_),
}
