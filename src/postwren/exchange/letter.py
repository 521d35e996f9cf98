"""A queued message as it leaves: its octets behind the Return-Path line of the copy that stays here (RFC 5321 section 4.4)."""

from collections.abc import Iterator
from typing import Final

from postwren.delivery.trace import return_path_octets
from postwren.exchange.connection import Letter
from postwren.mailstore.model import BodyRef
from postwren.mailstore.port import Store
from postwren.mailstore.service.queue import queue_mailbox
from postwren.terms import Uid

__all__ = ["read_letter"]

_RETURN_PATH: Final = 512
_HEADER: Final = 256 * 1024  # no longer header was taken


def read_letter(store: Store, uid: Uid) -> Letter | None:
    """None where the message is gone."""
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
    start = return_path_octets(store.read_body(ref, 0, min(ref.size, _RETURN_PATH)))
    return Letter(message, ref.size - start, lambda: _pieces(store, ref, start), lambda: _has_ascii_header(store, ref, start))


def _pieces(store: Store, ref: BodyRef, skipped: int) -> Iterator[bytes]:
    for piece in store.body_pieces(ref):
        rest, skipped = piece[skipped:], max(0, skipped - len(piece))
        if rest:
            yield rest


def _has_ascii_header(store: Store, ref: BodyRef, start: int) -> bool:
    head = store.read_body(ref, start, min(ref.size - start, _HEADER))
    end = head.find(b"\r\n\r\n")
    return head[: len(head) if end < 0 else end].isascii()
