"""FETCH and UID FETCH (RFC 9051 section 6.4.5, RFC 3516, 7162 sections 3.1.4 and 3.2.6, 8474, 8514, 8970, 9394, 9586).

Messages are walked in batches: each is rendered when the peer has taken the one before it, from the columns as they are then. A
message that another session expunged meanwhile is left out, and where it was asked for by its number the answer is NO
[EXPUNGEISSUED] (RFC 2180 section 4.1.2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import BodyRef
from postwren.mailstore.neighbours import WINDOW, read_neighbours
from postwren.mailstore.port import UidRanges
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.flags import SEEN, FlagAction, change_flags
from postwren.mailstore.snapshot import Snapshot
from postwren.protocols.imap import code
from postwren.protocols.imap.code import HighestModSeq
from postwren.protocols.imap.command.fetch import Fetch, FetchItem, Item
from postwren.protocols.imap.numset import STAR, Saved
from postwren.protocols.imap.response import Status
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.size import Vanished
from postwren.server.imap.large import render_large
from postwren.server.imap.refusal import EXPUNGED, NO_SUCH_MESSAGE, NOT_ENABLED, UID_REQUIRED, Refusal
from postwren.server.imap.rendering import Batch, BodiesNeeded, Layout, is_from_body, layout_of
from postwren.server.imap.section import MessageOctets, UnknownEncoding
from postwren.server.imap.selected import Selected
from postwren.server.imap.session import ImapSession, Later, numbered
from postwren.terms import EmailId

__all__ = ["COMMANDS", "Walk", "enable_condstore", "fetch_lines", "spans_of"]

LINES: Final = 512  # of a batch
BODIES: Final = 64
MANY: Final = 20_000
"""Messages whose digests are looked for at once; of more, PORTION at a time, so that neither the loop is held nor what was
rendered of a million messages kept."""
PORTION: Final = 1024
UNKNOWN_CTE: Final = Refusal("the encoding of a part cannot be undone", code.UNKNOWN_CTE)
CORRUPT: Final = Refusal("a message is damaged in the store", code.CORRUPTION)
Span = tuple[int, int]


@dataclass(slots=True)
class Walk:
    """What became of a FETCH, and columns of digests that only it knows, `names` of each email."""

    is_expunged: bool = False
    is_corrupt: bool = False
    is_unknown: bool = False
    names: tuple[str, ...] = ()
    rendered: dict[EmailId, tuple[Any, ...]] = field(default_factory=dict)


def fetch(session: ImapSession, tag: str, command: Fetch) -> Later:
    selected = session.selected
    assert selected is not None
    if session.enabled.uidonly and not command.is_uid:
        session.refuse(tag, UID_REQUIRED)
        return None
    if command.vanished and not (session.enabled.qresync and command.is_uid):  # RFC 7162 section 3.2.6
        session.refuse(tag, NOT_ENABLED)
        return None
    if Item.MODSEQ in command.items or command.changed_since is not None:
        enable_condstore(session)
    ranges = selected.resolve(command.numbers, command.is_uid)
    if ranges is None:
        session.refuse(tag, NO_SUCH_MESSAGE)
        return None
    if command.vanished:
        _tell_vanished(session, selected, command, ranges)
    spans = spans_of(selected, ranges)
    if command.changed_since is not None:
        spans = _changed(selected, spans, command.changed_since)
    if command.partial is not None:
        spans = _partial(spans, *command.partial)
    items = _items(session, command)
    if any(map(is_from_body, items)) and not selected.is_read_only and "s" in selected.rights:
        unseen = _unseen(selected, spans)
        if unseen:
            return session.attempt(tag, _fetch_unseen(session, tag, command, spans, items, unseen))
    return _begin(session, tag, command, spans, items)


def _items(session: ImapSession, command: Fetch) -> list[FetchItem]:
    """Each once; UID where the command has it (RFC 9051 section 6.4.9), MODSEQ with CHANGEDSINCE (RFC 7162 section 3.1.4)."""
    items: list[FetchItem] = [] if not command.is_uid or session.enabled.uidonly else [Item.UID]
    items += command.items
    if command.changed_since is not None:
        items.append(Item.MODSEQ)
    if session.enabled.uidonly:
        items = [item for item in items if item is not Item.UID]
    elif session.enabled.qresync and Item.FLAGS in items:
        items.append(Item.UID)
    return list(dict.fromkeys(items))


def _begin(session: ImapSession, tag: str, command: Fetch, spans: Sequence[Span], items: Sequence[FetchItem]) -> Later:
    """Render at once; later where digests must be made first."""
    selected = session.selected
    assert selected is not None
    layout = layout_of(tuple(items), selected.account_id, is_utf8=session.core.is_utf8, is_uidonly=session.enabled.uidonly)
    walk = Walk()
    if layout.names and sum(end - start for start, end in spans) > MANY:
        return session.attempt(tag, _fetch_many(session, tag, command, spans, layout))
    if layout.names:
        missing = session.service.store.digests.missing(selected.account_id, _email_ids(selected, spans))
        if missing:
            return session.attempt(tag, _fetch_digested(session, tag, command, spans, layout, missing))
    session.stream(fetch_lines(session, selected, layout, spans, walk), lambda: _answer(session, tag, command, walk))
    return None


async def _fetch_unseen(
    session: ImapSession, tag: str, command: Fetch, spans: Sequence[Span], items: list[FetchItem], unseen: UidRanges
) -> None:
    """\\Seen first: what is sent then tells the flags as they are (RFC 9051 section 6.4.5)."""
    selected = session.selected
    assert selected is not None
    unit = change_flags(selected.account_id, selected.mailbox_id, unseen, FlagAction.ADD, [SEEN])
    changed = await session.service.store.perform(unit)
    if session.selected is not selected:
        return
    selected.own(changed.modseq)
    items += [item for item in ((Item.FLAGS, Item.MODSEQ) if session.enabled.condstore else (Item.FLAGS,)) if item not in items]
    handled = _begin(session, tag, command, spans, items)
    if handled is not None:
        await handled


async def _fetch_digested(
    session: ImapSession, tag: str, command: Fetch, spans: Sequence[Span], layout: Layout, missing: Sequence[EmailId]
) -> None:
    selected = session.selected
    assert selected is not None
    rendered = await session.service.digester.columns(selected.account_id, missing, layout.names)
    walk = Walk(names=layout.names, rendered=rendered)
    if session.selected is selected:
        session.stream(fetch_lines(session, selected, layout, spans, walk), lambda: _answer(session, tag, command, walk))


async def _fetch_many(session: ImapSession, tag: str, command: Fetch, spans: Sequence[Span], layout: Layout) -> None:
    selected = session.selected
    assert selected is not None
    walk = Walk(names=layout.names)
    for start, end in spans:
        for first in range(start, end, PORTION):
            some = [(first, min(first + PORTION, end))]
            email_ids = _email_ids(selected, some)
            walk.rendered = await session.service.digester.columns(selected.account_id, email_ids, layout.names)
            if session.selected is not selected:
                return
            await session.streamed(fetch_lines(session, selected, layout, some, walk))
            if session.selected is not selected:
                return
    _answer(session, tag, command, walk)


def _answer(session: ImapSession, tag: str, command: Fetch, walk: Walk) -> None:
    if walk.is_unknown:
        session.refuse(tag, UNKNOWN_CTE)
    elif walk.is_corrupt:
        session.refuse(tag, CORRUPT)
    elif walk.is_expunged and not command.is_uid:
        session.refuse(tag, EXPUNGED)
    else:
        session.finish(tag, "FETCH done", may_expunge=command.is_uid)


# -- which messages


def spans_of(selected: Selected, ranges: UidRanges) -> list[Span]:
    """Positions in the view, as start and end."""
    view = selected.view
    return [span for span in (view.span(lo, hi) for lo, hi in ranges) if span[0] < span[1]]


def _changed(selected: Selected, spans: Sequence[Span], modseq: int) -> list[Span]:
    """Those that came or changed after this."""
    snapshot, view = selected.snapshot, selected.view
    uids: list[int] = []
    for start, end in spans:
        first, last = snapshot.span(view.shown[start], view.shown[end - 1])
        uids += [snapshot.uids[row] for row in range(first, last) if snapshot.modseqs[row] > modseq]
    return spans_of(selected, uidrange.of(uids))


def _partial(spans: Sequence[Span], first: int, last: int) -> list[Span]:
    """RFC 9394 section 3.1: the first to the last of these messages, counted from the end where negative."""
    count = sum(end - start for start, end in spans)
    low, high = sorted((first, last) if first > 0 else (count + 1 + first, count + 1 + last))
    kept: list[Span] = []
    passed = 0
    for start, end in spans:
        begin, stop = max(start, start + low - 1 - passed), min(end, start + high - passed)
        if begin < stop:
            kept.append((begin, stop))
        passed += end - start
    return kept


def _unseen(selected: Selected, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """UIDs of the messages that are not seen."""
    snapshot, view = selected.snapshot, selected.view
    uids: list[int] = []
    for start, end in spans:
        first, last = snapshot.span(view.shown[start], view.shown[end - 1])
        flagset_ids = snapshot.flagset_ids[first:last]
        seen = selected.texts.having(SEEN, flagset_ids)
        uids += [snapshot.uids[first + at] for at, flagset_id in enumerate(flagset_ids) if flagset_id not in seen]
    return [*uidrange.of(uids)]


def _email_ids(selected: Selected, spans: Sequence[Span]) -> Sequence[int]:
    snapshot, view = selected.snapshot, selected.view
    email_ids: list[int] = []
    for start, end in spans:
        first, last = snapshot.span(view.shown[start], view.shown[end - 1])
        email_ids += snapshot.email_ids[first:last]
    return email_ids


def _tell_vanished(session: ImapSession, selected: Selected, command: Fetch, ranges: UidRanges) -> None:
    """RFC 7162 section 3.2.6: what went since then, of the UIDs asked for; what the view still has is told by the news."""
    assert command.changed_since is not None
    reader = session.service.store.reader
    gone = reader.expunged_since(selected.account_id, selected.mailbox_id, command.changed_since)  # type: ignore[arg-type]
    wanted = ranges if isinstance(command.numbers, Saved) else _as_written(selected, command.numbers)
    uids = [uid for uid in gone if selected.view.seqnum(uid) is None and uidrange.contains(wanted, uid)]
    if uids:
        session.say(Vanished(tuple(uidrange.of(uids)), is_earlier=True))


def _as_written(selected: Selected, numbers: tuple[tuple[int, int], ...]) -> UidRanges:
    """The ranges of the command, beyond the view too; `*` is the next UID, so that an empty mailbox has one."""
    last = max(selected.view.largest_uid, selected.snapshot.uidnext - 1)
    return uidrange.union(
        [(min(ends), max(ends)) for ends in ([min(end, last) if end == STAR else end for end in one] for one in numbers)]
    )


def enable_condstore(session: ImapSession) -> None:
    """RFC 7162 section 3.1: the first command that knows mod-sequences switches them on, and hears where the mailbox is."""
    if session.enabled.condstore:
        return
    session.enabled.condstore = True
    if session.selected is not None:
        modseq = session.selected.snapshot.highestmodseq
        session.say(Condition(Status.OK, "mod-sequences are on", HighestModSeq(max(modseq, 1))))


# -- batches


def fetch_lines(session: ImapSession, selected: Selected, layout: Layout, spans: Sequence[Span], walk: Walk) -> Iterator[bytes]:
    """The responses, a batch at a time."""
    step = BODIES if layout.needs_body else LINES
    for start, end in spans:
        for first in range(start, end, step):
            batch = _batch(session, selected, first, min(first + step, end), walk, is_digested=bool(layout.names))
            if not len(batch):
                continue
            keywords = selected.tell_keywords(batch.pick(batch.snapshot.flagset_ids))
            if keywords:
                yield keywords
            if not layout.needs_body:
                try:
                    yield layout.render(batch)
                    continue
                except BodiesNeeded:
                    pass
            yield from _with_bodies(session, layout, batch, walk)


def _batch(session: ImapSession, selected: Selected, start: int, end: int, walk: Walk, *, is_digested: bool) -> Batch:
    """The messages at these positions of the view that are still there."""
    view, snapshot = selected.view, selected.snapshot
    rows: Sequence[int] = range(start, end)
    positions: Sequence[int] = rows
    if view.shown is not snapshot.uids:
        wanted = view.shown[start:end]
        first, last = snapshot.span(wanted[0], wanted[-1])
        if snapshot.uids[first:last] == wanted:
            rows = range(first, last)
        else:
            found = {uid: row for row, uid in enumerate(snapshot.uids[first:last], first)}
            positions = [at for at in range(start, end) if view.shown[at] in found]
            rows = [found[view.shown[at]] for at in positions]
            walk.is_expunged = True
    if is_digested:
        rows, positions = _digested_only(session, snapshot, rows, positions, walk)
    numbers: Sequence[int]
    if session.enabled.uidonly:
        numbers = [snapshot.uids[row] for row in rows]
    elif isinstance(positions, range):
        numbers = range(positions.start + 1, positions.stop + 1)
    else:
        numbers = [at + 1 for at in positions]
    return Batch(snapshot, rows, numbers, selected.texts, session.service.field_texts, _digests(session, selected, walk))


def _digested_only(
    session: ImapSession, snapshot: Snapshot, rows: Sequence[int], positions: Sequence[int], walk: Walk
) -> tuple[Sequence[int], Sequence[int]]:
    """Without messages that cannot be read, which have no digest."""
    email_ids = [snapshot.email_ids[row] for row in rows]
    missing = {
        each for each in session.service.store.digests.missing(snapshot.account_id, email_ids) if each not in walk.rendered
    }
    if not missing:
        return rows, positions
    walk.is_corrupt = True
    kept = [at for at, each in enumerate(email_ids) if each not in missing]
    return [rows[at] for at in kept], [positions[at] for at in kept]


def _digests(session: ImapSession, selected: Selected, walk: Walk) -> Any:
    def digested(email_ids: Sequence[int], names: Sequence[str]) -> list[tuple[Any, ...] | None]:
        found = session.service.store.digests.columns(selected.account_id, email_ids, names)
        if walk.rendered and None in found:
            places = [walk.names.index(name) for name in names]
            for at, email_id in enumerate(email_ids):
                row = walk.rendered.get(EmailId(email_id))
                if found[at] is None and row is not None:
                    found[at] = tuple(row[place] for place in places)
        return found

    return digested


# -- bodies


def _with_bodies(session: ImapSession, layout: Layout, batch: Batch, walk: Walk) -> Iterator[bytes]:
    """Cut into what is in memory at once; a large message goes by itself, in pieces."""
    reader = session.service.store.reader
    snapshot = batch.snapshot
    email_ids = batch.pick(snapshot.email_ids)
    refs = {email.email_id: email.body for email in reader.emails_of(snapshot.account_id, sorted(set(email_ids)))}
    group: list[int] = []
    octets = 0
    for at, email_id in enumerate(email_ids):
        ref = refs.get(EmailId(email_id))
        if ref is None:
            walk.is_expunged = True
            continue
        if group and octets + ref.size > WINDOW:
            yield _render_group(session, layout, batch, group, refs, walk)
            group, octets = [], 0
        if ref.size > WINDOW:
            yield from _render_alone(session, layout, _part(batch, [at]), ref, walk)
        else:
            group.append(at)
            octets += ref.size
    if group:
        yield _render_group(session, layout, batch, group, refs, walk)


def _part(batch: Batch, places: Sequence[int]) -> Batch:
    rows = [batch.rows[at] for at in places]
    numbers = [batch.numbers[at] for at in places]
    return Batch(batch.snapshot, rows, numbers, batch.texts, batch.fields, batch.digested)


def _render_group(
    session: ImapSession, layout: Layout, batch: Batch, places: Sequence[int], refs: dict[EmailId, BodyRef], walk: Walk
) -> bytes:
    store = session.service.store
    email_ids = batch.pick(batch.snapshot.email_ids)
    wanted = [refs[EmailId(email_ids[at])] for at in places]
    found: dict[int, bytes] = {}
    for position, octets in read_neighbours(store, wanted):
        if octets is None:
            octets = _read_again(session, batch, EmailId(email_ids[places[position]]), walk)
        if octets is not None:
            found[places[position]] = octets
    part = _part(batch, [at for at in places if at in found])
    part.bodies = [MessageOctets(found[at]) for at in places if at in found]
    return _rendered(layout, part, walk) if len(part) else b""


def _rendered(layout: Layout, batch: Batch, walk: Walk) -> bytes:
    try:
        return layout.render(batch)
    except UnknownEncoding:
        walk.is_unknown = True
    if len(batch) == 1:
        return b""
    pieces = []
    for at, body in enumerate(batch.bodies):
        one = _part(batch, [at])
        one.bodies = [body]
        pieces.append(_rendered(layout, one, walk))
    return b"".join(pieces)


def _read_again(session: ImapSession, batch: Batch, email_id: EmailId, walk: Walk) -> bytes | None:
    """Octets that were moved to another segment, or that are not what was stored."""
    store = session.service.store
    email = store.reader.email(batch.snapshot.account_id, email_id)
    if email is not None:
        try:
            return store.read_body(email.body)
        except (BodyCorrupt, MessageGone):
            pass
    walk.is_corrupt = True
    return None


def _render_alone(session: ImapSession, layout: Layout, batch: Batch, ref: BodyRef, walk: Walk) -> Iterator[bytes]:
    try:
        with session.service.store.mapped_body(ref) as octets:
            batch.bodies = [MessageOctets(octets)]
            yield from render_large(layout, batch, lambda: session.service.store.body_pieces(ref))
    except (BodyCorrupt, MessageGone):
        walk.is_corrupt = True
    except UnknownEncoding:
        walk.is_unknown = True


COMMANDS: Final = {Fetch: numbered(fetch)}
