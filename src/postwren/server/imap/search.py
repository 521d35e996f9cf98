"""SEARCH, SORT, THREAD, ESEARCH and CANCELUPDATE (RFC 9051 section 6.4.4, RFC 5256, 5267, 7377).

What the columns of the mailbox can answer is answered at once. Everything else runs off the loop in slices, on columns of its own, for a
bounded time, and few at once of an account (A-43); meanwhile the client hears INPROGRESS (RFC 9585).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from postwren.mailstore import query as q
from postwren.mailstore.columns import Columns
from postwren.mailstore.errors import SearchTooLong
from postwren.mailstore.service.keys import Keys
from postwren.mailstore.service.search import Search as Searching
from postwren.mailstore.service.search import columns_of
from postwren.mailstore.service.search import search as search_messages
from postwren.mailstore.service.sort import SortKey, needs_keys, relevance, sort
from postwren.mailstore.service.thread import Algorithm, thread
from postwren.mailstore.snapshot import Snapshot
from postwren.protocols.imap import code
from postwren.protocols.imap.code import BadCharset, InProgress, NoUpdate, UndefinedFilter
from postwren.protocols.imap.command import CancelUpdate, Esearch, Search, Sort, Thread
from postwren.protocols.imap.command.search import ReturnOption, Returns
from postwren.protocols.imap.command.searchkey import CHARSETS
from postwren.protocols.imap.response import Status
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.search import Esearch as EsearchResponse
from postwren.protocols.imap.response.search import SearchResult
from postwren.protocols.imap.response.thread import ThreadResult
from postwren.server.imap import place
from postwren.server.imap.fetch import enable_condstore
from postwren.server.imap.place import Place
from postwren.server.imap.refusal import NO_SUCH_MESSAGE, UID_REQUIRED, Refusal
from postwren.server.imap.searchkey import NoSuchMessage, is_of_columns, query_of
from postwren.server.imap.searchkey import UndefinedFilter as UndefinedFilterFound
from postwren.server.imap.searchresult import Result, answer, saved
from postwren.server.imap.selected import Selected
from postwren.server.imap.session import ImapSession, Later, numbered, waiting
from postwren.server.imap.update import keep_up_to_date
from postwren.terms import AccountId, EmailId

__all__ = ["COMMANDS"]

KEYS_AT_ONCE: Final = 2_000
TELL_EVERY: Final = 10.0  # seconds between two INPROGRESS
BAD_CHARSET: Final = Refusal("no such charset here", BadCharset(CHARSETS))
TOO_MANY: Final = Refusal("too many searches of this account at once", code.LIMIT)
NO_ALGORITHM: Final = Refusal("no such algorithm", None, Status.BAD)
NO_MAILBOX_SELECTED: Final = Refusal("no mailbox is selected, and none is named", None, Status.BAD)
TOO_MANY_UPDATES: Final = "too many searches are kept up to date"


@dataclass(frozen=True, slots=True)
class Asked:
    """What SEARCH, SORT and THREAD have in common."""

    is_uid: bool
    returns: Returns | None
    query: q.Query


# -- before anything is searched


def _ask(session: ImapSession, tag: str, command: Search | Sort | Thread | Esearch, selected: Selected | None) -> Asked | None:
    """None: it was refused."""
    returns = None if isinstance(command, Thread) else command.returns
    is_uid = True if isinstance(command, Esearch) else command.is_uid
    refusal = UID_REQUIRED if session.enabled.uidonly and not is_uid else None
    if command.charset is not None and command.charset not in CHARSETS:
        refusal = BAD_CHARSET
    now = int(session.service.now())
    try:
        query = query_of(command.key, session.account_id, selected, now)
    except NoSuchMessage:
        refusal = refusal or NO_SUCH_MESSAGE
    except UndefinedFilterFound as undefined:
        refusal = refusal or Refusal("no such filter", UndefinedFilter(str(undefined)))
    if refusal is None:
        if q.is_about_modseq(query):
            enable_condstore(session)
        return Asked(is_uid, returns, query)
    if selected is not None and refusal.status is Status.NO and returns is not None and ReturnOption.SAVE in returns.options:
        selected.view.save(())  # RFC 5182 section 2.1
    session.refuse(tag, refusal)
    return None


# -- finding


class _TooMany(Exception):
    """Others of this account search already."""


async def _find(session: ImapSession, tag: str, account_id: AccountId, columns: Columns, query: q.Query) -> list[int]:
    """UIDs, ascending. The columns are nobody else's."""
    service = session.service
    if service.searching.get(account_id, 0) >= service.settings.searches:
        raise _TooMany
    service.searching[account_id] = service.searching.get(account_id, 0) + 1
    work = search_messages(
        service.store,
        service.sources,
        account_id,
        columns,
        query,
        seconds=service.settings.search_seconds,
        is_unwanted=lambda: session.is_closed,
    )
    try:
        return [*await _telling(session, tag, asyncio.ensure_future(work))]
    finally:
        left = service.searching[account_id] - 1
        if left:
            service.searching[account_id] = left
        else:
            del service.searching[account_id]


async def _telling(session: ImapSession, tag: str, task: "asyncio.Future[list[int]]") -> list[int]:  # type: ignore[type-arg]
    """RFC 9585 section 3: a client that waits knows that it is not for nothing."""
    try:
        while not (await asyncio.wait((task,), timeout=TELL_EVERY))[0]:
            if not session.is_closed:
                session.say(Condition(Status.OK, "still searching", InProgress(tag)))
                session.link.flush()
        return task.result()
    finally:
        task.cancel()


def _find_in_columns(session: ImapSession, snapshot: Snapshot, query: q.Query) -> list[int]:
    """Positions in the snapshot, at once."""
    searching = Searching(session.service.sources, snapshot.account_id, snapshot, query)
    searching.run(session.service.store.reader, lambda: False)
    return searching.rows()


def copied(snapshot: Snapshot) -> Columns:
    """Columns that nobody changes while others look at them."""
    columns = Columns()
    columns.extend_from(snapshot)
    return columns


def _result(selected: Selected, snapshot: Snapshot, rows: Sequence[int], asked: Asked) -> Result:
    """What the view knows of these rows, as the command counts."""
    view = selected.view
    last = view.largest_uid
    rows = [row for row in rows if snapshot.uids[row] <= last]
    uids = [snapshot.uids[row] for row in rows]
    numbers: Sequence[int] = uids
    if not asked.is_uid:
        if view.array is snapshot.uids:
            numbers = [row + 1 for row in rows]
        else:
            numbers = [seqnum for seqnum in map(view.seqnum, uids) if seqnum is not None]
    modseqs = [snapshot.modseqs[row] for row in rows] if q.is_about_modseq(asked.query) else None
    scores = relevance(rows, snapshot.internaldates) if q.is_fuzzy(asked.query) else None
    return Result(numbers, uids, modseqs=modseqs, relevancy=scores)


# -- SEARCH


def search(session: ImapSession, tag: str, command: Search) -> Later:
    selected = session.selected
    assert selected is not None
    asked = _ask(session, tag, command, selected)
    if asked is None:
        return None
    q.check_bounds(asked.query)
    if not is_of_columns(asked.query):
        return session.attempt(tag, _search(session, tag, selected, asked))
    snapshot = selected.snapshot
    _answer(session, tag, selected, asked, _result(selected, snapshot, _find_in_columns(session, snapshot, asked.query), asked))
    return None


async def _search(session: ImapSession, tag: str, selected: Selected, asked: Asked) -> None:
    rows = await _rows(session, tag, selected, asked.query)
    if rows is not None:
        _answer(session, tag, selected, asked, _result(selected, selected.snapshot, rows, asked))


async def _rows(session: ImapSession, tag: str, selected: Selected, query: q.Query) -> list[int] | None:
    """Positions in the snapshot as it is then; None: it was refused, or nobody waits any more."""
    try:
        uids = await _find(session, tag, selected.account_id, copied(selected.snapshot), query)
    except (_TooMany, SearchTooLong) as error:
        if session.selected is selected:
            selected.view.save(())
            session.refuse(tag, TOO_MANY if isinstance(error, _TooMany) else Refusal("the search took too long", code.LIMIT))
        return None
    if session.selected is not selected:
        return None
    found = map(selected.snapshot.find, uids)
    return [row for row in found if row is not None]


def _answer(session: ImapSession, tag: str, selected: Selected, asked: Asked, result: Result, *, is_sort: bool = False) -> None:
    returns = asked.returns
    if returns is None:
        modseq = max(result.modseqs) if result.modseqs else None
        session.say(SearchResult(result.numbers, modseq, is_sort))
        session.finish(tag, "done", may_expunge=asked.is_uid)
        return
    if ReturnOption.SAVE in returns.options:
        selected.view.save(saved(result, returns))
    if returns.options != {ReturnOption.SAVE} or returns.partial is not None:
        session.say(answer(result, returns, tag, is_uid=asked.is_uid))
    with_code = None
    if ReturnOption.UPDATE in returns.options:
        is_kept = is_of_columns(asked.query) and len(selected.contexts) < session.service.settings.contexts and not is_sort
        if is_kept:
            keep_up_to_date(session, selected, tag, asked.query, result.uids, is_uid=asked.is_uid)
        else:
            with_code = NoUpdate(tag)  # RFC 5267 section 4.3.1
    if with_code is not None:
        session.say(Condition(Status.NO, "not kept up to date", with_code))
    session.finish(tag, "done", may_expunge=asked.is_uid)


def cancel_update(session: ImapSession, tag: str, command: CancelUpdate) -> Later:
    """RFC 5267 section 4.3.5."""
    assert session.selected is not None
    for name in command.tags:
        session.selected.contexts.pop(name, None)
    session.finish(tag, "CANCELUPDATE done")
    return None


# -- SORT and THREAD


async def _keys(session: ImapSession, account_id: AccountId, email_ids: Sequence[int]) -> list[Keys]:
    """In order; read in slices off the loop."""
    source = session.service.sources.keys
    found: list[Keys] = []
    for start in range(0, len(email_ids), KEYS_AT_ONCE):
        some = [EmailId(each) for each in email_ids[start : start + KEYS_AT_ONCE]]
        found += await session.service.store.read(lambda reader, some=some: source.keys(reader, account_id, some))  # type: ignore[misc]
    return found


async def _matching(session: ImapSession, tag: str, selected: Selected, asked: Asked) -> list[int] | None:
    """Positions in the snapshot of what matches and the view knows."""
    q.check_bounds(asked.query)
    rows: list[int] | None
    if is_of_columns(asked.query):
        rows = _find_in_columns(session, selected.snapshot, asked.query)
    else:
        rows = await _rows(session, tag, selected, asked.query)
    if rows is None:
        return None
    last, uids = selected.view.largest_uid, selected.snapshot.uids
    return [row for row in rows if uids[row] <= last]


async def sort_(session: ImapSession, tag: str, command: Sort) -> None:
    selected = session.selected
    assert selected is not None
    asked = _ask(session, tag, command, selected)
    if asked is None:
        return
    rows = await _matching(session, tag, selected, asked)
    if rows is None:
        return
    order = [(SortKey(key.value), is_reversed) for key, is_reversed in command.order]
    columns = copied(selected.snapshot)
    keys: dict[int, Keys] = {}
    if needs_keys(order):
        found = await _keys(session, selected.account_id, [columns.email_ids[row] for row in rows])
        keys = dict(zip(rows, found, strict=True))
    ordered = await session.service.store.read(
        lambda _: sort(rows, order, columns.internaldates, columns.sizes, keys.__getitem__)
    )
    if session.selected is not selected:
        return
    uids = [columns.uids[row] for row in ordered]
    numbers = [uid if asked.is_uid else selected.view.seqnum(uid) for uid in uids]
    modseqs = [columns.modseqs[row] for row in ordered] if q.is_about_modseq(asked.query) else None
    result = Result([number for number in numbers if number is not None], uids, is_ascending=False, modseqs=modseqs)
    _answer(session, tag, selected, asked, result, is_sort=True)


async def thread_(session: ImapSession, tag: str, command: Thread) -> None:
    selected = session.selected
    assert selected is not None
    if command.algorithm not in Algorithm.__members__:
        session.refuse(tag, NO_ALGORITHM)
        return
    asked = _ask(session, tag, command, selected)
    if asked is None:
        return
    rows = await _matching(session, tag, selected, asked)
    if rows is None:
        return
    columns = copied(selected.snapshot)
    keys = await _keys(session, selected.account_id, [columns.email_ids[row] for row in rows])
    dates = [columns.internaldates[row] for row in rows]
    forest = await session.service.store.read(lambda _: thread(rows, keys, dates, Algorithm[command.algorithm]))
    if session.selected is not selected:
        return
    seqnum = selected.view.seqnum
    number: Callable[[int], int] = (lambda uid: uid) if asked.is_uid else (lambda uid: seqnum(uid) or 0)
    threads = [
        (depth, 0 if row < 0 else number(columns.uids[row])) for row, depth in zip(forest.rows, forest.depths, strict=True)
    ]
    session.say(ThreadResult(threads))
    session.finish(tag, "THREAD done", may_expunge=asked.is_uid)


# -- ESEARCH in several mailboxes


async def esearch(session: ImapSession, tag: str, command: Esearch) -> None:
    """RFC 7377 section 2: an answer a mailbox in which something was found; of what one may not see, none (A-45)."""
    if not command.scopes and session.selected is None:
        session.refuse(tag, NO_MAILBOX_SELECTED)
        return
    asked = _ask(session, tag, command, session.selected)
    if asked is None:
        return
    q.check_bounds(asked.query)
    returns = command.returns or Returns(frozenset({ReturnOption.ALL}))
    for found in place.in_scopes(session, command.scopes):
        entries = await session.service.store.read(
            lambda reader, found=found: reader.entries(found.account_id, found.mailbox.mailbox_id)  # type: ignore[misc]
        )
        columns = columns_of(entries)
        try:
            uids = await _find(session, tag, found.account_id, columns, asked.query)  # type: ignore[arg-type]
        except _TooMany:
            session.refuse(tag, TOO_MANY)
            return
        if session.is_closed:
            return
        if uids:
            response = answer(Result(uids, uids), returns, tag, is_uid=True)
            session.say(_in_mailbox(response, found))
    session.finish(tag, "ESEARCH done")


def _in_mailbox(response: EsearchResponse, found: Place) -> EsearchResponse:
    return replace(response, mailbox=found.name, uidvalidity=found.mailbox.uidvalidity)


COMMANDS: Final = {
    Search: numbered(search),
    Sort: numbered(waiting(sort_)),
    Thread: numbered(waiting(thread_)),
    Esearch: waiting(esearch),
    CancelUpdate: cancel_update,
}
