"""One link over a real socket, on both event loops."""

import asyncio
import socket

import pytest
from tests.unit.transport.transport_echo import LOOPS, Caller, Stage, pieces, received, run, until

from postwren.transport.deadline import Patience
from postwren.transport.link import LINGER, LINGER_OCTETS
from postwren.transport.outflow import Outflow

each_loop = pytest.mark.parametrize("loop", LOOPS)


@each_loop
def test_pipelined_commands_are_answered_in_order(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"".join(b"line %d\r\n" % n for n in range(5000)) + b"QUIT\r\nnever\r\n")
            answers = (await caller.rest()).split(b"\r\n")
            assert answers == [b"hello", *(b"line %d" % n for n in range(5000)), b"bye", b""]
            assert b"never" not in stage.sessions[0].handled
            await caller.close()

    run(loop, work())


@each_loop
def test_all_answers_of_one_read_leave_in_one_write(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            await caller.line()
            (link,) = stage.listener.links
            writes: list[bytes] = []

            class Counting(Outflow):
                def write_octets(self, data: bytes) -> None:
                    writes.append(data)
                    super().write_octets(data)

            link._outflow = Counting(link._transport)
            caller.send(b"a\r\nb\r\nc\r\n")
            assert [await caller.line() for _ in range(3)] == [b"a", b"b", b"c"]
            assert writes == [b"a\r\nb\r\nc\r\n"]
            await caller.close()

    run(loop, work())


@each_loop
def test_no_event_is_handed_out_while_a_session_is_suspended(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"one\r\nSUSPEND\r\ntwo\r\n")
            assert [await caller.line() for _ in range(2)] == [b"hello", b"one"]
            session = stage.sessions[0]
            assert session.handled == [b"one", b"SUSPEND"]
            session.say(b"woken")
            session.link.resume()
            assert [await caller.line() for _ in range(2)] == [b"woken", b"two"]
            with pytest.raises(RuntimeError):
                session.link.resume()
            await caller.close()

    run(loop, work())


@each_loop
def test_a_coroutine_handler_runs_alone_and_its_bug_is_told(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"WAIT done\r\nnext\r\n")
            await caller.line()
            session = stage.sessions[0]
            await session.suspended.wait()
            assert session.handled == [b"WAIT done"]
            session.gate.set()
            assert [await caller.line() for _ in range(2)] == [b"done", b"next"]
            caller.send(b"WAIT BUG\r\nnever\r\n")
            assert await caller.rest() == b"our bug\r\n"
            assert stage.config.stats.bugs == 1
            assert len(session.failures) == 1
            await caller.close()

    run(loop, work())


@each_loop
def test_a_handler_that_raises_is_counted_answered_and_closed(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"fine\r\nBUG\r\nnever\r\n")
            assert await caller.rest() == b"hello\r\nfine\r\nour bug\r\n"
            assert stage.config.stats.bugs == 1
            await caller.close()

    run(loop, work())
    assert caplog.text.count("Traceback") == 1


@each_loop
def test_a_waiting_session_is_fed_no_more_than_the_cap(loop: str) -> None:
    """A-30: what a peer sends while we work stays in its own system's buffers."""

    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"SUSPEND\r\n")
            await caller.line()
            session = stage.sessions[0]
            await session.suspended.wait()
            caller.send(b"12345678901234567890123456789012345678901234567890123456789012\r\n" * 200_000)
            (link,) = stage.listener.links
            await until(lambda: not link._is_reading)
            assert 65536 < link._held_size < 65536 + 262145
            session.link.resume()
            received = await caller.exactly(64 * 200_000)
            assert received.count(b"\r\n") == 200_000
            await caller.close()

    run(loop, work())


@each_loop
def test_bodies_are_pulled_while_the_peer_keeps_up_and_later_answers_wait(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"BODY 20000000\r\nafter\r\nBODY 10\r\nQUIT\r\n")
            (link,) = stage.listener.links
            await until(lambda: link._outflow.later is not None)
            body = b"".join(pieces(20_000_000))
            expected = b"hello\r\nbody\r\n" + body + b".\r\nafter\r\nbody\r\n" + body[:8] + b"00.\r\nbye\r\n"
            assert await caller.exactly(len(expected)) == expected
            assert await caller.rest() == b""
            await caller.close()

    run(loop, work())


@each_loop
def test_a_body_that_cannot_be_read_never_looks_whole(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"BROKEN\r\nQUIT\r\n")
            received = await caller.rest()
            assert b".\r\n" not in received
            assert b"bye" not in received
            assert stage.config.stats.bodies_failed == 1
            assert stage.config.stats.bugs == 0
            await caller.close()

    run(loop, work())
    assert "a bad sector" in caplog.text


@each_loop
def test_what_is_owed_is_paid_after_the_peer_closed_its_side(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"WAIT slow\r\nlast\r\n")
            caller.writer.write_eof()
            await caller.line()
            session = stage.sessions[0]
            await session.suspended.wait()
            session.gate.set()
            assert await caller.rest() == b"slow\r\nlast\r\nyou are done\r\n"
            await session.gone.wait()
            await caller.close()

    run(loop, work())


@each_loop
def test_closed_comes_once_when_the_peer_vanishes_during_a_wait(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"SUSPEND\r\n")
            await caller.line()
            session = stage.sessions[0]
            await session.suspended.wait()
            caller.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            caller.writer.transport.abort()
            await session.gone.wait()
            session.link.resume()  # of no effect, and no error: the work ended after the peer did
            assert session.closed_count == 1
            assert stage.config.stats.bugs == 0

    run(loop, work())


@each_loop
def test_a_session_may_abort(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"ABORT\r\nnever\r\n")
            await caller.rest()
            await stage.sessions[0].gone.wait()
            assert b"never" not in stage.sessions[0].handled
            await caller.close()

    run(loop, work())


@each_loop
def test_a30_a_dripped_command_does_not_push_its_deadline_back(loop: str) -> None:
    async def work() -> None:
        async with Stage(patience=Patience(command=300)) as stage:
            caller = await stage.call()
            await caller.line()
            session = stage.sessions[0]
            (link,) = stage.listener.links
            stage.watch.tick()
            for count in range(1, 31):  # an octet every 10 s
                caller.send(b"x")
                await received(link, count)
                assert not session.gone.is_set()
                stage.passes(10)
            assert stage.config.stats.timed_out == 0
            stage.passes(1)
            assert await caller.rest() == b"bye, too slow\r\n"
            assert stage.config.stats.timed_out == 1
            await caller.close()

    run(loop, work())


@each_loop
def test_a30_a_command_in_time_starts_a_new_deadline(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            await caller.line()
            for _ in range(3):
                stage.passes(299)
                caller.send(b"noop\r\n")
                assert await caller.line() == b"noop"
            assert stage.config.stats.timed_out == 0
            await caller.close()

    run(loop, work())


async def _bulk(stage: Stage, rate: int, seconds: int) -> Caller:
    caller = await stage.call()
    caller.send(b"BULK 1000000\r\n")
    await caller.line()
    (link,) = stage.listener.links
    await until(lambda: link._octets)
    sent = link._octets
    stage.watch.tick()
    for _ in range(seconds // 10):
        if stage.config.stats.timed_out:
            break
        caller.send(b"x" * rate * 10)
        sent += rate * 10
        await received(link, sent)
        stage.passes(10)
    return caller


@each_loop
@pytest.mark.parametrize(("rate", "timed_out"), [(500, 0), (390, 1)])
def test_a30_message_octets_need_a_least_rate(loop: str, rate: int, timed_out: int) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await _bulk(stage, rate, 150)  # 390 * 150 < 500 * (150 - 30)
            assert stage.config.stats.timed_out == timed_out
            await caller.close()

    run(loop, work())


@each_loop
def test_a30_a_bulk_that_stalls_after_a_fast_start_is_dropped(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await _bulk(stage, 50_000, 10)
            stage.passes(290)
            assert stage.config.stats.timed_out == 0
            stage.passes(20)
            assert stage.config.stats.timed_out == 1
            await caller.close()

    run(loop, work())


@each_loop
@pytest.mark.parametrize("flood", [b"BODY 100000000\r\n", b"x" * 990 + b"\r\n"], ids=["body", "small answers"])
def test_a30_a_peer_that_never_reads_is_dropped_and_costs_little_until_then(loop: str, flood: bytes) -> None:
    async def work() -> None:
        async with Stage() as stage:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            running = asyncio.get_running_loop()
            await running.sock_connect(sock, ("127.0.0.1", stage.port))
            flooding = asyncio.ensure_future(running.sock_sendall(sock, flood * 20_000))
            await until(lambda: stage.listener.links)
            (link,) = stage.listener.links
            await until(lambda: link._outflow.is_full and not link._is_reading)
            assert link._transport.get_write_buffer_size() < 65536 + 131072 + 1024
            stage.passes(59)
            assert stage.config.stats.slow_readers == 0
            stage.passes(2)
            assert stage.config.stats.slow_readers == 1
            await stage.sessions[0].gone.wait()
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
            sock.close()

    run(loop, work())


@each_loop
def test_our_own_time_is_not_charged_to_the_peer(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"SUSPEND\r\n")
            await caller.line()
            await stage.sessions[0].suspended.wait()
            stage.passes(10_000)
            assert stage.config.stats.timed_out == 0
            await caller.close()

    run(loop, work())


def hurry(port: int, asked: bytes, *, hangs_up: bool) -> bytes:
    """A peer that goes on talking, and reads only then."""
    with socket.create_connection(("127.0.0.1", port), 20) as peer:
        peer.sendall(asked)
        if hangs_up:
            peer.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: peer.recv(65536), b""))  # raises ConnectionResetError where the link just closed


@each_loop
@pytest.mark.parametrize("hangs_up", [False, True])
def test_the_last_word_reaches_a_peer_that_still_talks(loop: str, hangs_up: bool) -> None:
    async def work() -> None:
        async with Stage() as stage:
            asked = b"QUIT\r\n" + b"more\r\n" * 100_000
            answer = await asyncio.to_thread(hurry, stage.port, asked, hangs_up=hangs_up)
            assert answer == b"hello\r\nbye\r\n"
            await until(lambda: not stage.listener.links)
            assert stage.sessions[0].handled == [b"QUIT"]

    run(loop, work())


@each_loop
def test_a_session_is_closed_before_its_peer_hangs_up(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"QUIT\r\n")
            await stage.sessions[0].gone.wait()
            assert len(stage.listener.links) == 1
            assert await caller.rest() == b"hello\r\nbye\r\n"
            await caller.close()
            await until(lambda: not stage.listener.links)
            assert stage.config.stats.closed == 1

    run(loop, work())


@each_loop
def test_a_peer_that_never_hangs_up_is_left_after_a_moment(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"QUIT\r\n")
            await stage.sessions[0].gone.wait()
            stage.passes(LINGER)
            await asyncio.sleep(0)
            assert len(stage.listener.links) == 1
            stage.passes(1)
            await until(lambda: not stage.listener.links)
            await caller.close()

    run(loop, work())


@each_loop
def test_a_peer_that_never_stops_talking_is_left(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"QUIT\r\n" + b"x" * (LINGER_OCTETS + 1_000_000))
            await until(lambda: not stage.listener.links and stage.sessions)
            await caller.close()

    run(loop, work())
