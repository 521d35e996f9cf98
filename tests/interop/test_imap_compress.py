"""COMPRESS=DEFLATE inside TLS (RFC 4978) over real sockets: Python's imaplib with zlib below it, and our own client."""

import asyncio
import imaplib
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.program import Server, postwren
from tests.interop.peer import insecure

from postwren.client.conversation import Security
from postwren.client.imap import ImapClient, Refused
from postwren.protocols.imap.command import Create
from postwren.protocols.imap.command.fetch import Item, Section
from postwren.wire.secret import Secret

pytestmark = pytest.mark.real

LOGIN, PASSWORD = "ann@example.org", "sesame"
LARGE = b"Subject: large\r\n\r\n" + b"".join(b"%x\r\n" % random.Random(line).getrandbits(250) for line in range(20_000))


class DeflatedImap(imaplib.IMAP4_SSL):
    """imaplib knows nothing of COMPRESS: its file and its socket are replaced by these methods once it was agreed."""

    deflater: Any = None
    octets = 0  # that came compressed

    def begin(self) -> None:
        imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")
        kind, said = self._simple_command("COMPRESS", "DEFLATE")
        assert kind == "OK", said
        self.inflater = zlib.decompressobj(wbits=-15)
        self.plain = bytearray()
        self.deflater = zlib.compressobj(wbits=-15)

    def send(self, data: Any) -> None:
        self.sock.sendall(
            data if self.deflater is None else self.deflater.compress(data) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        )

    def read(self, size: int) -> bytes:
        return super().read(size) if self.deflater is None else self.taken(lambda: size)

    def readline(self) -> bytes:
        return super().readline() if self.deflater is None else self.taken(lambda: self.plain.find(b"\n") + 1)

    def taken(self, size: Any) -> bytes:
        while not 0 < size() <= len(self.plain):
            data = self.sock.recv(65536)
            assert data, "the server closed the connection"
            self.octets += len(data)
            self.plain += self.inflater.decompress(data)
        end = size()
        taken = bytes(self.plain[:end])
        del self.plain[:end]
        return taken


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("compress")
    config = folder / "postwren.toml"
    config.write_text("[imap]\ncompress = true\n")
    postwren("account", "add", "--from", "-", data=folder / "data", text=f"{LOGIN}\t{PASSWORD}\n")
    with Server(folder / "data", "--config", str(config)) as running:
        yield running


def test_imaplib_works_compressed_inside_tls(server: Server) -> None:
    with DeflatedImap("127.0.0.1", server.port(93), ssl_context=insecure(), timeout=20) as imap:
        imap.login(LOGIN, PASSWORD)
        assert "COMPRESS=DEFLATE" in imap.capability()[1][0].decode()
        imap.begin()
        assert "COMPRESS=DEFLATE" not in imap.capability()[1][0].decode()  # RFC 4978 section 3
        imap.create("Large")
        for _ in range(3):
            assert imap.append("Large", "", "", LARGE)[0] == "OK"
        assert imap.select("Large") == ("OK", [b"3"])
        before = imap.octets
        fetched = imap.fetch("1:3", "(BODY.PEEK[])")[1]
        assert [each[1] for each in fetched if isinstance(each, tuple)] == [LARGE] * 3
        assert imap.octets - before < 3 * len(LARGE) * 0.7


@pytest.mark.parametrize(("security", "end"), [(Security.IMPLICIT, 93), (Security.STARTTLS, 43)])
def test_our_client_works_compressed_inside_tls(server: Server, security: Security, end: int) -> None:
    certificate = next(path for path in (server.data / "tls").iterdir() if b"BEGIN CERTIFICATE" in path.read_bytes())

    async def work() -> None:
        async with ImapClient("localhost", server.port(end), security=security, trusted=certificate) as device:
            await device.login(LOGIN, Secret(PASSWORD))
            await device.compress()
            with pytest.raises(Refused):  # RFC 4978 section 3: once
                await device.compress()
            await device.run(Create(f"Ours{end}"))
            await device.append(f"Ours{end}", LARGE)
            await device.select(f"Ours{end}")
            pieces: list[bytes] = []
            [fetched] = await device.fetch(((1, 1),), (Item.RFC822_SIZE, Section(is_peek=True)), lambda _: pieces.append)
            assert b"".join(pieces) == LARGE, fetched
            await device.logout()

    asyncio.run(work())
