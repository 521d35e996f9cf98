"""`sync run --watch`: both sides stay the same. One connection an account, which waits where the server tells what changes:

    NOTIFY (RFC 5465)   of every mailbox, by STATUS: none is selected meanwhile, for of that one nothing would be told
    IDLE (RFC 2177)     of INBOX; the others are looked at by LIST-STATUS, one round trip, every five minutes
    neither             everything is looked at every five minutes; so is a POP3 maildrop

What changes here is told by the store's feed, whoever changed it. What must stay true: no change is lost between a look and the
wait behind it; what a run does itself starts no other; a run that leaves something undone (deletions that are held) is not
repeated until something else happens; a connection that is dead is noticed within a renewal, and behind a sleep at once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from postwren.client.conversation import ServerFailed
from postwren.client.imap import ImapClient, Refused
from postwren.mailstore.errors import MailstoreError, StoreClosed, StoreFailed, StoreUnusable
from postwren.mailstore.port import Store
from postwren.protocols.imap.command import Noop, Notify
from postwren.protocols.imap.command.notify import EventGroup, NotifyEvent
from postwren.protocols.imap.command.search import Scope, ScopeKind
from postwren.protocols.imap.response import Untagged
from postwren.sync import mirror
from postwren.sync.alarm import Alarm, Pace
from postwren.sync.hearing import Hearing, edits
from postwren.sync.imap import Focus, Options, Outcome, synchronise
from postwren.sync.look import MailboxRefused
from postwren.sync.remote import Listed, Remote
from postwren.sync.report import Began, Ended, Event, Failed, Found, Held, Noted, Tell, Watching
from postwren.sync.run import account_of, remember, run, under_lock
from postwren.sync.secret import read_secret
from postwren.sync.settings import Choices, Settings, SettingsError, file_of, load_settings
from postwren.sync.trouble import TROUBLE, LoginRefused, SyncFailed, explain
from postwren.terms import INBOX, AccountId

__all__ = ["watch"]

Excuse = Callable[[MailstoreError], str]
PERSONAL: Final = Notify(
    (
        EventGroup(
            Scope(ScopeKind.PERSONAL),
            frozenset((NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE, NotifyEvent.FLAG_CHANGE, NotifyEvent.MAILBOX_NAME)),
        ),
    ),
    with_status=True,
)
"""All that happens in one's own mailboxes; how each stands is told at once, so that nothing falls between the look and this."""
_FOR_GOOD: Final = (StoreFailed, StoreClosed, StoreUnusable)
_MOST_SAID: Final = 1000


async def watch(
    store: Store,
    data: Path,
    accounts: Sequence[Settings],
    tell: Tell,
    clock: Callable[[], float],
    choices: Choices,
    stop: asyncio.Event,
    excuse: Excuse = str,
    pace: Pace | None = None,
) -> None:
    """Until `stop` is set; then the connections are closed in order, and a run that goes on is left where it is, to be taken up
    by the next. `tell` hears everything. What fails is tried again; only a store that cannot go on is raised."""
    chosen = pace or Pace()
    watchers = [_Watcher(store, data, settings, tell, clock, choices, stop, excuse, chosen) for settings in accounts]
    loop = asyncio.get_running_loop()
    tasks = {loop.create_task(watcher.go_on()) for watcher in watchers}
    stopper = loop.create_task(stop.wait())
    try:
        await asyncio.wait({stopper, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        for watcher in watchers:
            watcher.woken.set()
        await asyncio.wait(tasks, timeout=chosen.parting)
    finally:
        for task in (stopper, *tasks):
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
            raise end


class _Watcher:
    """One account."""

    def __init__(
        self,
        store: Store,
        data: Path,
        settings: Settings,
        tell: Tell,
        clock: Callable[[], float],
        choices: Choices,
        stop: asyncio.Event,
        excuse: Excuse,
        pace: Pace,
    ) -> None:
        self._store = store
        self._data = data
        self._settings = settings
        self._all_told = tell
        self._clock = clock
        self._choices = choices
        self._stop = stop
        self._excuse = excuse
        self._pace = pace
        self._said: set[Event] = set()
        self._failures = 0
        self.woken = asyncio.Event()

    async def go_on(self) -> None:
        """Until it is stopped."""
        while not self._stop.is_set():
            try:
                self._settings = load_settings(self._data, self._settings.address)
                await (self._stay_connected() if self._settings.protocol == "imap" else self._ask_again_and_again())
            except (SyncFailed, SettingsError) as error:
                await self._try_later(str(error), is_refused=isinstance(error, LoginRefused))
            except TROUBLE as error:
                await self._try_later(explain(error, self._settings))
            except _FOR_GOOD:
                raise
            except MailstoreError as error:
                await self._try_later(self._excuse(error))

    async def _try_later(self, text: str, *, is_refused: bool = False) -> None:
        self._failures += 1
        delay = self._pace.delay(self._failures, is_refused=is_refused)
        self._said.clear()
        self._all_told(Failed(self._settings.address, f"{text} (tried again in {max(round(delay), 1):,} s)"))
        await self._rest(delay)

    async def _rest(self, seconds: float) -> None:
        """A while, and not longer than the machine sleeps; changes here do not end it."""
        woken = asyncio.Event()
        alarm = Alarm(seconds, self._clock, self._pace.tick, woken.set)
        stopper = asyncio.get_running_loop().create_task(self._stop.wait())
        stopper.add_done_callback(lambda _: woken.set())
        try:
            await woken.wait()
        finally:
            alarm.cancel()
            stopper.cancel()

    def _tell(self, event: Event) -> None:
        """What goes on for hours says nothing twice, and of what did nothing, nothing."""
        match event:
            case Held() | Noted() | Began() | Watching():
                key: Event = Noted(event.address, repr(event))
                if key in self._said:
                    return
                if len(self._said) > _MOST_SAID:
                    self._said.clear()
                self._said.add(key)
            case Found(fetch=0, delete=0):
                return
            case Ended():
                key = Noted(event.address, "ended")
                if key in self._said and not _did_anything(event):
                    return
                self._said.add(key)
            case _:
                pass
        self._all_told(event)

    # -- POP3

    async def _ask_again_and_again(self) -> None:
        while not self._stop.is_set():
            is_well = await run(self._store, self._data, self._settings, self._tell, self._clock, self._choices)
            self._failures = 0 if is_well else self._failures + 1
            if is_well:
                self.say("poll", self._pace.poll)
            await self._rest(max(self._pace.poll, self._pace.delay(self._failures) if self._failures else 0))

    # -- IMAP

    async def _stay_connected(self) -> None:
        hearing = Hearing()

        def overheard(response: Untagged) -> None:
            if hearing.hear(response):
                self.woken.set()

        with under_lock(self._data, self._settings.address):
            account_id = account_of(self._store, self._settings).account_id
            feed = self._store.subscribe(account_id, lambda _: self.woken.set())
            secret = read_secret(self._data, self._settings)
            try:
                async with mirror.entered(self._settings, secret, overheard=overheard) as (client, mechanism):
                    self._tell(Began(self._settings.address, "imap", self._settings.host, client.tls_version or "", mechanism))
                    await _Attendance(self, client, await Remote.enter(client), account_id, hearing).go_on()
                    with suppress(ServerFailed, OSError):
                        async with asyncio.timeout(self._pace.parting):
                            await client.logout()
            finally:
                feed.cancel()

    async def synchronise(self, remote: Remote, account_id: AccountId, focus: Focus | None) -> Outcome:
        """One run over a connection that stays; how it ended is told, and kept where there is something to tell."""
        begun = self._clock()
        address = self._settings.address
        spool = file_of(self._data, address, ".partial")
        options = Options(address, lambda: int(self._clock()), spool, self._tell, choices=self._choices)
        try:
            outcome = await synchronise(self._store, account_id, remote, options, focus)
        except MailboxRefused as refused:
            raise ServerFailed(str(refused)) from refused
        self._failures = 0
        try:
            ended: Ended | Failed = mirror.concluded(address, outcome, self._clock() - begun)
        except SyncFailed as error:
            ended = Failed(address, str(error))
        if focus is None or isinstance(ended, Failed) or _did_anything(ended):
            await self._store.perform(remember(account_id, ended, int(self._clock())))
        self._tell(Noted(address, ended.text) if isinstance(ended, Failed) else ended)
        return outcome

    @property
    def pace(self) -> Pace:
        return self._pace

    @property
    def clock(self) -> Callable[[], float]:
        return self._clock

    @property
    def store(self) -> Store:
        return self._store

    def is_stopped(self) -> bool:
        return self._stop.is_set()

    def say(self, how: str, seconds: float) -> None:
        self._tell(Watching(self._settings.address, how, seconds))


class _Attendance:
    """One connection, for as long as it lives."""

    def __init__(self, watcher: _Watcher, client: ImapClient, remote: Remote, account_id: AccountId, hearing: Hearing) -> None:
        self._watcher = watcher
        self._pace = watcher.pace
        self._client = client
        self._remote = remote
        self._account_id = account_id
        self._hearing = hearing
        self._how = "poll"
        self._is_due = True
        self._is_placed = False
        self._listed: Sequence[Listed] = ()
        self._seen: object = None

    async def go_on(self) -> None:
        """Until the watcher is stopped, or the connection fails."""
        await self._look(None)
        self._how = await self._begin()
        self._watcher.say(self._how, self._every())
        while True:
            self._watcher.woken.clear()
            if self._watcher.is_stopped():
                return
            if self._hearing.has_overflowed:
                self._hearing.has_overflowed = False
                self._is_due = True
                self._how = await self._begin()
            state, focus = self._need()
            if self._is_due or state is not None:
                self._seen = state
                await self._look(focus)
            elif not self._is_placed:
                await self._place()
            else:
                await self._wait()

    def _need(self) -> tuple[object, Focus | None]:
        """What is different, None where nothing is but what the last look left as it was; and where alone it is."""
        reader = self._watcher.store.reader
        mine, news = edits(reader, self._account_id), self._hearing.news(reader, self._account_id)
        state = mine, news.names
        if not (mine or news.names) or state == self._seen:
            return None, None
        if self._is_due or mine or not news.is_simple:
            return state, None
        return state, Focus(frozenset(name for name, _ in news.names), self._listed)

    async def _look(self, focus: Focus | None) -> None:
        self._is_placed = self._is_due = False
        self._listed = (await self._watcher.synchronise(self._remote, self._account_id, focus)).listed

    # -- waiting

    async def _begin(self) -> str:
        """Ask the server to tell, in the best way that it knows."""
        capabilities = await self._client.capabilities()
        if "NOTIFY" in capabilities and ("UNSELECT" in capabilities or "IMAP4REV2" in capabilities):
            self._is_placed = True
            try:
                await self._remote.leave()
                await self._client.run(PERSONAL)
            except Refused:
                self._is_placed = False
            else:
                return "notify"
        return "idle" if "IDLE" in capabilities or "IMAP4REV2" in capabilities else "poll"

    async def _place(self) -> None:
        """Be where news come from; what stands differently there by now is heard of."""
        self._is_placed = True
        if self._how == "notify":
            await self._remote.leave()
        elif self._how == "idle":
            self._hearing.attended = INBOX
            self._hearing.note(INBOX, await self._remote.attend(INBOX))

    def _every(self) -> float:
        return self._pace.renew if self._how == "notify" else self._pace.poll

    async def _wait(self) -> None:
        """For news from there or from here, the time of the next look, or the end."""
        woken = self._watcher.woken
        alarm = Alarm(self._every(), self._watcher.clock, self._pace.tick, woken.set)
        loop = asyncio.get_running_loop()
        self._hearing.is_waiting = True
        listening, waiter = loop.create_task(self._listen(woken)), loop.create_task(woken.wait())
        tasks: tuple[asyncio.Task[object], ...] = (listening, waiter)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(self._pace.answer):
                await listening
                if alarm.has_rung:
                    await self._client.run(Noop())
        finally:
            self._hearing.is_waiting = False
            alarm.cancel()
            for task in tasks:
                task.cancel()
        self._is_due |= alarm.has_rung

    def _listen(self, woken: asyncio.Event) -> Coroutine[Any, Any, object]:
        match self._how:
            case "notify":
                return self._client.listen(woken, _nothing)
            case "idle":
                return self._client.idle(woken, _nothing)
        return woken.wait()


def _nothing(_: Untagged) -> None:
    """It was overheard."""


def _did_anything(end: Ended) -> bool:
    return bool(end.fetched or end.known or end.deleted or end.sent or end.flags or end.moved or end.deleted_here)
