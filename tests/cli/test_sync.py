"""`postwren sync` as people type it, against a server of ours."""

import fcntl
import json
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .program import ENVIRONMENT, Server, postwren

pytestmark = pytest.mark.real

ANN, PASSWORD = "ann@example.org", "sesame\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    data = tmp_path / "server"
    postwren("account", "add", ANN, "--password-stdin", data=data, text=PASSWORD)
    deliver(data, "one", "two")
    with Server(data) as server:
        yield server


@pytest.fixture
def device(tmp_path: Path) -> Path:
    return tmp_path / "device"


def deliver(data: Path, *subjects: str) -> None:
    for subject in subjects:
        postwren("deliver", ANN, data=data, text=f"Subject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nhi\r\n")


def add(server: Server, device: Path, *words: str, text: str = PASSWORD, code: int = 0) -> str:
    how = words or ("--pop3", f"127.0.0.1:{server.port(10)}", "--tls", "none", "--password-stdin")
    return postwren("sync", "add", ANN, *how, data=device, text=text, code=code)


def test_mail_is_taken_to_the_device_where_every_other_command_works_on_it(server: Server, device: Path) -> None:
    said = add(server, device)
    assert "lets ann@example.org in (SCRAM-SHA-256, no TLS): 2 messages" in said
    assert "they are deleted there as soon as they are safe here" in said
    assert "2 there, fetch 2" in postwren("sync", "run", "--dry-run", data=device)
    assert "2 new" in postwren("sync", "run", ANN, data=device)
    assert "ann@example.org\t2 messages" in postwren("account", "list", data=device)
    postwren("export", ANN, str(device.parent / "out.mbox"), data=device)
    assert "Subject: two" in (device.parent / "out.mbox").read_text()
    assert postwren("check", data=device).endswith("ok\n")
    assert "ann@example.org\t0 messages" in postwren("account", "list", data=server.data)


def test_events_come_as_lines_of_json_and_status_and_list_as_documents(server: Server, device: Path) -> None:
    add(server, device, "--pop3", f"127.0.0.1:{server.port(10)}", "--tls", "none", "--password-stdin", "--delete", "never")
    assert json.loads(postwren("sync", "status", "--json", data=device))[0]["last"] is None
    events = [json.loads(line) for line in postwren("sync", "run", "--json", data=device).splitlines()]
    assert [event["event"] for event in events] == ["began", "found", "progress", "ended"]
    assert (events[1]["fetch"], events[1]["delete"], events[3]["fetched"]) == (2, 0, 2)
    (row,) = json.loads(postwren("sync", "status", "--json", data=device))
    assert (row["messages"], row["there"], row["last"]["fetched"]) == (2, 2, 2)
    (settings,) = json.loads(postwren("sync", "list", "--json", data=device))
    assert (settings["address"], settings["protocol"], settings["delete"]) == (ANN, "pop3", "never")
    assert "2 of them on 127.0.0.1 too" in postwren("sync", "status", data=device)


def test_tls_is_verified_and_a_certificate_of_ones_own_is_named(server: Server, device: Path) -> None:
    place = f"localhost:{server.port(95)}"
    said = add(server, device, "--pop3", place, "--password-stdin", code=1)
    assert "cannot be trusted" in said
    assert "--trust FILE" in said
    assert not list(device.glob("sync/*.toml"))
    certificate = str(server.data / "tls/certificate.pem")
    assert "TLSv1.3" in add(server, device, "--pop3", place, "--password-stdin", "--trust", certificate)
    assert "2 new" in postwren("sync", "run", data=device)


def test_stls_is_used_where_it_is_asked_for(server: Server, device: Path) -> None:
    certificate = str(server.data / "tls/certificate.pem")
    how = ("--pop3", f"localhost:{server.port(10)}", "--tls", "starttls", "--password-stdin", "--trust", certificate)
    assert "TLSv1.3" in add(server, device, *how)


def test_what_is_wrong_is_said_before_anything_is_written(server: Server, device: Path) -> None:
    assert "are the password and the login right" in add(server, device, text="wrong\n", code=1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = ("--pop3", f"127.0.0.1:{free.getsockname()[1]}", "--tls", "none", "--password-stdin")
        assert "nothing listens at" in add(server, device, *nobody, code=1)
    unknown = ("--pop3", "pop.invalid", "--password-stdin")
    assert "no host pop.invalid is known" in add(server, device, *unknown, code=1)
    far = ("--pop3", "pop.example.org", "--tls", "none", "--password-stdin")
    assert "this machine only" in add(server, device, *far, code=2)
    policy = ("--pop3", "pop.example.org", "--password-stdin", "--delete", "sometimes")
    assert "is no policy" in add(server, device, *policy, code=1)
    assert "cannot be trusted" not in postwren("account", "list", data=device)
    assert postwren("account", "list", data=device) == ""
    assert not list(device.glob("sync/*"))
    assert "nothing is synchronised here yet" in postwren("sync", "run", data=device, code=1)


def test_the_password_is_the_owners_alone_or_a_commands(server: Server, device: Path) -> None:
    add(server, device)
    (secret,) = device.glob("sync/*.secret")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE((device / "sync").stat().st_mode) == 0o700
    assert "sesame" not in next(device.glob("sync/*.toml")).read_text()
    assert "synchronised already" in add(server, device, code=1)
    postwren("sync", "remove", ANN, data=device)
    assert not secret.exists()
    assert "ann@example.org" in postwren("account", "list", data=device)
    how = ("--pop3", f"127.0.0.1:{server.port(10)}", "--tls", "none", "--password-command", "echo sesame")
    assert "which is here already" in add(server, device, *how)
    assert not list(device.glob("sync/*.secret"))
    assert "2 new" in postwren("sync", "run", data=device)


def test_a_changed_password_is_said_and_given_anew(server: Server, device: Path) -> None:
    add(server, device)
    postwren("account", "password", ANN, "--password-stdin", data=server.data, text="other\n")
    said = postwren("sync", "run", data=device, code=1)
    assert "`postwren sync password ann@example.org` changes it here" in said
    assert "failed: 127.0.0.1 refuses" in postwren("sync", "status", data=device)
    postwren("sync", "password", ANN, "--password-stdin", data=device, text="other\n")
    assert "2 new" in postwren("sync", "run", data=device)


def test_two_runs_at_once_and_a_full_disk_change_nothing(server: Server, device: Path) -> None:
    add(server, device)
    with (device / "sync/ann@example.org.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another run synchronises it just now" in postwren("sync", "run", data=device, code=1)
    environment = ENVIRONMENT | {"POSTWREN_DATA": str(device), "POSTWREN_STORAGE_RESERVE": str(10**18)}
    command = [sys.executable, "-m", "postwren", "sync", "run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "no space left on the volume" in done.stderr
    assert "ann@example.org\t2 messages" in postwren("account", "list", data=server.data)
    assert "2 new" in postwren("sync", "run", data=device)


def test_the_settings_may_be_edited_and_mistakes_in_them_are_named(server: Server, device: Path) -> None:
    add(server, device)
    (path,) = device.glob("sync/*.toml")
    text = path.read_text()
    path.write_text(text.replace('delete = "at-once"', 'delete = "after:7"'))
    assert "2 new" in postwren("sync", "run", data=device)
    assert "2 of them on 127.0.0.1 too" in postwren("sync", "status", data=device)
    path.write_text(text.replace('delete = "at-once"', 'delete = "soon"'))
    assert "delete" in postwren("sync", "run", data=device, code=1)
    path.write_text(text.replace('host = "127.0.0.1"', 'host = "mail.example.org"'))
    assert 'tls = "none" is for this machine only' in postwren("sync", "run", data=device, code=1)


def test_an_account_is_not_copied_into_itself(server: Server) -> None:
    add(server, server.data)
    assert "would copy itself" in postwren("sync", "run", data=server.data, code=1)
    assert "ann@example.org\t2 messages" in postwren("account", "list", data=server.data)
