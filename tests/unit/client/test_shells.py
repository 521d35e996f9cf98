"""The client shells against small servers that say what a test wants, over real sockets."""

import asyncio
import base64
import datetime
import ssl
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from postwren.client.conversation import ConnectionEnded, Security, ServerFailed, TlsRefused
from postwren.client.imap import ImapClient
from postwren.client.imap import Refused as ImapRefused
from postwren.client.pop3 import Pop3Client, Refused
from postwren.client.smtp import Submission, submit
from postwren.protocols.imap.command import Noop
from postwren.protocols.imap.response import Untagged
from postwren.protocols.imap.response.size import Exists
from postwren.terms import Address
from postwren.transport.certificate import development_certificate
from postwren.wire.secret import Secret

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANN, BOB, EVE = Address("ann", "example.org"), Address("bob", "example.org"), Address("eve", "example.org")
LETTER = b"Subject: hello\r\n\r\n.dots\r\n..more\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return development_certificate(tmp_path_factory.mktemp("tls"), [], datetime.datetime.now(datetime.UTC))


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def against(handler: Handler, work: Callable[[int], Coroutine[Any, Any, None]], tls: ssl.SSLContext | None = None) -> None:
    async def both() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        async with server:
            async with asyncio.timeout(20):
                await work(server.sockets[0].getsockname()[1])

    asyncio.run(both())


class SmtpServer:
    """Answers by the first word; eve is unknown to it."""

    def __init__(
        self, extensions: bytes = b"PIPELINING", starttls: bytes = b"220 go", context: ssl.SSLContext | None = None
    ) -> None:
        self.heard: list[bytes] = []
        self.message = b""
        self._extensions = extensions
        self._starttls = starttls
        self._context = context

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        known = 0
        while line := await reader.readline():
            self.heard.append(line.rstrip())
            word = line.split()[0].upper()
            if word == b"EHLO":
                writer.write(b"250-test\r\n250 " + self._extensions + b"\r\n")
            elif word == b"STARTTLS":
                writer.write(self._starttls + b"\r\n")
                if self._starttls == b"220 go":
                    assert self._context is not None
                    await writer.start_tls(self._context)
            elif word == b"AUTH":
                right = base64.b64encode(b"\0ann\0right") in line
                writer.write(b"235 welcome\r\n" if right else b"535 wrong\r\n")
            elif word == b"RCPT":
                known += b"eve" not in line
                writer.write(b"550 no such account\r\n" if b"eve" in line else b"250 fine\r\n")
            elif word == b"DATA" and known:
                writer.write(b"354 go\r\n")
                self.message = await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            elif word == b"DATA":
                writer.write(b"554 nobody\r\n")
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 fine\r\n")


def codes(submission: Submission) -> tuple[int, list[int], list[int]]:
    return submission.mail.code, [r.code for r in submission.recipients], [r.code for r in submission.message]


def test_a_message_is_submitted_and_each_recipient_answered() -> None:
    server = SmtpServer()

    async def work(port: int) -> None:
        done = await submit("127.0.0.1", port, ANN, [BOB, EVE], LETTER, security=Security.NONE)
        assert codes(done) == (250, [250, 550], [250])
        assert server.message == b"Subject: hello\r\n\r\n..dots\r\n...more\r\n.\r\n"
        done = await submit("127.0.0.1", port, None, [EVE], LETTER, security=Security.NONE)
        assert codes(done) == (250, [550], [])

    against(server, work)


def test_starttls_comes_before_anything_private(certificate: tuple[Path, Path]) -> None:
    server = SmtpServer(b"STARTTLS", context=server_context(certificate))

    async def work(port: int) -> None:
        done = await submit("127.0.0.1", port, ANN, [BOB], LETTER, trusted=certificate[0])
        assert codes(done) == (250, [250], [250])
        assert [line.split()[0] for line in server.heard[:4]] == [b"EHLO", b"STARTTLS", b"EHLO", b"MAIL"]

    against(server, work)


@pytest.mark.parametrize(
    ("extensions", "answer"), [(b"SIZE", b"220 go"), (b"STARTTLS", b"454 not now"), (b"STARTTLS", b"220 go\r\n250 injected")]
)
def test_a04_a_server_that_will_not_do_tls_gets_no_mail(extensions: bytes, answer: bytes, certificate: tuple[Path, Path]) -> None:
    server = SmtpServer(extensions, answer, server_context(certificate))

    async def work(port: int) -> None:
        with pytest.raises((ServerFailed, ConnectionEnded)):
            await submit("127.0.0.1", port, ANN, [BOB], LETTER, trusted=certificate[0])
        assert not any(line.startswith((b"MAIL", b"RCPT", b"DATA")) for line in server.heard)

    against(server, work)


def test_a09_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[Path, Path]) -> None:
    server = SmtpServer(b"STARTTLS", context=server_context(certificate))

    async def work(port: int) -> None:
        with pytest.raises(ConnectionEnded) as caught:
            await submit("127.0.0.1", port, ANN, [BOB], LETTER)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        assert server.heard[1:] == [b"STARTTLS"]

    against(server, work)


def test_who_is_not_let_in_sends_nothing() -> None:
    server = SmtpServer(b"AUTH PLAIN")

    async def work(port: int) -> None:
        place = "127.0.0.1", port, ANN, [BOB], LETTER
        await submit(*place, security=Security.NONE, login="ann", password=Secret("right"))
        assert [line.split()[0] for line in server.heard[:3]] == [b"EHLO", b"AUTH", b"MAIL"]
        with pytest.raises(ServerFailed, match="535 wrong"):
            await submit(*place, security=Security.NONE, login="ann", password=Secret("guess"))
        assert sum(line.startswith(b"MAIL") for line in server.heard) == 1

    against(server, work)


def test_without_tls_only_to_this_machine() -> None:
    with pytest.raises(ValueError, match="this machine"):
        asyncio.run(submit("192.0.2.1", 25, ANN, [BOB], LETTER, security=Security.NONE))


class Pop3Server:
    """A maildrop of `messages`; what was deleted when QUIT came is in `removed`."""

    def __init__(self, messages: dict[int, bytes], starttls: bytes = b"-ERR no") -> None:
        self.messages = messages
        self.removed: list[int] = []
        self.heard: list[bytes] = []
        self._starttls = starttls

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        marked: list[int] = []
        writer.write(b"+OK ready\r\n")
        while line := await reader.readline():
            self.heard.append(line.rstrip())
            word, *rest = line.split()
            if word == b"STAT":
                writer.write(b"+OK %d %d\r\n" % (len(self.messages), sum(map(len, self.messages.values()))))
            elif word == b"UIDL":
                writer.write(b"+OK\r\n" + b"".join(b"%d uid%d\r\n" % (n, n) for n in self.messages) + b".\r\n")
            elif word == b"LIST":
                writer.write(b"+OK\r\n" + b"".join(b"%d %d\r\n" % (n, len(m)) for n, m in self.messages.items()) + b".\r\n")
            elif word == b"RETR" and int(rest[0]) not in self.messages:
                writer.write(b"-ERR no such message\r\n")
            elif word == b"RETR":
                stuffed = (b"\r\n" + self.messages[int(rest[0])]).replace(b"\r\n.", b"\r\n..")[2:]
                writer.write(b"+OK\r\n" + stuffed + b".\r\n")
                await writer.drain()
            elif word == b"DELE":
                marked.append(int(rest[0]))
                writer.write(b"+OK\r\n")
            elif word == b"CAPA":
                writer.write(b"+OK\r\nPIPELINING\r\nUSER\r\n.\r\n")
            elif word == b"STLS":
                writer.write(self._starttls + b"\r\n")
            elif word == b"PASS" and rest[0] != b"right":
                writer.write(b"-ERR [AUTH] no\r\n")
            else:
                writer.write(b"+OK\r\n")
            if word == b"QUIT":
                self.removed = marked
                return


MESSAGES = {n: b"message %d\r\n.\r\n" % n + b"x" * (n * 997) + b"\r\n" for n in range(1, 300)}


def test_a_device_takes_its_mail_pipelined_and_quits(certificate: tuple[Path, Path]) -> None:
    server = Pop3Server(MESSAGES)

    async def work(port: int) -> None:
        async with Pop3Client("127.0.0.1", port, trusted=certificate[0]) as device:
            await device.login("ann", Secret("right"))
            assert await device.stat() == (len(MESSAGES), sum(map(len, MESSAGES.values())))
            assert await device.sizes() == {n: len(message) for n, message in MESSAGES.items()}
            assert (await device.uidl())[17] == b"uid17"
            assert await device.retr(3) == MESSAGES[3]
            got: dict[int, bytearray] = {n: bytearray() for n in MESSAGES}
            octets = await device.retr_all(MESSAGES, lambda n: got[n].extend)
            assert got == MESSAGES
            assert octets == {n: len(message) for n, message in MESSAGES.items()}
            with pytest.raises(Refused):
                await device.retr(1000)
            await device.dele(*MESSAGES)
            assert server.removed == []
            await device.quit()
        assert server.removed == list(MESSAGES)

    against(server, work, server_context(certificate))


def test_leaving_without_quit_says_no_quit() -> None:
    server = Pop3Server(MESSAGES)

    async def work(port: int) -> None:
        async with Pop3Client("127.0.0.1", port, security=Security.NONE) as device:
            await device.login("ann", Secret("right"))
            await device.dele(1)
        assert b"QUIT" not in server.heard

    against(server, work)


def test_a_refused_login_tells_its_code() -> None:
    async def work(port: int) -> None:
        async with Pop3Client("127.0.0.1", port, security=Security.NONE) as device:
            with pytest.raises(Refused) as caught:
                await device.login("ann", Secret("wrong"))
            assert caught.value.reply.code == "AUTH"

    against(Pop3Server({}), work)


@pytest.mark.parametrize("answer", [b"-ERR no", b"+OK go\r\n+OK injected"])
def test_a03_a04_no_password_where_stls_fails(answer: bytes) -> None:
    server = Pop3Server({}, answer)

    async def work(port: int) -> None:
        with pytest.raises((TlsRefused, ServerFailed)):
            async with Pop3Client("127.0.0.1", port, security=Security.STARTTLS) as device:
                await device.login("ann", Secret("right"))
        assert server.heard == [b"STLS"]

    against(server, work)


def test_a_reader_that_is_slow_holds_little_of_a_large_message(certificate: tuple[Path, Path]) -> None:
    large = b"y" * 70 + b"\r\n"
    server = Pop3Server({1: large * 300_000})

    async def work(port: int) -> None:
        async with Pop3Client("127.0.0.1", port, security=Security.NONE) as device:
            most = 0

            def write(data: bytes) -> None:
                nonlocal most
                most = max(most, len(device._talk._events))

            await device.login("ann", Secret("right"))
            assert await device.retr_into(1, write) == len(large) * 300_000
            assert most <= 16

    against(server, work)


class CompressingImap:
    """Says something compressed in the same write as its answer to COMPRESS, or refuses."""

    def __init__(self, *, is_willing: bool) -> None:
        self.is_willing = is_willing
        self.heard = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deflater, inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)

        def deflated(text: bytes) -> bytes:
            return deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)

        writer.write(b"* PREAUTH [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] hello\r\n")
        tag, command = (await reader.readline()).split(b" ", 1)
        assert command == b"COMPRESS DEFLATE\r\n"
        if not self.is_willing:
            writer.write(tag + b" NO not now\r\n")
            tag = (await reader.readline()).split()[0]
            writer.write(tag + b" OK NOOP done\r\n")
            return
        news = b"".join(b"* %d EXISTS\r\n" % n for n in range(1, 5000))
        writer.write(tag + b" OK go\r\n" + deflated(news))
        while not self.heard.endswith(b"NOOP\r\n"):
            self.heard += inflater.decompress(await reader.readexactly(1))
        writer.write(deflated(self.heard.split()[0] + b" OK NOOP done\r\n"))


def test_imap_is_compressed_from_the_answer_on_and_nothing_behind_it_is_lost() -> None:
    server, told = CompressingImap(is_willing=True), list[Untagged]()

    async def work(port: int) -> None:
        async with ImapClient("127.0.0.1", port, security=Security.NONE, unsolicited=told.append) as device:
            await device.compress()
            await device.run(Noop())

    against(server, work)
    assert told == [Exists(n) for n in range(1, 5000)]


def test_imap_goes_on_as_it_is_where_compression_is_refused() -> None:
    async def work(port: int) -> None:
        async with ImapClient("127.0.0.1", port, security=Security.NONE) as device:
            with pytest.raises(ImapRefused):
                await device.compress()
            await device.run(Noop())

    against(CompressingImap(is_willing=False), work)


class SaslServer:
    """Offers what it is told to, and says yes to whatever comes."""

    def __init__(self, capabilities: list[bytes]) -> None:
        self.heard: list[bytes] = []
        self._capabilities = capabilities

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK ready\r\n")
        while line := await reader.readline():
            self.heard.append(line.rstrip())
            word = line.split()[0]
            if word == b"CAPA":
                writer.write(b"+OK\r\n" + b"".join(name + b"\r\n" for name in self._capabilities) + b".\r\n")
            else:
                writer.write(b"-ERR [UTF8] never\r\n" if word == b"UTF8" else b"+OK\r\n")


def log_in(capabilities: list[bytes], **how: Any) -> tuple[list[bytes], str]:
    server = SaslServer(capabilities)
    used: list[str] = []

    async def work(port: int) -> None:
        async with Pop3Client("127.0.0.1", port, security=Security.NONE) as device:
            used.append(await device.login("ann", **how))

    try:
        against(server, work)
    except ServerFailed as failed:
        used.append(str(failed))
    return server.heard[1:], used[0]


@pytest.mark.parametrize("pipelining", [[], [b"PIPELINING"]])
def test_a_device_logs_in_by_the_best_that_both_know(pipelining: list[bytes]) -> None:
    word, token = Secret("right"), Secret("t0k3n")
    plain = b"AUTH PLAIN AGFubgByaWdodA=="
    assert log_in([*pipelining, b"SASL PLAIN LOGIN"], password=word) == ([plain], "PLAIN")
    assert log_in([*pipelining, b"UTF8", b"SASL PLAIN"], password=word) == ([b"UTF8", plain], "PLAIN")
    assert log_in([*pipelining, b"UTF8"], password=word) == ([b"UTF8", b"USER ann", b"PASS right"], "USER")
    heard, used = log_in([*pipelining, b"SASL XOAUTH2 PLAIN"], token=token)
    assert (used, base64.b64decode(heard[0].split()[2])) == ("XOAUTH2", b"user=ann\1auth=Bearer t0k3n\1\1")


def test_a63_a_login_is_never_weaker_than_it_was() -> None:
    for offered in ([b"SASL PLAIN"], []):
        heard, said = log_in(offered, password=Secret("right"), pinned="SCRAM-SHA-256")
        assert (heard, "not SCRAM-SHA-256" in said) == ([], True)
    heard, said = log_in([b"SASL PLAIN"], token=Secret("t"))
    assert (heard, "OAUTHBEARER" in said) == ([], True)


def test_a63_a_server_that_says_yes_before_it_proved_itself_is_left() -> None:
    heard, said = log_in([b"SASL SCRAM-SHA-256 PLAIN"], password=Secret("right"))
    assert heard[0].startswith(b"AUTH SCRAM-SHA-256 ")
    assert said not in ("SCRAM-SHA-256", "PLAIN")
