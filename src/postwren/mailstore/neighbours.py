"""Many bodies at once: those that lie side by side in a segment are read together, each is checked by its CRC."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol
from zlib import crc32

from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.model import BodyRef, Email
from postwren.message.glance import header_columns
from postwren.terms import EmailId

__all__ = ["WINDOW", "Windows", "read_header_columns", "read_neighbours"]

WINDOW: Final = 1 << 20
"""Octets that are read at once; a longer body is not read here."""
NEAR: Final = 64 << 10
"""A gap of this size between two bodies still makes them neighbours."""


class Windows(Protocol):
    """`Store.read_window`."""

    def read_window(self, ref: BodyRef, length: int) -> tuple[int, bytes]: ...


def read_header_columns(store: Windows, emails: Sequence[Email], names: tuple[str, ...]) -> dict[EmailId, tuple[Any, ...]]:
    """Columns of digests (`message.glance`) out of the headers of these emails, many times quicker than digests; without those
    that `read_neighbours` does not read."""
    refs = [email.body for email in emails]
    return {
        emails[position].email_id: header_columns(octets, names)
        for position, octets in read_neighbours(store, refs)
        if octets is not None
    }


def read_neighbours(store: Windows, refs: Sequence[BodyRef]) -> Iterator[tuple[int, bytes | None]]:
    """(position in `refs`, octets) of each, in the order in which they lie; None where the octets are not what was stored, or the
    body is longer than `WINDOW`."""
    order = sorted(range(len(refs)), key=refs.__getitem__)
    start = 0
    while start < len(order):
        first = refs[order[start]]
        end, stop = start + 1, first.offset + first.size
        while end < len(order):
            ref = refs[order[end]]
            last = max(stop, ref.offset + ref.size)
            if ref.segment != first.segment or ref.offset > stop + NEAR or last - first.offset > WINDOW:
                break
            end, stop = end + 1, last
        yield from _window(store, refs, order[start:end], stop - first.offset)
        start = end


def _window(store: Windows, refs: Sequence[BodyRef], positions: list[int], length: int) -> Iterator[tuple[int, bytes | None]]:
    if length > WINDOW:  # one alone
        yield positions[0], None
        return
    try:
        offset, octets = store.read_window(refs[positions[0]], length)
    except (BodyCorrupt, MessageGone):
        offset, octets = 0, b""
    for position in positions:
        ref = refs[position]
        body = octets[ref.offset - offset : ref.offset - offset + ref.size] if octets else b""
        yield position, body if len(body) == ref.size and crc32(body) == ref.crc else None
