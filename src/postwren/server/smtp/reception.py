"""One message on its way into the store. Its header is held back until it ends; its treatment (`delivery.intake`) says then, or
at the end of the data, what stands in front and who gets it.

    write(data) ...                  the octets as they come
    end()                            the last one was written
    if is_undecided: await decide()  only what is judged or signed at its end
    keep(now, done)                  why it cannot be kept; or None, and `done` is called when it is durable (or not)

Once somebody says no, the rest of the octets is let go, and `keep` tells why.
"""

from collections.abc import Callable
from typing import TypeAlias

from postwren.delivery.envelope import Envelope
from postwren.delivery.inbound import Arrival, Outcome, judge
from postwren.delivery.intake import TOP_OCTETS, Keep, Treatment
from postwren.delivery.trace import HeaderWatch
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import BodyWriter, NewBody, Store
from postwren.protocols.smtp.reply import Reply
from postwren.server.smtp.refusal import OBJECTIONS, store_refusal

__all__ = ["Done", "Reception"]

Done: TypeAlias = Callable[[list[Outcome] | None, BaseException | None], None]


class Reception:
    """Begun with the first octets, when the recipients are known."""

    __slots__ = (
        "_block",
        "_body",
        "_done",
        "_envelope",
        "_header",
        "_keep",
        "_refusal",
        "_store",
        "_treatment",
        "_writer",
        "size",
    )

    def __init__(self, store: Store, envelope: Envelope, treatment: Treatment) -> None:
        self._store = store
        self._envelope = envelope
        self._treatment = treatment
        self._header = HeaderWatch()
        self._block = b""  # the header, where it is written last
        self._keep: Keep | None = None
        self._refusal: Reply | None = None
        self._writer: BodyWriter | None = None
        self._body: NewBody | None = None  # in the store's hands
        self._done: Done | None = None
        self.size = 0

    def write(self, data: bytes) -> None:
        """The next octets."""
        self.size += len(data)
        if not self._header.is_over:
            come = self._header.feed(data)
            if come is not None:
                self._begin(come)
        elif self._writer is not None:
            if self._keep is None:
                self._treatment.feed(data)
            self._write(data)

    def end(self) -> None:
        """The last octet was written."""
        come = self._header.end()
        if come is not None:
            self._begin(come)

    def _begin(self, come: bytes) -> None:
        """The header is over: `come` is it, and what came behind it so far."""
        objection = judge(Arrival(self._envelope, self._header))
        if objection is not None:
            self._refuse(OBJECTIONS[objection])
            return
        end = self._header.octets
        block = come[:end]
        said = self._treatment.header(block)
        if isinstance(said, Reply):
            self._refuse(said)
            return
        try:
            self._writer = self._store.new_body(0 if said is not None else TOP_OCTETS + end)
        except MailstoreError as error:
            self._refuse(store_refusal(error))
            return
        if said is None:
            self._block = block
            self._treatment.feed(come)
            self._write(come[end:])
            return
        self._keep = said
        self._write(said.top)
        if said.header is None:
            self._write(come)
        else:
            self._write(said.header)
            self._write(come[end:])

    def _write(self, data: bytes) -> None:
        if self._writer is not None:
            try:
                self._writer.write(data)
            except MailstoreError as error:
                self._refuse(store_refusal(error))

    @property
    def is_undecided(self) -> bool:
        """`decide` must be awaited."""
        return self._keep is None and self._refusal is None

    async def decide(self) -> None:
        """Ask the treatment how the message is kept."""
        said = await self._treatment.end()
        if isinstance(said, Reply):
            self._refuse(said)
        else:
            self._keep = said

    def keep(self, now: int, done: Done) -> Reply | None:
        """Hand it to the store."""
        keep, writer = self._keep, self._writer
        if self._refusal is None and keep is not None and writer is not None:
            try:
                self._body = body = writer.finish(self._front(keep)) if self._block else writer.finish()
            except MailstoreError as error:
                self._refuse(store_refusal(error))
            else:
                self._writer = None
                self._done = done
                self._store.write(keep.deliver(self._envelope, body, now), [body, *keep.others], self._written)
                return None
        self.discard()
        return self._refusal

    def _front(self, keep: Keep) -> bytes:
        return keep.top + (self._block if keep.header is None else keep.header)

    def _written(self, outcomes: list[Outcome] | None, error: BaseException | None) -> None:
        assert self._body is not None
        assert self._done is not None
        self._body.discard()
        self._discard_others()
        self._done(outcomes, error)

    def discard(self) -> None:
        """It is not kept: give the space back. Harmless when the store has it."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        if self._body is None:
            self._discard_others()
            self._treatment.drop()

    def _discard_others(self) -> None:
        for body in self._keep.others if self._keep is not None else ():
            body.discard()

    def _refuse(self, reply: Reply) -> None:
        self._refusal = reply
        self.discard()
