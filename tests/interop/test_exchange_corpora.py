"""The corpora pass through our server and a Postfix over TLS, in both directions, with headers of their own.

ann@a.example -> submission -> our queue -> STARTTLS -> Postfix -> LMTP -> ben@b.example
ben@b.example -> Postfix -> STARTTLS -> our port 25 -> ann@a.example
"""

import base64
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.lab.mail import Pop3, Refused, Sender
from bench.lab.postfix import Postfix
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable, until
from tests.crash.exchange_kill9 import Server
from tests.interop.house import Corpus, each_once

pytestmark = pytest.mark.real

ANN, BEN = "ann@a.example", "ben@b.example"
LINES = """
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_relay_restrictions = permit_mynetworks, reject
virtual_mailbox_maps = texthash:{known}
smtp_tls_security_level = encrypt
smtp_tls_session_cache_database =
default_transport = smtp:[127.0.0.1]:{port}
"""


@dataclass(frozen=True)
class Neighbours:
    """The Postfix is the host of b.example; what it takes it hands on by LMTP, so that `behind` shows what it got."""

    ours: Server
    postfix: Postfix
    behind: Postwren

    def submit(self, message: bytes, *recipients: str) -> None:
        talk = Sender(self.ours.base + 87)
        talk.sock.sendall(b"AUTH PLAIN " + base64.b64encode(f"\0{ANN}\0pass".encode()) + b"\r\n")
        assert talk.reply().startswith(b"235")
        talk.sock.sendall(b"MAIL FROM:<%s>%s\r\n" % (ANN.encode(), b"" if message.isascii() else b" BODY=8BITMIME"))
        for recipient in recipients:
            talk.sock.sendall(f"RCPT TO:<{recipient}>".encode() + b"\r\n")
        talk.sock.sendall(b"DATA\r\n")
        for _ in recipients:
            assert talk.reply().startswith(b"250")
        assert talk.reply().startswith(b"250")
        assert talk.reply().startswith(b"354")
        talk.content(message)
        answer = talk.reply()
        talk.quit()
        if not answer.startswith(b"250"):
            raise Refused(answer)

    def maildrop(self, login: str, least: int) -> list[bytes]:
        """What came, once there is so much; and away with it."""
        messages: list[bytes] = []

        def has_come() -> bool:
            pop = Pop3((self.ours if login == ANN else self.behind).pop3, login)
            numbers = range(1, pop.count() + 1)
            if len(numbers) >= least:
                messages.extend(pop.all(numbers))
                pop.delete(numbers)
            pop.quit()
            return len(messages) >= least

        until(has_come, 60, f"{least} messages for {login}", 0.1)
        return messages


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    ours, behind = Server(tmp_path_factory.mktemp("ours") / "data"), Postwren(tmp_path_factory.mktemp("behind") / "data")
    with tempfile.TemporaryDirectory(prefix="postwren-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cert, key, known = folder / "cert.pem", folder / "key.pem", folder / "known"
        subject = ["-subj", "/CN=mx.b.example", "-addext", "subjectAltName=DNS:mx.b.example"]
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        subprocess.run(["openssl", "req", *kind, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
        known.write_text(f"{BEN} x\n")
        more = LINES.format(cert=cert, key=key, known=known, port=ours.smtp)
        try:
            postfix = Postfix(folder, f"lmtp:inet:127.0.0.1:{behind.lmtp}", "b.example", more)
        except Unavailable as error:
            pytest.skip(str(error))
        ours.prepare(postfix.smtp)
        text = (ours.data / "postwren.toml").read_text()
        (ours.data / "postwren.toml").write_text(text.replace("[submission]", "[submission]\nany_author = true"))
        ours.add_accounts([ANN])
        behind.add_accounts([BEN])
        try:
            ours.start()
            behind.start()
            postfix.start()
            yield Neighbours(ours, postfix, behind)
        finally:
            postfix.stop()
            ours.stop()
            behind.stop()


def test_the_corpora_pass_through_both(neighbours: Neighbours, corpus: Corpus) -> None:
    """Out by submission where its rules allow, and in through Postfix: octet for octet below the trace fields."""
    sent, refused = [], []
    for message in corpus.well_formed():
        try:
            neighbours.submit(message, BEN)
        except Refused as refusal:
            refused.append(refusal.code)
        else:
            sent.append(message)
    assert len(sent) > 20
    assert set(refused) <= {550}
    each_once(neighbours.maildrop(BEN, len(sent)), sent)
    with Sender(neighbours.postfix.smtp) as sender:
        for message in corpus.well_formed():
            assert sender.send(message, ANN, reverse_path=BEN)[0].startswith(b"250")
    each_once(neighbours.maildrop(ANN, len(corpus.well_formed())), corpus.well_formed())
