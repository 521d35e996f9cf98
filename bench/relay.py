"""Rows of mail on its way to another host.

- `relay.N`, `relay.tls.N`: N connections hand over messages of 2, 4 and 10 kB for another host, each taken durably before it is
  acknowledged; until the last one is there. Postfix takes it from its network, we from an account that logs in. The other host
  is one fast program (`bench.sink`), the same for both, spoken to in the clear or after STARTTLS; both reuse connections. We hold
  to our own limit of 5 connections a domain; Postfix may have as many as in the other rows (50).
- `queue.*`: 100,000 messages wait for a host that does not answer: the server's memory, the time of its start and of `queue
  list`, and what mail to another host loses by it.
"""

import asyncio
import base64
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench import corpus
from bench.driver import Session, need, replies, swarm
from bench.lab.postfix import Postfix
from bench.lab.postwren import Postwren
from bench.lab.process import pss_kilobytes
from bench.measure import OURS, Row, Rows, Target
from bench.sink import Sink
from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.queue import accept
from postwren.storage.embedded import EmbeddedStore
from postwren.terms import Address

__all__ = ["queue_rows", "relay_rows"]

LOGIN = "bench@example.net"
FAR, DEAD = "far.example", "dead.example"
TIMES = {1: 400, 10: 100, 50: 30}
ZONE = "".join(f"{name}. MX 10 mx.{name}.\nmx.{name}. A 127.0.0.1\n" for name in (FAR, DEAD))
_NOBODY = 9  # a port where nothing listens
_AT_ONCE = 1000  # messages that are queued together
SIZES = (2048, 4096, 10240)
POSTFIX_TLS = """
smtp_tls_security_level = {level}
smtp_tls_connection_reuse = yes
smtp_connection_reuse_count_limit = 100
smtp_connection_cache_destinations = {domain}
"""


def relay_rows(rows: Rows, folder: Path, scale: float) -> None:
    """In the clear, then with TLS."""
    for kind in ("relay", "relay.tls"):
        (folder / kind).mkdir()
        _rows_of(kind, rows, folder / kind, scale)


def _rows_of(kind: str, rows: Rows, folder: Path, scale: float) -> None:
    messages, is_tls = _messages(), kind == "relay.tls"
    with ExitStack() as stack:
        sink = Sink(_certificate(folder) if is_tls else None)
        stack.callback(sink.stop)
        targets = [stack.enter_context(_ours(folder, sink)), stack.enter_context(_postfix(folder, sink, is_tls))]
        for target in targets:  # whoever keeps a password or a host's answer has it now
            _relay(target, sink, 10, 5, messages)
        for width, most in TIMES.items():
            times = max(5, int(most * scale))

            def act(target: Target, _: Any, width: int = width, times: int = times) -> None:
                _relay(target, sink, width, times, messages)

            rows.measure(Row(f"{kind}.{width}", "msg/s", bar=1.0), targets, act, width * times)


def _relay(target: Target, sink: Sink, width: int, times: int, messages: list[bytes]) -> None:
    before = sink.count
    swarm(target.smtp, [_submission(target.name != "Postfix", f"r{k}@{FAR}", messages, times) for k in range(width)])
    sink.wait_for(before + width * times)


def _messages() -> list[bytes]:
    made = corpus.Corpus(13)
    return [made.sized(size) for size in SIZES]


def _submission(logs_in: bool, recipient: str, messages: list[bytes], times: int) -> Session:
    """One message a transaction, envelope pipelined, connection kept; no two messages are alike."""
    yield b"", replies(1)
    need((yield b"EHLO bench.example\r\n", replies(1)), b"250 ")
    if logs_in:
        words = base64.b64encode(f"\0{LOGIN}\0pass".encode())
        need((yield b"AUTH PLAIN " + words + b"\r\n", replies(1)), b"235")
    envelope = f"MAIL FROM:<{LOGIN}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode()
    for number in range(times):
        need((yield envelope, replies(3)), b"\n354")
        data = messages[number % len(messages)].replace(b"\r\n.", b"\r\n..")
        need((yield b"X-Number: %d.%d\r\n%s.\r\n" % (time.time_ns(), number, data), replies(1)), b"250")


@contextmanager
def _ours(folder: Path, sink: Sink) -> Iterator[Target]:
    server = Postwren(folder / "postwren", _environment(sink), _zone(folder))
    server.start()
    try:
        server.add_accounts([LOGIN])
        yield Target(OURS, lambda: server.pids, smtp=server.submission)
    finally:
        server.stop()


def _zone(folder: Path) -> tuple[str, str]:
    zone = folder / "zone"
    zone.write_text(ZONE)
    return "--zone", str(zone)


def _environment(sink: Sink) -> dict[str, str]:
    return {
        "POSTWREN_OUTBOUND_PORTS": f"mx.{FAR}={sink.port},mx.{DEAD}={_NOBODY}",
        "POSTWREN_SUBMISSION_ANY_AUTHOR": "true",
        "POSTWREN_SUBMISSION_MESSAGES_PER_HOUR": "100000000",
        "POSTWREN_SUBMISSION_RECIPIENTS_PER_HOUR": "100000000",
    }


@contextmanager
def _postfix(folder: Path, sink: Sink, is_tls: bool) -> Iterator[Target]:
    settings = POSTFIX_TLS.format(level="may" if is_tls else "none", domain=FAR)
    postfix = Postfix(folder, f"smtp:[127.0.0.1]:{sink.port}", f"example.net {FAR}", settings)
    postfix.start()
    try:
        yield Target(postfix.name, lambda: postfix.pids, smtp=postfix.smtp, rest=lambda: postfix.drained(120))
    finally:
        postfix.stop()


def _certificate(folder: Path) -> Path:
    """Key and certificate in one file: nobody verifies it."""
    path, key = folder / "sink.pem", folder / "sink.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    names = ["-subj", f"/CN=mx.{FAR}", "-addext", f"subjectAltName=DNS:mx.{FAR}"]
    subprocess.run([*command, *names, "-keyout", str(key), "-out", str(path)], check=True, capture_output=True)
    path.write_bytes(key.read_bytes() + path.read_bytes())
    return path


def queue_rows(rows: Rows, folder: Path, count: int) -> None:
    """What waits for a host that does not answer costs memory, and those who write to others nothing."""
    sink, messages = Sink(), _messages()
    places = {name: folder / name for name in ("empty", "full")}
    with ExitStack() as stack:
        stack.callback(sink.stop)
        targets, starts = [], {}
        for name, place in places.items():
            place.mkdir()
            server = _Waiting(place, sink, count if name == "full" else 0)
            stack.callback(server.stop)
            starts[name] = server.start()
            targets.append(Target(name, lambda server=server: server.pids, smtp=server.submission))  # type: ignore[misc]
            _relay(targets[-1], sink, 10, 5, messages)
        row = Row(f"queue.{count}.beside", "msg/s")
        rows.measure(row, targets, lambda target, _: _relay(target, sink, 10, 60, messages), 600)
        ratio = Row(f"queue.{count}.beside, full/empty", "ratio", at_least=0.95)
        rows.put(ratio, OURS, (row.median("full") or 0) / (row.median("empty") or 1))
        memory = Row(f"queue.{count}.memory", "MB", at_most=300)
        rows.put(memory, OURS, pss_kilobytes(targets[-1].pids()) / 1024)
        start = Row(f"queue.{count}.start", "ms")
        rows.put(start, OURS, starts["full"] * 1000)
        rows.put(start, "empty", starts["empty"] * 1000)
        listing = Row(f"queue.{count}.list", "ms")
        begun = time.perf_counter()
        server.run("queue", "list")
        rows.put(listing, OURS, (time.perf_counter() - begun) * 1000)
        for each in (ratio, memory, start, listing):
            rows.tell(each)


class _Waiting(Postwren):
    """A server with messages that wait for a host where nobody listens."""

    def __init__(self, folder: Path, sink: Sink, count: int) -> None:
        super().__init__(folder / "postwren", _environment(sink), _zone(folder))
        self.add_accounts([LOGIN])
        asyncio.run(_fill(self.data, count))


async def _fill(data: Path, count: int) -> None:
    store, now = EmbeddedStore(data), int(time.time())
    try:
        for start in range(0, count, _AT_ONCE):
            work = []
            for number in range(start, min(start + _AT_ONCE, count)):
                writer = store.new_body()
                writer.write(b"From: %s\r\nSubject: %d\r\n\r\n%s\r\n" % (LOGIN.encode(), number, b"x" * 1900))
                body = writer.finish()
                envelope = Envelope(Address("bench", "example.net"), elsewhere=[Elsewhere(Address(f"w{number}", DEAD))])
                work.append(store.perform(accept(envelope, body, now, 0), [body]))
            await asyncio.gather(*work)
    finally:
        store.close()
