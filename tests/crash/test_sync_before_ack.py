"""The order of system calls, as the kernel sees it: both syncs of a delivery return before its acknowledgement is written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from postwren.storage.embedded import EmbeddedStore
from tests.unit.embedded.disk import ann, message, put

async def main():
    store = EmbeddedStore(Path(sys.argv[1]))
    await ann(store)
    for number in range(5):
        os.write(1, b"begin %d\\n" % number)
        await put(store, message(number, 400_000 if number == 3 else 4_000))
        os.write(1, b"ack %d\\n" % number)
    store.close()

asyncio.run(main())
"""


@pytest.mark.real
def test_d01_both_syncs_return_before_the_acknowledgement(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed (Debian: strace)")
    root = Path(__file__).parents[2]
    log = tmp_path / "trace"
    command = [
        strace,
        "-f",
        "-y",
        "-o",
        str(log),
        "-e",
        "trace=fdatasync,fsync,write",
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path / "data"),
    ]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}, capture_output=True, text=True
    )
    if "PTRACE" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert [synced(part) for part in deliveries(log.read_text())] == [
        {"index.db-wal", ".seg", "segments"},  # the first one begins a segment
        {"index.db-wal", ".seg"},
        {"index.db-wal", ".seg"},
        {"index.db-wal", ".new", "segments"},  # a long message: its file was synced in the spool, then named
        {"index.db-wal", ".seg"},
    ]


def deliveries(trace: str) -> list[list[str]]:
    """The calls between the beginning of each delivery and its acknowledgement."""
    parts: list[list[str]] = []
    is_inside = False
    for line in trace.splitlines():
        if '"begin ' in line:
            parts.append([])
            is_inside = True
        elif '"ack ' in line:
            is_inside = False
        elif is_inside:
            parts[-1].append(line)
    return parts


def synced(lines: list[str]) -> set[str]:
    """Files whose sync returned 0 within these lines (a call that was interrupted by another thread's has two lines)."""
    started: dict[str, str] = {}
    found = set()
    for line in lines:
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.startswith(("fsync(", "fdatasync(")):
            started[thread] = call[call.index("<") + 1 : call.index(">")]
        if re.search(r"(?:fsync|fdatasync).*= 0$", call):
            found.add(kind(started.pop(thread)))
    return found


def kind(path: str) -> str:
    name = Path(path).name
    return next((end for end in (".seg", ".new") if name.endswith(end)), name)
