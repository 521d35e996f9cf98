"""Sets of sequence numbers and UIDs (RFC 9051 section 9, sequence-set; RFC 5182 for `$`)."""

import enum
from typing import Final, Literal, TypeAlias

__all__ = ["SAVED", "STAR", "NumSet", "Saved"]

STAR: Final = 1 << 32
"""`*`: above every number there can be; whoever knows the mailbox puts its largest number there."""


class Saved(enum.Enum):
    """The type of `SAVED`."""

    SAVED = "SAVED"


SAVED: Final = Saved.SAVED
"""`$`: the result that the last SEARCH saved."""

NumSet: TypeAlias = tuple[tuple[int, int], ...] | Literal[Saved.SAVED]
"""Ranges as they were written, in their order; either end may be `STAR`, and (7, 2) means (2, 7)."""
