"""SEARCH, SORT, THREAD, ESEARCH and CANCELUPDATE (RFC 9051 section 6.4.4, RFC 5256, 5267, 7377).

What the columns of the mailbox can answer is answered at once, unless it is a large one. Everything else runs off the loop in
slices, on copies of them, for a bounded time, and few at once of an account (A-43); meanwhile the client hears INPROGRESS
(RFC 9585).
"""

import asyncio
from array import array
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from postwren.mailstore import query as q
from postwren.mailstore.errors import QueryTooBig, SearchTooLong
from postwren.mailstore.service.find import MANY, Bounds, Found, columns_of
from postwren.mailstore.service.search import FixedColumns
from postwren.mailstore.service.search import Search as Searching
from postwren.mailstore.service.sort import SortKey, relevance
from postwren.mailstore.service.textsearch import Texts
from postwren.mailstore.service.thread import Algorithm
from postwren.mailstore.snapshot import Snapshot
from postwren.protocols.imap import code
from postwren.protocols.imap.code import BadCharset, InProgress, UndefinedFilter
from postwren.protocols.imap.command import CancelUpdate, Esearch, Search, Sort, Thread
from postwren.protocols.imap.command.search import ReturnOption, Returns
from postwren.protocols.imap.command.searchkey import CHARSETS
from postwren.protocols.imap.response import Status
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.response.search import Esearch as EsearchResponse
from postwren.protocols.imap.response.search import SearchResult, format_search, format_search_pieces
from postwren.protocols.imap.response.thread import ThreadResult, ThreadRow, format_thread
from postwren.protocols.imap.view import View
from postwren.server.imap import place
from postwren.server.imap.fetch import enable_condstore
from postwren.server.imap.metadata import filter_of
from postwren.server.imap.place import Place
from postwren.server.imap.refusal import NO_SUCH_MESSAGE, UID_REQUIRED, Refusal, refusal_of
from postwren.server.imap.searchkey import NoSuchMessage, is_of_columns, is_without_seqnums, query_of
from postwren.server.imap.searchkey import UndefinedFilter as UndefinedFilterFound
from postwren.server.imap.searchresult import Result, answer, saved
from postwren.server.imap.selected import Selected
from postwren.server.imap.session import ImapSession, Later, numbered, waiting
from postwren.server.imap.update import MOST_SORTED, Order, Sorter, keep_in_order, keep_up_to_date, not_kept
from postwren.terms import AccountId, ModSeq, Uid

__all__ = ["COMMANDS", "find_in_columns"]

T = TypeVar("T")

SEQNUMS_AT_ONCE: Final = 2_048
FOLLOWED: Final = 20_000  # messages of a mailbox in which a search is kept up to date
TELL_EVERY: Final = 10.0  # seconds between two INPROGRESS
EVERYTHING: Final = Returns(frozenset({ReturnOption.ALL}))
NO_CHARSET: Final = Refusal("texts are in UTF-8 (RFC 6855 section 3)", None, Status.BAD)
BAD_CHARSET: Final = Refusal("no such charset here", BadCharset(CHARSETS))
TOO_MANY: Final = Refusal("too many searches of this account at once", code.LIMIT)
NO_ALGORITHM: Final = Refusal("no such algorithm", None, Status.BAD)
NO_MAILBOX_SELECTED: Final = Refusal("no mailbox is selected, and none is named", None, Status.BAD)
TOO_LONG: Final = Refusal("the search took too long", code.LIMIT)


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
    if returns is None and session.enabled.rev2 and isinstance(command, Search):  # RFC 9051 section 6.4.4
        returns = EVERYTHING
    is_uid = True if isinstance(command, Esearch) else command.is_uid
    is_uid_required = session.enabled.uidonly and not (is_uid and is_without_seqnums(command.key))
    refusal = UID_REQUIRED if is_uid_required else None
    if session.enabled.utf8 and command.charset is not None and not isinstance(command, Sort | Thread):
        refusal = refusal or NO_CHARSET
    if command.charset is not None and command.charset not in CHARSETS:
        refusal = refusal or BAD_CHARSET
    now = int(session.service.now())
    try:
        query = query_of(command.key, session.account_id, selected, now, partial(filter_of, session))
        q.check_bounds(query)
    except NoSuchMessage:
        refusal = refusal or NO_SUCH_MESSAGE
    except QueryTooBig as error:
        refusal = refusal or refusal_of(error)
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


async def _at_work(session: ImapSession, tag: str, account_id: AccountId, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Some at once of an account (A-43); who waits for long hears of it (RFC 9585 section 3)."""
    service = session.service
    if service.searching.get(account_id, 0) >= service.settings.searches:
        raise _TooMany
    service.searching[account_id] = service.searching.get(account_id, 0) + 1
    task = asyncio.ensure_future(work())
    try:
        while not (await asyncio.wait((task,), timeout=TELL_EVERY))[0]:
            if not session.is_closed:
                session.say(Condition(Status.OK, "still at it", InProgress(tag)))
                session.link.flush()
        return task.result()
    finally:
        task.cancel()
        service.searching[account_id] -= 1
        if not service.searching[account_id]:
            del service.searching[account_id]


def _bounds(session: ImapSession) -> Bounds:
    return Bounds(session.service.settings.search_seconds, lambda: session.is_closed)


def find_in_columns(session: ImapSession, snapshot: Snapshot, query: q.Query) -> Found:
    """What the columns alone answer, at once."""
    service = session.service
    columns = FixedColumns(
        snapshot.uids,
        snapshot.email_ids,
        snapshot.flagset_ids,
        snapshot.modseqs,
        snapshot.internaldates,
        snapshot.savedates,
        snapshot.sizes,
    )
    texts = Texts(service.store.read_body, None, snapshot.account_id, query)
    work = Searching(snapshot.account_id, columns, query, service.keys, texts)
    work.run(service.store.reader, lambda: False)
    uids, modseqs, dates = snapshot.uids, snapshot.modseqs, snapshot.internaldates
    return Found([Uid(uids[row]) for row in work.rows], [modseqs[row] for row in work.rows], [dates[row] for row in work.rows])


def _result(selected: Selected, found: Found, asked: Asked, *, is_ascending: bool = True) -> Result:
    """What the view knows of it, as the command counts: messages that were not told of do not exist (D-36)."""
    view = selected.view
    columns: tuple[Sequence[int], ...] = (found.uids, found.modseqs, found.internaldates)
    uids, modseqs, dates = columns
    if len(uids) == view.count and uids == view.shown[: view.count]:  # arrays: a large mailbox, and all of it
        places = array("I", range(1, view.count + 1))
    else:
        places = _seqnums(view, uids)
    if 0 in places:
        known = [at for at, place in enumerate(places) if place]
        places = array("I", [places[at] for at in known])
        uids, modseqs, dates = [column and [column[at] for at in known] for column in columns]
    numbers: Sequence[int] = uids if asked.is_uid else places
    return Result(
        numbers,
        uids,
        is_ascending=is_ascending,
        modseqs=modseqs if q.is_about_modseq(asked.query) else None,
        relevancy=relevance(dates) if q.is_fuzzy(asked.query) else None,
    )


def _seqnums(view: View, uids: Sequence[int]) -> "array[int]":
    """Sequence numbers; 0 where the view has no such message. Some at a time; not one by one where they lie close together."""
    found, shown = array("I"), view.shown
    for at in range(0, len(uids), SEQNUMS_AT_ONCE):
        some = uids[at : at + SEQNUMS_AT_ONCE]
        start, end = view.span(min(some), max(some))
        if end - start > 16 * len(some):
            found.extend([view.seqnum(uid) or 0 for uid in some])
        else:
            places = dict(zip(shown[start:end], range(start + 1, end + 1), strict=True))
            found.extend([places.get(uid, 0) for uid in some])
    return found


# -- what was said before


def _question(selected: Selected, asked: Asked, *words: Hashable) -> Hashable | None:
    """What the answer depends on, where that is the columns and nothing else: the client was told of all messages, and the
    answer does not name its tag."""
    snapshot, view = selected.snapshot, selected.view
    if asked.returns is not None or view.shown is not snapshot.uids or view.count != snapshot.count:
        return None
    question = (asked.query, asked.is_uid, *words)
    try:
        hash(question)
    except TypeError:  # a list is in it: the saved result, say
        return None
    return question


def _say_again(session: ImapSession, tag: str, selected: Selected, asked: Asked, question: Hashable | None) -> bool:
    """Whether this was answered, as it was before."""
    known = None if question is None else selected.snapshot.answer(question)
    if known is None:
        return False
    session.render(known)
    session.finish(tag, "done", may_expunge=asked.is_uid)
    return True


def _keep(selected: Selected, keep: tuple[Hashable | None, ModSeq], rendered: bytes) -> None:
    """The answer to a question, from the columns as they were at a ModSeq."""
    question, modseq = keep
    if question is not None:
        selected.snapshot.remember(question, modseq, rendered)


# -- SEARCH


def search(session: ImapSession, tag: str, command: Search) -> Later:
    selected = session.selected
    assert selected is not None
    asked = _ask(session, tag, command, selected)
    if asked is None:
        return None
    if not is_of_columns(asked.query) or len(selected.snapshot) > MANY:
        question = _question(selected, asked, "SEARCH")
        if _say_again(session, tag, selected, asked, question):
            return None
        return session.attempt(tag, _search(session, tag, selected, asked, question))
    _answer(session, tag, selected, asked, _result(selected, find_in_columns(session, selected.snapshot, asked.query), asked))
    return None


async def _search(session: ImapSession, tag: str, selected: Selected, asked: Asked, question: Hashable | None) -> None:
    finder, columns = session.service.finder, selected.snapshot
    modseq = columns.highestmodseq
    work = partial(finder.search, selected.account_id, columns, asked.query, _bounds(session))
    found = await _attempt(session, tag, selected, work)
    if found is None:
        return
    if len(found.uids) > MANY:
        result = await session.service.store.read(lambda _: _result(selected, found, asked))
    else:
        result = _result(selected, found, asked)
    if session.selected is selected:
        _answer(session, tag, selected, asked, result, keep=(question, modseq))


async def _attempt(session: ImapSession, tag: str, selected: Selected, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    """None: it was refused, or nobody waits any more."""
    try:
        found = await _at_work(session, tag, selected.account_id, work)
    except (_TooMany, SearchTooLong) as error:
        if session.selected is selected:
            selected.view.save(())  # RFC 5182 section 2.1
            session.refuse(tag, TOO_MANY if isinstance(error, _TooMany) else TOO_LONG)
        return None
    return found if session.selected is selected else None


def _answer(
    session: ImapSession,
    tag: str,
    selected: Selected,
    asked: Asked,
    result: Result,
    order: Order | None = None,
    keep: tuple[Hashable | None, ModSeq] = (None, ModSeq(0)),
) -> None:
    """`order` is SORT's."""
    returns = asked.returns
    if returns is None:
        modseq = max(result.modseqs) if result.modseqs else None
        response = SearchResult(result.numbers, modseq, order is not None)
        if len(result.numbers) > MANY:
            session.stream(format_search_pieces(response), lambda: session.finish(tag, "done", may_expunge=asked.is_uid))
            return
        rendered = format_search(response, is_utf8=False)
        _keep(selected, keep, rendered)
        session.render(rendered)
        session.finish(tag, "done", may_expunge=asked.is_uid)
        return
    if ReturnOption.SAVE in returns.options:
        selected.view.save(saved(result, returns))
    if returns.options != {ReturnOption.SAVE} or returns.partial is not None:
        session.say(answer(result, returns, tag, is_uid=asked.is_uid))
    if ReturnOption.UPDATE in returns.options:
        _follow(session, tag, selected, asked, result, order)
    session.finish(tag, "done", may_expunge=asked.is_uid)


def _follow(session: ImapSession, tag: str, selected: Selected, asked: Asked, result: Result, order: Order | None) -> None:
    """RFC 5267 section 4.3.1: what columns answer is kept up to date."""
    is_short = len(selected.snapshot) <= FOLLOWED and (order is None or len(result.uids) <= MOST_SORTED)
    if not (is_short and is_of_columns(asked.query) and len(selected.contexts) < session.service.settings.contexts):
        session.say(not_kept(tag))
        return

    def find(snapshot: Snapshot, query: q.Query) -> list[Uid]:
        return [*find_in_columns(session, snapshot, query).uids]

    if order is None:
        keep_up_to_date(selected, tag, asked.query, find, result.uids, is_uid=asked.is_uid)
    else:
        sorter = Sorter(session.service.store, order)
        keep_in_order(selected, tag, asked.query, find, result.uids, sorter, is_uid=asked.is_uid)


def cancel_update(session: ImapSession, tag: str, command: CancelUpdate) -> Later:
    """RFC 5267 section 4.3.5."""
    assert session.selected is not None
    for name in command.tags:
        session.selected.contexts.pop(name, None)
    session.finish(tag, "CANCELUPDATE done")
    return None


# -- SORT and THREAD


def sort(session: ImapSession, tag: str, command: Sort) -> Later:
    selected = session.selected
    assert selected is not None
    asked = _ask(session, tag, command, selected)
    if asked is None:
        return None
    order = tuple([(SortKey(key.value), is_reversed) for key, is_reversed in command.order])
    question = _question(selected, asked, order)
    if _say_again(session, tag, selected, asked, question):
        return None
    return session.attempt(tag, _sort(session, tag, selected, asked, order, question))


async def _sort(
    session: ImapSession,
    tag: str,
    selected: Selected,
    asked: Asked,
    order: Sequence[tuple[SortKey, bool]],
    question: Hashable | None,
) -> None:
    finder, columns = session.service.finder, selected.snapshot
    modseq = columns.highestmodseq
    work = partial(finder.sort, selected.account_id, columns, asked.query, order, _bounds(session))
    found = await _attempt(session, tag, selected, work)
    if found is not None:
        result = _result(selected, found, asked, is_ascending=False)
        _answer(session, tag, selected, asked, result, order, keep=(question, modseq))


def thread(session: ImapSession, tag: str, command: Thread) -> Later:
    selected = session.selected
    assert selected is not None
    if command.algorithm not in Algorithm.__members__:
        session.refuse(tag, NO_ALGORITHM)
        return None
    asked = _ask(session, tag, command, selected)
    if asked is None:
        return None
    algorithm = Algorithm[command.algorithm]
    question = _question(selected, asked, algorithm)
    if _say_again(session, tag, selected, asked, question):
        return None
    return session.attempt(tag, _thread(session, tag, selected, asked, algorithm, question))


async def _thread(
    session: ImapSession, tag: str, selected: Selected, asked: Asked, algorithm: Algorithm, question: Hashable | None
) -> None:
    finder, columns = session.service.finder, selected.snapshot
    modseq = columns.highestmodseq
    last = selected.view.largest_uid
    known = q.And((q.Uids([(1, last)] if last else []), asked.query))  # D-36
    work = partial(finder.thread, selected.account_id, columns, known, algorithm, _bounds(session))
    found = await _attempt(session, tag, selected, work)
    if found is None:
        return
    forest, _ = found
    numbers = forest.rows if asked.is_uid else _seqnums(selected.view, forest.rows)
    rows: list[ThreadRow] = [(depth, max(number or 0, 0)) for depth, number in zip(forest.depths, numbers, strict=True)]
    rendered = format_thread(ThreadResult(rows), is_utf8=False)
    _keep(selected, (question, modseq), rendered)
    session.render(rendered)
    session.finish(tag, "done", may_expunge=asked.is_uid)


# -- ESEARCH in several mailboxes


async def esearch(session: ImapSession, tag: str, command: Esearch) -> None:
    """RFC 7377 section 2: an answer a mailbox in which something was found; of what one may not see, none (A-45)."""
    if not command.scopes and session.selected is None:
        session.refuse(tag, NO_MAILBOX_SELECTED)
        return
    asked = _ask(session, tag, command, session.selected)
    if asked is None:
        return
    returns = command.returns or Returns(frozenset({ReturnOption.ALL}))
    reader = session.service.store.reader
    for found in place.in_scopes(session, command.scopes):
        columns = columns_of(reader.entries(found.account_id, found.mailbox.mailbox_id))
        work = partial(session.service.finder.search, found.account_id, columns, asked.query, _bounds(session))
        try:
            messages = await _at_work(session, tag, found.account_id, work)
        except (_TooMany, SearchTooLong) as error:
            if not session.is_closed:
                session.refuse(tag, TOO_MANY if isinstance(error, _TooMany) else TOO_LONG)
            return
        if session.is_closed:
            return
        if messages.uids:
            response = answer(Result(messages.uids, messages.uids), returns, tag, is_uid=True)
            session.say(_in_mailbox(response, found))
    session.finish(tag, "ESEARCH done")


def _in_mailbox(response: EsearchResponse, found: Place) -> EsearchResponse:
    return replace(response, mailbox=found.name, uidvalidity=found.mailbox.uidvalidity)


COMMANDS: Final = {
    Search: numbered(search),
    Sort: numbered(sort),
    Thread: numbered(thread),
    Esearch: waiting(esearch),
    CancelUpdate: cancel_update,
}
