"""One message on its way into the store: trace lines first, then its octets as they come, then the steps and a write.

Once the store says no (no space) nothing more is written: the rest of the octets is let go, and `finish` tells why.
"""

from collections.abc import Callable
from typing import TypeAlias

from postwren.delivery.envelope import Envelope
from postwren.delivery.inbound import Arrival, Outcome, deliver_all, deliver_each, judge
from postwren.delivery.trace import HeaderWatch, Origin, received, return_path
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import BodyWriter, NewBody, Store
from postwren.protocols.smtp.reply import Reply
from postwren.server.smtp.refusal import OBJECTIONS, store_refusal

__all__ = ["Done", "Reception"]

Done: TypeAlias = Callable[[list[Outcome] | None, BaseException | None], None]


class Reception:
    """Begun with the first octets, when the recipients are known."""

    __slots__ = ("_body", "_done", "_envelope", "_header", "_refusal", "_store", "_writer", "size")

    def __init__(self, store: Store, envelope: Envelope, origin: Origin, hostname: str, now: float) -> None:
        self._store = store
        self._envelope = envelope
        self._header = HeaderWatch()
        self._refusal: Reply | None = None
        self._writer: BodyWriter | None = None
        self._body: NewBody | None = None  # in the store's hands
        self._done: Done | None = None
        self.size = 0
        try:
            self._writer = store.new_body()
            self._writer.write(return_path(envelope.reverse_path) + received(origin, hostname, envelope, now))
        except MailstoreError as error:
            self._refuse(error)

    def write(self, data: bytes) -> None:
        """The next octets."""
        self.size += len(data)
        self._header.feed(data)
        if self._writer is not None:
            try:
                self._writer.write(data)
            except MailstoreError as error:
                self._refuse(error)

    def finish(self, *, each: bool, now: int, done: Done) -> Reply | None:
        """The last octet was written: why it cannot be kept; or None, and `done` is called when it is durable (or not)."""
        self._header.end()
        if self._refusal is None:
            objection = judge(Arrival(self._envelope, self._header))
            self._refusal = OBJECTIONS[objection] if objection is not None else None
        if self._refusal is None and self._writer is not None:
            try:
                self._body = body = self._writer.finish()
            except MailstoreError as error:
                self._refuse(error)
            else:
                self._writer = None
                self._done = done
                self._store.write((deliver_each if each else deliver_all)(self._envelope, body, now), [body], self._written)
                return None
        self.discard()
        return self._refusal

    def _written(self, outcomes: list[Outcome] | None, error: BaseException | None) -> None:
        assert self._body is not None
        assert self._done is not None
        self._body.discard()
        self._done(outcomes, error)

    def discard(self) -> None:
        """It is not kept: give the space back. Harmless when the store has it."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _refuse(self, error: MailstoreError) -> None:
        self._refusal = store_refusal(error)
        self.discard()
