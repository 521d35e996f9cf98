"""What leaves of a queued message: read once where it is short, piece by piece where it is long or damaged."""

import asyncio
from pathlib import Path

import pytest

from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.queue import accept
from postwren.exchange.letter import read_letter
from postwren.exchange.policy import TlsWish
from postwren.exchange.wish import wish_of
from postwren.mailstore.errors import BodyCorrupt
from postwren.storage.embedded import EmbeddedStore
from postwren.terms import Address, Uid

HEAD = b"Return-Path: <ann@example.org>\r\nTLS-Required: No\r\nSubject: one\r\n\r\n"


async def queue(store: EmbeddedStore, octets: bytes) -> Uid:
    writer = store.new_body()
    writer.write(octets)
    body = writer.finish()
    envelope = Envelope(Address("ann", "example.org"), elsewhere=[Elsewhere(Address("bob", "other.example"))])
    await store.perform(accept(envelope, body, 1, 1), [body])
    return store.reader.queued_messages(Uid(0), 10)[-1].uid


@pytest.mark.parametrize("size", [10, 65536 - len(HEAD), 65537 - len(HEAD), 200_000])
def test_a_letter_begins_behind_its_return_path_whatever_its_size(tmp_path: Path, size: int) -> None:
    async def story() -> None:
        store, data = EmbeddedStore(tmp_path), HEAD + b"x" * size
        letter = read_letter(store, await queue(store, data), wish_of)
        assert letter is not None
        left = data.partition(b"\r\n")[2]
        assert (b"".join(letter.pieces()), b"".join(letter.pieces()), letter.size) == (left, left, len(left))
        assert (letter.wish, letter.header_is_ascii()) == (TlsWish.WAIVED, True)
        store.close()

    asyncio.run(story())


def test_a_damaged_body_never_leaves_as_if_it_were_whole(tmp_path: Path) -> None:
    async def story() -> None:
        store = EmbeddedStore(tmp_path)
        uid = await queue(store, HEAD + b"a line to damage\r\n")
        (segment,) = (path for path in (tmp_path / "segments").iterdir() if b"to damage" in path.read_bytes())
        segment.write_bytes(segment.read_bytes().replace(b"to damage", b"2b damage"))
        letter = read_letter(store, uid, wish_of)
        assert letter is not None
        with pytest.raises(BodyCorrupt):
            b"".join(letter.pieces())
        store.close()

    asyncio.run(story())
