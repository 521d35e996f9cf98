"""Rows of this house: LMTP and SMTP acceptance, POP3 download, memory of idle connections.

- `lmtp.N`, `smtp.N`: N connections kept open, envelope pipelined, one message of 4 kB a transaction, N accounts. SMTP is
  acceptance: Postfix takes into its queue while it hands on to Dovecot by LMTP behind it; ours has it in the mailbox.
- `pop3.*`: one maildrop of 10,000 messages of the corpus (150 MB); `single` is one RETR at a time, the others 50 at a time.
- `idle.*`: growth of the server's proportional memory from 200 to 1,000 logged-in sessions of as many accounts. Each account has
  logged in once before, one after the other, so that what is kept per account is not counted as cost of a connection; the first
  200 fill what those logins have left free.
"""

import ssl
import time
from typing import Any

from bench import corpus
from bench.driver import Refused, Wire, deliveries, delivery, hold, swarm
from bench.lab.process import pss_kilobytes
from bench.measure import Row, Rows, Target

__all__ = ["LOGINS", "MAILDROP", "acceptance_rows", "fill_by_lmtp", "idle_rows", "pop3_rows"]

LOGINS = [f"u{k}@example.net" for k in range(50)]
MAILDROP = "maildrop@example.net"
BARS = {1: 2.0, 10: 3.0, 50: 4.0}
TIMES = {1: 600, 10: 150, 50: 40}


def acceptance_rows(rows: Rows, protocol: str, targets: list[Target], scale: float) -> None:
    message = corpus.Corpus(11).sized(4096)
    hello = {"lmtp": b"LHLO", "smtp": b"EHLO"}[protocol]
    for width, bar in BARS.items():
        times = max(5, int(TIMES[width] * scale))

        def send(target: Target, _: Any, width: int = width, times: int = times) -> None:
            port = target.lmtp if protocol == "lmtp" else target.smtp
            swarm(port, [delivery(hello, LOGINS[k], message, times) for k in range(width)])

        rows.measure(Row(f"{protocol}.{width}", "msg/s", bar=bar), targets, send, width * times)


def fill_by_lmtp(port: int, login: str, messages: list[bytes], width: int = 10) -> None:
    swarm(port, [deliveries(b"LHLO", login, messages[k::width]) for k in range(width)])


def enter(target: Target) -> Wire:
    """Logged in, STAT answered."""
    pop = Wire(target.pop3)
    pop.line()
    for line in (b"USER " + MAILDROP.encode(), b"PASS pass", b"STAT"):
        pop.sock.sendall(line + b"\r\n")
        pop.tail = pop.line()
        if not pop.tail.startswith(b"+OK"):
            raise Refused(pop.tail.decode("latin1"))
    return pop


def leave(pop: Wire) -> None:
    pop.sock.sendall(b"QUIT\r\n")
    if not pop.line().startswith(b"+OK"):
        raise Refused("QUIT")
    pop.close()


def retrieve(pop: Wire, step: int, count: int, delete: bool = False) -> None:
    for start in range(1, count + 1, step):
        part = range(start, min(count, start + step - 1) + 1)
        pop.sock.sendall(b"".join(b"RETR %d\r\n" % k for k in part))
        pop.count(b"\r\n.\r\n", len(part), b"\r\n.\r\n", before=b"")
        if delete:
            pop.sock.sendall(b"".join(b"DELE %d\r\n" % k for k in part))
            pop.count(b"+OK", len(part))
    leave(pop)


def pop3_rows(rows: Rows, targets: list[Target], messages: list[bytes]) -> None:
    count, few = len(messages), min(len(messages), 1000)

    def refilled(target: Target) -> None:
        pop = enter(target)
        have = int(pop.tail.split()[1])
        leave(pop)
        target.fill(MAILDROP, messages[have:])

    def listing(target: Target, _: None) -> None:
        pop = enter(target)
        pop.sock.sendall(b"UIDL\r\n")
        pop.count(b"\r\n.\r\n", 1)
        leave(pop)

    def entered(target: Target) -> Wire:
        refilled(target)
        return enter(target)

    for target in targets:
        refilled(target)
        target.rest()
        listing(target, None)  # every server's own cache of passwords and index is warm in the rounds
    rows.measure(Row("pop3.login+stat+uidl", "ms", bar=1.5), targets, listing, 0, refilled)
    rows.measure(Row("pop3.retr.single", "msg/s", bar=1.5), targets, lambda _, pop: retrieve(pop, 1, few), few, entered)
    rows.measure(Row("pop3.retr.pipelined", "msg/s", bar=1.5), targets, lambda _, pop: retrieve(pop, 50, count), count, entered)
    gone = Row("pop3.retr+dele+quit", "msg/s", bar=1.5)
    rows.measure(gone, targets, lambda _, pop: retrieve(pop, 50, count, delete=True), count, entered, min(rows.rounds, 3))


def idle_rows(rows: Rows, target: Target, logins: list[str], context: ssl.SSLContext) -> None:
    """kB a connection, plain and TLS: growth from the first fifth of the connections to all of them."""
    for login in logins:
        for sock in hold(target.pop3, [login]):
            sock.sendall(b"QUIT\r\n")
            sock.recv(100)
            sock.close()
    first = len(logins) // 5
    for name, port, bar, tls in (("plain", target.pop3, 8, None), ("tls", target.pop3s, 32, context)):
        row = Row(f"idle.{name}.{len(logins)}", "kB", at_most=bar)
        held = hold(port, logins[:first], tls)
        time.sleep(2)  # let what the last phase left go
        base = pss_kilobytes(target.pids())
        held += hold(port, logins[first:], tls)
        time.sleep(2)
        rows.put(row, target.name, (pss_kilobytes(target.pids()) - base) / (len(logins) - first))
        for sock in held:
            sock.close()
        rows.tell(row)
