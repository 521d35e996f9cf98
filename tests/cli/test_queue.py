"""`postwren queue`, alone and beside a running server."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from postwren.cli.main import app_with
from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.queue import Concluder, accept
from postwren.mailstore.port import Transaction
from postwren.storage.embedded import EmbeddedStore
from postwren.terms import Address, Uid

from .program import Server, postwren


def run(*words: str, data: Path, code: int = 0) -> str:
    """A command in this process; what it says on stdout and stderr."""
    done = CliRunner().invoke(app_with(words[:1]), [*words, "--data", str(data)])
    assert done.exit_code == code, done.output
    return done.output


def fill(data: Path) -> None:
    """Three messages to five recipients; an evil host has answered about the first."""

    async def work() -> None:
        store = EmbeddedStore(data)
        for sender, recipients in [
            ("ann@example.org", "bob@b.example cid@b.example"),
            ("ann@example.org", "dan@d.example"),
            ("", "zoe@z.example eve@b.example"),
        ]:
            writer = store.new_body()
            writer.write(
                b"From: ann@example.org\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?= for %s\r\n\r\nhi\r\n" % recipients.encode()
            )
            body = writer.finish()
            envelope = Envelope(Address(*sender.split("@")) if sender else None)
            envelope.elsewhere = [Elsewhere(Address(*each.split("@"))) for each in recipients.split()]
            await store.perform(accept(envelope, body, int(time.time()), 1), [body])
        conclude = Concluder(store, lambda *_: None, lambda: 1, time.time, lambda: 0.0)
        evil = Verdict(Fate.DEFERRED, 450, "4.2.0", "later\x1b[2J\r\n\u202e", "mx.b.example")
        await conclude(Uid(1), [Outcome(1, evil)])
        store.close()

    asyncio.run(work())


def states(data: Path, *words: str) -> list[tuple[int, str, str]]:
    found = json.loads(run("queue", "list", "--json", *words, data=data))
    return [(message["id"], each["address"], each["state"]) for message in found for each in message["recipients"]]


def test_the_queue_is_seen_and_decided_about(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run("queue", "list", data=data) == "nothing waits\n"
    fill(data)
    text = run("queue", "list", data=data)
    assert "to bob@b.example: next attempt in 5 minutes; 450 4.2.0 later?[2J??? (mx.b.example)" in text
    assert "from <> (a report)" in text
    assert text.endswith("3 messages to 5 recipients\n")
    assert "Subject: grüße for dan@d.example" in run("queue", "show", "2", data=data)
    assert states(data, "--recipient", "EVE@b.example") == [(3, "eve@b.example", "waiting")]
    assert states(data, "--sender", "<>", "--domain", "z.example") == [(3, "zoe@z.example", "waiting")]

    assert run("queue", "hold", "--domain", "B.example", data=data) == "3 recipients held\n"
    assert [state for _, _, state in states(data)] == ["held", "held", "waiting", "waiting", "held"]
    assert run("queue", "retry", "1", data=data).startswith("2 recipients tried")
    assert [state for _, _, state in states(data)] == ["waiting", "waiting", "waiting", "waiting", "held"]
    assert "say which" in run("queue", "drop", data=data, code=2)
    assert "nothing was changed" in run("queue", "drop", "99", data=data, code=1)
    assert run("queue", "drop", "3", "--silent", data=data) == "2 recipients dropped\n"
    assert "no message 3" in run("queue", "show", "3", data=data, code=1)


@pytest.mark.real
def test_what_is_dropped_beside_a_running_server_is_reported_to_its_sender(tmp_path: Path) -> None:
    data = tmp_path / "data"
    postwren("account", "add", "ann@example.org", "--password-stdin", data=data, text="x\n")
    fill(data)
    with Server(data):
        assert "senders are told" in postwren("queue", "drop", "--sender", "ann@example.org", data=data)
        assert [number for number, _, _ in states(data)] == [3, 3]  # nothing is reported to nobody, nor anything else queued
        postwren("export", "ann@example.org", str(tmp_path / "out.mbox"), data=data)
    reports = (tmp_path / "out.mbox").read_bytes()
    assert reports.count(b"\nAction: failed") == 3
    assert reports.count(b"multipart/report") == 2
    assert b"An administrator of this server took the message out of the queue." in reports.replace(b"=\n", b"")
    assert postwren("check", data=data).endswith("ok\n")
    (account,) = json.loads(postwren("account", "list", "--json", data=data))
    assert (account["login"], account["messages"]) == ("ann@example.org", 2)


def test_what_the_check_finds_in_a_queue_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fill(data)

    async def damage() -> None:
        store = EmbeddedStore(data)

        def unit(tx: Transaction) -> None:
            tx.delete_queued(Uid(2))

        await store.perform(unit)
        store.close()

    asyncio.run(damage())
    assert "message 2 has no row" in run("check", data=data, code=1)
