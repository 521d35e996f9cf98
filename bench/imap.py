"""IMAP rows: connections, SELECT, FETCH, STORE, COPY, MOVE, EXPUNGE, SEARCH, SORT, THREAD, APPEND, IDLE; and the fast way to
fill a mailbox.

`Imap` sends commands that were built before the clock started and counts tagged completions. One mailbox of 10,000 messages of
the
corpus (150 MB). `*.first` is the very first run on the mailbox after it was filled (every server may have worked behind the
filling
until all were filled); the rows without it are medians, warm.
"""

import select
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

from bench import corpus
from bench.driver import Refused, Session, Wire, a_line, need, swarm
from bench.lab.process import pss_kilobytes
from bench.measure import Row, Rows, Target

__all__ = ["USERS", "idle_imap_rows", "imap_rows", "upload"]

TAG = b"b-"  # no line of the corpus starts with it
MARK = b"\r\n" + TAG


class Imap(Wire):
    """A logged-in connection."""

    def __init__(self, target: Target, login: str = "bench", mailbox: bytes = b"") -> None:
        super().__init__(target.imap)
        self.line()
        self.run(b'LOGIN "%s" "pass"' % target.user(login).encode())
        if mailbox:
            self.run(b"SELECT " + mailbox)

    def check(self) -> None:
        line = self.tail[self.tail.rfind(MARK) + 2 :] if MARK in self.tail else self.tail  # the last tagged line
        if b" OK" not in line[:24]:
            raise Refused(line[-200:].decode("latin1").strip())

    def run(self, text: bytes, ok: bool = True) -> bytes:
        """One command; the end of its answer."""
        self.sock.sendall(TAG + b"1 " + text + b"\r\n")
        self.count(MARK, 1)
        if ok:
            self.check()
        return self.tail

    def blobs(self, blobs: list[tuple[bytes, int]]) -> None:
        """(octets, completions): send each, wait for its completions, go on."""
        for blob, want in blobs:
            self.sock.sendall(blob)
            self.count(MARK, want)
            self.check()


def batches(lines: list[bytes], size: int) -> list[tuple[bytes, int]]:
    """Pre-built pipelines of `size` commands each."""
    out = []
    for start in range(0, len(lines), size):
        part = lines[start : start + size]
        out.append((b"".join(b"%s%d %s\r\n" % (TAG, start + k, text) for k, text in enumerate(part)), len(part)))
    return out


def upload(target: Target, login: str, mailbox: bytes, messages: list[bytes], group: int = 100) -> None:
    """Fill a mailbox with MULTIAPPEND."""
    box = Imap(target, login)
    if mailbox != b"INBOX":
        box.run(b"CREATE " + mailbox, ok=False)
    for start in range(0, len(messages), group):
        part = messages[start : start + group]
        literals = b"".join(b" {%d+}\r\n%s" % (len(message), message) for message in part)
        box.run(b"APPEND " + mailbox + literals)
    box.close()


USERS = [f"u{k}" for k in range(50)]
AHEAD, NEAR = 1.0, 0.8  # the ratios to the best peer that are asked for

FETCHES = {
    "fetch.flags": (b"(FLAGS UID)", NEAR),
    "fetch.envelope": (b"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", AHEAD),
    "fetch.bodystructure": (b"(BODYSTRUCTURE)", AHEAD),
    "fetch.headers": (b"BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)]", AHEAD),
    "fetch.body": (b"BODY.PEEK[]", AHEAD),
}
SEARCHES = {
    "search.subject": b"SEARCH SUBJECT " + corpus.SUBJECT_WORD,
    "search.body": b"SEARCH BODY " + corpus.BODY_WORD,
    "search.text": b"SEARCH TEXT " + corpus.BODY_WORD,
    "sort.date": b"SORT (DATE) UTF-8 ALL",
    "sort.subject": b"SORT (SUBJECT) UTF-8 ALL",
    "thread.references": b"THREAD REFERENCES UTF-8 ALL",
}


def imap_rows(rows: Rows, targets: list[Target], messages: list[bytes], scale: float) -> None:
    """All IMAP rows for the targets that listen for IMAP."""
    targets = [target for target in targets if target.imap]
    for target in targets:
        upload(target, "bench", b"main", messages)
    _reading_rows(rows, targets, len(messages))
    _connection_rows(rows, targets, scale)
    _changing_rows(rows, targets, len(messages))
    _append_rows(rows, targets, scale)
    _notify_row(rows, targets)


def _connection_rows(rows: Rows, targets: list[Target], scale: float) -> None:
    noops = batches([b"NOOP"] * int(20_000 * scale), 500)
    singles = batches([b"NOOP"] * int(2_000 * scale), 1)
    turns = int(200 * scale)

    def logins(target: Target, _: Any) -> None:
        for _turn in range(turns):
            box = Imap(target)
            box.run(b"LOGOUT", ok=False)
            box.close()

    def many(target: Target, _: Any) -> None:
        swarm(target.imap, [_login_session(target.user(USERS[k])) for k in range(50)])

    rows.measure(Row("login.1", "/s", bar=AHEAD), targets, logins, turns)
    rows.measure(Row("login.50.first", "/s"), targets, many, 50, rounds=1)  # passwords are hashed: argon2id here, nothing there
    rows.measure(Row("login.50", "/s", bar=AHEAD), targets, many, 50)
    rows.measure(Row("noop.pipelined", "cmd/s"), targets, lambda _, box: box.blobs(noops), len(noops) * 500, Imap)
    rows.measure(Row("noop.single", "cmd/s"), targets, lambda _, box: box.blobs(singles), len(singles), Imap)
    rows.measure(Row("select.warm", "ms", bar=AHEAD), targets, lambda _, box: box.run(b"SELECT main"), 0, Imap)


def _login_session(login: str) -> Session:
    yield b"", a_line
    need((yield b'b-1 LOGIN "%s" "pass"\r\n' % login.encode(), _tagged(b"b-1 ")), b"b-1 OK")
    yield b"b-2 LOGOUT\r\n", _tagged(b"b-2 ")


def _tagged(tag: bytes) -> Callable[[bytearray], bool]:
    return lambda answer: answer.endswith(b"\r\n") and (answer.startswith(tag) or b"\r\n" + tag in answer)


def _reading_rows(rows: Rows, targets: list[Target], count: int) -> None:
    def entered(target: Target) -> Imap:
        return Imap(target, mailbox=b"main")

    def run(text: bytes) -> Callable[[Target, Any], object]:
        return lambda _, box: box.run(text)

    for name, text in SEARCHES.items():
        rows.measure(Row(f"{name}.first", "ms", bar=AHEAD), targets, run(text), 0, entered, 1)
        rows.measure(Row(name, "ms", bar=AHEAD), targets, run(text), 0, entered)
    for name, (items, bar) in FETCHES.items():
        rows.measure(Row(f"{name}.first", "msg/s", bar=bar), targets, run(b"FETCH 1:* " + items), count, entered, 1)
        rows.measure(Row(name, "msg/s", bar=bar), targets, run(b"FETCH 1:* " + items), count, entered)


def _changing_rows(rows: Rows, targets: list[Target], count: int) -> None:
    lines = [b"STORE %d +FLAGS (\\Flagged)" % k for k in range(1, min(count, 2000) + 1)]
    singles, piped = batches(lines, 1), batches(lines, 50)

    def cleared(target: Target) -> Imap:
        box = Imap(target, mailbox=b"main")
        box.run(b"STORE 1:* -FLAGS.SILENT (\\Flagged)")
        return box

    def emptied(target: Target) -> Imap:
        box = Imap(target, mailbox=b"main")  # some servers drop a session whose mailbox is deleted
        for name in (b"work", b"work2"):
            box.run(b"DELETE " + name, ok=False)
            box.run(b"CREATE " + name)
        return box

    def filled(target: Target) -> Imap:
        box = emptied(target)
        box.run(b"COPY 1:* work")
        box.run(b"SELECT work")
        return box

    def doomed(target: Target) -> Imap:
        box = filled(target)
        box.run(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        return box

    def row(name: str) -> Row:
        return Row(name, "msg/s", bar=NEAR)

    rows.measure(row("store.single"), targets, lambda _, box: box.blobs(singles), len(singles), cleared)
    rows.measure(row("store.pipelined"), targets, lambda _, box: box.blobs(piped), len(lines), cleared)
    rows.measure(row("store.set"), targets, lambda _, box: box.run(b"STORE 1:* +FLAGS (\\Flagged)"), count, cleared)
    rows.measure(row("copy"), targets, lambda _, box: box.run(b"COPY 1:* work"), count, emptied)
    rows.measure(row("move"), targets, lambda _, box: box.run(b"MOVE 1:* work2"), count, filled)
    rows.measure(row("expunge"), targets, lambda _, box: box.run(b"EXPUNGE"), count, doomed)


def _append_rows(rows: Rows, targets: list[Target], scale: float) -> None:
    small, large = corpus.Corpus(11).sized(4096), corpus.Corpus(12).sized(100_000)
    counter = iter(range(1 << 60))

    def unlike(message: bytes) -> bytes:
        """No two messages are alike: a server that keeps equal ones once would be measured at something else."""
        return b"X-Number: %08d.%019d\r\n" % (next(counter), time.time_ns()) + message

    def one(message: bytes) -> bytes:
        message = unlike(message)
        return b"b-2 APPEND app {%d+}\r\n%s\r\n" % (len(message), message)

    def multi(message: bytes) -> bytes:
        parts = [unlike(message) for _ in range(50)]
        return b"b-2 APPEND app" + b"".join(b" {%d+}\r\n%s" % (len(part), part) for part in parts) + b"\r\n"

    def fresh(target: Target) -> Imap:
        box = Imap(target)
        box.run(b"DELETE app", ok=False)
        box.run(b"CREATE app")
        return box

    def row(name: str) -> Row:
        return Row(name, "msg/s", bar=AHEAD)

    def alone(message: bytes, times: int) -> Callable[[Target, Any], object]:
        return lambda _, box: box.blobs([(one(message), 1) for _ in range(times)])

    def piped(_: Target, box: Imap) -> None:
        box.blobs([(b"".join(one(small) for _ in range(20)), 20) for _ in range(turns // 20)])

    def ten(target: Target, _: Any) -> None:
        swarm(
            target.imap, [_append_session(target.user(USERS[k]), [unlike(small) for _ in range(turns // 5)]) for k in range(10)]
        )

    turns = max(20, int(500 * scale))
    rows.measure(row("append.1.4k"), targets, alone(small, turns), turns, fresh)
    rows.measure(row("append.1.100k"), targets, alone(large, turns // 5), turns // 5, fresh)
    rows.measure(row("append.piped.4k"), targets, piped, turns // 20 * 20, fresh)
    rows.measure(row("append.multi50.4k"), targets, lambda _, box: box.blobs([(multi(small), 1) for _ in range(10)]), 500, fresh)
    rows.measure(row("append.10.4k"), targets, ten, turns // 5 * 10)


def _append_session(login: str, messages: list[bytes]) -> Session:
    yield b"", a_line
    need((yield b'b-1 LOGIN "%s" "pass"\r\n' % login.encode(), _tagged(b"b-1 ")), b"b-1 OK")
    for message in messages:
        need((yield b"b-2 APPEND INBOX {%d+}\r\n%s\r\n" % (len(message), message), _tagged(b"b-2 ")), b"b-2 OK")


def _notify_row(rows: Rows, targets: list[Target]) -> None:
    """From the tagged OK of an APPEND to EXISTS in an idling session of the same mailbox: medians of 20."""
    message = corpus.Corpus(13).sized(4096)
    row = Row("idle.notify.from_ok", "ms", bar=AHEAD)
    for target in targets:
        sender, idler = Imap(target), Imap(target)
        sender.run(b"CREATE news", ok=False)
        idler.run(b"SELECT news")
        idler.sock.sendall(b"b-9 IDLE\r\n")
        idler.line()
        waits = []
        for _ in range(20):
            sender.sock.sendall(b"b-2 APPEND news {%d+}\r\n%s\r\n" % (len(message), message))
            waits.append(_wait_for_both(sender.sock, idler.sock))
            time.sleep(0.02)
        rows.put(row, target.name, statistics.median(waits) * 1000)
    rows.tell(row)


def _wait_for_both(sender: socket.socket, idler: socket.socket) -> float:
    """Seconds from the OK to the EXISTS; 0 when the news was faster."""
    heard: dict[socket.socket, bytes] = {sender: b"", idler: b""}
    marks, came = {sender: b"b-2 OK", idler: b" EXISTS\r\n"}, dict[socket.socket, float]()
    while len(came) < 2:
        ready, _, _ = select.select([sock for sock in heard if sock not in came], [], [], 60)
        if not ready:
            raise EOFError("no notification within a minute")
        for sock in ready:
            heard[sock] += sock.recv(65536)
            if marks[sock] in heard[sock] and heard[sock].endswith(b"\r\n"):
                came[sock] = time.perf_counter()
    return max(0.0, came[idler] - came[sender])


def idle_imap_rows(rows: Rows, targets: list[Target], count: int) -> None:
    """kB an idling connection, each of another account with INBOX selected: growth from the first fifth to all of them."""
    row = Row(f"idle.imap.{count}", "kB", bar=AHEAD)
    first = count // 5
    for target in targets:
        logins = [f"i{k}" for k in range(count)]
        held = [_idling(target, login) for login in logins[:first]]
        time.sleep(2)
        base = pss_kilobytes(target.pids())
        held += [_idling(target, login) for login in logins[first:]]
        time.sleep(2)
        rows.put(row, target.name, (pss_kilobytes(target.pids()) - base) / (count - first))
        for sock in held:
            sock.close()
    rows.tell(row)


def _idling(target: Target, login: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", target.imap), 60)
    lines = sock.makefile("rb")
    lines.readline()
    for command in (b'b-1 LOGIN "%s" "pass"' % target.user(login).encode(), b"b-1 SELECT INBOX"):
        sock.sendall(command + b"\r\n")
        while not (line := lines.readline()).startswith(b"b-1 "):
            pass
        need(line, b"b-1 OK")
    sock.sendall(b"b-2 IDLE\r\n")
    need(lines.readline(), b"+")
    return sock
