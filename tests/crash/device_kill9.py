"""kill -9 of a device that takes its mail by POP3, at random moments: nothing is lost, nothing doubled, and no more is fetched
twice than two windows hold (D-71).

    python -m tests.crash.device_kill9 [--kills 1000] [--peer dovecot] [--seed N]

A maildrop of 2,000 messages is filled again whenever it is empty. Each message tells its own octets. Kills fall between the
moment at which the device knows what there is and the end of its run.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.lab.dovecot import Dovecot
from bench.lab.mail import Pop3, Refused, Sender, parts_of_trace
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable, raise_open_files
from bench.lab.proxy import Proxy
from tests.crash.kill9 import text_of, token_of

from postwren.config.schema import Config
from postwren.mailstore.invariant import check
from postwren.stores import open_store

__all__ = ["Report", "crash"]

LOGIN = "box@example.org"
IN_FLIGHT = 64  # messages that may be on the wire and not yet durable
ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Report:
    """`faults` is empty when the promise held."""

    kills: int = 0
    delivered: int = 0
    kept: int = 0
    fetched: int = 0
    seconds: float = 0
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        twice = self.fetched - self.delivered
        lines = [
            f"kills {self.kills}, {self.seconds:.0f} s; delivered {self.delivered}, kept {self.kept}, fetched again {twice} "
            f"({twice / max(self.kills, 1):.1f} a kill)",
            f"faults {len(self.faults)}",
            *self.faults[:20],
        ]
        return "\n".join(lines)


class Life:
    """A device, a maildrop behind a proxy, and what was delivered."""

    def __init__(self, folder: Path, pop3: int, lmtp: int, messages: int, seed: int) -> None:
        self.data, self.pop3, self.lmtp, self.messages = folder / "device", pop3, lmtp, messages
        self.random = random.Random(seed)
        self.report = Report()
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a start takes a third
        self.length = 0.5  # seconds of a run that nobody kills, from its first look

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "postwren", "sync", *words, "--data", str(self.data)]

    def begin(self, port: int) -> None:
        words = ("add", LOGIN, "--pop3", f"127.0.0.1:{port}", "--tls", "none", "--password-stdin")
        subprocess.run(self.command(*words), input=b"pass\n", env=self.environment, check=True, capture_output=True)

    def fill(self) -> None:
        with contextlib.closing(Sender(self.lmtp, b"LHLO")) as sender:
            for _ in range(self.messages):
                self.report.delivered += 1
                reply = sender.send(text_of(self.report.delivered), LOGIN)
                assert reply[0].startswith(b"250"), reply

    def is_empty(self) -> bool:
        for _ in range(200):
            try:
                with Pop3(self.pop3, LOGIN) as pop:
                    count = pop.count()
                    pop.quit()
            except Refused:  # the server has not noticed the last kill yet
                time.sleep(0.02)
            else:
                return count == 0
        raise Unavailable("the maildrop is never free")

    def cut(self) -> bool:
        """One run that is killed somewhere; whether it was."""
        run = subprocess.Popen(
            self.command("run", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment
        )
        assert run.stdout is not None
        for line in run.stdout:
            if b'"found"' in line:
                break
        time.sleep(self.random.uniform(0, 0.3 * self.length))
        is_killed = run.poll() is None
        run.kill()
        run.communicate()
        return is_killed

    def finish(self) -> None:
        """Runs until the end; a server that has not noticed the last kill yet may hold the lock."""
        for _ in range(100):
            begun = time.monotonic()
            done = subprocess.run(self.command("run", "--json"), env=self.environment, capture_output=True, check=False)
            if not done.returncode:
                self.length = max(0.2, time.monotonic() - begun)
                return
            if b"another device holds" not in done.stdout:
                self.report.faults.append(f"run: {done.stdout[-500:]!r} {done.stderr[-500:]!r}")
                return
            time.sleep(0.05)
        self.report.faults.append("the lock is never released")

    async def compare(self) -> None:
        """Every message once, octet by octet."""
        store = await open_store(self.data, Config())
        try:
            self.report.faults += [str(wrong) for wrong in check(store.reader)]
            found: Counter[int] = Counter()
            for account in list(store.reader.accounts()):
                (box,) = store.reader.mailboxes(account.account_id)
                for entry in store.reader.entries(account.account_id, box.mailbox_id):
                    email = store.reader.email(account.account_id, entry.email_id)
                    assert email is not None
                    octets = store.read_body(email.body)
                    token = token_of(octets)
                    if token is None or parts_of_trace(octets, text_of(token)) is None:
                        self.report.faults.append(f"other: uid {entry.uid} holds {octets[:200]!r}")
                    else:
                        found[token] += 1
        finally:
            store.close()
        self.report.kept = found.total()
        for token in range(1, self.report.delivered + 1):
            if found[token] != 1:
                self.report.faults.append(f"{'lost' if not found[token] else 'doubled'}: message {token}, {found[token]} times")


def crash(folder: Path, pop3: int, lmtp: int, kills: int, seed: int, messages: int = 2000, told: bool = False) -> Report:
    """The whole run against a server."""
    begun = time.monotonic()
    life = Life(folder, pop3, lmtp, messages, seed)
    report = life.report
    with Proxy(pop3) as proxy:
        life.begin(proxy.port)
        while report.kills < kills:
            if life.is_empty():
                life.fill()
            report.kills += life.cut()
            if life.random.random() < 0.1:
                life.finish()
            if told and report.kills % 50 == 0:
                print(f"{report.kills} kills, {report.delivered} delivered", flush=True)
        life.finish()
        if not life.is_empty():
            report.faults.append("something is left on the server")
        report.fetched = proxy.reset().retr
    asyncio.run(life.compare())
    if report.fetched - report.delivered > IN_FLIGHT * report.kills:
        report.faults.append(f"{report.fetched - report.delivered} messages were asked for twice")
    report.seconds = time.monotonic() - begun
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--peer", choices=("postwren", "dovecot"), default="postwren")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    raise_open_files()
    folder = Path(tempfile.mkdtemp(prefix="postwren-device-"))
    folder.chmod(0o755)
    server: Postwren | Dovecot = Postwren(folder / "server") if options.peer == "postwren" else Dovecot(folder, "mdbox")
    server.start()
    try:
        if isinstance(server, Postwren):
            server.add_accounts([LOGIN])
        report = crash(folder, server.pop3, server.lmtp, options.kills, seed, told=True)
    finally:
        server.stop()
        shutil.rmtree(folder)
    print(report.text())
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
