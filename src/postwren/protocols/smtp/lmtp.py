"""LMTP as a variant of SMTP (RFC 2033): LHLO in place of EHLO and HELO, and after the message one reply a recipient.

It has no reply of its own to a message without recipients: DATA is then refused with 503 (4.2, D-21), by the same
table as SMTP's. It must not be spoken on port 25 (5).
"""

from typing import Final

from postwren.protocols.smtp.command import COMMANDS, Lhlo, parse_lhlo
from postwren.protocols.smtp.state import Variant

__all__ = ["LMTP"]

LMTP: Final = Variant(
    "LMTP",
    {verb: entry for verb, entry in COMMANDS.items() if verb not in ("EHLO", "HELO")} | {"LHLO": (Lhlo, parse_lhlo)},
    Lhlo,
    answers_each_recipient=True,
)
