"""What a queued message itself asks of TLS (RFC 8689): REQUIRETLS of its envelope, or "TLS-Required: No" in its header."""

from typing import Final

from postwren.exchange.policy import TlsWish
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import Store
from postwren.mailstore.queue import QueuedMessage
from postwren.mailstore.service.queue import queue_mailbox
from postwren.message.header import read_header

__all__ = ["Wishes", "wish_in_header"]

_LOOKED_AT: Final = 64 << 10
"""Octets: whoever writes a longer header above the field does not ask for it."""


class Wishes:
    """Looks into the octets of what is queued: a read of the store a message and an attempt."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, message: QueuedMessage) -> TlsWish:
        if message.requires_tls:  # section 4.1: then the field is ignored
            return TlsWish.REQUIRED
        return wish_in_header(self._beginning(message))

    def _beginning(self, message: QueuedMessage) -> bytes:
        """b"" where it cannot be read: sending it will find that out."""
        reader = self._store.reader
        where = queue_mailbox(reader)
        entries = [] if where is None else reader.entries(*where, [(message.uid, message.uid)])
        email = reader.email(entries[0].account_id, entries[0].email_id) if entries else None
        try:
            return b"" if email is None else self._store.read_body(email.body, 0, min(email.body.size, _LOOKED_AT))
        except (MailstoreError, OSError):
            return b""


def wish_in_header(octets: bytes) -> TlsWish:
    """Section 3: there is one such field, and it says No."""
    if b"tls-required" not in octets.lower():
        return TlsWish.USUAL
    values = read_header(octets).every(b"tls-required")
    return TlsWish.WAIVED if [value.strip().lower() for value in values] == [b"no"] else TlsWish.USUAL
