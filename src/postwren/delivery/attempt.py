"""What one try at one host brought for each recipient: the values between `exchange.outbound` and `delivery.queue`."""

import enum
from dataclasses import dataclass
from typing import Final

from postwren.protocols.smtp.reply import Reply

__all__ = ["Fate", "Outcome", "Verdict", "verdict_of"]

_TEXT_LINES: Final = 20
_TEXT: Final = 1000


class Fate(enum.Enum):
    """Of one recipient, behind one attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a host (`host` "": this server) says. `text` is whatever the host wrote: who shows it escapes it (A-33). `offers_dsn`:
    the host took the wishes for reports over, and sends them by itself (RFC 3461 section 5.2.2)."""

    fate: Fate
    code: int
    enhanced: str  # "" where the host gave none
    text: str
    host: str = ""
    offers_dsn: bool = False

    def __str__(self) -> str:
        """As `QueuedRecipient.reply` keeps it."""
        words = [str(self.code), *filter(None, (self.enhanced, self.text))]
        return " ".join(words) + (f" ({self.host})" if self.host else "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the recipient of this number."""

    number: int
    verdict: Verdict


def verdict_of(reply: Reply, host: str, *, offers_dsn: bool = False) -> Verdict:
    """Of a final reply: 2yz, 4yz or 5yz (RFC 5321 section 4.2.1)."""
    fate = Fate.DELIVERED if reply.code < 300 else Fate.DEFERRED if reply.code < 500 else Fate.FAILED
    text = " ".join(filter(None, reply.lines[:_TEXT_LINES]))[:_TEXT]
    return Verdict(fate, reply.code, reply.enhanced, text, host, offers_dsn)
