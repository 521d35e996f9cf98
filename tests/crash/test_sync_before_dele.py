"""The order of system calls of a device: segment and index are synced before the first DELE leaves (A-96)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.program import ENVIRONMENT, Server, postwren
from tests.crash.test_sync_before_ack import synced

pytestmark = pytest.mark.real

ANN = "ann@example.org"


def test_a96_both_syncs_return_before_the_first_dele(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed (Debian: strace)")
    postwren("account", "add", ANN, "--password-stdin", data=tmp_path / "server", text="sesame\n")
    (tmp_path / "mbox").write_text("".join(f"From a@b Mon Jan  1 00:00:00 2024\nSubject: {n}\n\nhi\n\n" for n in range(100)))
    postwren("import", ANN, str(tmp_path / "mbox"), data=tmp_path / "server")
    log = tmp_path / "trace"
    with Server(tmp_path / "server") as server:
        how = ("--pop3", f"127.0.0.1:{server.port(10)}", "--tls", "none", "--password-stdin")
        postwren("sync", "add", ANN, *how, data=tmp_path / "device", text="sesame\n")
        calls = "trace=fdatasync,fsync,write,writev,sendto,sendmsg"
        command = [strace, "-f", "-y", "-s", "4000", "-o", str(log), "-e", calls, sys.executable, "-m", "postwren"]
        environment = ENVIRONMENT | {"POSTWREN_DATA": str(tmp_path / "device")}
        done = subprocess.run([*command, "sync", "run"], env={**os.environ, **environment}, capture_output=True, text=True)
    if "PTRACE" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    said = [place for place, line in enumerate(lines) if "<socket:" in line or "<TCP:" in line]
    retr = next(place for place in said if "RETR 1\\r" in lines[place])
    dele = [place for place in said if "DELE " in lines[place]]
    quit_ = next(place for place in said if "QUIT" in lines[place])
    assert {"index.db-wal", ".seg"} <= synced(lines[retr : dele[0]])
    assert lines[dele[0]].count("DELE ") == 32  # a window, in one write
    assert {"index.db-wal", ".seg"} <= synced(lines[dele[0] : dele[1]])
    assert dele[-1] <= quit_
