"""`make demo`: the story of a message, told step by step by programs that really run: two servers, a hand-over by SMTP, a
device that idles by IMAP, one that takes the mail by POP3, and reading with the server gone. It exits with 1 when a step is
not as told."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from postwren.client.conversation import Security
from postwren.client.imap import ImapClient
from postwren.client.pop3 import Pop3Client
from postwren.client.smtp import submit
from postwren.protocols.imap.command.fetch import Item
from postwren.protocols.imap.response.size import Exists
from postwren.terms import Address
from postwren.wire.secret import Secret

LETTER = """\
From: Ann <ann@alpha.example>
To: Bob <bob@beta.example>
Subject: The first letter
Date: {date}
Message-ID: <1@alpha.example>

Dear Bob,

this letter was written on Ann's machine, handed by her server's side to
yours, kept there, and fetched by your device. Your server may go now.

Ann
"""


@dataclass
class Host:
    """A server process with its own data."""

    name: str
    folder: Path
    port_base: int
    login: str
    password: str
    process: "subprocess.Popen[str] | None" = None

    @property
    def environment(self) -> dict[str, str]:
        """The machine's name, as a configuration would give it."""
        return os.environ | {"POSTWREN_HOSTNAME": self.name}

    @property
    def address(self) -> Address:
        """Where its mail goes."""
        local, _, domain = self.login.partition("@")
        return Address(local, domain)

    def command(self, *words: str, text: str | None = None) -> str:
        """Run a `postwren` command on this host's data."""
        words = (*words, "--data", str(self.folder))
        done = subprocess.run(
            [sys.executable, "-m", "postwren", *words],
            input=text,
            text=True,
            capture_output=True,
            check=False,
            env=self.environment,
        )
        if done.returncode:
            raise SystemExit(f"postwren {' '.join(words)}: {done.stderr}")
        return done.stdout

    def start(self) -> str:
        """Start the server; returns its `ready` line."""
        words = ["serve", "--dev", "--data", str(self.folder), "--port-base", str(self.port_base)]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "postwren", *words], stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment
            )
        assert self.process.stdout
        ready = self.process.stdout.readline().strip()
        if not ready.startswith("ready"):
            raise SystemExit(f"{self.name} did not start: {(self.folder / 'log').read_text()}")
        return ready

    def stop(self) -> None:
        """End it as an operator would."""
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None


class Story:
    """Says what happens, numbered, and checks that it did."""

    def __init__(self) -> None:
        self.number = 0
        self.start = time.perf_counter()

    def tell(self, text: str) -> None:
        """One step."""
        self.number += 1
        print(f"{time.perf_counter() - self.start:5.1f} s  {self.number:2d}. {text}", flush=True)

    def show(self, text: str) -> None:
        """What somebody sees."""
        print("".join(f"             | {line}\n" for line in text.splitlines()), end="", flush=True)

    def expect(self, statement: bool, text: str) -> None:
        """The step must be as told."""
        if not statement:
            raise SystemExit(f"NOT SO: {text}")


async def read_along(story: Story, alpha: Host, beta: Host, octets: bytes) -> None:
    """The letter arrives while a device idles by IMAP, which leaves it where it is."""
    async with ImapClient("127.0.0.1", beta.port_base + 43, security=Security.NONE) as laptop:
        await laptop.login(beta.login, Secret(beta.password))
        await laptop.select("INBOX")
        heard = asyncio.Event()
        idling = asyncio.create_task(laptop.idle(heard, lambda said: heard.set() if isinstance(said, Exists) else None))
        story.tell(f"{beta.login}'s laptop has the INBOX open by IMAP and idles")
        place = "127.0.0.1", beta.port_base + 25
        await submit(*place, alpha.address, [beta.address], octets, security=Security.NONE, name=alpha.name)
        story.tell(f"{alpha.login}'s letter is handed to {beta.name} by SMTP; {beta.name} said 250 after its disk said yes")
        await asyncio.wait_for(idling, 10)
        message = (await laptop.fetch(((1, 1),), (Item.ENVELOPE, Item.FLAGS)))[0]
        subject = message.envelope.subject if message.envelope is not None else None
        story.expect(subject == b"The first letter" and message.flags == (), "the letter by IMAP, not seen yet")
        story.tell('the laptop was told at once and reads "The first letter". The letter stays on the server')
        await laptop.logout()


async def tell_story(alpha: Host, beta: Host, device: Path) -> None:
    """The whole story."""
    story = Story()
    for host in (alpha, beta):
        host.folder.mkdir()
        host.command("account", "add", host.login, "--password-stdin", text=host.password + "\n")
        story.tell(f"{host.name} is a server of its own, with the account {host.login}. {host.start()}")
    octets = LETTER.format(date=time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())).replace("\n", "\r\n").encode()
    await read_along(story, alpha, beta, octets)
    async with Pop3Client("127.0.0.1", beta.port_base + 10, security=Security.NONE) as pop3:
        await pop3.login(beta.login, Secret(beta.password))
        count, size = await pop3.stat()
        story.tell(f"{beta.login}'s phone logs in by POP3 and finds {count} message of {size} octets")
        story.expect(count == 1, "one message in the maildrop")
        (device / "letter.eml").write_bytes(await pop3.retr(1))
        await pop3.dele(1)
        await pop3.quit()
    story.tell("the phone has the message in a file of its own, deleted it on the server and said QUIT")
    async with Pop3Client("127.0.0.1", beta.port_base + 10, security=Security.NONE) as pop3:
        await pop3.login(beta.login, Secret(beta.password))
        count, _ = await pop3.stat()
        story.tell(f"a look at {beta.name}: {count} messages in the maildrop")
        story.expect(count == 0, "an empty maildrop after QUIT")
    for host in (alpha, beta):
        host.stop()
    story.tell("both servers are gone. The phone reads on:")
    letter = (device / "letter.eml").read_bytes()
    story.show(letter.decode())
    story.expect(letter.endswith(octets), "the letter is the one that was sent, octet for octet, below its trace lines")
    story.expect(beta.command("check").strip().endswith("ok"), "a clean store")
    story.tell("`postwren check` finds the store of the stopped server in order")


def main() -> None:
    """Tell the story in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="postwren-demo-") as name:
        folder = Path(name)
        (folder / "device").mkdir()
        alpha = Host("alpha.example", folder / "alpha", 21000, "ann@alpha.example", "ann's secret")
        beta = Host("beta.example", folder / "beta", 22000, "bob@beta.example", "bob's secret")
        try:
            asyncio.run(tell_story(alpha, beta, folder / "device"))
        finally:
            for host in (alpha, beta):
                host.stop()


if __name__ == "__main__":
    main()
