"""A device's outbox from end to end: a mail program hands in at the device's own server, and the account's server sends it."""

import json
import smtplib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .program import Server, postwren

pytestmark = pytest.mark.real

ANN, BOB = "ann@example.org", "bob@example.org"
TEXT = (
    "From: ann@example.org\r\nTo: bob@example.org\r\nSubject: hello\r\nDate: Tue, 3 Mar 2026 10:00:00 +0000\r\n"
    "Message-ID: <1@device>\r\n\r\nhi\r\n"
)
MAILDIR = TEXT.replace("\r", "").encode()


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("far") / "data"
    postwren("account", "add", "--from", "-", data=data, text=f"{ANN}\tsesame\n{BOB}\tsesame\n")
    with Server(data) as running:
        yield running


def add(far: Server, device: Path, *words: str, code: int = 0, text: str = "sesame\n") -> str:
    there = ("--imap", f"127.0.0.1:{far.port(43)}", "--tls", "none", "--password-stdin")
    return postwren("sync", "add", ANN, *there, *words, data=device, text=text, code=code)


def hand_in(device: Server, text: str = TEXT) -> None:
    with smtplib.SMTP("127.0.0.1", device.port(87)) as client:
        client.login(ANN, "sesame")
        client.sendmail(ANN, [BOB], text)


def mail_of(data: Path, address: str, out: Path) -> list[bytes]:
    postwren("export", address, str(out), data=data)
    return [path.read_bytes() for path in out.rglob("*") if path.is_file() and path.parent.name in ("cur", "new")]


def outbox(data: Path) -> list[dict[str, object]]:
    return list(json.loads(postwren("sync", "outbox", "list", "--json", data=data)))


def test_what_is_handed_in_at_the_device_leaves_by_the_accounts_server_and_its_copy_goes_up(far: Server, tmp_path: Path) -> None:
    device = tmp_path / "device"
    said = add(far, device, "--smtp", f"127.0.0.1:{far.port(87)}")
    assert f"leaves by 127.0.0.1:{far.port(87)}." in said
    with Server(device) as running:
        hand_in(running)
        (waiting,) = outbox(device)
        assert (waiting["account"], waiting["subject"]) == (ANN, "hello")
        for _ in range(200):
            if not outbox(device):
                break
            time.sleep(0.1)
    postwren("sync", "run", ANN, data=device)
    (arrived,) = mail_of(far.data, BOB, tmp_path / "bob")
    assert arrived.endswith(MAILDIR)
    assert arrived.count(b"Received:") == 1  # the far server's own: a device is no relay
    copies = [octets for octets in mail_of(far.data, ANN, tmp_path / "ann") if b"Subject: hello" in octets]
    assert copies == [MAILDIR]


def test_without_a_network_it_waits_and_the_next_run_sends_it(far: Server, tmp_path: Path) -> None:
    device = tmp_path / "device"
    add(far, device, "--smtp", f"127.0.0.1:{far.port(87)}")
    settings = device / "sync" / f"{ANN}.toml"
    there = settings.read_text()
    settings.write_text(there.replace(f":{far.port(87)}", ":1"))
    with Server(device) as running:
        hand_in(running, TEXT.replace("<1@", "<2@").replace("hello", "later"))
        hand_in(running, TEXT.replace("<1@", "<3@").replace("hello", "never"))
        for _ in range(100):
            if "nothing listens" in (status := postwren("sync", "status", data=device)):
                break
            time.sleep(0.1)
        assert "2 messages wait to be sent: cannot connect to 127.0.0.1: nothing listens there" in status
    first, second = outbox(device)
    assert "no such message waits: 99" in postwren("sync", "outbox", "drop", "99", data=device, code=1)
    assert postwren("sync", "outbox", "drop", str(second["id"]), data=device) == "1 dropped.\n"
    assert postwren("sync", "outbox", "retry", str(first["id"]), data=device) == "1 will be sent.\n"
    assert "messages wait to be sent by it" in postwren("sync", "remove", ANN, data=device, code=1)
    settings.write_text(there)
    postwren("sync", "run", ANN, data=device)
    assert outbox(device) == []
    subjects = b"".join(mail_of(far.data, BOB, tmp_path / "bob"))
    assert b"Subject: later" in subjects
    assert b"Subject: never" not in subjects


def test_a_server_that_one_names_must_let_the_account_in(far: Server, tmp_path: Path) -> None:
    said = add(far, tmp_path / "device", "--smtp", "127.0.0.1:1", code=1)
    assert "127.0.0.1:1 does not take mail from ann@example.org: cannot connect" in said
    assert "Nothing was done" in said
    said = add(far, tmp_path / "other", "--smtp", "none")
    assert "does not leave by it" in said
