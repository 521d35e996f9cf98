"""A stranger's document by HTTPS, from servers that are really there (RFC 8461 section 3.3; A-10, A-74)."""

import asyncio
import ssl
from pathlib import Path

import pytest

from postwren.exchange.web import CertificateBad, StrangersWeb, WebFailed, is_public
from postwren.protocols.http.client import Responded
from postwren.testing.authority import Authority
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress

HOST = "mta-sts.example.org"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Site:
    def __init__(self, authority: Authority, answer: bytes | None = OK, name: str = HOST) -> None:
        self.authority = authority
        self.answer = answer
        self.credentials: tuple[Path, Path] = authority.issue(name)
        self.connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        if self.answer is None:
            await reader.read()
        else:
            writer.write(self.answer)
        writer.close()

    def get(self, *, is_private_allowed: bool = True, patience: float = 10, address: str = "127.0.0.1") -> Responded:
        async def work() -> Responded:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.credentials)
            resolver = ScriptedResolver({(HOST, "A"): [HostAddress(address)]})
            async with await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context) as server:
                port = server.sockets[0].getsockname()[1]
                web = StrangersWeb(
                    resolver,
                    is_private_allowed=is_private_allowed,
                    trusted=self.authority.path,
                    port=port,
                    patience=patience,
                )
                return await web.get(HOST, "/x")

        return asyncio.run(work())


def test_the_host_is_found_by_our_resolver_and_its_certificate_is_judged_by_its_name(authority: Authority) -> None:
    assert Site(authority).get().body == b"hello"
    with pytest.raises(CertificateBad, match="certificate"):
        Site(authority, name="example.org").get()


def test_a10_no_redirection_is_followed(authority: Authority) -> None:
    site = Site(authority, b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(WebFailed, match="answered 302"):
        site.get()
    assert site.connections == 1


def test_a10_a_document_above_64_kilobytes_is_not_taken(authority: Authority) -> None:
    with pytest.raises(WebFailed, match="too long"):
        Site(authority, b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 65537).get()


def test_a_server_that_does_not_answer_has_a_deadline(authority: Authority) -> None:
    with pytest.raises(WebFailed, match="in time"):
        Site(authority, None).get(patience=0.2)


def test_a74_a_name_that_leads_to_this_machine_is_not_connected_to(authority: Authority) -> None:
    site = Site(authority)
    with pytest.raises(WebFailed, match="none of the internet"):
        site.get(is_private_allowed=False)
    assert site.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "224.0.0.1",
        "::1",
        "::",
        "fc00::1",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "::ffff:0:0",
    ],
)
def test_a74_what_is_not_the_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a74_what_is_the_internet(address: str) -> None:
    assert is_public(address)
