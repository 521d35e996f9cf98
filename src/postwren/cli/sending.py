"""The outboxes in `sync run`: sent once, or as long as it watches."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from postwren.cli.progress import Teller
from postwren.delivery.queue import read_clock, save_clock
from postwren.delivery.retry import QueueClock
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Store
from postwren.sync.outgoing import Office, Outgoing, Passed
from postwren.sync.postman import Postman
from postwren.sync.report import Noted
from postwren.sync.settings import Settings, SettingsError
from postwren.sync.trouble import SyncFailed

__all__ = ["send_all", "sending", "told"]

_GRACE = 20.0


async def send_all(store: Store, data: Path, chosen: Sequence[Settings], tell: Teller) -> None:
    """What is due in their outboxes, one account after the other."""
    async with _office(store, data) as office:
        for settings in chosen:
            if settings.smtp:
                try:
                    passed = await Outgoing(office, settings).run()
                except (SyncFailed, SettingsError) as error:  # the run itself says more
                    passed = Passed(why=str(error))
                if passed is not None and passed != Passed():
                    tell(Noted(settings.address, told(passed)))


@asynccontextmanager
async def sending(store: Store, data: Path, tell: Teller) -> AsyncIterator[None]:
    """All outboxes, as long as the context lasts."""
    async with _office(store, data) as office:
        postman = Postman(office, lambda address, passed: tell(Noted(address, told(passed))))
        task = asyncio.get_running_loop().create_task(postman.run())
        try:
            yield
        finally:
            task.cancel()
            await postman.close(_GRACE)


def told(passed: Passed) -> str:
    """For people."""
    parts = [
        f"{count:,} {what}"
        for count, what in (
            (passed.sent, "sent from the outbox"),
            (passed.deferred, "to be tried again"),
            (passed.refused, "refused (a report is in INBOX)"),
            (passed.doubtful, "may have been sent: `postwren sync outbox list`"),
        )
        if count
    ]
    if passed.why:
        parts.append(f"the outbox waits: {passed.why}")
    return "; ".join(parts)


@asynccontextmanager
async def _office(store: Store, data: Path) -> AsyncIterator[Office]:
    """With the queue's clock, which is kept at the end: a server that runs beside keeps a later one."""
    clock = QueueClock(read_clock(store.reader), time.monotonic(), time.time())
    try:
        yield Office(store, data, lambda: clock.now(time.monotonic()))
    finally:
        with contextlib.suppress(MailstoreError):
            await store.perform(save_clock(clock, time.monotonic(), time.time()))
