"""Takes the outboxes of a running process to their servers: as soon as something was put in, and again when there is a network.

postman = Postman(office, tell)
await postman.run()                     until cancelled
await postman.close(20)                 what is under way may end
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.model import Change
from postwren.mailstore.port import Reader
from postwren.mailstore.queue import is_of_outbox, outbox_of
from postwren.mailstore.service.queue import queue_mailbox
from postwren.sync.alarm import Pace
from postwren.sync.outgoing import Office, Outgoing, Passed
from postwren.sync.settings import Settings, SettingsError, all_settings, file_of, load_settings
from postwren.sync.trouble import SyncFailed
from postwren.terms import AccountId

__all__ = ["Postman", "Said", "leaves_by"]

log = logging.getLogger("postwren.outbox")

_LONGEST: Final = 60.0
_FIRST: Final = 5.0
_BETWEEN: Final = 0.2  # seconds between two looks, however busy the queue is
_PACE: Final = Pace(again=5.0)

Said: TypeAlias = Callable[[str, Passed], object]
"""Hears of each pass that did or met something: (address, what)."""


def _log(address: str, passed: Passed) -> None:
    log.info("passed", extra={"fields": {"account": address, **dataclasses.asdict(passed)}})


@dataclasses.dataclass(slots=True)
class _Account:
    outgoing: Outgoing | None = None
    failures: int = 0
    rests_until: float = 0.0  # by the loop's clock
    said: Passed | None = None  # a network that is away is told of once
    was_looked_at: bool = False  # a crash may have left something that is not due


class Postman:
    """`run` until cancelled."""

    def __init__(self, office: Office, tell: Said | None = None, pace: Pace = _PACE) -> None:
        self._office = office
        self._tell = tell or _log
        self._pace = pace
        self._accounts: dict[str, _Account] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._is_closing = False

    async def run(self) -> None:
        store, subscription = self._office.store, None
        try:
            while not self._is_closing:
                self._wake.clear()
                place = queue_mailbox(store.reader)
                if subscription is None and place is not None:
                    subscription = store.subscribe(place[0], self._changed)
                seconds = self._look() if place is not None else _FIRST
                await asyncio.sleep(_BETWEEN)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()
        finally:
            if subscription is not None:
                subscription.cancel()

    async def close(self, grace: float) -> None:
        """No further message begins; those under way may end within the grace."""
        self._is_closing = True
        self._wake.set()
        for account in self._accounts.values():
            if account.outgoing is not None:
                account.outgoing.is_closing = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _changed(self, _changes: Sequence[Change]) -> None:
        self._wake.set()

    def _look(self) -> float:
        """Begin what is due; seconds until the next look."""
        due = {key: when for key, when in self._office.store.reader.next_due() if is_of_outbox(key)}
        now, clock = asyncio.get_running_loop().time(), self._office.clock()
        soonest = _LONGEST
        for settings in self._settings():
            account = self._accounts.setdefault(settings.address, _Account())
            when = due.get(outbox_of(settings.address))
            if account.outgoing is not None or (when is None and account.was_looked_at):
                continue
            wait = max(0.0 if when is None or not account.was_looked_at else float(when - clock), 0.0)
            if when != 0:  # 0: somebody asked for an attempt at once
                wait = max(wait, account.rests_until - now)
            if wait > 0:
                soonest = min(soonest, wait)
            else:
                self._begin(settings, account)
        return soonest

    def _settings(self) -> list[Settings]:
        try:
            return [settings for settings in all_settings(self._office.data) if settings.smtp]
        except SettingsError:  # whoever runs `sync` is told
            return []

    def _begin(self, settings: Settings, account: _Account) -> None:
        account.outgoing, account.was_looked_at = Outgoing(self._office, settings), True
        task = asyncio.get_running_loop().create_task(self._pass(settings.address, account, account.outgoing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass(self, address: str, account: _Account, outgoing: Outgoing) -> None:
        passed: Passed | None = None
        try:
            passed = await outgoing.run()
        except (MailstoreError, SettingsError, SyncFailed, OSError) as error:
            passed = Passed(why=str(error))
        finally:
            account.outgoing = None
            is_well = passed is not None and not passed.why
            account.failures = 0 if is_well else account.failures + 1
            delay = 0.0 if is_well else self._pace.delay(account.failures)
            account.rests_until = asyncio.get_running_loop().time() + delay
            self._wake.set()
        if passed is not None and passed not in (Passed(), account.said):
            self._tell(address, passed)
        account.said = passed if passed is not None and passed.why else None


def leaves_by(reader: Reader, data: Path) -> Callable[[AccountId], str]:
    """Whose mail leaves by a server of its own: `Envelope.outbox`, or "". Settings are read anew each time; where they cannot be,
    its mail waits rather than leaving another way."""

    def outbox(account_id: AccountId) -> str:
        account = reader.account(account_id)
        if account is None or not file_of(data, account.login, ".toml").exists():
            return ""
        with contextlib.suppress(SettingsError):
            if not load_settings(data, account.login).smtp:
                return ""
        return outbox_of(account.login)

    return outbox
