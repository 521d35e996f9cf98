"""Real mail programs send through us: with STARTTLS and with TLS from the first octet, and are told what is wrong (RFC 6409)."""

import base64
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from bench.lab.mail import Pop3
from tests.cli.program import Server, postwren
from tests.interop.peer import Peer
from tests.interop.test_promises import LOCAL, NOT_LOCAL

pytestmark = pytest.mark.real

ANN, BOB, PASSWORD = "ann@example.org", "bob@example.org", "sesame"
HEADER: Final = b"From: Ann Lee <ann@example.org>\r\nTo: bob@example.org\r\nSubject: hello\r\n"
MESSAGE: Final = HEADER + b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@client>\r\n\r\n.hello\r\n"
Find = Callable[[str], str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("submission")
    accounts = "".join(f"{login}\t{PASSWORD}\n" for login in (ANN, BOB))
    postwren("account", "add", "--from", "-", data=folder / "data", text=accounts)
    with Server(folder / "data") as server:
        yield server


def port_of(server: Server, mode: str) -> int:
    return server.port(65 if mode == "tls" else 87)


def certificate(server: Server) -> Path:
    return next(path for path in sorted((server.data / "tls").iterdir()) if b"BEGIN CERTIFICATE" in path.read_bytes())


def taken(server: Server) -> list[bytes]:
    """All that bob has, and nothing is left."""
    pop = Pop3(server.port(10), BOB, password=PASSWORD)
    count = pop.count()
    messages = list(pop.all(range(1, count + 1)))
    pop.delete(range(1, count + 1))
    pop.quit()
    return messages


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_swaks_submits(server: Server, mode: str, program: Find, tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(MESSAGE.replace(b"\r\n.", b"\r\n..") + b".")
    words = [program("swaks"), "--server", "localhost", "--port", str(port_of(server, mode)), "--from", ANN, "--to", BOB]
    words += ["--tls" if mode == "starttls" else "--tlsc", "--tls-verify", "--tls-ca-path", str(certificate(server))]
    words += ["--auth-user", ANN, "--auth-password", PASSWORD, "--no-data-fixup", "--data", f"@{tmp_path}/message"]
    run(words)
    (message,) = taken(server)
    assert message.endswith(MESSAGE)


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_msmtp_submits(server: Server, mode: str, program: Find) -> None:
    words = [
        program("msmtp"),
        "--host=localhost",
        f"--port={port_of(server, mode)}",
        f"--from={ANN}",
        "--auth=on",
        f"--user={ANN}",
    ]
    words += [f"--passwordeval=echo {PASSWORD}", "--tls=on", f"--tls-starttls={'on' if mode == 'starttls' else 'off'}"]
    run([*words, f"--tls-trust-file={certificate(server)}", "--", BOB], MESSAGE.replace(b"\r\n", b"\n"))
    (message,) = taken(server)
    assert message.endswith(MESSAGE)


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_curl_submits(server: Server, mode: str, program: Find, tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(MESSAGE)
    url = f"{'smtps' if mode == 'tls' else 'smtp'}://localhost:{port_of(server, mode)}/client.example.net"
    words = [program("curl"), "-sS", url, "--ssl-reqd", "--cacert", str(certificate(server)), "--user", f"{ANN}:{PASSWORD}"]
    run([*words, "--mail-from", ANN, "--mail-rcpt", BOB, "--upload-file", f"{tmp_path}/message"])
    (message,) = taken(server)
    assert message.endswith(MESSAGE)


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_the_standard_librarys_client_submits_and_is_told_what_is_wrong(server: Server, mode: str) -> None:
    context = ssl.create_default_context(cafile=str(certificate(server)))
    with connected(server, mode, context) as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as early:
            client.sendmail(ANN, [BOB], MESSAGE)
        assert early.value.smtp_code == 530
        client.login(ANN, PASSWORD)
        with pytest.raises(smtplib.SMTPSenderRefused, match="one of your own addresses"):
            client.sendmail("eve@other.example", [BOB], MESSAGE)
        with pytest.raises(smtplib.SMTPDataError, match=r"eve@other\.example is not"):
            client.sendmail(ANN, [BOB], MESSAGE.replace(b"Ann Lee <ann@example.org>", b"eve@other.example"))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail(ANN, ["nobody@example.org"], MESSAGE)
        client.sendmail(ANN, [BOB], HEADER + b"Bcc: secret@other.example\r\n\r\nhello\r\n")
    (message,) = taken(server)
    header, _, body = message.partition(b"\r\n\r\n")
    assert body == b"hello\r\n"
    assert b"\r\nDate: " in header
    assert b"\r\nMessage-ID: <" in header
    assert b"secret@" not in message
    assert b"127.0.0.1" not in header, "where somebody writes from is nobody's business"


def connected(server: Server, mode: str, context: ssl.SSLContext) -> smtplib.SMTP:
    if mode == "tls":
        return smtplib.SMTP_SSL("localhost", port_of(server, mode), context=context)
    client = smtplib.SMTP("localhost", port_of(server, mode))
    client.starttls(context=context)
    return client


def test_a24_who_has_not_logged_in_submits_nothing_to_anybody(server: Server) -> None:
    """The matrix of port 25 again: here not even a local recipient is taken."""
    for recipient in LOCAL + NOT_LOCAL:
        with Peer(server.port(87)) as peer:
            assert peer.reply().startswith(b"220")
            assert peer.say(b"EHLO x").startswith(b"250")
            assert peer.say(b"MAIL FROM:<ann@example.org> SMTPUTF8").startswith(b"530")
            assert peer.say(b"RCPT TO:<%s>" % recipient.encode()).startswith(b"5"), recipient
            assert peer.say(b"DATA").startswith(b"503")
            assert peer.say(b"BDAT 0 LAST").startswith(b"503")


def test_a24_who_has_logged_in_at_port_25_is_no_relay_either(server: Server) -> None:
    with Peer(server.port(25)) as peer:
        assert peer.reply().startswith(b"220")
        assert peer.say(b"EHLO x").startswith(b"250")
        assert peer.say(b"AUTH PLAIN " + base64.b64encode(f"\0{ANN}\0{PASSWORD}".encode())).startswith(b"235")
        assert peer.say(b"MAIL FROM:<ann@example.org>").startswith(b"250")
        assert peer.say(b"RCPT TO:<someone@far.example>").startswith(b"550 5.7.1")


def run(command: list[str], given: bytes = b"") -> None:
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-1500:], done.stderr[-1500:])
