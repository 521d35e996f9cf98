"""`postwren` as people run it: a process with arguments, standard input, output and an exit code."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("POSTWREN_")} | {
    "PYTHONPATH": str(ROOT / "src"),
    "COLUMNS": "200",
}


def postwren(*words: str, data: Path, text: str | bytes = "", code: int = 0, shows: bool = False) -> str:
    """Run a command; it must end with `code`. Returns stdout, or stderr where a failure is expected and it `shows` nothing."""
    given = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        [sys.executable, "-m", "postwren", *words],
        input=given,
        capture_output=True,
        env=ENVIRONMENT | {"POSTWREN_DATA": str(data)},
        timeout=120,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return (done.stderr if code and not shows else done.stdout).decode()


def free_port_base() -> int:
    """A base whose ports N+10 to N+95 are free now."""
    for base in range(23000 + os.getpid() % 60 * 100, 32000, 100):
        try:
            for end in (10, 24, 25, 43, 65, 80, 87, 93, 95):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", base + end))
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports")


class Server:
    """A running `postwren serve --dev`."""

    def __init__(self, data: Path, *words: str) -> None:
        self.data = data
        self.base = free_port_base()
        self.words = words
        self.log = data.parent / f"{data.name}.log"

    def __enter__(self) -> "Server":
        words = [sys.executable, "-m", "postwren", "serve", "--dev", "--data", str(self.data), "--port-base", str(self.base)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen([*words, *self.words], stdout=subprocess.PIPE, stderr=log, text=True, env=ENVIRONMENT)
        assert self.process.stdout
        ready = self.process.stdout.readline()
        assert ready.startswith("ready"), self.log.read_text()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()
        assert self.process.stdout
        self.process.stdout.close()
        text = self.log.read_text()
        assert "Traceback" not in text, text

    def port(self, end: int) -> int:
        """The port of a service by the last two digits of its standard port."""
        return self.base + end
