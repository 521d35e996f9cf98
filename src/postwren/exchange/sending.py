"""Messages that the server writes to strangers who asked for them: reports on DMARC and on TLS."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from postwren.delivery.queue import Report, send_report
from postwren.delivery.signing import Signers
from postwren.mailstore.port import Store
from postwren.terms import Address

__all__ = ["Send", "make_send"]

Send: TypeAlias = Callable[[Address, bytes], Awaitable[None]]
"""Puts a message into the queue, from <>, for one recipient."""


def make_send(store: Store, queue_now: Callable[[], int], now: Callable[[], float]) -> Send:
    """A `Send` by the road of reports on messages: signed, from <>, and into an INBOX where the recipient lives here."""
    signers = Signers(store.reader)

    async def send(recipient: Address, octets: bytes) -> None:
        seconds = int(now())
        writer = store.new_body()
        writer.write(signers.fields_of(octets, seconds) + octets)
        body = writer.finish()
        report = Report(body, "7BIT", False)
        try:
            await store.perform(lambda tx: send_report(tx, str(recipient), report, seconds, queue_now()), [body])
        finally:
            body.discard()

    return send
