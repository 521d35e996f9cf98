"""A queued message as it leaves: its octets behind the Return-Path line of the copy that stays here (RFC 5321 section 4.4)."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeAlias

from postwren.delivery.trace import return_path_octets
from postwren.exchange.connection import Letter
from postwren.exchange.policy import TlsWish
from postwren.mailstore.errors import BodyCorrupt
from postwren.mailstore.model import BodyRef
from postwren.mailstore.port import Store
from postwren.mailstore.queue import QueuedMessage
from postwren.mailstore.service.queue import queue_mailbox
from postwren.terms import Uid

__all__ = ["WishOf", "read_letter", "usual_wish"]

WishOf: TypeAlias = Callable[[QueuedMessage, bytes], TlsWish]
"""What a message asks of TLS; its first octets may say more than its row."""

_RETURN_PATH: Final = 512
_AT_ONCE: Final = 64 * 1024  # what is longer is read piece by piece
_HEADER: Final = 256 * 1024  # no longer header was taken


def usual_wish(message: QueuedMessage, _octets: bytes) -> TlsWish:
    """Of the envelope alone."""
    return TlsWish.REQUIRED if message.requires_tls else TlsWish.USUAL


def read_letter(store: Store, uid: Uid, wish_of: WishOf = usual_wish) -> Letter | None:
    """None where the message is gone. A short one is read now, once."""
    reader = store.reader
    message = reader.queued_message(uid)
    place = queue_mailbox(reader)
    if message is None or place is None:
        return None
    entries = reader.entries(*place, [(uid, uid)])
    email = reader.email(place[0], entries[0].email_id) if entries else None
    if email is None:
        return None
    ref = email.body
    octets, is_whole = _first_octets(store, ref)
    start, wish = return_path_octets(octets[:_RETURN_PATH]), wish_of(message, octets)
    if is_whole:
        left = octets[start:]
        return Letter(message, len(left), lambda: iter((left,)), lambda: _is_ascii_header(left), wish=wish)
    pieces, header = partial(_pieces, store, ref, start), partial(_has_ascii_header, store, ref, start)
    return Letter(message, ref.size - start, pieces, header, wish=wish)


def _first_octets(store: Store, ref: BodyRef) -> tuple[bytes, bool]:
    """And whether they are all. Of a damaged body they are not: who reads it piece by piece finds out."""
    if ref.size <= _AT_ONCE:
        with contextlib.suppress(BodyCorrupt):
            return store.read_body(ref), True
    return store.read_body(ref, 0, min(ref.size - 1, _AT_ONCE)), False  # a part is not checked


def _pieces(store: Store, ref: BodyRef, skipped: int) -> Iterator[bytes]:
    for piece in store.body_pieces(ref):
        rest, skipped = piece[skipped:], max(0, skipped - len(piece))
        if rest:
            yield rest


def _has_ascii_header(store: Store, ref: BodyRef, start: int) -> bool:
    return _is_ascii_header(store.read_body(ref, start, min(ref.size - start, _HEADER)))


def _is_ascii_header(head: bytes) -> bool:
    end = head.find(b"\r\n\r\n")
    return head[: len(head) if end < 0 else end].isascii()
