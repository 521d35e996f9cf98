"""Every example of docs/python.md runs, in its order, against a server of ours; what the blocking clients promise besides."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postwren.client.blocking import Imap, Pop3
from postwren.client.conversation import ConnectionEnded, Security
from postwren.client.imap import Refused
from postwren.client.pop3 import Refused as Pop3Refused

from .program import ROOT, Server, postwren

PASSWORD = "secret"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("python") / "data"
    postwren("account", "add", "ann@example.org", "--password-stdin", data=data, text=f"{PASSWORD}\n")
    with Server(data) as running:
        yield running


@pytest.mark.real
def test_every_example_runs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.S)
    assert len(examples) >= 6
    ends = {"imap_port": 43, "pop3_port": 10, "smtp_port": 25, "submission_port": 87}
    ports = {name: server.base + end for name, end in ends.items()}
    world: dict[str, Any] = {"host": "127.0.0.1", "password": PASSWORD, **ports}
    for example in examples:
        exec(compile(example, "docs/python.md", "exec"), world)
    assert (tmp_path / "message.eml").read_bytes().endswith(world["letter"])
    assert world["news"]
    assert world["octets"].endswith(world["letter"])


@pytest.mark.real
def test_a_refusal_leaves_the_connection_usable(server: Server) -> None:
    with Imap("127.0.0.1", server.base + 43, security=Security.NONE) as device:
        device.login("ann@example.org", PASSWORD)
        with pytest.raises(Refused):
            device.select("No such mailbox")
        assert device.select("INBOX").uidvalidity
        assert device.idle(seconds=0) == []
        assert "INBOX" in [entry.mailbox for entry in device.mailboxes()]
    with Pop3("127.0.0.1", server.base + 10, security=Security.NONE) as maildrop:
        maildrop.login("ann@example.org", PASSWORD)
        with pytest.raises(Pop3Refused):
            maildrop.retr(99)
        assert maildrop.stat()[0] == len(maildrop.sizes())


def test_a_call_that_took_too_long_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def greet() -> None:
            peer, _ = listener.accept()
            peer.sendall(b"* OK [CAPABILITY IMAP4rev1] hello\r\n")
            accepted.append(peer)

        thread = threading.Thread(target=greet)
        thread.start()
        device = Imap("127.0.0.1", listener.getsockname()[1], security=Security.NONE, timeout=0.5)
        with device:
            thread.join()
            with pytest.raises(TimeoutError):
                device.login("ann@example.org", PASSWORD)
            with pytest.raises(ConnectionEnded, match="closed"):
                device.mailboxes()
        accepted[0].close()


def test_where_a_loop_runs_already_it_says_so() -> None:
    async def within() -> None:
        with pytest.raises(RuntimeError, match="runs an event loop already"), Imap("127.0.0.1", 1, security=Security.NONE):
            pass

    asyncio.run(within())


def test_a_server_that_is_not_there_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError), Imap("127.0.0.1", port, security=Security.NONE):
        pass
