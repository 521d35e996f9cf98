"""What is decided about one message between its first octet and the store, and by whom.

The header is held back until it ends. Whoever treats the message then says at once how it is kept (mail from our own relays, over
LMTP, or of somebody who logged in), or that this is known at the end of the data only (what is judged, what is signed):

    treatment.header(block)      how it is kept, why not, or None: ask again when all of it has come
    treatment.feed(octets)       every octet as it comes, header too; only after None
    await treatment.end()        how it is kept, or why not

So nobody who need not wait waits, and what stands in front of a message is written once, also when it is known last.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from postwren.delivery.envelope import Envelope
from postwren.delivery.inbound import Outcome
from postwren.delivery.trace import Origin
from postwren.mailauth.authres import strip_forged
from postwren.mailstore.port import NewBody, Unit
from postwren.protocols.smtp.reply import Reply

__all__ = ["TOP_OCTETS", "Deliver", "Immediate", "Keep", "Treat", "Treatment"]

TOP_OCTETS: Final = 64 * 1024
"""So much may be put in front of a message, beside its header, where that is known at its end."""

Deliver: TypeAlias = Callable[[Envelope, NewBody, int], Unit[list[Outcome]]]
"""The unit of work that keeps a message, at the time `now`; an outcome a recipient."""


@dataclass(frozen=True, slots=True)
class Keep:
    """`top` is what stands in front of the message; `header` takes the place of its header block, the empty line not counted
    (None: it stays as it is). `others` are bodies that the unit of work takes besides the message's: whoever gets this writes or
    discards them."""

    top: bytes
    deliver: Deliver
    header: bytes | None = None
    others: tuple[NewBody, ...] = ()


class Treatment(Protocol):
    """One message's. All calls on the loop's thread, in the order above."""

    def header(self, block: bytes) -> Keep | Reply | None:
        """The header block has come: all lines before the empty one, at most `trace.HEADER_OCTETS`, each with its CRLF."""

    def feed(self, data: bytes) -> None: ...

    async def end(self) -> Keep | Reply:
        """All octets were fed."""

    def drop(self) -> None:
        """The message is not kept, whoever says so; at any time, and more than once."""


Treat: TypeAlias = Callable[[Envelope, Origin], Treatment | None]
"""None: as mail that nobody changes is treated."""


class Immediate:
    """A treatment that knows at once: `top` in front. `stripped_of`: whose Authentication-Results the header may not hold (A-37),
    "" where who sends it may have written them."""

    __slots__ = ("_keep", "_stripped_of")

    def __init__(self, top: bytes, deliver: Deliver, stripped_of: str = "") -> None:
        self._keep = Keep(top, deliver)
        self._stripped_of = stripped_of

    def header(self, block: bytes) -> Keep:
        if self._stripped_of and (stripped := strip_forged(block, self._stripped_of)) is not block:
            return replace(self._keep, header=stripped)
        return self._keep

    def feed(self, data: bytes) -> None:
        """Never."""

    async def end(self) -> Keep:
        return self._keep

    def drop(self) -> None:
        """Nothing is held."""
