"""A Maildir that mbsync kept is taken over: the first run pairs it with the server's messages and fetches none of them again."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from .program import Server, postwren

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("mbsync") is None, reason="mbsync is not installed")]

ANN, MESSAGES = "ann@example.org", 60
SETTINGS = """
IMAPStore far
Host 127.0.0.1
Port {port}
User ann@example.org
Pass sesame
{tls} None
AuthMechs LOGIN

MaildirStore near
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
SyncState *
"""


def mbsync(folder: Path, port: int) -> None:
    version = subprocess.run(["mbsync", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    tls = "TLSType" if tuple(map(int, version.split(".")[:2])) >= (1, 5) else "SSLType"
    folder.mkdir()
    path = folder.parent / "mbsyncrc"
    path.write_text(SETTINGS.format(port=port, folder=folder, tls=tls))
    done = subprocess.run(["mbsync", "-q", "-c", str(path), "-a"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_tree_of_mbsync_is_adopted_without_fetching_it_again(tmp_path: Path) -> None:
    there, device, tree, source = (tmp_path / name for name in ("server", "device", "tree", "source"))
    source.mkdir()
    for number in range(MESSAGES):
        header = f"From: b@example.org\nMessage-ID: <{number}@x>\nSubject: letter {number}\n"
        (source / f"{number}.eml").write_text(f"{header}\n" + "line\n" * number)
    postwren("account", "add", ANN, "--password-stdin", data=there, text="sesame\n")
    postwren("import", ANN, str(source), data=there)
    postwren("import", ANN, str(source / "3.eml"), "--mailbox", "Work/Deep", data=there)
    with Server(there) as server:
        mbsync(tree, server.port(43))
        assert any(b"X-TUID: " in path.read_bytes() for path in (tree / "INBOX").rglob("*,U=*"))
        seen = sorted((tree / "INBOX/new").iterdir())[0]
        seen.rename(tree / "INBOX/cur" / f"{seen.name.partition(':')[0]}:2,F")
        how = ("--imap", f"127.0.0.1:{server.port(43)}", "--tls", "none", "--password-stdin")
        postwren("sync", "add", ANN, *how, data=device, text="sesame\n")
        assert json.loads(postwren("import", ANN, str(tree), "--json", data=device))["imported"] == MESSAGES + 1
        ended = json.loads(postwren("sync", "run", "--json", data=device).splitlines()[-1])
        assert (ended["event"], ended["fetched"], ended["known"], ended["sent"]) == ("ended", 0, MESSAGES + 1, 0)
        assert ended["flags"] == 1
        assert "no difference" in postwren("sync", "verify", data=device)
