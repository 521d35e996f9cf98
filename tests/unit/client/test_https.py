"""A document by HTTPS from a server that is really there, and from hostile ones (A-95)."""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from postwren.client.https import Https, WebFailed
from postwren.testing.authority import Authority

SILENT = b"silent"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<ok/>"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def moved(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n\r\n".encode()


class Site:
    """Answers by target; `{port}` in an answer is its own."""

    def __init__(self, authority: Authority, answers: Mapping[str, bytes], name: str = "localhost") -> None:
        self.authority = authority
        self.answers = answers
        self.name = name
        self.asked: list[str] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(request.split()[1].decode())
        answer = self.answers.get(self.asked[-1], b"HTTP/1.1 404 Not Found\r\n\r\n")
        if answer is SILENT:
            await reader.read()
        else:
            writer.write(answer.replace(b"{port}", str(writer.get_extra_info("sockname")[1]).encode()))
        writer.close()

    def get(self, target: str, *, is_trusted: bool = True, patience: float = 10) -> bytes:
        async def work() -> bytes:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.authority.issue(self.name))
            async with await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context) as server:
                port = server.sockets[0].getsockname()[1]
                return await Https(self.authority.path if is_trusted else None, port, patience).get("localhost", target)

        return asyncio.run(work())


def test_a_document_is_fetched(authority: Authority) -> None:
    site = Site(authority, {"/x?emailaddress=ann@example.org": OK})
    assert site.get("/x?emailaddress=ann@example.org") == b"<ok/>"


def test_a_certificate_for_another_name_is_refused_before_anything_is_asked(authority: Authority) -> None:
    site = Site(authority, {"/x": OK}, "other.example")
    with pytest.raises(WebFailed, match="certificate"):
        site.get("/x")
    assert site.asked == []


def test_a_certificate_that_nobody_trusts_is_refused_before_anything_is_asked(authority: Authority) -> None:
    site = Site(authority, {"/x": OK})
    with pytest.raises(WebFailed, match="certificate"):
        site.get("/x", is_trusted=False)
    assert site.asked == []


@pytest.mark.parametrize("location", ["/y?z", "y?z", "https://localhost:{port}/y?z", "//LOCALHOST:{port}/y?z#fragment"])
def test_a_redirection_on_the_same_host_is_followed(authority: Authority, location: str) -> None:
    site = Site(authority, {"/x": moved(location), "/y?z": OK})
    assert site.get("/x") == b"<ok/>"
    assert site.asked == ["/x", "/y?z"]


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/y",
        "http://localhost:{port}/y",
        "https://localhost/y",
        "https://localhost:{port}@evil.example/y",
        "https://ann:secret@localhost:{port}/y",
        "//evil.example:{port}/y",
        "file:///etc/passwd",
        "https://[/y",
        "https://localhost:99999/y",
        "/y z",
        "/\xe4",
    ],
)
@pytest.mark.parametrize("status", [301, 307])
def test_a95_a_redirection_to_anywhere_else_is_not(authority: Authority, location: str, status: int) -> None:
    site = Site(authority, {"/x": moved(location, status), "/y": OK})
    with pytest.raises(WebFailed, match="not followed"):
        site.get("/x")
    assert site.asked == ["/x"]


def test_redirections_end(authority: Authority) -> None:
    site = Site(authority, {"/x": moved("/x")})
    with pytest.raises(WebFailed, match="place to place"):
        site.get("/x")
    assert len(site.asked) == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, "too long"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", "too long"),
        (b"* OK IMAP\r\n\r\n", "does not speak HTTP"),
        (b"", "cut short"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<ok/>", "cut short"),
    ],
)
def test_whatever_else_it_answers_is_a_sentence(authority: Authority, answer: bytes, reason: str) -> None:
    with pytest.raises(WebFailed, match=reason):
        Site(authority, {"/x": answer}).get("/x")


def test_a_server_that_never_answers_is_left(authority: Authority) -> None:
    with pytest.raises(WebFailed, match="in time"):
        Site(authority, {"/x": SILENT}).get("/x", patience=0.2)


def test_where_nothing_listens_it_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
        await Https(None, port).get("localhost", "/x")

    with pytest.raises(WebFailed, match="nothing listens"):
        asyncio.run(work())
