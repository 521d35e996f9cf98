"""DEFLATE (RFC 1951) on a link (RFC 4978; A-48)."""

import asyncio
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.transport.transport_echo import LOOPS, Stage, run

from postwren.transport.compression import PIECE, RATIO, WINDOW, Compression, InflationFault

each_loop = pytest.mark.parametrize("loop", LOOPS)


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)


def inflated(compression: Compression, data: bytes) -> bytes:
    octets = compression.inflate(data)
    while compression.waiting:
        octets += compression.inflate(b"")
    return octets


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 50))
@settings(max_examples=50)
def test_what_one_side_deflates_the_other_inflates_in_any_cut(pieces: list[bytes], cut: int) -> None:
    ours, theirs = Compression(), Compression()
    wire = b"".join(ours.deflate(piece) for piece in pieces)
    read = b"".join(inflated(theirs, wire[at : at + cut]) for at in range(0, len(wire), cut))
    assert read == b"".join(pieces)


def test_a_piece_is_all_that_is_inflated_at_a_time() -> None:
    compression = Compression()
    data = random.Random(1).randbytes(50_000) * 4
    assert len(compression.inflate(deflated(data))) == PIECE
    assert compression.waiting > 0


def test_a_bomb_is_found_before_it_goes_off() -> None:
    compression = Compression()
    with pytest.raises(InflationFault):
        inflated(compression, deflated(bytes(WINDOW + 2 * PIECE)))


def test_what_is_small_may_be_as_repetitive_as_it_likes() -> None:
    data = bytes(WINDOW)
    assert inflated(Compression(), deflated(data)) == data


def test_a_long_session_of_ordinary_ratio_is_no_bomb() -> None:
    compression = Compression()
    deflater = zlib.compressobj(wbits=-15)
    line = b"".join(b"a%d UID FETCH %d (FLAGS BODY.PEEK[HEADER])\r\n" % (n, n) for n in range(2000))
    total = 0
    for _ in range(3 * WINDOW // len(line)):
        total += len(inflated(compression, deflater.compress(line) + deflater.flush(zlib.Z_SYNC_FLUSH)))
    assert total > 2 * WINDOW
    assert RATIO > 20


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x03\x00"], ids=["garbage", "the end of a stream"])
def test_what_is_no_open_stream_is_a_fault(data: bytes) -> None:
    with pytest.raises(InflationFault):
        Compression().inflate(data)


@each_loop
def test_a_link_is_compressed_from_the_answer_on(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"plain\r\nCOMPRESS\r\n")
            assert [await caller.line() for _ in range(3)] == [b"hello", b"plain", b"deflating"]
            deflater, inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
            lines = b"".join(b"line %d\r\n" % n for n in range(20_000))
            caller.send(deflater.compress(lines + b"QUIT\r\n") + deflater.flush(zlib.Z_SYNC_FLUSH))
            assert inflater.decompress(await caller.rest()) == lines + b"bye\r\n"
            await caller.close()

    run(loop, work())


@each_loop
def test_a_bomb_ends_the_connection(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"COMPRESS\r\n")
            assert [await caller.line() for _ in range(2)] == [b"hello", b"deflating"]
            caller.send(deflated(bytes(50 * WINDOW)))
            await asyncio.wait_for(stage.sessions[0].gone.wait(), 10)
            assert stage.sessions[0].handled == [b"COMPRESS"] or max(map(len, stage.sessions[0].handled)) <= 1000
            await caller.close()

    run(loop, work())
