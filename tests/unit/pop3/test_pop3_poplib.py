"""A session behind a real link and socket, taken by Python's poplib: plain and STLS, byte for byte, gone after QUIT."""

import asyncio
import datetime
import poplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from tests.conftest import OpenStore
from tests.scripts.pop3_world import LOGIN, PASSWORD, Pop3World
from tests.shared import corpus

from postwren.server.pop3 import Pop3Session
from postwren.transport.certificate import development_certificate
from postwren.transport.deadline import Watch
from postwren.transport.link import LinkConfig
from postwren.transport.listener import Listener
from postwren.transport.tls import ServerTls

T = TypeVar("T")
MESSAGES = [
    b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    b"",
    b"Subject: large\r\n\r\n" + b".line of text, and more of it\r\n" * 40_000,
    b"Subject: 8 bit \xe9\r\n\r\n\xff\r\n",
]


def visit(open_store: OpenStore, folder: Path, messages: list[bytes], device: Callable[[int, Path], T]) -> tuple[T, list[int]]:
    """Run `device(port, certificate)` in a thread against a server with these messages; what it found, and what is left."""

    async def whole() -> tuple[T, list[int]]:
        store = open_store()
        world = Pop3World(store)
        for message in messages:
            await world.message(message)
        certificate, key = development_certificate(folder, ["localhost"], datetime.datetime.now(datetime.UTC))
        config = LinkConfig(Watch(), tls=ServerTls(certificate, key, b"pop3"))
        listener = Listener(config, lambda: Pop3Session(world.service))
        await listener.start([("127.0.0.1", 0)])
        try:
            found = await asyncio.to_thread(device, listener.ports[0], certificate)
            return found, world.uids()
        finally:
            await listener.close(0)
            assert config.stats.bugs == 0
            world.end()
            store.close()

    return asyncio.run(whole())


def take_all(port: int, certificate: Path | None) -> list[bytes]:
    device = poplib.POP3("127.0.0.1", port, timeout=20)
    try:
        if certificate is not None:
            context = ssl.create_default_context(cafile=str(certificate))
            context.check_hostname = False
            assert device.stls(context).startswith(b"+OK")
            assert "STLS" not in device.capa()
        device.user(LOGIN)
        device.pass_(PASSWORD)
        count = device.stat()[0]
        assert len(device.uidl()[1]) == count
        taken = []
        for number in range(1, count + 1):
            taken.append(b"".join(line + b"\r\n" for line in device.retr(number)[1]))
            device.dele(number)
        device.quit()
    finally:
        device.close()
    return taken


@pytest.mark.parametrize("is_tls", [False, True])
def test_poplib_takes_everything(open_each_store: OpenStore, tmp_path: Path, is_tls: bool) -> None:
    taken, left = visit(open_each_store, tmp_path, MESSAGES, lambda port, ca: take_all(port, ca if is_tls else None))
    assert taken == MESSAGES
    assert left == []


def test_d50_poplib_that_only_closes_deletes_nothing(open_each_store: OpenStore, tmp_path: Path) -> None:
    def device(port: int, _: Path) -> None:
        visit = poplib.POP3("127.0.0.1", port, timeout=20)
        visit.user(LOGIN)
        visit.pass_(PASSWORD)
        visit.dele(1)
        visit.close()

    assert visit(open_each_store, tmp_path, MESSAGES, device)[1] == [1, 2, 3, 4]


def test_every_message_of_the_corpora_comes_out_as_it_is(open_each_store: OpenStore, tmp_path: Path) -> None:
    messages = [path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in corpus()]
    if not messages:
        pytest.skip("the corpora are not here: set POSTWREN_SHARED")

    def device(port: int, _: Path) -> list[bytes]:
        """All at once, by hand: poplib takes no line above 2048 octets."""
        octets = b""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(f"USER {LOGIN}\r\nPASS {PASSWORD}\r\n".encode())
            connection.sendall(b"".join(b"RETR %d\r\nDELE %d\r\n" % (n, n) for n in range(1, len(messages) + 1)) + b"QUIT\r\n")
            while piece := connection.recv(1 << 20):
                octets += piece
        lead, *rest = octets.split(b"\r\n", 3)[3].split(b"\r\n.\r\n+OK\r\n")
        return [lead.removeprefix(b"+OK\r\n"), *(part.removeprefix(b"+OK\r\n") for part in rest)]

    taken, left = visit(open_each_store, tmp_path, messages, device)
    assert left == []
    assert len(taken) == len(messages) + 1
    for got, message in zip(taken, messages, strict=False):
        whole = message if message.endswith(b"\r\n") else message + b"\r\n"
        assert (b"\r\n" + got + b"\r\n").replace(b"\n..", b"\n.") == b"\r\n" + whole
