"""The caps of the message parser, stated once. What lies beyond a cap stays octets: it is kept and served, not parsed."""

from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets, unless said otherwise."""

    header_block: int = 1 << 20  # of one header
    header_field: int = 64 << 10  # of one field's value
    header_fields: int = 10_000  # number of fields of one header
    addresses: int = 2_000  # number in one field; markers of groups count
    references: int = 1_000  # number of message ids kept of one message
    depth: int = 100  # levels of multiparts and messages
    parts: int = 10_000  # rows of one message
    boundary: int = 200  # RFC 2046 allows 70
    subject: int = 4_000  # characters of a base subject
    preview: int = 200  # characters; RFC 8970 section 3.3 forbids more than 256
    preview_input: int = 64 << 10  # encoded octets that are looked at for a preview


DEFAULT_LIMITS: Final = Limits()
