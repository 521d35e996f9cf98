"""`postwren sync add ADDRESS`: servers that the DNS names are found, agreed to, logged in to and synchronised. The DNS is
scripted, the servers are ours and really there."""

import os
import pty
import select
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from postwren.cli import discovery
from postwren.cli.main import app_with
from postwren.client.https import Https
from postwren.sync.discover import Ports, knock
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Srv

from .program import ENVIRONMENT, Server, postwren

pytestmark = pytest.mark.real

HERE, ELSEWHERE = "ann@localhost", "ann@example.org"
Add = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("far") / "data"
    for address in (HERE, ELSEWHERE):
        postwren("account", "add", address, "--password-stdin", data=data, text="sesame\n")
        postwren("deliver", address, data=data, text="Subject: found\n\nhi\n")
    with Server(data) as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "device"


@pytest.fixture
def add(server: Server, data: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Runs the command in a world where the DNS names `named` (service: last digits of the port) on this machine."""

    def run(address: str, *words: str, named: dict[str, int], text: str = "sesame\n") -> Result:
        domain = address.partition("@")[2]
        records = {
            (f"_{service}._tcp.{domain}", "SRV"): [Srv(0, 0, server.port(end), "localhost")] for service, end in named.items()
        }

        def world(trusted: Path | None) -> Ports:
            return Ports(ScriptedResolver(records), Https(trusted, port=1), lambda other: knock(other, trusted))  # type: ignore[arg-type]

        monkeypatch.setattr(discovery, "world", world)
        trust = server.data / "tls" / "certificate.pem"
        options = ("--trust", str(trust), "--data", str(data), "--password-stdin")
        return CliRunner().invoke(app_with(["sync"]), ["sync", "add", address, *options, *words], input=text)

    return run


def settings(data: Path, address: str) -> dict[str, object]:
    return tomllib.loads((data / "sync" / f"{address}.toml").read_text())


def test_a_server_in_the_domain_is_found_and_used_without_a_question(add: Add, server: Server, data: Path) -> None:
    done = add(HERE, named={"imaps": 93, "pop3s": 95})
    assert done.exit_code == 0, done.output
    assert f"Found by the DNS (_imaps._tcp.localhost): IMAP at localhost:{server.port(93)} (TLS)." in done.stdout
    assert "1 messages in" in done.stdout
    kept = settings(data, HERE)
    assert (kept["protocol"], kept["host"], kept["port"], kept["tls"]) == ("imap", "localhost", server.port(93), "implicit")
    postwren("sync", "run", HERE, data=data)
    postwren("export", HERE, str(data / "out"), data=data)
    assert b"Subject: found" in b"".join(path.read_bytes() for path in (data / "out").rglob("*") if path.is_file())


def test_starttls_is_found_and_kept_to(add: Add, data: Path) -> None:
    assert add(HERE, named={"imap": 43}).exit_code == 0
    assert settings(data, HERE)["tls"] == "starttls"


def test_a95_a_server_outside_the_domain_gets_no_password_unless_one_agrees(add: Add, server: Server, data: Path) -> None:
    refused = add(ELSEWHERE, named={"imaps": 93})
    assert refused.exit_code == 1
    assert (
        f"localhost:{server.port(93)} (found by the DNS (_imaps._tcp.example.org)) does not belong to example.org"
        in refused.stderr
    )
    assert f"say --yes, or name it yourself: --imap localhost:{server.port(93)}" in refused.stderr
    assert not (data / "sync" / f"{ELSEWHERE}.toml").exists()
    agreed = add(ELSEWHERE, "--yes", named={"imaps": 93})
    assert agreed.exit_code == 0, agreed.output


def test_pop3_takes_mail_away_and_is_not_chosen_for_anyone_unasked(add: Add, data: Path) -> None:
    refused = add(HERE, named={"pop3s": 95})
    assert refused.exit_code == 1
    assert "only POP3 was found" in refused.stderr
    assert "deleted there as soon as they are safe here" in refused.stderr
    kept = add(HERE, "--yes", "--delete", "never", named={"pop3s": 95})
    assert "they stay there" in kept.stdout
    assert settings(data, HERE)["protocol"] == "pop3"


def test_nothing_found_says_what_was_tried_and_what_to_say(add: Add, data: Path) -> None:
    done = add(HERE, named={})
    assert done.exit_code == 1
    for clause in (
        "no server was found for ann@localhost",
        "_imaps._tcp.localhost",
        "no host autoconfig.localhost",
        "--imap HOST",
    ):
        assert clause in done.stderr
    assert not data.joinpath("sync", f"{HERE}.toml").exists()


def test_a_server_that_does_not_answer_is_not_the_end(add: Add, server: Server, data: Path) -> None:
    done = add(HERE, "--yes", named={"imaps": 1, "pop3s": 95})
    assert done.exit_code == 0, done.output
    assert settings(data, HERE)["protocol"] == "pop3"


def test_a_server_without_tls_is_not_used(add: Add, data: Path) -> None:
    done = add(HERE, "--yes", named={"imaps": 43})  # a greeting in the clear where TLS must be
    assert done.exit_code == 1
    assert "no server was found" in done.stderr
    assert not data.joinpath("sync", f"{HERE}.toml").exists()


def test_a_wrong_password_changes_nothing(add: Add, data: Path) -> None:
    done = add(HERE, named={"imaps": 93}, text="wrong\n")
    assert done.exit_code == 1
    assert "refuses the login ann@localhost" in done.stderr
    assert not data.joinpath("sync", f"{HERE}.toml").exists()


@pytest.mark.parametrize("words", [("--tls", "starttls"), ("--imap", "a", "--pop3", "b")])
def test_options_that_contradict_are_bad_usage(add: Add, words: tuple[str, ...]) -> None:
    assert add(HERE, *words, named={}).exit_code == 2


ASKED = """
import sys
from pathlib import Path
from postwren.cli import discovery, main
from postwren.client.https import Https
from postwren.sync.discover import Ports, knock
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Srv
port = int(sys.argv.pop(1))
zone = {("_imaps._tcp.example.org", "SRV"): [Srv(0, 0, port, "localhost")]}
discovery.world = lambda trusted: Ports(ScriptedResolver(zone), Https(trusted, port=1), lambda server: knock(server, trusted))
main.main()
"""


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_one_is_asked_and_silence_is_no(answer: str, code: int, server: Server, data: Path) -> None:
    ours, theirs = pty.openpty()
    options = ["--trust", str(server.data / "tls" / "certificate.pem"), "--data", str(data)]
    words = [sys.executable, "-c", ASKED, str(server.port(93)), "sync", "add", ELSEWHERE, *options]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=ENVIRONMENT, start_new_session=True) as process:
        os.close(theirs)
        heard = hear(ours, b"[y/N]: ")
        assert b"your password would go there" in heard
        os.write(ours, answer.encode() + b"\n")
        if not code:
            hear(ours, b"Password: ")  # the blank comes once nothing typed before is thrown away any more
            os.write(ours, b"sesame\n")
        heard = hear(ours, b"")
        assert process.wait(60) == code, heard
    os.close(ours)
    assert (data / "sync" / f"{ELSEWHERE}.toml").exists() is not bool(code)


def hear(terminal: int, until: bytes) -> bytes:
    """What is said on a terminal, until it says this, or ends."""
    said = b""
    while not until or until not in said:
        assert select.select([terminal], [], [], 60)[0], said
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        said += piece
    return said
