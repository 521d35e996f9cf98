"""Every command in README.md and docs/guide.md does what it says: they are run, word for word, in a home of their own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from postwren.cli import try_out

from .program import ENVIRONMENT, ROOT, Server

pytestmark = pytest.mark.real

FENCED = re.compile(r"```[a-z]*\n(.*?)```", re.S)
INLINE = re.compile(r"`((?:postwren|echo) [^`]+)`")
LISTENS = ("postwren serve", "postwren sync run --watch", "make ")  # covered by their own tests
NEEDS_NAMES = re.compile(r"ADDRESS|LOGIN|PATH|COPY|DOMAIN|\bID\b")


def commands(name: str) -> list[str]:
    text = (ROOT / name).read_text()
    lines = [line.partition("  #")[0].strip() for block in FENCED.findall(text) for line in block.splitlines()]
    lines += INLINE.findall(text)
    found = [line for line in lines if line.startswith(("postwren ", "curl ", "echo "))]
    return [line for line in found if not line.startswith(LISTENS) and not NEEDS_NAMES.search(line)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for part in ("cur", "new", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    (tmp_path / "Maildir/new/1700000000.1.host").write_bytes(b"Subject: in a Maildir\n\nhi\n")
    (tmp_path / "old.mbox").write_bytes(b"From a@b Mon Jan  1 00:00:00 2024\nSubject: in an mbox\n\nhi\n")
    (tmp_path / "message.eml").write_bytes(b"Subject: a file\n\nhi\n")
    (tmp_path / "accounts.tsv").write_text("cleo@example.org\tsecret\ndan@example.org\tsecret\n")
    (tmp_path / "README.md").write_text("# hello\n\nThe readme as a message.\n")
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "postwren").write_text(f'#!/bin/sh\nexec {sys.executable} -m postwren "$@"\n')
    (binaries / "postwren").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("name", ["README.md", "docs/guide.md"])
def test_every_command_of_the_documents_runs(name: str, home: Path) -> None:
    lines = commands(name)
    assert len(lines) >= 3
    data = home / "data"
    environment = ENVIRONMENT | {"HOME": str(home), "POSTWREN_DATA": str(data), "PATH": f"{home}/bin:{ENVIRONMENT['PATH']}"}

    def run(line: str) -> None:
        if re.search(r"account add \S+@\S+$", line):
            line = f"echo secret | {line} --password-stdin"
        if " sync add " in line:
            line = f"echo secret | {line} --tls none --password-stdin"
        line = line.replace("/var/lib/postwren", str(data)).replace("pop.example.org", f"127.0.0.1:{pop3}")
        done = subprocess.run(["bash", "-ec", line], cwd=home, env=environment, capture_output=True, text=True, timeout=60)
        known = re.search("(exists|is there) already", done.stderr)  # the guide shows two ways to add the same account
        assert done.returncode == 0 or known, f"{line}\n{done.stdout}\n{done.stderr}"

    pop3 = 0
    run("postwren account add demo@example.org")
    run("echo demo | postwren account password demo@example.org --password-stdin")
    run("postwren account add ann@example.org")
    with Server(data) as server:
        pop3 = server.port(10)
        for line in lines:
            run(line.replace("127.0.0.1:20", f"127.0.0.1:{server.base // 100}"))


def test_the_readme_says_how_to_connect_as_try_out_does() -> None:
    said = [line.partition("curl ")[2] for line in try_out.how(2000).splitlines() if "curl " in line]
    assert len(said) == 4
    assert [line for line in said if f"curl {line}\n" not in (ROOT / "README.md").read_text()] == []


def test_the_demo_tells_its_story() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "postwren.cli.demo"], capture_output=True, text=True, timeout=180, cwd=ROOT, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^ *[0-9.]+ s +([0-9]+)\. ", done.stdout, re.M)
    assert steps == [str(number) for number in range(1, 18)]
    for shown in ("dmarc=pass header.from=a.example", "550 5.1.1 No such recipient here", "| Dear Bob,", "nothing listens there"):
        assert shown in done.stdout
