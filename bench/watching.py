"""From the server's acknowledgement of a delivery (LMTP) to the message durable on a device that watches (`sync run --watch`),
against our server and Dovecot, told by NOTIFY or by IDLE. `python -m bench.watching [--messages N]`
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.lab.dovecot import Dovecot
from bench.lab.mail import Sender
from bench.lab.postwren import SOURCE, Postwren

LOGIN, PASSWORD = "ann@example.org", "pass"
HOW = {"notify": b"", "idle": b"NOTIFY"}


def letter(number: int, size: int = 5000) -> bytes:
    line = b"x" * 70 + b"\r\n"
    head = b"From: bob@example.org\r\nMessage-ID: <%d@example.org>\r\nSubject: letter %d\r\n\r\n" % (number, number)
    return head + line * (size // len(line))


@contextmanager
def masked(port: int, hidden: bytes) -> Iterator[int]:
    """A proxy that hides a capability; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pump(source: socket.socket, sink: socket.socket, mask: bytes) -> None:
            try:
                while data := source.recv(65_536):
                    sink.sendall(data.replace(b" " + mask, b" X" + mask[1:]) if mask else data)
            except OSError:
                pass
            finally:
                sink.close()

        def accept() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                far = socket.create_connection(("127.0.0.1", port))
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=pump, args=(near, far, b""), daemon=True).start()
                threading.Thread(target=pump, args=(far, near, hidden), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


class Device:
    """`sync run --watch --json` with a store of its own."""

    def __init__(self, data: Path, port: int) -> None:
        self._data = data
        self._environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        self._run("sync", "add", LOGIN, "--imap", f"127.0.0.1:{port}", "--tls", "none", "--login", LOGIN, "--password-stdin")
        words = self._command("sync", "run", "--watch", "--json")
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=self._environment)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "postwren", *words, "--data", str(self._data)]

    def _run(self, *words: str) -> None:
        subprocess.run(
            self._command(*words), input=f"{PASSWORD}\n".encode(), check=True, env=self._environment, capture_output=True
        )

    def until(self, event: str) -> dict[str, object]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told: dict[str, object] = json.loads(line)
            if told["event"] == event:
                return told
        raise RuntimeError("the device ended")

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def measure(name: str, imap: int, lmtp: int, recipient: str, folder: Path, messages: int) -> None:
    for how, hidden in HOW.items():
        with masked(imap, hidden) as port:
            device = Device(folder / f"{name}-{how}", port)
            if (told := device.until("watching")["how"]) != how:
                print(f"{name}: {how} is not there, it is {told}")
            spans = []
            with Sender(lmtp, b"LHLO") as sender:
                for number in range(messages):
                    sender.send(letter(number), recipient)
                    begun = time.perf_counter()
                    device.until("ended")
                    spans.append((time.perf_counter() - begun) * 1000)
                    time.sleep(0.05)  # the device goes back to waiting, as it would
            device.end()
        spans.sort()
        p95 = spans[int(len(spans) * 0.95)]
        print(
            f"{name:16} {how:7} p50 {statistics.median(spans):7.1f} ms   p95 {p95:7.1f} ms   most {spans[-1]:7.1f} ms", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=40)
    messages = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        ours = Postwren(folder / "ours")
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "POSTWREN_DATA": str(ours.data)}
        words = [sys.executable, "-m", "postwren", "account", "add", LOGIN, "--password-stdin"]
        subprocess.run(words, input=f"{PASSWORD}\n".encode(), check=True, env=environment)
        dovecot = Dovecot(folder, "mdbox")
        ours.start()
        dovecot.start()
        try:
            measure("Postwren", ours.imap, ours.lmtp, LOGIN, folder, messages)
            measure(dovecot.name, dovecot.imap, dovecot.lmtp, LOGIN, folder, messages)
        finally:
            ours.kill()
            dovecot.stop()


if __name__ == "__main__":
    main()
