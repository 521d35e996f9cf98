"""A-01, A-02: nothing that was said in the clear runs inside TLS, however the network cuts it."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.transport.transport_echo import EchoSession, certificate_in

from postwren.transport.deadline import Watch
from postwren.transport.link import Link, LinkConfig
from postwren.transport.tls import ClientTls, ServerTls, TlsFault


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""
        self.is_gone = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_gone
        self.written += data

    def close(self) -> None:
        self.is_gone = True

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self.is_gone

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[ServerTls, ClientTls]:
    certificate, key = certificate_in(tmp_path_factory.mktemp("cuts"))
    return ServerTls(certificate, key), ClientTls("localhost", trusted=certificate)


def attack(sides: tuple[ServerTls, ClientTls], injected: bytes, cuts: list[int], suspends: bool) -> EchoSession:
    """Send STARTTLS, an injected command and a ClientHello, cut at these places; go on with the handshake as far as it goes."""

    async def work() -> EchoSession:
        session = EchoSession()
        watch = Watch(lambda: 0.0)
        link = Link(LinkConfig(watch, tls=sides[0]), lambda: session, asyncio.get_running_loop())
        wire = Wire()
        link.connection_made(wire)
        client = sides[1].channel()
        stream = b"STARTTLS\r\n" + injected + client.to_send()
        places = [0, *sorted({cut % len(stream) for cut in cuts}), len(stream)]
        if suspends:  # the handler of STARTTLS waits while more octets come
            session.handle_starttls_late()
        for start, end in itertools.pairwise(places):
            link.data_received(stream[start:end])
        if suspends and b"STARTTLS" in session.handled and session.is_late:
            session.finish_starttls()
        answer = wire.take().removeprefix(b"hello\r\n")
        if answer.startswith(b"go ahead\r\n") and not wire.is_gone:
            try:
                client.receive(answer.removeprefix(b"go ahead\r\n"))
                link.data_received(client.to_send() + client.protect(b"INSIDE\r\n"))
            except (TlsFault, AssertionError):
                pass
        link.connection_lost(None)
        assert session.closed_count == 1
        return session

    return asyncio.run(work())


INJECTED = st.sampled_from([b"EVIL\r\n", b"E", b"\r\n", b"EVIL", b"\x16\x03\x01", b"EVIL\r\nSTARTTLS\r\n"])


@settings(max_examples=150, deadline=None)
@given(injected=INJECTED, cuts=st.lists(st.integers(0, 60), max_size=8), suspends=st.booleans())
def test_a01_an_injected_command_never_runs(
    sides: tuple[ServerTls, ClientTls], injected: bytes, cuts: list[int], suspends: bool
) -> None:
    session = attack(sides, injected, cuts, suspends)
    assert not any(b"EVIL" in event or event == b"E" for event in session.handled)
    assert b"INSIDE" not in session.handled  # and the connection does not go on as if nothing had been


@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("injected", [b"EVIL\r\n", b"EVIL", b"E"])
def test_a01_at_every_single_cut(sides: tuple[ServerTls, ClientTls], injected: bytes, suspends: bool) -> None:
    for cut in range(1, 40):
        session = attack(sides, injected, [cut], suspends)
        assert not any(b"E" in event and event != b"STARTTLS" and event != b"INJECTED" for event in session.handled)


def test_a01_what_comes_while_starttls_is_worked_on_is_refused_in_the_protocol(sides: tuple[ServerTls, ClientTls]) -> None:
    session = attack(sides, b"EVIL\r\n", [10], suspends=True)
    assert session.handled == [b"STARTTLS", b"INJECTED"]
    assert session.link.tls is None


@pytest.mark.parametrize("cut", [*range(1, 11), 12, 20])
def test_a01_an_honest_client_gets_in_once_its_hello_comes_apart(sides: tuple[ServerTls, ClientTls], cut: int) -> None:
    session = attack(sides, b"", [10, cut], suspends=False)
    assert session.handled == [b"STARTTLS", b"<tls>", b"INSIDE"]


def test_a02_the_session_is_told_to_forget_and_the_core_keeps_no_clear_octet(sides: tuple[ServerTls, ClientTls]) -> None:
    session = attack(sides, b"", [10], suspends=False)
    assert session.handled_in_clear == [b"STARTTLS"]
    assert session.handled.index(b"<tls>") < session.handled.index(b"INSIDE")
