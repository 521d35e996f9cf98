"""A whole server judges what comes to it by SMTP, and keeps what it found over its end."""

import asyncio
import ipaddress
import smtplib
import time
from pathlib import Path

import msgspec
from tests.unit.embedded.disk import LOGIN, contents, message, put, run

from postwren.app.server import Server
from postwren.config.schema import Config, Judge, Listen, Smtp
from postwren.delivery.greylist import SETTING, Greylist
from postwren.protocols.smtp.path import parse_mailbox
from postwren.storage.embedded import EmbeddedStore
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Txt

CONFIG = Config(
    hostname="mx.example.org",
    listen=Listen(smtp=("127.0.0.1:0",), imap=(), imaps=(), pop3=(), pop3s=(), submission=(), submissions=()),
    smtp=Smtp(trusted_networks=()),
    judge=Judge(greylist=True),
)
RECORDS = {
    ("example.net", "TXT"): [Txt(b"v=spf1 ip4:127.0.0.1 -all")],
    ("_dmarc.example.net", "TXT"): [Txt(b"v=DMARC1; p=none")],
    ("_dmarc.bank.example", "TXT"): [Txt(b"v=DMARC1; p=reject")],
}


def send(port: int, author: str) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", port, "mail.example.net", timeout=30) as smtp:
        try:
            smtp.sendmail("a@example.net", LOGIN, f"From: {author}\r\n\r\nText\r\n")
        except smtplib.SMTPRecipientsRefused as refused:
            return next(iter(refused.recipients.values()))
        except smtplib.SMTPDataError as refused:
            return refused.smtp_code, refused.smtp_error if isinstance(refused.smtp_error, bytes) else b""
    return 250, b""


async def at_a_server(data: Path, config: Config, authors: list[str]) -> list[tuple[int, bytes]]:
    server = Server(data, config, resolver=ScriptedResolver(RECORDS))  # type: ignore[arg-type]
    ports = await server.start()
    try:
        return [await asyncio.to_thread(send, ports["smtp"][0], author) for author in authors]
    finally:
        await server.close()


def test_what_comes_by_smtp_is_judged_unless_its_network_is_trusted(tmp_path: Path) -> None:
    run(lambda store: put(store, message(1)), tmp_path)
    plain = msgspec.structs.replace(CONFIG, judge=Judge())
    (good, bad) = asyncio.run(at_a_server(tmp_path, plain, ["a@example.net", "a@bank.example"]))
    assert good == (250, b"")
    assert bad[0] == 550
    assert b"The policy of bank.example (DMARC)" in bad[1]
    trusted = msgspec.structs.replace(plain, smtp=Smtp())
    assert asyncio.run(at_a_server(tmp_path, trusted, ["a@bank.example"])) == [(250, b"")]
    _, judged, unjudged = run(_contents, tmp_path)
    assert b"dmarc=pass header.from=example.net" in judged
    assert b"Authentication-Results" not in unjudged


async def _contents(store: EmbeddedStore) -> list[bytes]:
    return contents(store)


def test_who_waits_on_the_greylist_waits_over_the_end_of_a_server(tmp_path: Path) -> None:
    run(lambda store: put(store, message(1)), tmp_path)
    ((code, _),) = asyncio.run(at_a_server(tmp_path, CONFIG, ["a@example.net"]))
    assert code == 450
    greylist, soon = Greylist(), int(time.time()) + 61
    greylist.load(run(_setting, tmp_path) or b"", soon)
    here, sender, recipient = ipaddress.ip_address("127.0.0.1"), parse_mailbox("a@example.net"), parse_mailbox(LOGIN)
    assert greylist.seconds_to_wait(here, sender, recipient, soon) == 0


async def _setting(store: EmbeddedStore) -> bytes | None:
    return store.reader.setting(SETTING)
