"""`sync verify`, `sync undo`, `sync status` and `recover` as people type them, against a server of ours."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from postwren.client.conversation import Security
from postwren.client.imap import ImapClient
from postwren.protocols.imap.command import Create
from postwren.protocols.imap.command.store import StoreAction
from postwren.wire.secret import Secret

from .program import Server, postwren

pytestmark = pytest.mark.real

ANN = "ann@example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("care") / "server"
    postwren("account", "add", ANN, "--password-stdin", data=data, text="sesame\n")
    with Server(data) as server:
        yield server


@pytest.fixture
def login(server: Server, tmp_path: Path) -> str:
    login = f"{tmp_path.name.replace('_', '-')}@example.org"
    postwren("account", "add", login, "--password-stdin", data=server.data, text="sesame\n")
    return login


@pytest.fixture
def device(tmp_path: Path) -> Path:
    return tmp_path / "device"


def add(server: Server, device: Path, login: str, *words: str) -> None:
    how = words or ("--imap", f"127.0.0.1:{server.port(43)}")
    postwren("sync", "add", login, *how, "--tls", "none", "--password-stdin", data=device, text="sesame\n")


def deliver(server: Server, login: str, *subjects: str) -> None:
    for subject in subjects:
        text = f"Subject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nthe body of {subject}\r\n"
        postwren("deliver", login, data=server.data, text=text)


def talk(server: Server, login: str, scene: Callable[[ImapClient], Awaitable[object]]) -> None:
    async def run() -> None:
        async with ImapClient("127.0.0.1", server.port(43), security=Security.NONE) as client:
            await client.login(login, Secret("sesame"))
            await client.select("INBOX")
            await scene(client)

    asyncio.run(asyncio.wait_for(run(), 30))


def expunge(*uids: int) -> Callable[[ImapClient], Awaitable[object]]:
    async def scene(client: ImapClient) -> None:
        numbers = tuple((uid, uid) for uid in uids)
        await client.store(numbers, StoreAction.ADD, ["\\Deleted"])
        await client.expunge(numbers)

    return scene


def spoil(device: Path, text: bytes) -> None:
    """Flip a bit of a message where it lies."""
    (segment,) = [path for path in device.rglob("*") if path.is_file() and path.suffix != ".db" and text in path.read_bytes()]
    octets = bytearray(segment.read_bytes())
    octets[octets.index(text)] ^= 1
    segment.write_bytes(octets)


def lines(said: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in said.splitlines()]


def test_verify_by_imap_finds_what_differs_and_a_flipped_bit(server: Server, device: Path, login: str) -> None:
    deliver(server, login, "one", "two", "three")
    add(server, device, login)
    postwren("sync", "run", data=device)
    assert "no difference: 3 messages here are whole, 3 compared octet by octet" in postwren("sync", "verify", data=device)
    assert "3 compared by sizes and headers" in postwren("sync", "verify", login, "--quick", data=device)
    deliver(server, login, "four")
    spoil(device, b"the body of two")
    postwren("sync", "verify", data=device, code=1)
    said = lines(postwren("sync", "verify", "--json", data=device, code=1, shows=True))
    found = [(event["difference"], event["there"], event["here"]) for event in said if event["event"] == "differs"]
    assert found == [("damaged", None, 2), ("missing-here", 4, None)]
    assert said[-1]["event"] == "verified"
    assert said[-1]["differences"] == {"damaged": 1, "missing-here": 1}
    assert "INBOX: message 4 there is there and not here" in postwren("sync", "verify", data=device, code=1, shows=True)


def test_verify_by_pop3_compares_what_was_left_there(server: Server, device: Path, login: str) -> None:
    deliver(server, login, "one", "two")
    add(server, device, login, "--pop3", f"127.0.0.1:{server.port(10)}", "--delete", "never")
    postwren("sync", "run", data=device)
    for words in ((), ("--quick",)):
        assert "no difference: 2 messages here are whole, 2 compared" in postwren("sync", "verify", *words, data=device)
    deliver(server, login, "three")
    talk(server, login, expunge(1))
    spoil(device, b"the body of two")
    said = lines(postwren("sync", "verify", "--json", data=device, code=1, shows=True))
    assert [event["difference"] for event in said if event["event"] == "differs"] == ["damaged", "missing-there", "missing-here"]


def test_verify_without_a_server_says_so(server: Server, device: Path, login: str) -> None:
    add(server, device, login)
    (path,) = device.glob("sync/*.toml")
    path.write_text(path.read_text().replace(f"port = {server.port(43)}", "port = 1"))
    assert "nothing listens at 127.0.0.1:1" in postwren("sync", "verify", data=device, code=1)


def test_what_a_run_deleted_comes_back_and_goes_up_again(server: Server, device: Path, login: str) -> None:
    deliver(server, login, "one", "two")
    add(server, device, login)
    postwren("sync", "run", data=device)
    talk(server, login, expunge(1))
    postwren("sync", "run", "--accept-deletions", data=device)
    assert "\tINBOX\t" in (said := postwren("sync", "undo", "--list", "--since", "last-run", data=device))
    assert said.endswith("\tone\n")
    assert postwren("sync", "undo", "--list", "--since", "2100-01-01", data=device) == ""
    (row,) = json.loads(postwren("sync", "undo", "--list", "--json", data=device))
    assert (row["mailbox"], row["subject"], row["deleted"] <= time.time()) == ("INBOX", "one", True)
    assert "1 messages brought back: 1 in INBOX" in postwren("sync", "undo", login, data=device)
    assert "0 messages brought back" in postwren("sync", "undo", login, data=device)
    assert "1 sent" in postwren("sync", "run", data=device)
    assert "no difference" in postwren("sync", "verify", data=device)
    assert "is no moment" in postwren("sync", "undo", "--since", "soon", data=device, code=2)


def test_recover_brings_back_what_a_program_deleted_but_not_what_it_moved(server: Server, login: str) -> None:
    async def scene(client: ImapClient) -> None:
        await client.run(Create("Done"))
        await client.copy(((1, 1),), "Done")
        await expunge(1, 2)(client)

    deliver(server, login, "moved", "deleted", "kept")
    talk(server, login, scene)
    assert postwren("recover", login, "--list", data=server.data).endswith("\tdeleted\n")
    assert "1 messages brought back: 1 in INBOX" in postwren("recover", login, "--mailbox", "inbox", data=server.data)
    assert "1 messages brought back: 1 in INBOX" in postwren("recover", login, "--copies", data=server.data)
    assert "no mailbox 'none'" in postwren("recover", login, "--mailbox", "none", data=server.data, code=2)


def test_status_says_how_each_mailbox_stands(server: Server, device: Path, login: str) -> None:
    deliver(server, login, "one", "two")
    add(server, device, login)
    postwren("sync", "run", data=device)
    postwren("deliver", login, data=device, text="Subject: mine\n\nhi\n")
    (row,) = json.loads(postwren("sync", "status", "--json", data=device))
    (inbox,) = [box for box in row["mailboxes"] if box["mailbox"] == "INBOX"]
    assert {name: inbox[name] for name in ("messages", "paired", "not_sent", "held")} == {
        "messages": 3,
        "paired": 2,
        "not_sent": 1,
        "held": 0,
    }
    assert abs(inbox["compared"] - time.time()) < 120
    said = postwren("sync", "status", login, data=device)
    assert "INBOX\t3 messages, 2 there too, 1 not yet sent" in said
