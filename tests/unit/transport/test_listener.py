"""Listeners: places, caps at the door, the orderly end, and too few file descriptors."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.transport.transport_echo import LOOPS, Caller, Clock, Stage, run

from postwren.transport.limit import Admission, Caps
from postwren.transport.listener import Listener

each_loop = pytest.mark.parametrize("loop", LOOPS)


@each_loop
def test_it_listens_on_both_families_and_a_path(loop: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with Stage() as stage:
            path = tmp_path / "lmtp"
            left = socket.socket(socket.AF_UNIX)  # left behind by a server that died
            left.bind(str(path))
            left.close()
            await stage.listener.start([("::1", 0), path])
            for streams in (
                await asyncio.open_connection("127.0.0.1", stage.listener.ports[0]),
                await asyncio.open_connection("::1", stage.listener.ports[1]),
                await asyncio.open_unix_connection(path),
            ):
                caller = Caller(*streams)
                assert await caller.line() == b"hello"
                await caller.close()
            assert [session.link.peer.address for session in stage.sessions] == ["127.0.0.1", "::1", ""]
        assert not path.exists()

    run(loop, work())


@each_loop
def test_a_place_that_is_taken_leaves_nothing_bound(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            second = Listener(stage.config, stage._session)
            with pytest.raises(OSError, match="in use") as caught:
                await second.start([("127.0.0.1", 0), ("127.0.0.1", stage.port)])
            assert caught.value.filename == f"127.0.0.1:{stage.port}"
            await second.close(0)

    run(loop, work())


def test_where_there_is_no_ipv6_all_of_its_addresses_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnlyIpv4(socket.socket):
        def __init__(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, *others: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            super().__init__(family, kind, *others)

    async def work() -> None:
        async with Stage() as stage:
            monkeypatch.setattr(socket, "socket", OnlyIpv4)
            listener = Listener(stage.config, stage._session)
            await listener.start([("127.0.0.1", 0), ("::", 0)])
            assert len(listener.ports) == 1
            for places in ([("::", 0)], [("127.0.0.1", 0), ("::1", 0)]):
                with pytest.raises(OSError, match="not supported"):
                    await Listener(stage.config, stage._session).start(places)
            monkeypatch.undo()
            await listener.close(0)

    run("asyncio", work())


@each_loop
def test_a08_over_the_cap_a_polite_line_and_no_session(loop: str) -> None:
    async def work() -> None:
        door = Admission(Caps(strangers_per_address=2, loopback_is_exempt=False), Clock())
        async with Stage(admission=door, refusal=b"421 too many\r\n") as stage:
            callers = [await stage.call() for _ in range(2)]
            for caller in callers:
                assert await caller.line() == b"hello"
            third = await stage.call()
            assert await third.rest() == b"421 too many\r\n"
            assert stage.config.stats.refused == 1
            assert len(stage.sessions) == 2
            assert stage.sessions[0].link.authenticated(5)
            fourth = await stage.call()
            assert await fourth.line() == b"hello"
            for caller in [*callers, third, fourth]:
                await caller.close()

    run(loop, work())


@each_loop
def test_closing_lets_work_under_way_be_finished_and_answered(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            idle, working, sending = [await stage.call() for _ in range(3)]
            for caller in (idle, working, sending):
                await caller.line()
            working.send(b"WAIT committed\r\n")
            sending.send(b"BULK 10\r\n12345")
            await stage.sessions[1].suspended.wait()
            sending.send(b"6")
            closing = asyncio.ensure_future(stage.listener.close(60))
            assert await idle.rest() == b"bye, the end\r\n"
            stage.sessions[1].gate.set()
            assert await working.rest() == b"committed\r\nbye, the end\r\n"
            sending.send(b"7890")
            assert await sending.rest() == b"BULKED\r\nbye, the end\r\n"
            for caller in (idle, working, sending):
                await caller.close()
            await closing
            with pytest.raises(OSError):  # noqa: PT011
                await stage.call()

    run(loop, work())


@each_loop
def test_closing_ends_after_the_grace_whatever_happens(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            caller = await stage.call()
            caller.send(b"SUSPEND\r\n")
            await caller.line()
            await stage.sessions[0].suspended.wait()
            await stage.listener.close(0)
            assert stage.sessions[0].closed_count == 1
            await caller.rest()
            await caller.close()

    run(loop, work())


OUT_OF_DESCRIPTORS = """
import asyncio, logging, resource, socket, sys
sys.path[:0] = sys.argv[2:]
from tests.unit.transport.transport_echo import Stage, run
logging.disable(logging.CRITICAL)  # asyncio reports every refused accept

async def work():
    async with Stage() as stage:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        held = []
        try:
            while True:
                sock = socket.socket()
                sock.setblocking(False)
                held.append(sock)
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", stage.port))
                await asyncio.sleep(0)
        except OSError:
            pass
        for sock in held:
            sock.close()
        async with asyncio.timeout(20):
            while True:
                try:
                    caller = await stage.call()
                    if await caller.line() == b"hello":
                        break
                except OSError:
                    pass
                await asyncio.sleep(0)
        await caller.close()
        print("survived")

run(sys.argv[1], work())
"""


@each_loop
def test_out_of_file_descriptors_it_goes_on_afterwards(loop: str) -> None:
    here = Path(__file__).parent
    command = [sys.executable, "-c", OUT_OF_DESCRIPTORS, loop, str(here.parents[2]), str(here.parents[2] / "src")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "survived\n", done.stderr
