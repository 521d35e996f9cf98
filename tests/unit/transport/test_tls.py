"""TLS inside the link, against the standard library's own TLS at the other end. ALPN is RFC 7301."""

import asyncio
import contextlib
import datetime
import os
import selectors
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.unit.transport.transport_echo import (
    LOOPS,
    NOW,
    Caller,
    EchoSession,
    Stage,
    certificate_in,
    client_context,
    pieces,
    received,
    run,
    until,
)

from postwren.transport.certificate import certificate_names, development_certificate, name_is_covered, server_end_point
from postwren.transport.dial import dial
from postwren.transport.link import Link, LinkConfig
from postwren.transport.tls import ClientTls, ServerTls, TlsChannel, TlsFault

each_loop = pytest.mark.parametrize("loop", LOOPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    certificate_in(folder)
    return folder


def server_tls(folder: Path, **options: Any) -> ServerTls:
    return ServerTls(folder / "certificate.pem", folder / "key.pem", **options)


def tls_stage(folder: Path, **options: Any) -> Stage:
    return Stage(tls=server_tls(folder, **options), is_implicit_tls=True)


async def call(stage: Stage, folder: Path, name: str = "localhost", alpn: list[str] | None = None) -> Caller:
    return await stage.call(ssl=client_context(folder / "certificate.pem", alpn), server_hostname=name)


def talk(port: int, context: ssl.SSLContext, asked: bytes) -> bytes:
    """A peer on a socket of its own that reads while it writes. In one thread: OpenSSL lets two use one connection at the cost of
    broken records; and not on a loop: uvloop's own TLS loses octets when the end comes while it is paused."""
    with (
        socket.create_connection(("127.0.0.1", port), 20) as raw,
        context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls,
        selectors.DefaultSelector() as ready,
    ):
        tls.setblocking(False)
        ready.register(tls, selectors.EVENT_READ)
        answer = bytearray()
        left = memoryview(asked)
        while True:
            try:
                while left:
                    left = left[tls.send(left[:16384]) :]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            ready.modify(tls, selectors.EVENT_READ | (selectors.EVENT_WRITE if left else 0))
            try:
                while piece := tls.recv(65536):  # raises SSLEOFError where close_notify is missing
                    answer += piece
                return bytes(answer)
            except ssl.SSLWantReadError:
                assert ready.select(20), "the server says nothing"


@each_loop
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_implicit_tls_carries_commands_and_large_bodies(loop: str, version: ssl.TLSVersion, folder: Path) -> None:
    async def work() -> None:
        async with tls_stage(folder) as stage:
            context = client_context(folder / "certificate.pem")
            context.maximum_version = version
            asked = b"one\r\nBODY 5000000\r\nBULK 3000000\r\n" + b"z" * 3_000_000 + b"QUIT\r\n"
            answer = await asyncio.get_running_loop().run_in_executor(None, talk, stage.port, context, asked)
            assert answer == b"hello\r\none\r\nbody\r\n" + b"".join(pieces(5_000_000)) + b".\r\nBULKED\r\nbye\r\n"

    run(loop, work())


@each_loop
def test_bindings_are_those_of_rfc_5929(loop: str, folder: Path) -> None:
    async def work() -> None:
        async with tls_stage(folder) as stage:
            context = client_context(folder / "certificate.pem")
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            caller = await stage.call(ssl=context, server_hostname="localhost")
            await caller.line()
            tls = stage.sessions[0].link.tls
            theirs = caller.writer.get_extra_info("ssl_object")
            assert tls is not None
            assert tls.version == "TLSv1.2"
            assert tls.bindings["tls-unique"] == theirs.get_channel_binding("tls-unique")
            assert tls.bindings["tls-server-end-point"] == server_end_point(theirs.getpeercert(True))
            await caller.close()
            second = await call(stage, folder)
            await second.line()
            tls = stage.sessions[1].link.tls
            assert tls is not None
            assert tls.version == "TLSv1.3"
            assert list(tls.bindings) == ["tls-server-end-point"]
            await second.close()

    run(loop, work())


@each_loop
@pytest.mark.parametrize(
    ("ours", "offer", "is_taken"),
    [
        (b"pop3", None, True),
        (b"pop3", ["pop3"], True),
        (b"pop3", ["http/1.1", "pop3"], True),
        (b"pop3", ["http/1.1"], False),
        (b"pop3", ["h2", "imap"], False),
        (None, ["h2", "http/1.1"], False),
        (None, ["smtp"], True),
    ],
)
def test_a06_alpn_is_strict(loop: str, ours: bytes | None, offer: list[str] | None, is_taken: bool, folder: Path) -> None:
    async def work() -> None:
        async with tls_stage(folder, alpn=ours) as stage:
            if is_taken:
                caller = await call(stage, folder, alpn=offer)
                assert await caller.line() == b"hello"
                await caller.close()
            else:
                with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                    await call(stage, folder, alpn=offer)
                assert stage.sessions == []
                assert stage.config.stats.handshakes_failed == 1

    run(loop, work())


@each_loop
@pytest.mark.parametrize("strict", [True, False])
def test_a06_a_foreign_name_is_refused_where_the_listener_is_strict(loop: str, strict: bool, folder: Path) -> None:
    async def work() -> None:
        async with tls_stage(folder, strict_sni=strict) as stage:
            caller = await call(stage, folder, "mail.example.org")
            assert await caller.line() == b"hello"
            await caller.close()
            reason = r"(?i)unrecognized.name" if strict else r"(?i)certificate.verify.failed"
            with pytest.raises(ssl.SSLError, match=reason):
                await call(stage, folder, "www.example.net")

    run(loop, work())


@each_loop
@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x80\x2e\x01\x00\x02", b"\x16\x02\x00", b"\x16\x03\x01\x00\x00"]
)
def test_a06_what_is_not_tls_is_closed_without_an_answer(loop: str, first: bytes, folder: Path) -> None:
    async def work() -> None:
        async with tls_stage(folder) as stage:
            caller = await stage.call()
            caller.send(first)
            assert await caller.rest() == b""
            assert stage.sessions == []
            assert stage.config.stats.handshakes_failed == 1
            await caller.close()

    run(loop, work())


def test_a07_old_versions_and_weak_ciphers_are_refused(folder: Path) -> None:
    context = server_tls(folder).credentials.context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert names
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert all(name.startswith(("ECDHE-", "TLS_")) for name in names)


def test_a07_a_tls_1_1_hello_gets_an_alert(folder: Path) -> None:
    channel = server_tls(folder).channel()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    out = ssl.MemoryBIO()
    client = old.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(TlsFault):
        channel.receive(out.read())
    assert channel.to_send()[0] == 21  # an alert record (RFC 8446 section 5.1)
    assert channel.info is None


@each_loop
@pytest.mark.parametrize("started", [False, True])
def test_a08_a_handshake_that_stalls_is_dropped_after_ten_seconds(loop: str, started: bool, folder: Path) -> None:
    async def work() -> None:
        async with tls_stage(folder) as stage:
            caller = await stage.call()
            if started:
                caller.send(hello_octets(folder))
                await caller.exactly(1)
            else:
                caller.send(b"\x16\x03\x01")
                await received_by_first(stage, 3)
            stage.passes(10)
            assert stage.config.stats.timed_out == 0
            stage.passes(1)
            assert stage.config.stats.timed_out == 1
            await caller.rest()
            assert stage.sessions == []
            await caller.close()

    run(loop, work())


async def received_by_first(stage: Stage, octets: int) -> None:
    await until(lambda: stage.listener.links)
    (link,) = stage.listener.links
    await received(link, octets)


def hello_octets(folder: Path) -> bytes:
    return ClientTls("localhost", trusted=folder / "certificate.pem").channel().to_send()


def test_a08_a_handshake_in_single_octets_and_in_records_of_one_octet_succeeds(folder: Path) -> None:
    client = ClientTls("localhost", trusted=folder / "certificate.pem").channel()
    server = server_tls(folder).channel()
    hello = client.to_send()
    body = hello[5:]
    shake(client, server, b"".join(b"\x16\x03\x01\0\1" + body[i : i + 1] for i in range(len(body))), step=1)
    assert client.info is not None
    assert server.info is not None
    assert server.receive(client.protect(b"through")) == b"through"


def shake(client: TlsChannel, server: TlsChannel, first: bytes, step: int = 100_000) -> None:
    to_server = first
    while to_server:
        for i in range(0, len(to_server), step):
            server.receive(to_server[i : i + step])
        client.receive(server.to_send())
        to_server = client.to_send()


def test_a08_a_hello_without_end_is_cut_off(folder: Path) -> None:
    channel = server_tls(folder).channel()
    with pytest.raises(TlsFault):
        channel.receive(b"\x16\x03\x01\x40\x00\x01\x00\x40\x00" + bytes(16380))
    channel = server_tls(folder).channel()
    fed = 0
    try:
        while fed < 1_000_000:
            channel.receive(b"\x16\x03\x01\0\1\1" if fed == 0 else b"\x16\x03\x01\0\1\0")
            fed += 6
    except TlsFault:
        pass
    assert fed < 6 * 16384 + 64


@each_loop
def test_nothing_is_written_behind_a_record_that_cannot_be_read(
    loop: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with tls_stage(folder) as stage:
            context = client_context(folder / "certificate.pem")
            ask = asyncio.get_running_loop().run_in_executor(None, ask_and_break, stage.port, context)
            assert await ask < 50_000_000  # what the systems had buffered, not the rest of the body
            await stage.sessions[0].gone.wait()
            assert stage.config.stats.bugs == stage.config.stats.bodies_failed == 0

    run(loop, work())
    assert [record for record in caplog.records if record.name == "asyncio"] == []  # writes behind the close


def ask_and_break(port: int, context: ssl.SSLContext) -> int:
    """Ask for a body and, while it is under way, send what is no record; the octets that came all the same."""
    count = 0
    tls = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname="localhost")
    tls.sendall(b"BODY 100000000\r\n")
    tls.recv(65536)
    with socket.socket(fileno=tls.detach()) as raw:
        raw.settimeout(20)
        raw.sendall(b"\x17\x03\x03\0\x20" + bytes(32))
        with contextlib.suppress(OSError):
            while data := raw.recv(1 << 20):
                count += len(data)
    return count


@each_loop
def test_close_notify_ends_the_stream_and_is_given(loop: str, folder: Path) -> None:
    async def work() -> None:
        async with tls_stage(folder) as stage:
            context = client_context(folder / "certificate.pem")
            answer = await asyncio.get_running_loop().run_in_executor(None, talk, stage.port, context, b"QUIT\r\n")
            assert answer == b"hello\r\nbye\r\n"

    run(loop, work())


def test_a_new_certificate_is_taken_and_a_broken_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate, key = certificate_in(tmp_path)
    tls = ServerTls(certificate, key)
    first = tls.credentials
    fresh = tmp_path / "fresh"
    certificate_in(fresh, "new.example.org")
    for name in ("certificate.pem", "key.pem"):
        (fresh / name).replace(tmp_path / name)
    client = ClientTls("new.example.org", trusted=certificate).channel()
    server = tls.channel()
    shake(client, server, client.to_send())
    assert client.info is not None
    assert server.info is not None
    assert client.info.bindings == server.info.bindings
    assert tls.credentials.end_point != first.end_point
    second = tls.credentials
    certificate.write_text("-----BEGIN CERTIFICATE-----\nrubbish\n")
    assert not tls.reload()
    assert tls.credentials is second
    assert "the old one stays" in caplog.text
    client = ClientTls("new.example.org", trusted=None).channel()
    with pytest.raises(TlsFault):  # self-signed and not trusted
        shake(client, tls.channel(), client.to_send())


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
@each_loop
def test_a09_our_caller_verifies_names_and_addresses(loop: str, name: str, folder: Path) -> None:
    async def work() -> None:
        async with tls_stage(folder) as stage:
            trusted = folder / "certificate.pem"
            session = ClientSession()
            config = LinkConfig(stage.watch, tls=ClientTls(name, trusted=trusted), is_implicit_tls=True)
            link = await dial("127.0.0.1", stage.port, session, config)
            assert await session.heard_line() == b"hello"
            link.abort()
            await session.gone.wait()
            for wrong in (ClientTls("example.net", trusted=trusted), ClientTls(name)):
                config = LinkConfig(stage.watch, tls=wrong, is_implicit_tls=True)
                with pytest.raises(ssl.SSLCertVerificationError):
                    await dial("127.0.0.1", stage.port, ClientSession(), config)

    run(loop, work())


class ClientSession(EchoSession):
    """Says nothing of itself; keeps the lines it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def opened(self, link: Any) -> None:
        self.link = link

    def handle(self, event: Any) -> None:
        self.heard.put_nowait(event)

    async def heard_line(self) -> bytes:
        return await asyncio.wait_for(self.heard.get(), 20)


@each_loop
def test_a_caller_may_start_tls(loop: str, folder: Path) -> None:
    async def work() -> None:
        async with Stage(tls=server_tls(folder)) as stage:
            session = ClientSession()
            tls = ClientTls("localhost", trusted=folder / "certificate.pem")
            link = await dial("127.0.0.1", stage.port, session, LinkConfig(stage.watch, tls=tls))
            assert await session.heard_line() == b"hello"
            assert stage.sessions[0].link.can_start_tls
            await asyncio.wait_for(upgrade(session, link), 20)
            assert stage.sessions[0].handled == [b"STARTTLS", b"<tls>", b"inside"]
            assert stage.sessions[0].handled_in_clear == [b"STARTTLS"]
            session.link.abort()
            await session.gone.wait()

    run(loop, work())


async def upgrade(session: ClientSession, link: Link) -> None:
    """Drive the client's half by hand."""
    session.say(b"STARTTLS")
    link.flush()
    assert await session.heard_line() == b"go ahead"
    link.start_tls()
    link.flush()
    await until(lambda: link.tls is not None)
    session.say(b"inside")
    link.flush()
    assert await session.heard_line() == b"inside"


@each_loop
def test_a_call_that_nobody_takes_fails(loop: str) -> None:
    async def work() -> None:
        async with Stage() as stage:
            port = stage.port
            stage.listener.stop_accepting()
            with pytest.raises(OSError):  # noqa: PT011
                await dial("127.0.0.1", port, ClientSession(), LinkConfig(stage.watch))

    run(loop, work())


@each_loop
def test_a_call_gives_up_on_a_handshake_that_stalls(loop: str, folder: Path) -> None:
    async def work() -> None:
        async with Stage() as stage:  # greets in the clear and so never answers the ClientHello
            session = ClientSession()
            config = LinkConfig(stage.watch, tls=ClientTls("localhost"), is_implicit_tls=True)
            with pytest.raises((TlsFault, OSError)):
                await dial("127.0.0.1", stage.port, session, config, timeout=5)
            assert session.closed_count == 0

    run(loop, work())


def test_a_development_certificate_is_private_and_kept_while_it_holds(tmp_path: Path) -> None:
    certificate, key = development_certificate(tmp_path, ["Host.example.org"], NOW)
    assert key.stat().st_mode & 0o777 == 0o600
    first = certificate.read_bytes()
    der = ssl.PEM_cert_to_DER_cert(first.decode())
    assert certificate_names(der) == {"host.example.org", "localhost", "127.0.0.1", "::1"}
    development_certificate(tmp_path, ["host.example.org"], NOW + datetime.timedelta(days=366))
    assert certificate.read_bytes() == first
    development_certificate(tmp_path, ["host.example.org"], NOW + datetime.timedelta(days=368))
    second = certificate.read_bytes()
    assert second != first
    development_certificate(tmp_path, ["other.example.org"], NOW + datetime.timedelta(days=368))
    assert certificate.read_bytes() != second
    assert sorted(os.listdir(tmp_path)) == ["certificate.pem", "key.pem"]


def test_wildcards_cover_one_label() -> None:
    names = frozenset({"*.example.org", "example.net"})
    assert name_is_covered("mail.example.org", names)
    assert name_is_covered("example.net.", names)
    assert not name_is_covered("a.b.example.org", names)
    assert not name_is_covered("example.org", names)
    assert not name_is_covered("org", names)
