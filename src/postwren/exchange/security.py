"""Transport security of a running server: policies for outbound, their renewal, and the reports on it.

security = TransportSecurity(store, resolver, hostname, contact, queue_clock, is_private_allowed=False)
Roads(..., policies=security.policies);  Outbound(..., wish_of=wish_of)
await security.run()                    until cancelled
await security.close()                  while the store is still open
"""

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from postwren.exchange.mtasts import MtaSts
from postwren.exchange.policy import TlsPolicies
from postwren.exchange.rules import Policies
from postwren.exchange.sending import make_send
from postwren.exchange.tlsreport import Reporter, TlsReporter, TlsTally
from postwren.exchange.web import StrangersWeb
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Store
from postwren.wire.resolver import Resolver

__all__ = ["TransportSecurity"]

_RENEW_EVERY: Final = 3600.0


class TransportSecurity:
    """`contact` is the address that reports come from; `queue_now` gives the queue's seconds."""

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        hostname: str,
        contact: str,
        queue_now: Callable[[], int],
        *,
        is_private_allowed: bool = False,
        trusted: Path | None = None,
        https_port: int = 443,
    ) -> None:
        web = StrangersWeb(resolver, is_private_allowed=is_private_allowed, trusted=trusted, port=https_port)
        send = make_send(store, queue_now, time.time)
        tally = TlsTally(lambda: _utc_now().date())
        self._sts = MtaSts(store, resolver, web, time.time)
        self._reporter = TlsReporter(tally, store, resolver, web, send, Reporter(hostname, contact), _utc_now)
        self._reporter.load()
        self.policies: TlsPolicies = Policies(resolver, self._sts, _utc_now, tally)

    async def run(self) -> None:
        """Renew policies once an hour, send reports when a day is over."""
        await asyncio.gather(self._renew(), self._reporter.run())

    async def close(self) -> None:
        """Write down what was counted."""
        with contextlib.suppress(MailstoreError):
            await self._reporter.save()

    async def send_due(self) -> int:
        """Reports of days that are over, now."""
        return await self._reporter.send_due()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            await self._sts.renew()


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
