"""Our server as a black box: `python -m postwren`, its ports, its exit.

`serve --dev --port-base N` prints a line that starts with `ready` once it listens; accounts come from `account add --from -`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.lab.process import Unavailable, free_port_base, until

__all__ = ["OFFSETS", "Postwren", "is_runnable"]

SOURCE = Path(__file__).parent.parent.parent / "src"
OFFSETS = (10, 24, 25, 43, 65, 80, 87, 90, 93, 95)  # the last two digits of every standard port


def is_runnable() -> bool:
    return (SOURCE / "postwren" / "__main__.py").exists()


class Postwren:
    """One server with its own data folder; `start` again after `kill` keeps folder and ports."""

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None, options: tuple[str, ...] = ()) -> None:
        if not is_runnable():
            raise Unavailable("python -m postwren does not exist yet")
        self.data = data
        self.base = free_port_base(OFFSETS)
        self.log = data.with_name(data.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None
        self._options = options
        self._environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **(environment or {})}

    @property
    def smtp(self) -> int:
        return self.base + 25

    @property
    def lmtp(self) -> int:
        return self.base + 24

    @property
    def submission(self) -> int:
        return self.base + 87

    @property
    def pop3(self) -> int:
        return self.base + 10

    @property
    def pop3s(self) -> int:
        return self.base + 95

    @property
    def imap(self) -> int:
        return self.base + 43

    @property
    def imaps(self) -> int:
        return self.base + 93

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def pids(self) -> list[int]:
        return [self.pid] if self.process else []

    @property
    def certificate(self) -> Path:
        """The development certificate, which is its own authority."""
        for path in sorted((self.data / "tls").iterdir()):
            if b"BEGIN CERTIFICATE" in path.read_bytes():
                return path
        raise Unavailable(f"no certificate in {self.data}/tls")

    def start(self) -> float:
        """Run the server; returns the seconds until it was ready."""
        begun = time.monotonic()
        mark = self.log.stat().st_size if self.log.exists() else 0
        self._spawn()
        until(lambda: self._is_ready(mark), 30, f"the server prints ready (its log: {self.log})")
        return time.monotonic() - begun

    def start_and_kill(self, seconds: float) -> None:
        """A start that is cut short."""
        self._spawn()
        time.sleep(seconds)
        self.kill()

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command("serve", "--dev", "--port-base", str(self.base), *self._options),
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def _is_ready(self, mark: int) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise Unavailable(f"the server ended with {self.process.returncode}: {self.tail()}")
        with self.log.open("rb") as log:
            log.seek(mark)
            return any(line.startswith(b"ready") for line in log)

    def tail(self) -> str:
        return self.log.read_bytes()[-2000:].decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process = None
        return code

    def add_accounts(self, logins: Iterable[str], password: str = "pass") -> None:
        self.run("account", "add", "--from", "-", given="".join(f"{login}\t{password}\n" for login in logins).encode())

    def run(self, *words: str, given: bytes = b"") -> str:
        """One command to its end; its output. Raises Unavailable with what it said when it fails."""
        done = subprocess.run(self._command(*words), input=given, capture_output=True, env=self._environment, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr)[-2000:].decode(errors="replace")
            raise Unavailable(f"postwren {' '.join(words)} ended with {done.returncode}: {said}")
        return done.stdout.decode(errors="replace")

    def popen(self, *words: str) -> "subprocess.Popen[bytes]":
        """One command, running; the caller waits for it."""
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command(*words), stdout=log, stderr=log, env=self._environment)

    def _command(self, *words: str) -> list[str]:
        verb = [words[0], words[1]] if words[0] in ("account", "address", "queue") else [words[0]]
        return [sys.executable, "-m", "postwren", *verb, "--data", str(self.data), *words[len(verb) :]]
