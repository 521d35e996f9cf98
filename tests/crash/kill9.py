"""kill -9 at random moments under mixed load: nothing acknowledged is lost, nothing doubled, no UID reused.

D-01 to D-06, D-20, D-30 to D-33, D-37, D-50 to D-52.

    python -m tests.crash.kill9 [--kills 300] [--seed N] [--keep]

Threads of this process deliver by SMTP and LMTP, take mail by POP3 (RETR, DELE, QUIT; some leave without QUIT), and work by IMAP
in accounts of their own (`imapload`). What they know is in a ledger that outlives the server: acknowledged when the final reply
was read, unknown when the connection broke between the first octet of the content and that reply. Each message is sent once and
tells its own octets, so that content is checked too.

At each restart one account is compared with the ledger while the load stands still, at the end all of them: an unknown message
is there or is not, and what was seen once must stay true. `postwren check` runs at the end and now and then in between.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from bench.lab.mail import Pop3, Refused, Sender, parts_of_trace
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable
from tests.crash.imapload import Imap, ImapDevice

__all__ = ["Report", "crash"]

ACCOUNTS = [f"crash{number}@example.org" for number in range(6)]
SENDERS = 2  # of each protocol
DEVICES = 2
IMAP_ACCOUNTS = [f"imap{number}@example.org" for number in range(2)]
BROKEN = (OSError, EOFError, ValueError, IndexError)  # what a cut connection or a cut line looks like
TOKEN = b"X-Token: "
FAULTS = ("lost", "doubled", "returned", "uid", "other")


class Fate(Enum):
    """What may be said about one message in one account."""

    ABSENT = "never handed over, refused, or its deletion acknowledged"
    PRESENT = "acknowledged, or seen"
    UNKNOWN = "the connection broke before the answer"


@dataclass(slots=True)
class Report:
    """Counts of a run; `faults` is empty when the promise held."""

    kills: int = 0
    killed_at_start: int = 0
    sent: int = 0
    acknowledged: int = 0
    deleted: int = 0
    unknown: int = 0
    unknown_deletions: int = 0
    imap_commands: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    slowest_restart: float = 0
    seconds: float = 0

    def text(self) -> str:
        kinds = {
            kind: sum(fault.startswith(kind) for fault in self.faults) for kind in ("lost", "doubled", "returned", "uid", "other")
        }
        counted = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        lines = [
            f"kills {self.kills} (of these while starting: {self.killed_at_start}), {self.seconds:.0f} s, "
            f"slowest restart {self.slowest_restart:.2f} s",
            f"sent {self.sent}, acknowledged {self.acknowledged}, unknown {self.unknown}; "
            f"deletions acknowledged {self.deleted}, unknown {self.unknown_deletions}; IMAP commands {self.imap_commands}",
            f"faults: {counted}",
            *(f"refused {count} times: {reply}" for reply, count in self.refused.items()),
            *self.faults[:20],
        ]
        return "\n".join(lines)


class Ledger:
    """What the clients know. One lock: the load is light and the server is what is tested."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.report = Report()
        self.fates: dict[tuple[str, int], Fate] = {}
        self.uids: dict[tuple[str, str], int] = {}
        self._last_token = 0

    def new_token(self) -> int:
        with self.lock:
            self._last_token += 1
            return self._last_token

    def sent(self, token: int, accounts: Iterable[str]) -> None:
        """The content is about to go: until an answer comes, anything may be true."""
        with self.lock:
            for account in accounts:
                self.report.sent += 1
                self.report.unknown += 1
                self.fates[account, token] = Fate.UNKNOWN

    def answered(self, token: int, account: str, reply: bytes) -> None:
        with self.lock:
            self.report.unknown -= 1
            is_taken = reply.startswith(b"250")
            self.report.acknowledged += is_taken
            if not is_taken:
                self.fates[account, token] = Fate.ABSENT
                self._refused(reply)
            elif self.fates[account, token] is Fate.UNKNOWN:  # else a device was faster, and has said more
                self.fates[account, token] = Fate.PRESENT

    def refused(self, reply: bytes) -> None:
        with self.lock:
            self._refused(reply)

    def _refused(self, reply: bytes) -> None:
        text = reply.decode("latin1").strip()
        self.report.refused[text] = self.report.refused.get(text, 0) + 1

    def seen(self, account: str, uid: str, message: bytes) -> int | None:
        """A device or the comparison read a message; its token, or None (and a fault) when it is not what was sent."""
        token = token_of(message)
        with self.lock:
            if token is None or (account, token) not in self.fates:
                self.fault(f"other: {account} uid {uid} holds what nobody sent: {message[:300]!r}")
            elif parts_of_trace(message, text_of(token)) is None:
                self.fault(f"other: {account} uid {uid} token {token} has other octets than were sent")
            elif self.uids.setdefault((account, uid), token) != token:
                self.fault(f"uid {uid} of {account} was token {self.uids[account, uid]} and is now {token}")
            elif self.fates[account, token] is Fate.ABSENT:
                self.fault(f"returned: {account} token {token} was deleted or refused and is there")
            else:
                return token
        return None

    def deleting(self, account: str, tokens: Iterable[int]) -> None:
        with self.lock:
            for token in tokens:
                self.report.unknown_deletions += 1
                self.fates[account, token] = Fate.UNKNOWN

    def deleted(self, account: str, tokens: Iterable[int]) -> None:
        with self.lock:
            for token in tokens:
                self.report.unknown_deletions -= 1
                self.report.deleted += 1
                self.fates[account, token] = Fate.ABSENT

    def fault(self, text: str) -> None:
        """Something that must not be; the first word is its kind."""
        self.report.faults.append(text)

    def compare(self, account: str, found: dict[str, bytes]) -> None:
        """The whole maildrop against the ledger, while nothing else runs; unknown fates become known."""
        tokens = [token for uid, message in found.items() if (token := self.seen(account, uid, message)) is not None]
        there = set(tokens)
        if len(there) < len(tokens):
            self.fault(f"doubled: {account} {sorted(token for token in there if tokens.count(token) > 1)}")
        for (owner, token), fate in self.fates.items():
            if owner != account:
                continue
            if fate is Fate.PRESENT and token not in there:
                self.fault(f"lost: {account} token {token}")
                self.fates[owner, token] = Fate.ABSENT
            elif fate is Fate.UNKNOWN:
                self.fates[owner, token] = Fate.PRESENT if token in there else Fate.ABSENT


def text_of(token: int) -> bytes:
    """The message of a token: always the same octets, of very different sizes, some lines with a dot."""
    rnd = random.Random(token)
    size = rnd.choice((1, 3, 10, 10, 40, 40, 200, 4000))
    lines = b"".join(b"%s%x\r\n" % (rnd.choice((b"", b".", b"From ")), rnd.getrandbits(240)) for _ in range(size))
    return b"%s%d\r\nFrom: <a@example.com>\r\nSubject: %x\r\n\r\n%s" % (TOKEN, token, rnd.getrandbits(64), lines)


def token_of(message: bytes) -> int | None:
    start = message.find(TOKEN)
    number = message[start + len(TOKEN) : start + len(TOKEN) + 20].partition(b"\r\n")[0]
    return int(number) if start >= 0 and number.isdigit() else None


class Gate:
    """Closed while the server is down: then every client waits here, and `all_wait` says so."""

    def __init__(self, clients: int) -> None:
        self._condition = threading.Condition()
        self._is_open, self._waiting, self._clients, self.is_over = False, 0, clients, False
        self.is_doomed = False  # the kill is on its way: a connection may break

    def passing(self) -> bool:
        """Wait until the server is up; False at the end of the run."""
        with self._condition:
            self._waiting += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._is_open or self.is_over)
            self._waiting -= 1
            return not self.is_over

    def open(self) -> None:
        with self._condition:
            self._is_open, self.is_doomed = True, False
            self._condition.notify_all()

    @property
    def is_open(self) -> bool:
        return self._is_open

    def close(self) -> None:
        with self._condition:
            self._is_open = False
            self._condition.notify_all()

    def wait_until_closed(self) -> None:
        with self._condition:
            self._condition.wait_for(lambda: not self._is_open or self.is_over)

    def all_wait(self) -> None:
        with self._condition:
            if not self._condition.wait_for(lambda: self._waiting == self._clients, 90):
                raise Unavailable("a client does not notice that the server is gone")

    def end(self) -> None:
        with self._condition:
            self.is_over = True
            self._condition.notify_all()


def deliver(server: Postwren, ledger: Ledger, gate: Gate, is_lmtp: bool, seed: int) -> None:
    """One connection after the other, some messages on each, one to three recipients."""
    rnd = random.Random(seed)
    while gate.passing():
        try:
            with Sender(server.lmtp if is_lmtp else server.smtp, b"LHLO" if is_lmtp else b"EHLO") as sender:
                for _ in range(rnd.randint(1, 20)):
                    if not gate.is_open:
                        break
                    one_message(sender, ledger, rnd.sample(ACCOUNTS, rnd.choice((1, 1, 1, 2, 3))))
                sender.quit()
        except BROKEN:
            continue
        except Refused as refusal:
            ledger.refused(str(refusal).encode())


def one_message(sender: Sender, ledger: Ledger, accounts: list[str]) -> None:
    token = ledger.new_token()
    message = text_of(token)
    sender.envelope(message, accounts)
    ledger.sent(token, accounts)
    sender.content(message)
    if sender.is_lmtp:
        for account in accounts:
            ledger.answered(token, account, whole(sender.reply()))
    else:
        reply = whole(sender.reply())
        for account in accounts:
            ledger.answered(token, account, reply)


def whole(line: bytes) -> bytes:
    if not line.endswith(b"\r\n"):
        raise EOFError("half a reply")
    return line


def collect(server: Postwren, ledger: Ledger, gate: Gate, seed: int) -> None:
    """A device: takes some messages, deletes some of these, and leaves with QUIT or without."""
    rnd = random.Random(seed)
    while gate.passing():
        account = rnd.choice(ACCOUNTS)
        try:
            with Pop3(server.pop3, account) as pop:
                one_session(pop, ledger, account, rnd)
        except BROKEN:
            continue
        except Refused as refusal:
            if "[IN-USE]" not in str(refusal):
                ledger.refused(str(refusal).encode())


def one_session(pop: Pop3, ledger: Ledger, account: str, rnd: random.Random) -> None:
    listed = pop.uidl()
    chosen = sorted(rnd.sample(sorted(listed), min(len(listed), rnd.randint(1, 40))))
    tokens = [ledger.seen(account, listed[n], message) for n, message in zip(chosen, pop.all(chosen, 10), strict=True)]
    marked = [(n, token) for n, token in zip(chosen, tokens, strict=True) if token is not None and rnd.random() < 0.8]
    pop.delete(n for n, _ in marked)
    if rnd.random() < 0.2:
        return  # D-50: without QUIT nothing may be deleted
    gone = [token for _, token in marked]
    ledger.deleting(account, gone)
    pop.quit()
    ledger.deleted(account, gone)


def work_by_imap(server: Postwren, device: ImapDevice, gate: Gate) -> None:
    """Connection after connection, each to the server's end; what has no answer then is judged before the next one."""
    while gate.passing():
        try:
            with Imap(server.imap, device.login) as imap:
                while gate.is_open:
                    device.session(imap)
        except BROKEN as error:
            if not gate.is_doomed:
                device.fault(f"other: {device.login} has no answer, and the server is up: {error!r}")
            gate.wait_until_closed()


def compare(server: Postwren, ledger: Ledger, account: str) -> None:
    """One maildrop; a session that was cut may hold the lock for a moment."""
    for _ in range(100):
        try:
            pop = Pop3(server.pop3, account)
            break
        except Refused:
            time.sleep(0.02)
    else:
        raise Unavailable(f"the lock of {account} is not released")
    listed = pop.uidl()
    messages = list(pop.all(listed))
    pop.quit()
    ledger.compare(account, dict(zip(listed.values(), messages, strict=True)))


def crash(folder: Path, kills: int, seed: int, told: bool = False) -> Report:
    """The whole run in `folder`; the report is complete when it returns."""
    begun = time.monotonic()
    rnd = random.Random(seed)
    ledger, gate = Ledger(), Gate(2 * SENDERS + DEVICES + len(IMAP_ACCOUNTS))
    server = Postwren(folder / "data")
    server.start()
    server.add_accounts([*ACCOUNTS, *IMAP_ACCOUNTS])
    devices = [
        ImapDevice(login, seed + 200 + k, ledger.new_token, text_of, token_of, ledger.fault)
        for k, login in enumerate(IMAP_ACCOUNTS)
    ]
    for device in devices:
        with Imap(server.imap, device.login) as imap:
            imap.ask(b"CREATE Work")
    threads = [threading.Thread(target=deliver, args=(server, ledger, gate, k % 2 == 0, seed + k)) for k in range(2 * SENDERS)]
    threads += [threading.Thread(target=collect, args=(server, ledger, gate, seed + 100 + k)) for k in range(DEVICES)]
    threads += [threading.Thread(target=work_by_imap, args=(server, device, gate)) for device in devices]
    for thread in threads:
        thread.daemon = True
        thread.start()
    try:
        for number in range(kills):
            _one_kill(server, ledger, gate, rnd)
            compare(server, ledger, ACCOUNTS[number % len(ACCOUNTS)])
            for device in devices:
                with Imap(server.imap, device.login) as imap:
                    device.compare(imap)
            if told and number % 25 == 24:
                server.run("check")
                print(
                    f"{number + 1} kills: {ledger.report.acknowledged} acknowledged, faults {len(ledger.report.faults)}",
                    flush=True,
                )
        for account in ACCOUNTS:
            compare(server, ledger, account)
        server.stop()
        server.run("check")
    except Unavailable as error:
        ledger.fault(f"other: {error}")
    finally:
        gate.end()
        server.kill()
    ledger.report.imap_commands = sum(device.done for device in devices)
    ledger.report.seconds = time.monotonic() - begun
    return ledger.report


def _one_kill(server: Postwren, ledger: Ledger, gate: Gate, rnd: random.Random) -> None:
    """Let the load run for a moment, kill, wait until every client has noticed, start again."""
    gate.open()
    time.sleep(rnd.uniform(0.02, 0.7))
    gate.is_doomed = True
    server.kill()
    gate.close()
    gate.all_wait()
    ledger.report.kills += 1
    if rnd.random() < 0.1:  # recovery must bear it as well
        server.start_and_kill(rnd.uniform(0, 0.6))
        ledger.report.killed_at_start += 1
    ledger.report.slowest_restart = max(ledger.report.slowest_restart, server.start())


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
