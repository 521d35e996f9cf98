"""FETCH of one large message: the same items as in a batch, but its octets go out in pieces and are never in memory at once."""

from collections.abc import Callable, Iterator
from typing import Final

from postwren.message.octets import cut
from postwren.server.imap.rendering import Batch, Layout
from postwren.server.imap.section import narrowed, without_nul

__all__ = ["render_large"]

PIECE: Final = 1 << 18


def render_large(layout: Layout, batch: Batch, whole: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    """The line of the one message of this batch; `whole` reads it in pieces and checks it on the way."""
    body = batch.bodies[0]
    yield layout.head % batch.numbers[0]
    for place, cell in enumerate(layout.cells):
        space = b" " if place else b""
        if cell.locate is None:
            values = tuple([next(iter(column)) for column in cell.values(batch)])
            yield space + cell.format % values
            continue
        found = cell.locate(body)
        if found is None:
            yield b"%b%b NIL" % (space, cell.name)
        elif isinstance(found, bytes):
            start, end = narrowed((0, len(found)), cell.partial)
            yield b"%b%b {%d}\r\n%b" % (space, cell.name, end - start, without_nul(found[start:end]))
        else:
            start, end = narrowed(found, cell.partial)
            yield b"%b%b {%d}\r\n" % (space, cell.name, end - start)
            if (start, end) == (0, len(body.octets)):
                yield from map(without_nul, whole())
            else:
                yield from (without_nul(cut(body.octets, at, min(at + PIECE, end))) for at in range(start, end, PIECE))
    yield b")\r\n"
