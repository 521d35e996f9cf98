"""kill -9 at random moments of mail on its way out: accept, attempt, bounce. Nothing acknowledged is lost, nobody is told twice.

D-01, D-02, D-07 and D-08 on the way to another host.

    python -m tests.crash.exchange_kill9 [--kills 300] [--seed N] [--keep]

Threads of this process submit mail, each message to somebody here and to recipients at a host that this process plays: it takes
some, refuses some, and asks to come again for some. It writes down what it took before it says so. The server is killed and
started again; in the end the queue is emptied and everything is compared with what was acknowledged:

- each recipient whom the host takes got the message: once, or once more for a kill between the host's answer and its conclusion
- each recipient whom it refuses: the sender has exactly one report, and nobody else has one
- who lives here has it exactly once; of a message whose answer was lost all recipients have it, or none
"""

import argparse
import base64
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.lab.mail import Pop3, Refused, Sender
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable

from postwren.delivery.dsn_reader import parse
from postwren.delivery.status import Action
from postwren.exchange.limits import OutboundLimits

__all__ = ["Report", "crash"]

SENDER, HERE = "ann@a.example", "bob@a.example"
SENDERS = 3
BROKEN = (OSError, EOFError, ValueError, IndexError, Refused)
TOKEN = b"X-Token: "


@dataclass(slots=True)
class Report:
    """Counts of a run; `faults` is empty when the promise held."""

    kills: int = 0
    acknowledged: int = 0
    unknown: int = 0
    delivered: int = 0
    reports: int = 0
    doubled: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0

    def text(self) -> str:
        lines = [
            f"kills {self.kills}, {self.seconds:.0f} s; acknowledged {self.acknowledged}, unknown {self.unknown}; at the other "
            f"host {self.delivered}; messages doubled {self.doubled}; reports {self.reports}; faults {len(self.faults)}",
            *self.faults[:20],
        ]
        return "\n".join(lines)


class OtherHost:
    """An SMTP server that does by a recipient's first letters what they say: ok, no, later (the first time)."""

    def __init__(self) -> None:
        self.took: Counter[str] = Counter()
        self._asked_again: set[str] = set()
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(*BROKEN):
            stream = sock.makefile("rb")
            self._say(sock, b"220 mx.b.example ESMTP")
            recipients: list[str] = []
            while line := stream.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    self._say(sock, b"250-mx.b.example\r\n250-PIPELINING\r\n250 8BITMIME")
                elif verb == b"RCPT":
                    self._say(sock, self._judge(line[line.index(b"<") + 1 : line.index(b">")].decode(), recipients))
                elif verb == b"DATA":
                    self._say(sock, b"354 go on" if recipients else b"503 5.5.1 nobody")
                    if recipients:
                        while stream.readline() not in (b".\r\n", b""):
                            pass
                        with self._lock:
                            self.took.update(recipients)
                        recipients = []
                        self._say(sock, b"250 2.0.0 mine")
                elif verb == b"QUIT":
                    self._say(sock, b"221 2.0.0 bye")
                    return
                else:
                    recipients = []
                    self._say(sock, b"250 2.0.0 well")

    @staticmethod
    def _say(sock: socket.socket, line: bytes) -> None:
        sock.sendall(line + b"\r\n")

    def _judge(self, recipient: str, recipients: list[str]) -> bytes:
        if recipient.startswith("no"):
            return b"550 5.1.1 not here"
        if recipient.startswith("later"):
            with self._lock:
                if recipient not in self._asked_again:
                    self._asked_again.add(recipient)
                    return b"451 4.2.1 later"
        recipients.append(recipient)
        return b"250 2.1.5 yes"


class Server(Postwren):
    """One that asks a zone file, in which the other host is this process."""

    def prepare(self, port: int) -> None:
        self.data.mkdir()
        (self.data / "zone").write_text("b.example. MX 10 mx.b.example.\nmx.b.example. A 127.0.0.1\n")
        (self.data / "postwren.toml").write_text(
            'hostname = "mx.a.example"\n[submission]\nmessages_per_hour = 1000000\nrecipients_per_hour = 10000000\n'
            f'[outbound]\nports = {{ "mx.b.example" = {port} }}\n'
        )

    def _command(self, *words: str) -> list[str]:
        if words[0] == "queue":
            return [sys.executable, "-m", "postwren", *words, "--data", str(self.data)]
        more = ("--zone", str(self.data / "zone")) if words[0] == "serve" else ()
        return super()._command(*words, *more)


class Load:
    """What the senders know."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lock = threading.Lock()
        self.fates: dict[str, tuple[list[str], bool | None]] = {}  # by token: its recipients; True where it was acknowledged
        self.is_up = threading.Event()
        self.is_over = False
        self._last = 0

    def submit(self, seed: int) -> None:
        """A thread: as long as the server is up."""
        rnd = random.Random(seed)
        while not self.is_over:
            self.is_up.wait()
            with suppress(*BROKEN), Sender(self.server.base + 87) as talk:
                plain = base64.b64encode(f"\0{SENDER}\0pass".encode())
                talk.sock.sendall(b"AUTH PLAIN " + plain + b"\r\n")
                if not talk.reply().startswith(b"235"):
                    continue
                while self.is_up.is_set() and not self.is_over:
                    self._one(talk, rnd)

    def _one(self, talk: Sender, rnd: random.Random) -> None:
        with self.lock:
            self._last += 1
            token = str(self._last)
        kinds = rnd.choices(("ok", "no", "later"), (6, 2, 1), k=rnd.choice((1, 1, 2, 3)))
        recipients = [f"{kind}-{token}-{number}@b.example" for number, kind in enumerate(kinds)]
        size = rnd.choice((1, 3, 10, 40, 400, 8000))
        body = b"".join(b"%x\r\n" % rnd.getrandbits(240) for _ in range(size))
        head = b"%s%s\r\nFrom: <%s>\r\nSubject: x\r\n\r\n" % (TOKEN, token.encode(), SENDER.encode())
        talk.envelope(head, [HERE, *recipients], SENDER)
        self.fates[token] = (recipients, None)
        talk.content(head + body)
        answer = talk.reply()
        self.fates[token] = (recipients, answer.startswith(b"250"))


def compare(load: Load, host: OtherHost, report: Report) -> None:
    """Everything against what was acknowledged; the queue is empty."""
    there = Counter(_token(message) for message in _maildrop(load.server, HERE))
    told: Counter[str] = Counter()
    for message in _maildrop(load.server, SENDER):
        found = parse(message)
        for each in found.recipients if found is not None else ():
            if each.action is Action.FAILED:
                told[each.final] += 1
    report.delivered, report.reports = host.took.total(), told.total()
    for token, (recipients, is_taken) in load.fates.items():
        report.acknowledged += is_taken is True
        report.unknown += is_taken is None
        count = there[token]
        if count > 1 or (is_taken is not None and count != is_taken):
            report.faults.append(f"here: token {token}, acknowledged {is_taken}, is there {count} times")
        report.doubled += max(0, *(host.took[recipient] - 1 for recipient in recipients))
        for recipient in recipients:
            took, reports = host.took[recipient], told[recipient]
            expected = (0, count) if recipient.startswith("no") else (count, 0)
            if (min(took, 1), reports) != expected:
                report.faults.append(f"out: {recipient}, here {count} times, got it {took} times, {reports} reports")


def _maildrop(server: Server, login: str) -> list[bytes]:
    pop = Pop3(server.pop3, login)
    messages = list(pop.all(range(1, pop.count() + 1)))
    pop.quit()
    return messages


def _token(message: bytes) -> str:
    start = message.index(TOKEN) + len(TOKEN)
    return message[start : message.index(b"\r\n", start)].decode()


def crash(folder: Path, kills: int, seed: int, told: bool = False) -> Report:
    """The whole run in `folder`; the report is complete when it returns."""
    begun, rnd, report, host = time.monotonic(), random.Random(seed), Report(), OtherHost()
    server = Server(folder / "data")
    server.prepare(host.port)
    server.start()
    server.add_accounts([SENDER, HERE])
    load = Load(server)
    threads = [threading.Thread(target=load.submit, args=(seed + number,), daemon=True) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        for number in range(kills):
            load.is_up.set()
            time.sleep(rnd.uniform(0.02, 0.5))
            load.is_up.clear()
            server.kill()
            report.kills += 1
            if rnd.random() < 0.1:
                server.start_and_kill(rnd.uniform(0, 0.6))
            server.start()
            if rnd.random() < 0.2:
                server.run("queue", "retry", "--all")
            if told and number % 25 == 24:
                print(f"{number + 1} kills, {len(load.fates)} messages", flush=True)
        load.is_over = True
        load.is_up.set()
        for thread in threads:
            thread.join(30)
        _empty(server)
        compare(load, host, report)
        if report.doubled > kills * OutboundLimits().connections_of_domain:  # one a connection
            report.faults.append(f"out: {report.doubled} messages doubled")
        server.stop()
        server.run("check")
    except Unavailable as error:
        report.faults.append(f"other: {error}")
    finally:
        load.is_over = True
        load.is_up.set()
        server.kill()
        host.close()
    report.seconds = time.monotonic() - begun
    return report


def _empty(server: Server) -> None:
    end = time.monotonic() + 120
    while "nothing waits" not in server.run("queue", "list"):
        if time.monotonic() > end:
            raise Unavailable(f"the queue does not end: {server.run('queue', 'list')[-500:]}")
        server.run("queue", "retry", "--all")
        time.sleep(0.3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="leave the data folder for a look")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="postwren-crash-"))
    report = crash(folder, options.kills, seed, told=True)
    print(report.text())
    if options.keep:
        print(f"data in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
