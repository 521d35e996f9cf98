"""Recipients in the queue whose domain is ours: mail that was held until now (RFC 4865), or whose domain came to us meanwhile.

They are delivered here, without a connection, and what became of them is concluded like any attempt.
"""

from collections.abc import Callable, Sequence
from typing import Final

from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.envelope import Envelope, Recipient
from postwren.delivery.inbound import deliver_each
from postwren.delivery.queue import Locate
from postwren.delivery.trace import return_path
from postwren.exchange.connection import Letter
from postwren.mailstore.errors import OverQuota
from postwren.mailstore.port import NewBody, Store
from postwren.mailstore.queue import QueuedRecipient
from postwren.mailstore.service.accounts import resolve
from postwren.protocols.smtp.path import parse_mailbox

__all__ = ["Home"]

_KEPT: Final = Verdict(Fate.DELIVERED, 250, "2.0.0", "Message kept")
_FULL: Final = Verdict(Fate.DEFERRED, 452, "4.2.2", "The mailbox is full")
_UNKNOWN: Final = Verdict(Fate.FAILED, 550, "5.1.1", "No such recipient here")


class Home:
    """`now` gives seconds since 1970; `locate` whose address it is."""

    __slots__ = ("_locate", "_now", "_store")

    def __init__(self, store: Store, now: Callable[[], float], locate: Locate = resolve) -> None:
        self._store = store
        self._now = now
        self._locate = locate

    def has(self, domain: str) -> bool:
        """Whether its recipients live here."""
        return self._store.reader.domain_exists(domain)

    async def deliver(self, letter: Letter, rows: Sequence[QueuedRecipient]) -> list[Outcome]:
        """Each for itself. Raises what the store raises, and ValueError where an address is none."""
        sender = letter.message.reverse_path
        envelope = Envelope(parse_mailbox(sender) if sender else None)
        known, outcomes = [], []
        for row in rows:
            address = parse_mailbox(row.address)
            account_id = self._locate(self._store.reader, address)
            if account_id is None:
                outcomes.append(Outcome(row.number, _UNKNOWN))
            else:
                known.append(row)
                envelope.recipients.append(Recipient(address, account_id))
        if not known:
            return outcomes
        body = self._body(letter, envelope)
        try:
            results = await self._store.perform(deliver_each(envelope, body, int(self._now())), [body])
        finally:
            body.discard()
        for row, error in zip(known, results, strict=True):
            verdict = _KEPT if error is None else _FULL if isinstance(error, OverQuota) else _UNKNOWN
            outcomes.append(Outcome(row.number, verdict))
        return outcomes

    def _body(self, letter: Letter, envelope: Envelope) -> NewBody:
        writer = self._store.new_body()
        try:
            writer.write(return_path(envelope.reverse_path))
            for piece in letter.pieces():
                writer.write(piece)
            return writer.finish()
        except BaseException:
            writer.discard()
            raise
