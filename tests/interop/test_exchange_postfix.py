"""Mail between us and a private Postfix, both ways and over STARTTLS: octets, receipts, refusals and who tells whom of them."""

import contextlib
import email
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final

import pytest
from bench.lab.mail import Pop3, Sender, original, with_crlf
from bench.lab.postfix import Postfix
from bench.lab.process import Unavailable, until
from tests.cli.program import Server, postwren
from tests.interop.house import Corpus, each_once

from postwren.delivery.dsn_reader import parse

pytestmark = pytest.mark.real

OURS, THEIRS, FORWARDED, PASSWORD = "ann@w.example", "bob@p.example", "all@w.example", "sesame"
HEADER: Final = b"From: Ann Lee <ann@w.example>\r\nTo: bob@p.example\r\nSubject: hello\r\n"
MESSAGE: Final = HEADER + b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@client>\r\n\r\n.hello\r\n"
SIZE_LIMIT: Final = 3_000_000
THEIRS_MAIN = """
myhostname = mx.p.example
virtual_mailbox_base = {mail}
virtual_mailbox_maps = inline:{{bob@p.example=bob/}}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {pem}
smtp_tls_security_level = encrypt
smtp_tls_loglevel = 1
smtpd_tls_loglevel = 1
message_size_limit = 20000000
transport_maps = inline:{{w.example=smtp:[127.0.0.1]:{port}}}
"""
ZONE = "p.example. MX 10 mx.p.example.\nw.example. MX 10 mx.w.example.\nmx.p.example. A 127.0.0.1\nmx.w.example. A 127.0.0.1\n"


@dataclass(slots=True)
class Pair:
    """Our server for w.example, Postfix for p.example."""

    server: Server
    postfix: Postfix
    maildir: Path

    def submit(self, message: bytes, recipient: str = THEIRS, **options: list[str]) -> None:
        context = ssl._create_unverified_context()
        with smtplib.SMTP_SSL("localhost", self.server.port(65), context=context) as client:
            client.login(OURS, PASSWORD)
            client.sendmail(OURS, [recipient], message, options.get("mail", []), options.get("rcpt", []))

    def theirs(self, count: int = 1) -> list[bytes]:
        """What bob has, as soon as it is `count`; nothing is left."""
        new = self.maildir / "new"
        until(lambda: new.is_dir() and len(list(new.iterdir())) >= count, 30, f"Postfix has {count}", 0.05)
        paths = list(new.iterdir())
        found = [with_crlf(path.read_bytes()) for path in paths]
        for path in paths:
            path.unlink()
        return found

    def ours(self, count: int = 1, login: str = OURS) -> list[bytes]:
        """What is in the account, as soon as it is `count`; nothing is left."""
        until(lambda: self._count(login) >= count, 30, f"{login} has {count}", 0.1)
        pop = Pop3(self.server.port(10), login, password=PASSWORD)
        numbers = range(1, pop.count() + 1)
        found = list(pop.all(numbers))
        pop.delete(numbers)
        pop.quit()
        return found

    def _count(self, login: str) -> int:
        pop = Pop3(self.server.port(10), login, password=PASSWORD)
        count = pop.count()
        pop.quit()
        return count

    def hand_to_postfix(self, message: bytes, recipient: str, reverse_path: str = THEIRS) -> None:
        with smtplib.SMTP("127.0.0.1", self.postfix.smtp) as client:
            client.starttls(context=ssl._create_unverified_context())
            eight = [] if message.isascii() else ["BODY=8BITMIME"]
            client.sendmail(reverse_path, [recipient], message, eight)

    def said(self) -> str:
        return (self.postfix.folder / "logs" / "mail.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postwren-exchange-")))
        folder.chmod(0o755)
        (folder / "mail").mkdir()
        if os.getuid():
            pytest.skip("Postfix needs root")
        shutil.chown(folder / "mail", "nobody", "nogroup")
        who = (folder / "mail").stat()
        config, zone = folder / "postwren.toml", folder / "zone"
        server = Server(folder / "data", "--config", str(config), "--zone", str(zone))
        values = {"mail": folder / "mail", "uid": who.st_uid, "gid": who.st_gid, "pem": make_pem(folder), "port": server.port(25)}
        try:
            postfix = Postfix(folder, "virtual", "p.example", THEIRS_MAIN.format(**values))
            zone.write_text(ZONE)
            ports = f'[outbound]\nports = {{ "mx.p.example" = {postfix.smtp} }}\n[smtp]\nsize_limit = {SIZE_LIMIT}\n'
            config.write_text('hostname = "mx.w.example"\n' + ports)
            accounts = f"{OURS}\t{PASSWORD}\n{FORWARDED}\t{PASSWORD}\n"
            postwren("account", "add", "--from", "-", data=folder / "data", text=accounts)
            postfix.start()
        except Unavailable as error:
            pytest.skip(str(error))
        stack.callback(postfix.stop)
        stack.enter_context(server)
        yield Pair(server, postfix, folder / "mail" / "bob")


def make_pem(folder: Path) -> Path:
    """A key and its certificate in one file."""
    pem = folder / "mx.pem"
    kind = [
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=mx.p.example",
    ]
    subprocess.run(["openssl", "req", *kind, "-keyout", str(pem), "-out", f"{pem}.crt"], check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + Path(f"{pem}.crt").read_bytes())
    return pem


def reported(octets: bytes) -> tuple[str, str]:
    """What a report says of its one recipient, as the standard library reads it: the action and the status."""
    message = email.message_from_bytes(octets)
    assert (message.get_content_type(), message.get_param("report-type")) == ("multipart/report", "delivery-status")
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert isinstance(parts[1], Message)
    groups = parts[1].get_payload()
    assert isinstance(groups, list)
    assert isinstance(groups[1], Message)
    return groups[1]["Action"], groups[1]["Status"]


def test_a_submission_reaches_postfix_over_starttls_as_it_was_written(pair: Pair) -> None:
    pair.submit(MESSAGE)
    (message,) = pair.theirs()
    assert message.endswith(MESSAGE)
    assert message.startswith(b"Return-Path: <ann@w.example>\r\n")
    assert "Anonymous TLS connection established from" in pair.said()


def test_every_message_that_may_be_submitted_reaches_postfix_octet_for_octet(pair: Pair, corpus: Corpus) -> None:
    bodies = dict.fromkeys(message.partition(b"\r\n\r\n")[2] for message in corpus.well_formed())
    sent = [
        HEADER + b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <%d@c>\r\n\r\n%s" % (place, body)
        for place, body in enumerate(bodies)
    ]
    context = ssl._create_unverified_context()
    with smtplib.SMTP_SSL("localhost", pair.server.port(65), context=context) as client:
        client.login(OURS, PASSWORD)
        for message in sent:
            client.sendmail(OURS, [THEIRS], message, [] if message.isascii() else ["BODY=8BITMIME"])
    each_once(pair.theirs(len(sent)), sent)


def test_every_well_formed_message_of_the_corpora_comes_from_postfix_octet_for_octet(pair: Pair, corpus: Corpus) -> None:
    sent = corpus.well_formed()
    for message in sent:
        pair.hand_to_postfix(message, FORWARDED)
    each_once(pair.ours(len(sent), FORWARDED), sent)
    assert "Untrusted TLS connection established to 127.0.0.1" in pair.said()


def test_postfix_tells_its_sender_of_our_unknown_recipient_and_we_read_it(pair: Pair) -> None:
    pair.hand_to_postfix(MESSAGE, "nobody@w.example")
    (report,) = pair.theirs()
    assert reported(report) == ("failed", "5.1.1")
    assert parse(report) is not None


def test_postfix_tells_its_sender_of_a_message_too_big_for_us(pair: Pair) -> None:
    pair.hand_to_postfix(MESSAGE + b"0123456789\r\n" * (SIZE_LIMIT // 12), OURS)
    (report,) = pair.theirs()
    assert reported(report) == ("failed", "5.3.4")


def test_we_tell_our_sender_of_their_unknown_recipient(pair: Pair) -> None:
    pair.submit(MESSAGE, "nobody@p.example")
    (report,) = pair.ours()
    assert reported(report) == ("failed", "5.1.1")
    assert b"\r\nReturn-Path: " not in report.partition(b"\r\n\r\n")[0]
    assert report.startswith(b"Return-Path: <>\r\n")


def test_postfix_sends_the_receipt_that_our_sender_asked_for(pair: Pair) -> None:
    """RFC 3461: we hand NOTIFY and ENVID on, and Postfix, which delivers, reports."""
    pair.submit(MESSAGE, mail=["ENVID=QQ314159"], rcpt=["NOTIFY=SUCCESS", "ORCPT=rfc822;Bob@p.example"])
    (receipt,) = pair.ours()
    assert reported(receipt) == ("delivered", "2.0.0")
    assert b"QQ314159" in receipt
    assert b"Original-Recipient: rfc822;Bob@p.example" in receipt
    assert original(pair.theirs()[0], [MESSAGE]) == 0


def test_what_postfix_defers_waits_with_its_reason_and_arrives_once_when_asked_for(pair: Pair) -> None:
    conf = str(pair.postfix.folder / "conf")
    subprocess.run(["postfix", "-c", conf, "stop"], check=True, capture_output=True)
    pair.submit(MESSAGE)
    until(lambda: "nothing listens there" in waiting(pair), 10, "the queue says why", 0.2)
    pair.postfix.start()
    postwren("queue", "retry", "--all", data=pair.server.data)
    (message,) = pair.theirs()
    assert message.endswith(MESSAGE)
    until(lambda: "nothing waits" in waiting(pair), 10, "the queue is empty", 0.2)
    with Sender(pair.server.port(25)) as sender:  # the way in was open all the time
        assert sender.send(MESSAGE, OURS, reverse_path=THEIRS)[0].startswith(b"250")
    assert original(pair.ours()[0], [MESSAGE]) == 0


def waiting(pair: Pair) -> str:
    return postwren("queue", "list", data=pair.server.data)
