"""The engine: takes what is due out of the queue, sends it, and reports what became of each recipient (docs/exchange.md).

It sleeps until the earliest domain is due or the queue's account changes. A domain has workers, each with one connection at a
time: one until a host has taken mail, then more as long as there is more to do. A domain none of whose hosts answers rests as a
whole: when its rest is over one message is tried, and the rows of the others stay as they are. So what waits costs rows and
nothing else: there is an object a domain that is busy or rests, and none a message. No more than half of all connections are for
domains that failed last, and where there are too few for all, domains take turns: the dead make nobody wait.

What must stay true: a recipient is in the hands of one worker at a time; what a host said of a message is durable before the
first octet of the next one leaves over that connection, so that a crash sends one message a connection twice at most; a
conclusion that the store refuses is tried until it is taken, for its message must not be sent again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeAlias

from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.queue import Known
from postwren.delivery.retry import Schedule
from postwren.exchange.connection import Connection, Letter
from postwren.exchange.home import Home
from postwren.exchange.letter import WishOf, read_letter, usual_wish
from postwren.exchange.limits import OutboundLimits
from postwren.exchange.policy import TlsWish
from postwren.exchange.pool import Pool
from postwren.exchange.road import NoRoad, Roads
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.model import Change
from postwren.mailstore.port import Store
from postwren.mailstore.queue import QueuedRecipient, is_of_outbox
from postwren.mailstore.service.queue import queue_mailbox
from postwren.terms import AccountId, Uid

__all__ = ["Conclude", "Outbound"]

log = logging.getLogger("postwren.outbound")

Conclude: TypeAlias = Callable[[Uid, Sequence[Outcome], Known | None], Awaitable[None]]
"""Writes what became of recipients of a queued message, durably (`delivery.queue`)."""

_BATCH: Final = 10  # rows that a worker takes at once
_EXPIRED: Final = 500
_TOGETHER: Final = 50  # units of one commit
_LONGEST_SLEEP: Final = 60.0
_FIRST: Final = 5.0
_TRY_AGAIN: Final = 5.0
_FAILURES_UNDER_WAY: Final = 2  # connections that end in the middle, one after the other, before the domain rests


@dataclass(slots=True)
class _Domain:
    """A domain that is busy or rests."""

    workers: int = 0
    claimed: dict[Uid, int] = field(default_factory=dict)  # messages in a worker's hands: how many rows of each
    most_workers: int = 1 << 10  # as many as the hosts were seen to take
    is_proven: bool = False  # a host took mail, and nothing has failed since
    failures: int = 0  # one after the other
    rests_until: int = 0  # by the queue's clock


class Outbound:
    """`run` until `close`. `clock` is the queue's own (`mailstore.queue`), in seconds."""

    def __init__(
        self,
        store: Store,
        roads: Roads,
        conclude: Conclude,
        clock: Callable[[], int],
        draw: Callable[[], float],
        schedule: Schedule = Schedule(),  # noqa: B008  # frozen
        limits: OutboundLimits = OutboundLimits(),  # noqa: B008  # frozen
        wish_of: WishOf = usual_wish,
        home: Home | None = None,
    ) -> None:
        self._store = store
        self._roads = roads
        self._conclude = conclude
        self._clock = clock
        self._draw = draw
        self._schedule = schedule
        self._limits = limits
        self._wish_of = wish_of
        self._home = home
        self._domains: dict[str, _Domain] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._pool = Pool(limits)
        self._wake = asyncio.Event()
        self._is_closing = False
        self._is_crowded = False  # a domain waits for a place
        self._turn = 0
        self._turns: dict[str, int] = {}  # while it is crowded: when each domain had its last turn

    async def run(self) -> None:
        """Until `close`, or cancelled."""
        place = await self._queue_is_there()
        if place is None:
            return
        subscription = self._store.subscribe(place, self._changed)
        try:
            while not self._is_closing:
                self._wake.clear()
                began = time.perf_counter()
                seconds = self._start_due()
                # A busy queue changes all the time: what looking costs stays a small part of all work.
                await asyncio.sleep(4 * (time.perf_counter() - began))
                await self._sleep(seconds)
        finally:
            subscription.cancel()

    async def _queue_is_there(self) -> AccountId | None:
        """Wait until something was queued for the first time; None at the end."""
        subscription = self._store.observe(self._changed)
        try:
            while not self._is_closing:
                place = queue_mailbox(self._store.reader)
                if place is not None:
                    return place[0]
                self._wake.clear()
                await self._sleep(_FIRST)  # by another process, perhaps
        finally:
            subscription.cancel()
        return None

    async def close(self, grace: float) -> None:
        """No new transactions; those under way may end within the grace."""
        self._is_closing = True
        self._wake.set()
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=grace)
            for worker in late:
                worker.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._pool.close()

    def _changed(self, _changes: Sequence[Change]) -> None:
        self._wake.set()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    # -- who is due

    def _start_due(self) -> float:
        """Give every domain that is due a worker; seconds until the next one is."""
        now, soonest = self._clock(), _LONGEST_SLEEP
        due = [each for each in self._store.reader.next_due() if not is_of_outbox(each[0])]  # these have a road of their own
        self._forget(now, due)
        doubtful = sum(1 for state in self._domains.values() if state.workers and state.failures)
        self._is_crowded = False
        for domain, earliest in sorted(due, key=lambda each: (self._turns.get(each[0], 0), each[1])):
            state = self._domains.get(domain, _NEW)
            if state.workers:
                continue
            # 0: somebody asked for an attempt at once, and the rest does not count
            when = max(earliest, state.rests_until) if earliest else 0
            if when > now:
                soonest = min(soonest, float(when - now))
            elif state.failures and 2 * doubtful >= self._limits.connections:
                continue  # one of them ends, and wakes us
            elif self._has_room():
                doubtful += state.failures > 0
                self._start_worker(domain)
            else:
                self._is_crowded = True
                break
        if not self._is_crowded:
            self._turns.clear()
        return soonest

    def _forget(self, now: int, due: Sequence[tuple[str, int]]) -> None:
        """Domains that neither work, nor rest, nor have anything left."""
        left = {domain for domain, _ in due}
        for domain, state in list(self._domains.items()):
            is_resting = state.failures and domain in left
            if not state.workers and not is_resting and state.rests_until <= now:
                del self._domains[domain]

    def _has_room(self) -> bool:
        if len(self._workers) + self._pool.idle >= self._limits.connections:
            self._pool.end_idle()
        return len(self._workers) < self._limits.connections

    def _start_worker(self, domain: str) -> None:
        state = self._domains.setdefault(domain, _Domain())
        state.workers += 1
        self._turn += 1
        self._turns[domain] = self._turn
        worker = asyncio.get_running_loop().create_task(_Worker(self, domain, state).run())
        self._workers.add(worker)
        worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._wake.set()
        if not worker.cancelled() and (error := worker.exception()) is not None:
            log.error("a bug behind a delivery", exc_info=error)

    def _claim(self, domain: str, state: _Domain) -> dict[Uid, list[QueuedRecipient]]:
        """What a worker does next: messages that are due and in nobody's hands, one where nothing is proven yet."""
        taken = sum(state.claimed.values())
        rows = self._store.reader.due_recipients(domain, self._clock(), taken + _BATCH)
        batch: dict[Uid, list[QueuedRecipient]] = {}
        number, most = 0, _BATCH if state.is_proven else 1
        for row in rows:
            if row.uid in batch or (number < most and row.uid not in state.claimed):
                batch.setdefault(row.uid, []).append(row)
                number += 1
        state.claimed.update((uid, len(found)) for uid, found in batch.items())
        return batch

    # -- what a worker tells

    def _took_mail(self, domain: str, state: _Domain) -> None:
        """A host of the domain took a message: there may be more workers if there is more to do."""
        state.is_proven, state.failures, state.rests_until = True, 0, 0
        most = min(self._limits.connections_of_domain, state.most_workers)
        if self._is_closing or self._is_crowded or state.workers >= most or not self._has_room():
            return
        taken = sum(state.claimed.values())
        if len(self._store.reader.due_recipients(domain, self._clock(), taken + 1)) > taken:
            self._start_worker(domain)

    async def _rest(self, domain: str, state: _Domain, verdict: Verdict) -> None:
        """Nobody took mail: wait, twice as long each time, and end what has expired meanwhile."""
        limits = self._limits
        state.is_proven = False
        state.failures += 1
        rest = min(limits.longest_rest, limits.rest * 2 ** min(state.failures - 1, 20))
        state.rests_until = self._clock() + round(rest * (0.75 + 0.5 * self._draw()))
        fields = {"domain": domain, "seconds": state.rests_until - self._clock(), "why": str(verdict)}
        log.info("a domain rests", extra={"fields": fields})
        reader, now = self._store.reader, self._clock()
        await self._end_waiting(state, verdict, lambda: reader.expiring_recipients(domain, now, _EXPIRED))
        before = self._schedule.unwarned_before(now)
        await self._end_waiting(state, verdict, lambda: reader.unwarned_recipients(domain, before, _EXPIRED))

    async def _end_waiting(self, state: _Domain, verdict: Verdict, look: Callable[[], list[QueuedRecipient]]) -> None:
        """Recipients that were not tried because the domain rests: they are given up, or their senders warned, all the same."""
        seen: set[Uid] = set()
        while not self._is_closing:
            messages: dict[Uid, list[Outcome]] = {}
            for row in look():
                if row.uid not in state.claimed and row.uid not in seen:
                    messages.setdefault(row.uid, []).append(Outcome(row.number, verdict))
            if not messages:
                return
            seen |= messages.keys()
            together = iter(messages.items())
            while some := list(islice(together, _TOGETHER)):
                await asyncio.gather(*(self._record(uid, outcomes) for uid, outcomes in some))

    async def _record(self, uid: Uid, outcomes: Sequence[Outcome], known: Known | None = None) -> None:
        """Conclude, however long the store takes to take it."""
        while True:
            try:
                await self._conclude(uid, outcomes, known)
            except MailstoreError as error:
                log.error("an attempt is not written down; tried again", extra={"fields": {"queue_id": uid, "why": str(error)}})
                if self._is_closing:
                    return
                await asyncio.sleep(_TRY_AGAIN)
            else:
                return


class _Worker:
    """One connection's worth of work for a domain."""

    def __init__(self, engine: Outbound, domain: str, state: _Domain) -> None:
        self._engine = engine
        self._domain = domain
        self._state = state
        self._connection: Connection | None = None
        self._wish = TlsWish.USUAL
        self._writing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        engine, state = self._engine, self._state
        try:
            while batch := engine._claim(self._domain, state):
                try:
                    is_over = await self._deliver_all(batch)
                finally:
                    await self._written()
                    for uid in batch:
                        state.claimed.pop(uid, None)
                if is_over or engine._is_closing or engine._is_crowded:
                    break
        finally:
            state.workers -= 1
            self._let_go()

    async def _deliver_all(self, batch: dict[Uid, list[QueuedRecipient]]) -> bool:
        """Whether this worker has no more to do."""
        for uid, rows in batch.items():
            if self._engine._is_closing:
                return True
            try:
                is_over = await self._deliver(uid, rows)
            except (MailstoreError, OSError, ValueError) as error:  # a body that cannot be read, an address that is none
                log.error("a queued message cannot be sent", extra={"fields": {"queue_id": uid, "why": repr(error)}})
                await self._record(uid, _all(rows, Verdict(Fate.DEFERRED, 451, "4.3.0", "the message cannot be sent on now")))
                self._drop()
                continue
            if is_over:
                return True
        return False

    async def _deliver(self, uid: Uid, rows: list[QueuedRecipient]) -> bool:
        """One message to all its recipients of the domain; whether the domain rests now."""
        engine, state = self._engine, self._state
        letter = read_letter(engine._store, uid, engine._wish_of)
        if letter is None:
            return await self._gone(uid)
        if engine._home is not None and engine._home.has(self._domain):
            return await self._deliver_here(engine._home, letter, uid, rows)
        while rows:
            began = time.perf_counter()
            try:
                connection = await self._connected(letter.wish)
            except NoRoad as none:
                return await self._no_road(uid, rows, none.verdict, began)
            is_used = connection.transactions > 0
            result = await connection.transact(letter, rows, self._may_leave)
            if result.is_over:
                self._drop()
            if result.is_stale and is_used:  # it had been ended while it waited: nothing was said about this message
                continue
            self._tell(uid, connection, result.outcomes, began)
            await self._record(uid, result.outcomes, (letter.message, rows))
            took = any(outcome.verdict.fate is Fate.DELIVERED for outcome in result.outcomes)
            if took:
                engine._took_mail(self._domain, state)
            elif result.is_over and connection.transactions == 1 and await self._ended_early(result.outcomes):
                return True
            if result.left and not took:  # a host that takes none at all would be asked for ever
                await self._record(uid, _all(result.left, result.outcomes[-1].verdict))
                return False
            rows = result.left
        return False

    async def _deliver_here(self, home: Home, letter: Letter, uid: Uid, rows: list[QueuedRecipient]) -> bool:
        began = time.perf_counter()
        outcomes = await home.deliver(letter, rows)
        self._tell(uid, None, outcomes, began)
        await self._record(uid, outcomes)
        return False

    async def _gone(self, uid: Uid) -> bool:
        """Somebody dropped it, or its rows are all that is left: then the domain rests, or it would be due for ever."""
        if not self._engine._store.reader.queued_recipients(uid):
            return False
        log.error("a queued message has no octets: run `postwren check`", extra={"fields": {"queue_id": uid}})
        await self._engine._rest(self._domain, self._state, Verdict(Fate.DEFERRED, 451, "4.3.0", "the message is not there"))
        return True

    async def _no_road(self, uid: Uid, rows: list[QueuedRecipient], verdict: Verdict, began: float) -> bool:
        self._tell(uid, None, _all(rows, verdict), began)
        if verdict.fate is Fate.DEFERRED and self._state.workers > 1:  # others have a connection: the hosts take no more of them
            self._state.most_workers = self._state.workers - 1
            return True
        await self._record(uid, _all(rows, verdict))
        if verdict.fate is Fate.FAILED or self._wish is not TlsWish.USUAL:
            return False
        await self._engine._rest(self._domain, self._state, verdict)
        return True

    async def _ended_early(self, outcomes: list[Outcome]) -> bool:
        """A new connection ended under its first message. That may be the message, or the host."""
        state = self._state
        if state.failures + 1 < _FAILURES_UNDER_WAY:
            state.failures += 1
            return False
        await self._engine._rest(self._domain, state, outcomes[0].verdict)
        return True

    async def _connected(self, wish: TlsWish) -> Connection:
        """Raises NoRoad."""
        engine = self._engine
        old = self._connection
        if old is not None and (wish is not self._wish or not old.is_usable or old.transactions >= engine._limits.messages):
            self._let_go()
        self._wish = wish
        if self._connection is None:
            self._connection = engine._pool.take((self._domain, wish)) or await engine._roads.open(self._domain, wish)
        return self._connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._engine._pool.give_back((self._domain, self._wish), connection)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._engine._pool.end(connection)

    async def _record(self, uid: Uid, outcomes: Sequence[Outcome], known: Known | None = None) -> None:
        """Write while the next envelope is on its way: the octets behind it wait until this is durable."""
        await self._written()
        if outcomes:
            self._writing = asyncio.get_running_loop().create_task(self._engine._record(uid, outcomes, known))

    async def _may_leave(self, _: Sequence[QueuedRecipient]) -> None:
        await self._written()

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None

    def _tell(self, uid: Uid, connection: Connection | None, outcomes: Sequence[Outcome], began: float) -> None:
        """One line an attempt, with the worst of what was said."""
        verdict = max((outcome.verdict for outcome in outcomes), key=lambda each: (each.fate is not Fate.DELIVERED, each.code))
        fields: dict[str, str | int | float | bool | None] = {
            "queue_id": uid,
            "domain": self._domain,
            "host": verdict.host or (connection.target.host if connection is not None else None),
            "tls": connection.tls_version if connection is not None else None,
            "recipients": len(outcomes),
            "fate": ",".join(sorted({outcome.verdict.fate.value for outcome in outcomes})),
            "code": verdict.code,
            "reply": str(verdict),
            "seconds": round(time.perf_counter() - began, 3),
        }
        log.info("attempt", extra={"fields": fields})


_NEW: Final = _Domain()


def _all(rows: Sequence[QueuedRecipient], verdict: Verdict) -> list[Outcome]:
    return [Outcome(row.number, verdict) for row in rows]
