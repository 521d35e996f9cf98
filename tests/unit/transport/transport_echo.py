"""A small protocol of lines for the tests of the link: its core, its session, and both ends of a loopback connection."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import uvloop

from postwren.transport.certificate import development_certificate
from postwren.transport.deadline import Watch
from postwren.transport.link import Link, LinkConfig
from postwren.transport.listener import Listener
from postwren.transport.session import SUSPENDED, Handled, LinkControl, TlsInfo
from postwren.wire.buffer import TOO_LONG, ReceiveBuffer
from postwren.wire.core import NEED_DATA, NeedData, Output, Waiting

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class EchoCore:
    """Lines to events; `BULK n` is followed by n octets. Clear octets behind STARTTLS are an error, as in every core of ours."""

    def __init__(self) -> None:
        self.out: list[Output] = []
        self.waiting_for = Waiting.COMMAND
        self._buffer = ReceiveBuffer()
        self._bulk = 0
        self._eof = False
        self._tls_is_due = False

    def receive_data(self, data: bytes) -> None:
        if data:
            self._buffer.feed(data)
        else:
            self._eof = True

    def next_event(self) -> bytes | Literal[NeedData.NEED_DATA]:
        if self._tls_is_due:
            return b"INJECTED" if self._buffer.take(1) else NEED_DATA
        if self._bulk:
            taken = self._buffer.take(self._bulk)
            self._bulk -= len(taken)
            if self._bulk:
                return NEED_DATA
            self.waiting_for = Waiting.COMMAND
            return b"BULKED"
        line = self._buffer.line(1000)
        if line is TOO_LONG:
            return b"TOOLONG"
        if line is None or not isinstance(line, bytes):
            if self._eof:
                self._eof = False
                return b"EOF"
            return NEED_DATA
        line = line.removesuffix(b"\r")
        if line.startswith(b"BULK "):
            self._bulk = int(line[5:])
            self.waiting_for = Waiting.BULK
            return self.next_event()
        self._tls_is_due = line == b"STARTTLS"
        return b"INJECTED" if self._tls_is_due and len(self._buffer) else line

    def data_to_send(self) -> list[Output]:
        out, self.out = self.out, []
        return out

    def tls_is_on(self) -> None:
        self._buffer.clear()
        self._tls_is_due = False


class EchoSession:
    """Answers every line; keeps what happened for the tests."""

    def __init__(self) -> None:
        self.core = EchoCore()
        self.handled: list[bytes] = []
        self.handled_in_clear: list[bytes] = []
        self.closed_count = 0
        self.gone = asyncio.Event()
        self.suspended = asyncio.Event()
        self.failures: list[BaseException] = []
        self.gate = asyncio.Event()
        self.is_late = False
        self._starttls_is_late = False

    def handle_starttls_late(self) -> None:
        """The handler of STARTTLS will wait for `finish_starttls`."""
        self._starttls_is_late = True

    def finish_starttls(self) -> None:
        _starttls(self, b"")
        self.link.resume()

    def opened(self, link: LinkControl) -> Handled:
        self.link = link
        self.say(b"hello")
        return None

    def say(self, line: bytes) -> None:
        self.core.out.append(line + b"\r\n")

    def handle(self, event: Any) -> Handled:
        self.handled.append(event)
        if self.link.tls is None:
            self.handled_in_clear.append(event)
        if event == b"STARTTLS" and self._starttls_is_late:
            self.is_late = True
            return SUSPENDED
        word, _, rest = event.partition(b" ")
        action = ACTIONS.get(word)
        if action is None:
            self.say(event)
            return None
        return action(self, rest)

    def tls_started(self, tls: TlsInfo) -> Handled:
        self.core.tls_is_on()
        self.handled.append(b"<tls>")
        return None

    def timed_out(self) -> None:
        self.say(b"bye, too slow")

    def server_ends(self) -> None:
        self.say(b"bye, the end")

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self.say(b"our bug")

    def closed(self) -> None:
        self.closed_count += 1
        self.gone.set()

    async def wait_then_say(self, line: bytes) -> None:
        self.suspended.set()
        await self.gate.wait()
        if line == b"BUG":
            raise RuntimeError("a bug after waiting")
        self.say(line)


def pieces(count: int, size: int = 65536) -> Iterator[bytes]:
    """A body of `count` octets that no two pieces of are alike."""
    for start in range(0, count, size):
        yield (b"%08d" % start * (size // 8 + 1))[: min(size, count - start)]


def broken_body() -> Iterator[bytes]:
    yield b"x" * 100
    raise OSError("a bad sector")


def _quit(session: EchoSession, rest: bytes) -> Handled:
    session.say(b"bye")
    session.link.close()
    return None


def _starttls(session: EchoSession, rest: bytes) -> Handled:
    session.say(b"go ahead")
    session.link.start_tls()
    return None


def _injected(session: EchoSession, rest: bytes) -> Handled:
    session.say(b"no commands behind STARTTLS")
    session.link.close()
    return None


def _body(session: EchoSession, rest: bytes) -> Handled:
    session.core.out += [b"body\r\n", pieces(int(rest)), b".\r\n"]
    return None


def _broken(session: EchoSession, rest: bytes) -> Handled:
    session.core.out += [b"body\r\n", broken_body(), b".\r\n"]
    return None


def _bug(session: EchoSession, rest: bytes) -> Handled:
    raise RuntimeError("a bug")


def _suspend(session: EchoSession, rest: bytes) -> Handled:
    session.suspended.set()
    return SUSPENDED


def _wait(session: EchoSession, rest: bytes) -> Handled:
    return session.wait_then_say(rest)


def _abort(session: EchoSession, rest: bytes) -> Handled:
    session.link.abort()
    return None


def _eof(session: EchoSession, rest: bytes) -> Handled:
    session.say(b"you are done")
    return None


def _compress(session: EchoSession, _: bytes) -> Handled:
    session.say(b"deflating")
    session.link.start_compression()
    return None


ACTIONS: dict[bytes, Callable[[EchoSession, bytes], Handled]] = {
    b"QUIT": _quit,
    b"STARTTLS": _starttls,
    b"COMPRESS": _compress,
    b"INJECTED": _injected,
    b"BODY": _body,
    b"BROKEN": _broken,
    b"BUG": _bug,
    b"SUSPEND": _suspend,
    b"WAIT": _wait,
    b"ABORT": _abort,
    b"EOF": _eof,
}


class Stage:
    """A listener on loopback with its sessions, and a clock that stands still."""

    def __init__(self, **config: Any) -> None:
        self.clock = Clock()
        self.watch = Watch(self.clock)
        self.config = replace(LinkConfig(self.watch), **config)
        self.sessions: list[EchoSession] = []
        self.listener = Listener(self.config, self._session)

    def _session(self) -> EchoSession:
        session = EchoSession()
        self.sessions.append(session)
        return session

    async def __aenter__(self) -> "Stage":
        await self.listener.start([("127.0.0.1", 0)])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.close(0)
        assert all(session.closed_count == 1 for session in self.sessions)

    @property
    def port(self) -> int:
        return self.listener.ports[0]

    async def call(self, **options: Any) -> "Caller":
        return Caller(*await asyncio.open_connection("127.0.0.1", self.port, **options))

    def passes(self, seconds: float) -> None:
        """Time passes, in the watch's steps of a second."""
        self.watch.tick()
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(self.clock.now + 1, end)
            self.watch.tick()


class Caller:
    """The test's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def line(self) -> bytes:
        return (await asyncio.wait_for(self.reader.readline(), 20)).removesuffix(b"\r\n")

    async def exactly(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), 30)

    async def rest(self) -> bytes:
        """Everything until the other end closes, however it does."""
        received = b""
        try:
            while data := await asyncio.wait_for(self.reader.read(65536), 20):
                received += data
        except OSError:
            pass
        return received

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until this holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is nothing to wait for but the loop itself
            await asyncio.sleep(0)


async def received(link: Link, octets: int) -> None:
    """Until the link has read so many octets in all."""
    await until(lambda: link._octets >= octets)


def run(loop: str, work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(work)


NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


def certificate_in(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that holds today."""
    return development_certificate(folder, names or ("mail.example.org",), datetime.datetime.now(datetime.UTC))


def client_context(certificate: Path, alpn: list[str] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    return context
