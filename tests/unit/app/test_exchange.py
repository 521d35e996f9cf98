"""Two servers and a zone between them: what is submitted at one is read at the other, and what cannot be is reported."""

import asyncio
import smtplib
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from postwren.app.server import Server
from postwren.cli.main import app_with
from postwren.config.schema import Config, Listen, Login, Outbound
from postwren.delivery.dsn_reader import parse
from postwren.delivery.status import Action
from postwren.mailstore.invariant import check
from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import create_account
from postwren.server.login.credential import make_credentials
from postwren.stores import open_store
from postwren.terms import INBOX
from postwren.transport.zone import ZoneResolver
from postwren.wire.secret import Secret

ZONE = """
a.example.    MX 10 mx.a.example.
b.example.    MX 10 mx.b.example.
mx.a.example. A 127.0.0.1
mx.b.example. A 127.0.0.1
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def with_account(data: Path, config: Config, login: str) -> None:
    store = await open_store(data, config)
    await store.perform(create_account(login, make_credentials(Secret("pass word")), 0))
    store.close()


async def until(store: Store, condition: Callable[[], bool]) -> None:
    changed = asyncio.Event()
    subscription = store.observe(lambda _: changed.set())
    while not condition():
        changed.clear()
        await changed.wait()
    subscription.cancel()


async def inbox(server: Server, login: str, number: int) -> list[bytes]:
    """Its messages, as soon as there are so many."""
    store = server._store
    account = store.reader.account_by_login(login)
    assert account is not None
    mailbox = store.reader.mailbox_by_name(account.account_id, INBOX)
    assert mailbox is not None
    place = account.account_id, mailbox.mailbox_id
    await until(store, lambda: len(store.reader.entries(*place)) >= number)
    entries = store.reader.entries(*place)
    emails = store.reader.emails_of(account.account_id, sorted(entry.email_id for entry in entries))
    return [store.read_body(email.body) for email in emails]


def submit(port: int, sender: str, *recipients: str, wishes: tuple[str, ...] = ()) -> None:
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        smtp.login(sender, "pass word")
        letter = f"From: {sender}\r\nTo: you\r\nSubject: a letter\r\n\r\n.dot\r\n"
        smtp.sendmail(sender, recipients, letter, rcpt_options=wishes)


def test_two_servers_exchange_mail_and_reports(tmp_path: Path) -> None:
    async def story() -> None:
        ports = {f"mx.{name}.example": free_port() for name in "ab"}
        servers, submissions = {}, {}
        for name in "ab":
            listen = Listen((f"127.0.0.1:{ports[f'mx.{name}.example']}",), submission=("127.0.0.1:0",), submissions=())
            quiet = {service: () for service in listen.__struct_fields__ if service not in ("smtp", "submission")}
            config = Config(
                hostname=f"mx.{name}.example",
                listen=msgspec.structs.replace(listen, **quiet),
                login=Login(failure_delay=0),
                outbound=Outbound(ports=ports),
            )
            await with_account(tmp_path / name, config, f"{name}@{name}.example")
            servers[name] = Server(tmp_path / name, config, is_dev=True, resolver=ZoneResolver(ZONE))
            submissions[name] = (await servers[name].start())["submission"][0]
        try:
            await asyncio.to_thread(submit, submissions["a"], "a@a.example", "b@b.example", "nobody@b.example", "x@none.example")
            (letter,) = await inbox(servers["b"], "b@b.example", 1)
            assert letter.endswith(b"\r\n\r\n.dot\r\n")
            assert letter.startswith(b"Return-Path: <a@a.example>\r\n")
            reports = await inbox(servers["a"], "a@a.example", 2)
            assert sorted((b"nobody@b.example" in report, b"x@none.example" in report) for report in reports) == [
                (False, True),
                (True, False),
            ]
            # RFC 3461 section 5.2: delivered here, and passed on to a server that offers no reports to strangers
            two = "a@a.example", "b@b.example"
            await asyncio.to_thread(submit, submissions["b"], "b@b.example", *two, wishes=("NOTIFY=SUCCESS",))
            assert len(await inbox(servers["a"], "a@a.example", 3)) == 3
            told = [report for message in await inbox(servers["b"], "b@b.example", 4) if (report := parse(message))]
            assert sorted((each.final, each.action) for report in told for each in report.recipients) == [
                ("a@a.example", Action.RELAYED),
                ("b@b.example", Action.DELIVERED),
            ]
            for server in servers.values():
                reader = server._store.reader
                await until(server._store, lambda reader=reader: reader.queue_size() == (0, 0))  # type: ignore[misc]
                assert [str(wrong) for wrong in check(server._store.reader)] == []
        finally:
            await asyncio.gather(*(server.close() for server in servers.values()))

    asyncio.run(asyncio.wait_for(story(), 30))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--zone", "zone"], "--zone goes with --dev"),
        (["--dev", "--zone", "none"], "none cannot be read"),
        (["--dev", "--zone", "zone"], "zone: <input>:2"),
    ],
)
def test_a_zone_that_cannot_be_used_is_said(
    options: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zone").write_text("a.example. A 127.0.0.1\nb.example. MX")
    result = CliRunner().invoke(app_with(["serve"]), ["serve", "--data", str(tmp_path), *options])
    assert result.exit_code == 1
    assert says in result.stderr
