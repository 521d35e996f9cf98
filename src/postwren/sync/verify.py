"""`postwren sync verify`: is the copy what it should be? First every message here is read (`intact`), then every mailbox is
compared with the server's (`verify_imap`, `verify_pop3`). Nothing is changed on either side, and no run may go on meanwhile.

Memory is bounded by the UIDs of a mailbox and a window of messages: octets are hashed as they come, never kept.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from postwren.mailstore.port import Store
from postwren.sync.intact import find_damaged, places_of
from postwren.sync.report import Difference, Differs, Event, Failed, Progress, Tell, Verified
from postwren.sync.run import account_of, under_lock
from postwren.sync.secret import read_secret
from postwren.sync.settings import Settings, SettingsError
from postwren.sync.trouble import TROUBLE, SyncFailed, explain
from postwren.terms import AccountId

__all__ = ["Tally", "verify"]

_EVERY: Final = 1000  # messages between two events of progress


class Tally:
    """What was found so far. Both ways of comparing tell it."""

    def __init__(self, address: str, tell: Tell) -> None:
        self.address = address
        self.tell = tell
        self.differences: Counter[str] = Counter()
        self.here = self.there = self.octets = 0
        self.of = self.of_octets = 0
        self._shown = 0

    def differ(
        self, mailbox: str, difference: Difference, there: int | str | None = None, here: int | None = None, text: str = ""
    ) -> None:
        """One more difference."""
        self.differences[difference.value] += 1
        self.tell(Differs(self.address, mailbox, difference, there, here, text))

    def read(self, messages: int, octets: int) -> None:
        """The server has shown so many more."""
        self.there += messages
        self.octets += octets
        if self.there - self._shown >= _EVERY or self.there == self.of:
            self._shown = self.there
            self.tell(Progress(self.address, self.there, max(self.of, self.there), self.octets, self.of_octets))


async def verify(
    store: Store, data: Path, settings: Settings, tell: Tell, clock: Callable[[], float], *, is_quick: bool = False
) -> bool:
    """Whether the copy is the same as what is there; `tell` heard every difference. `is_quick`: of what is there only sizes and
    headers are looked at."""
    try:
        with under_lock(data, settings.address):
            outcome: Event = await _verify(store, data, settings, Tally(settings.address, tell), clock, is_quick)
    except (SyncFailed, SettingsError) as error:
        outcome = Failed(settings.address, str(error))
    except TROUBLE as error:
        outcome = Failed(settings.address, explain(error, settings))
    tell(outcome)
    return isinstance(outcome, Verified) and not outcome.differences


async def _verify(
    store: Store, data: Path, settings: Settings, tally: Tally, clock: Callable[[], float], is_quick: bool
) -> Verified:
    begun = clock()
    account = account_of(store, settings)
    secret = read_secret(data, settings)
    await _intact(store, account.account_id, account.used, tally)
    if settings.protocol == "imap":
        from postwren.sync import verify_imap

        await verify_imap.compare(store, account.account_id, settings, secret, tally, is_quick=is_quick)
    else:
        from postwren.sync import verify_pop3

        await verify_pop3.compare(store, account.account_id, settings, secret, tally, is_quick=is_quick)
    seconds = clock() - begun
    return Verified(settings.address, tally.here, tally.there, tally.octets, dict(tally.differences), seconds, is_quick)


async def _intact(store: Store, account_id: AccountId, used: int, tally: Tally) -> None:
    total = sum(mailbox.messages for mailbox in store.reader.mailboxes(account_id))
    found = await find_damaged(
        store,
        account_id,
        lambda read: tally.tell(Progress(tally.address, read.emails, max(total, read.emails), read.octets, used)),
    )
    tally.here = found.emails
    for mailbox, uid in await store.read(partial(places_of, account_id, found.damaged)):
        tally.differ(mailbox, Difference.DAMAGED, None, uid, "`postwren check` says where")
