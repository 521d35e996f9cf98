"""The server under attack and the honest client beside it: what the tests of hostile peers share."""

import base64
import json
import random
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.cli.program import Server, postwren
from tests.interop.peer import ANSWER, LEGITIMATE, Peer

ANN, HONEST, SINK = "ann@example.org", "honest@example.org", "sink@example.org"
PASSWORD = "sesame"
CONNECTIONS = 1200
CACHES = 4 * (16 << 20)  # of derived.db and search.db, two connections each: full once enough came
MEMORY_TOLERANCE = (32 << 20) + CACHES  # of anonymous memory, after everything, above the server that has served a few
PORTS: Final = {"smtp": 25, "lmtp": 24, "submission": 87, "submissions": 65, "pop3": 10, "pop3s": 95, "imap": 43, "imaps": 93}
HELLO: Final = dict.fromkeys(PORTS, b"") | {
    "lmtp": b"LHLO peer.example.net\r\n",
    **dict.fromkeys(("smtp", "submission", "submissions"), b"EHLO peer.example.net\r\n"),
}
MARK: Final = b"ECHOED"  # no answer may repeat it


@dataclass
class World:
    """The server under attack, and what it was before."""

    server: Server
    baseline: int = 0
    sunk: int = 0  # messages that the server took for SINK
    rows: list[str] = field(default_factory=list)

    def peer(self, protocol: str, source: str = "127.0.0.1") -> Peer:
        return Peer(self.server.port(PORTS[protocol]), source, is_tls=protocol in ("pop3s", "imaps", "submissions"))

    def memory(self) -> int:
        """Anonymous resident memory: mapped files of the store are not counted."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(re.findall(r"RssAnon:\s+(\d+) kB", status)[0]) << 10

    def log_lines(self, start: int = 0) -> list[dict[str, object]]:
        with self.server.log.open("rb") as log:
            log.seek(start)
            whole, _, _ = log.read().rpartition(b"\n")  # the last line may still be on its way
            return [json.loads(line) for line in whole.splitlines()]

    def report(self, line: str) -> None:
        self.rows.append(line)
        print(line)


def begin(folder: Path) -> Iterator[World]:
    """A server with accounts, and its end."""
    config = folder / "postwren.toml"
    settings = '[log]\nformat = "json"\n[login]\nfailure_delay = 0.05\n[imap]\ncompress = true\n'
    config.write_text(f"{settings}[limits]\nconnections = {CONNECTIONS}\n")
    accounts = "".join(f"{login}\t{PASSWORD}\n" for login in (ANN, HONEST, SINK, *map("{}@example.org".format, PORTS)))
    postwren("account", "add", "--from", "-", data=folder / "data", text=accounts)
    with Server(folder / "data", "--config", str(config)) as server:
        world = World(server)
        for _ in range(3):
            deliver(world, ANN, b"Subject: kept\r\n\r\nas it was\r\n")
            round_trip(world)
        hash_on_every_place(world)
        world.baseline = world.memory()
        yield world
    ending = world.log_lines()[-1]
    assert (ending["event"], ending["bugs"]) == ("ended", 0)


# -- the honest client


def deliver(world: World, login: str, message: bytes, protocol: str = "smtp") -> None:
    with world.peer(protocol, LEGITIMATE) as peer:
        assert peer.reply().startswith(b"220")
        assert peer.say(HELLO[protocol].rstrip()).startswith(b"250")
        assert transaction(peer, login, message).startswith(b"250")
        assert peer.say(b"QUIT").startswith(b"221")


def ready(world: World, protocol: str) -> Peer:
    """A peer that may begin a transaction: greeted, and logged in as SINK where one must be."""
    peer = greeted(world, protocol)
    if protocol == "submissions":
        assert peer.say(b"AUTH PLAIN " + login(SINK.encode(), PASSWORD.encode())).startswith(b"235")
    return peer


def transaction(peer: Peer, login: str, message: bytes, sender: str = "sender@example.net") -> bytes:
    assert peer.say(b"MAIL FROM:<%s>" % sender.encode()).startswith(b"250")
    assert peer.say(b"RCPT TO:<%s>" % login.encode()).startswith(b"250")
    assert peer.say(b"DATA").startswith(b"354")
    peer.send(message + b".\r\n")
    return peer.reply()


def log_in(world: World, login: str, protocol: str = "pop3") -> Peer:
    peer = world.peer(protocol, LEGITIMATE)
    assert peer.reply().startswith(b"+OK")
    assert peer.say(b"USER " + login.encode()) == b"+OK\r\n"
    answer = peer.say(b"PASS " + PASSWORD.encode())
    assert answer.startswith(b"+OK"), answer
    return peer


def imap(world: World, login: str, protocol: str = "imap") -> Peer:
    """Logged in."""
    peer = greeted(world, protocol, LEGITIMATE)
    ask(peer, b"LOGIN %s %s" % (login.encode(), PASSWORD.encode()))
    return peer


def ask(peer: Peer, command: bytes) -> bytes:
    """A command that is answered OK; everything up to that."""
    said = told(peer, command)
    assert re.search(rb"^t OK", said, re.MULTILINE), (command[:200], said[-2000:])
    return said


def told(peer: Peer, command: bytes) -> bytes:
    """A command, and everything up to its tagged answer, literals and all."""
    peer.send(b"t " + command + b"\r\n")
    said = [peer.line()]
    while not said[-1].startswith((b"t OK", b"t NO", b"t BAD")):
        announced = re.search(rb"\{(\d+)\}\r\n\Z", said[-1])
        if announced:
            said.append(peer.octets(int(announced[1])))
        said.append(peer.line())
    return b"".join(said)


def hash_on_every_place(world: World) -> None:
    """argon2 takes 19 MiB a place, which the allocator keeps from then on."""
    peers = [greeted(world, "pop3", LEGITIMATE) for _ in range(8)]
    for peer in peers:
        peer.send(b"AUTH PLAIN " + login(b"nobody", b"%d" % id(peer)) + b"\r\n")
    for peer in peers:
        assert peer.reply().startswith(b"-ERR [AUTH]")
        peer.close()


def count(world: World, login: str) -> int:
    with log_in(world, login) as peer:
        number = int(peer.say(b"STAT").split()[1])
        peer.say(b"QUIT")
        return number


def round_trip(world: World) -> float:
    """A message comes by SMTP or LMTP, is fetched by POP3 or IMAP and removed; returns the seconds that took."""
    begun = time.perf_counter()
    message = b"Subject: honest %d\r\n\r\nmail\r\n" % random.getrandbits(60)
    deliver(world, HONEST, message, random.choice(("smtp", "lmtp")))
    protocol = random.choice(("pop3", "pop3s", "imap", "imaps"))
    if protocol.startswith("imap"):
        with imap(world, HONEST, protocol) as peer:
            assert b"\r\n* 1 EXISTS\r\n" in ask(peer, b"SELECT INBOX")
            assert message in ask(peer, b"FETCH 1 BODY[]")
            ask(peer, b"STORE 1 +FLAGS.SILENT (\\Deleted)")
            assert ask(peer, b"EXPUNGE").startswith(b"* 1 EXPUNGE")
            ask(peer, b"LOGOUT")
        return time.perf_counter() - begun
    with log_in(world, HONEST, protocol) as peer:
        assert peer.say(b"STAT").startswith(b"+OK 1 ")
        assert peer.say(b"RETR 1").startswith(b"+OK")
        assert peer.listing().endswith(message)
        assert peer.say(b"DELE 1").startswith(b"+OK")
        assert peer.say(b"QUIT").startswith(b"+OK")
    return time.perf_counter() - begun


def while_honest(world: World, what: str, attack: Callable[[threading.Event], None], rounds: int = 25) -> None:
    """`attack` runs in a thread until the event is set; the honest client's rounds all succeed meanwhile, and not slowly."""
    calm = [round_trip(world) for _ in range(rounds)]
    stop, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            attack(stop)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        attacked = [round_trip(world) for _ in range(rounds)]
    finally:
        stop.set()
        thread.join(60)
    assert not failed, failed
    row = [
        f"{name} median {statistics.median(took) * 1e3:.0f} ms, worst {max(took) * 1e3:.0f} ms"
        for name, took in (("calm:", calm), ("attacked:", attacked))
    ]
    world.report(f"{what}: {'; '.join(row)}")
    assert statistics.median(attacked) < 10 * statistics.median(calm) + 1
    assert max(attacked) < 5


def login(authcid: bytes, password: bytes) -> bytes:
    return base64.b64encode(b"\0" + authcid + b"\0" + password)


def greeted(world: World, protocol: str, source: str = "127.0.0.1") -> Peer:
    """A peer that has heard the greeting and, where that is due, said its name."""
    peer = world.peer(protocol, source)
    assert peer.reply().startswith((b"220", b"+OK", b"* OK"))
    if HELLO[protocol]:
        assert peer.say(HELLO[protocol].rstrip()).startswith(b"250")
    return peer


def assert_answers(protocol: str, said: bytes) -> None:
    """Replies and nothing else; nothing of what was sent comes back."""
    assert MARK not in said
    for line in said.splitlines(keepends=True):
        assert ANSWER[protocol].fullmatch(line), line
