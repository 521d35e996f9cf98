"""What a queued message itself asks of TLS (RFC 8689): REQUIRETLS of its envelope, or "TLS-Required: No" in its header."""

from postwren.exchange.policy import TlsWish
from postwren.mailstore.queue import QueuedMessage
from postwren.message.header import read_header

__all__ = ["wish_in_header", "wish_of"]


def wish_of(message: QueuedMessage, octets: bytes) -> TlsWish:
    """`octets`: its first ones. Whoever writes a longer header above the field does not ask for it."""
    if message.requires_tls:  # section 4.1: then the field is ignored
        return TlsWish.REQUIRED
    return wish_in_header(octets)


def wish_in_header(octets: bytes) -> TlsWish:
    """Section 3: there is one such field, and it says No."""
    if b"tls-required" not in octets.lower():
        return TlsWish.USUAL
    values = read_header(octets).every(b"tls-required")
    return TlsWish.WAIVED if [value.strip().lower() for value in values] == [b"no"] else TlsWish.USUAL
