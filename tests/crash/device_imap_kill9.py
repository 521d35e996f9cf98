"""kill -9 of a device that copies an account by IMAP, at random moments of pulls, pushes and moves: the end is that of a device
which nobody killed: every message once, on both sides alike (D-71).

    python -m tests.crash.device_imap_kill9 [--kills 300] [--seed N]

Before each run both sides get messages and flags, and some messages move here. Each message tells its own octets.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.lab.postwren import Postwren
from tests.interop.sync_there import There
from tests.property.sync_world import Content, Side

from postwren.client.conversation import Security
from postwren.client.imap import ImapClient
from postwren.config.schema import Config
from postwren.stores import open_store
from postwren.wire.secret import Secret

__all__ = ["LOGIN", "Report", "crash"]

LOGIN = "box@example.org"
ROOT = Path(__file__).parents[2]
MAILBOXES = ["INBOX", "Work"]


@dataclass(slots=True)
class Report:
    """`faults` is empty when the promise held."""

    kills: int = 0
    written: int = 0
    moved: int = 0
    seconds: float = 0
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [
            f"kills {self.kills}, {self.seconds:.0f} s; written {self.written}, moved {self.moved}; faults {len(self.faults)}"
        ]
        return "\n".join(lines + self.faults[:20])


def letter(number: int) -> bytes:
    head = b"From: a@example.org\r\nMessage-ID: <%d@example.org>\r\nSubject: %d\r\n\r\n" % (number, number)
    return head + b"%d " % number * (number % 500) + b"\r\n"


class Life:
    """A device, an account, and what was written."""

    def __init__(self, folder: Path, port: int, seed: int) -> None:
        self.data, self.port = folder / "device", port
        self.chance = random.Random(seed)
        self.report = Report()
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.length = 0.3  # seconds of a run that nobody kills, from its first event

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "postwren", "sync", *words, "--data", str(self.data)]

    def begin(self) -> None:
        words = ("add", LOGIN, "--imap", f"127.0.0.1:{self.port}", "--tls", "none", "--password-stdin")
        subprocess.run(self.command(*words), input=b"pass\n", env=self.environment, check=True, capture_output=True)

    @asynccontextmanager
    async def here(self) -> AsyncIterator[Side]:
        """The copy, while no run has it."""
        store = await open_store(self.data, Config())
        try:
            side = Side(store)
            (side.account,) = store.reader.accounts()
            yield side
        finally:
            store.close()

    @asynccontextmanager
    async def there(self) -> AsyncIterator[There]:
        async with ImapClient("127.0.0.1", self.port, security=Security.NONE) as client:
            await client.login(LOGIN, Secret("pass"))
            side = There(client)
            await side.begin()
            yield side

    def new(self, is_here: bool) -> list[bytes]:
        first = 2 * self.report.written + is_here
        letters = [letter(first + 2 * place) for place in range(self.chance.randrange(20, 60))]
        self.report.written += len(letters)
        return letters

    async def edit(self) -> None:
        source, destination = self.chance.sample(MAILBOXES, 2)
        async with self.there() as there, self.here() as here:
            await there.add(source, *self.new(is_here=False))
            await here.add(destination, *self.new(is_here=True))
            mine = [uid for uid in here.uids(source) if self._is_odd(here, source, uid)]
            if mine:
                chosen = self.chance.sample(mine, min(20, len(mine)))
                await here.move(source, chosen, destination)
                await here.flag(source, self.chance.choice(here.uids(source)), "\\Seen")
                self.report.moved += len(chosen)

    def _is_odd(self, side: Side, name: str, uid: int) -> bool:
        reader = side.store.reader
        (entry,) = reader.entries(side.account_id, side.mailbox(name).mailbox_id, [(uid, uid)])
        email = reader.email(side.account_id, entry.email_id)
        assert email is not None
        return int(side.store.read_body(email.body).split(b"<", 1)[1].split(b"@", 1)[0]) % 2 == 1

    def cut(self) -> bool:
        """One run that is killed somewhere; whether it was."""
        run = subprocess.Popen(
            self.command("run", "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment
        )
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(self.chance.uniform(0, self.length))
        is_killed = run.poll() is None
        run.kill()
        run.communicate()
        return is_killed

    def finish(self) -> None:
        begun = time.monotonic()
        done = subprocess.run(
            self.command("run", "--json", "--accept-deletions"), env=self.environment, capture_output=True, check=False
        )
        self.length = max(0.1, 0.6 * (time.monotonic() - begun))
        if done.returncode:
            self.report.faults.append(f"run: {done.stdout[-500:]!r} {done.stderr[-500:]!r}")

    async def compare(self) -> None:
        """Both sides hold the same, and every message that was written once."""
        async with self.there() as there, self.here() as here:
            here.sound()
            mine, theirs = here.content(), await there.content()
        if mine != theirs:
            self.report.faults.append(f"not the same: {_difference(mine, theirs)}")
        found = Counter(octets for rows in mine.values() for octets, _, _ in rows.elements())
        self.report.faults += [f"{count} times: {octets[:80]!r}" for octets, count in found.items() if count != 1]
        if len(found) != self.report.written:
            self.report.faults.append(f"{len(found)} of {self.report.written} are there")


def _difference(mine: Content, theirs: Content) -> list[object]:
    both = mine.keys() | theirs.keys()
    rows = [(name, mine.get(name, Counter()), theirs.get(name, Counter())) for name in both]
    return [(name, sum((a - b).values()), sum((b - a).values())) for name, a, b in rows if a != b]


def crash(folder: Path, port: int, kills: int, seed: int) -> Report:
    """The whole run against a server."""
    begun = time.monotonic()
    life = Life(folder, port, seed)
    life.begin()
    asyncio.run(_prepare(life))
    life.finish()
    while life.report.kills < kills:
        asyncio.run(life.edit())
        for _ in range(life.chance.randrange(1, 6)):
            life.report.kills += life.cut()
        life.finish()
        if life.chance.random() < 0.2:
            asyncio.run(life.compare())
    asyncio.run(life.compare())
    life.report.seconds = time.monotonic() - begun
    return life.report


async def _prepare(life: Life) -> None:
    async with life.there() as there:
        await there.create("Work")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="postwren-device-") as name:
        server = Postwren(Path(name) / "server")
        server.start()
        try:
            server.add_accounts([LOGIN])
            report = crash(Path(name), server.imap, options.kills, seed)
        finally:
            server.stop()
    print(report.text())
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
