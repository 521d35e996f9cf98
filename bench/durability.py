"""Is it on disk before the 250? The server's own system calls while it takes one message.

strace is attached to every process and thread of the server. The answer is yes when, between the last octets of the message
that were read and the reply to them, at least one fsync or fdatasync has come back with 0.
"""

import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from bench import corpus
from bench.lab.mail import Sender
from bench.lab.process import Unavailable, tree
from bench.measure import Target

__all__ = ["trace"]

CALLS = "trace=fsync,fdatasync,sync_file_range,msync,write,writev,sendto,sendmsg"
SYNC = re.compile(r"(?:<\.\.\. )?(fsync|fdatasync|sync_file_range|msync)\b.*= 0$")
UNFINISHED = re.compile(r"^(\d+)\s+(\w+)\((.*?)\s*<unfinished")
REPLY = re.compile(r"\b(?:write|writev|sendto|sendmsg)\(.*\"250[ -]2?")


def trace(target: Target, protocol: str, recipient: str) -> tuple[bool, list[str]]:
    """Whether a sync came back before the final reply, and the calls that did (file names as strace shows them)."""
    if not shutil.which("strace"):
        raise Unavailable("strace is not installed (apt: strace)")
    port, hello = (target.lmtp, b"LHLO") if protocol == "lmtp" else (target.smtp, b"EHLO")
    message = corpus.Corpus(11).sized(4096)
    sender = Sender(port, hello)
    sender.send(message, recipient)  # so that every process is there before strace comes
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "calls"
        pids = [word for pid in tree(target.pids()) for word in ("-p", str(pid))]
        tracer = subprocess.Popen(
            ["strace", "-f", "-y", "-s", "64", "-o", str(out), "-e", CALLS, *pids], stderr=subprocess.DEVNULL
        )
        time.sleep(1.5)  # strace says nothing when it has attached to all
        replies = sender.send(message, recipient)
        time.sleep(0.3)
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        lines = out.read_text(errors="replace").splitlines()
    sender.quit()
    if not replies[0].startswith(b"250"):
        raise Unavailable(f"the message was refused: {replies[0]!r}")
    return judge(lines)


def judge(lines: list[str]) -> tuple[bool, list[str]]:
    """From the trace of one transaction whose envelope was not pipelined: MAIL 250, RCPT 250, 354, syncs, 250."""
    data = next((place for place, line in enumerate(lines) if '"354' in line), None)
    final = next((place for place, line in enumerate(lines) if data is not None and place > data and REPLY.search(line)), None)
    if data is None or final is None:
        raise Unavailable("the trace shows no 354 and 250")
    started: dict[str, str] = {}
    calls = []
    for line in lines[data:final]:
        pid = line.split()[0]
        if found := UNFINISHED.match(line):
            started[pid] = f"{found[2]}({found[3]})"
        elif SYNC.search(line):
            calls.append(started.get(pid, "?") if "resumed" in line else line.split(None, 1)[1].rsplit("=", 1)[0].strip())
    return bool(calls), calls
