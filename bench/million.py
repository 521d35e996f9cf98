"""A mailbox of 1,000,000 messages, through the whole server.

    python -m bench.million [--fixture FOLDER] [--count N] [--behind SECONDS]

The store is built in FOLDER unless it is there (by the store itself, a thousand messages a unit of work: a minute or two), and a
copy of it is measured. The messages are small (about 800 octets) and all different; nine of ten are seen. `noop` in a note is
what another connection waits for the answer to a NOOP meanwhile (p99 and longest): how long the server's loop is held. It fails
where a bar is not met.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from bench.driver import delivery, swarm
from bench.imap import Imap
from bench.lab.postwren import Postwren
from bench.lab.process import pss_kilobytes, raise_open_files
from bench.measure import OURS, Row, Rows, Target, table
from postwren.mailstore.service.append import NewMessage, append
from postwren.mailstore.service.flags import SEEN
from postwren.storage.embedded import EmbeddedStore
from postwren.terms import INBOX

__all__ = ["FIXTURES", "build", "million_rows"]

FIXTURES = Path(tempfile.gettempdir()) / "postwren-million"  # stores that are kept from run to run
AT_ONCE = 1000
FULL, EMPTY = "full@example.net", "empty@example.net"
WIDTH = 10
MESSAGE = b"From: a@example.com\r\nSubject: one more\r\n\r\n" + b"x" * 600 + b"\r\n"


# -- the store


def build(folder: Path, count: int) -> Path:
    """A data folder with `count` messages in FULL's INBOX, unless it is there."""
    data = folder / f"of-{count}"
    if not data.exists():
        begun = data.with_name("begun")
        shutil.rmtree(begun, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        Postwren(begun).add_accounts([FULL, EMPTY])
        asyncio.run(_fill(begun, count))
        begun.rename(data)
    return data


async def _fill(data: Path, count: int) -> None:
    rnd = random.Random(7)
    store = EmbeddedStore(data)
    try:
        account = store.reader.account_by_login(FULL)
        assert account is not None
        inbox = store.reader.mailbox_by_name(account.account_id, INBOX)
        assert inbox is not None
        now = int(time.time())
        for start in range(0, count, AT_ONCE):
            messages = []
            for number in range(start, min(start + AT_ONCE, count)):
                writer = store.new_body()
                writer.write(_message(number, rnd.getrandbits(64)))
                flags = frozenset() if number % 10 == 5 else frozenset((SEEN,))
                messages.append(NewMessage(writer.finish(), now - count + number, flags))
            unit = append(account.account_id, inbox.mailbox_id, messages, now)
            await store.perform(unit, [message.body for message in messages])
    finally:
        store.close()


def _message(number: int, salt: int) -> bytes:
    sender = f"Sender {salt % 1000} <s{salt % 1000}@example.com>"
    return (
        f"From: {sender}\r\nTo: full@example.net\r\nSubject: Message {number} {salt:x}\r\n"
        f"Message-ID: <{number}.{salt:x}@example.com>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\n"
        + f"line {salt:x} of a short text about nothing\r\n"
        * 12
    ).encode()


# -- the rows


def million_rows(rows: Rows, server: Postwren, target: Target, store: Path, scale: float, behind: float = 0) -> None:
    """Copy the store, start, measure."""
    shutil.copytree(store, server.data)
    rows.put(Row("million.start", "ms", at_most=1000), OURS, server.start() * 1000)
    rows.tell(rows.all[-1])
    before = pss_kilobytes(server.pids)
    bench = _Bench(rows, server, target)
    count = int(bench.count)
    first = bench.held
    _select(bench, Row("million.select.first", "ms", at_most=50), first, 1)
    bench.time("million.loaded", "ms", lambda: first.run(b"FETCH 1 (FLAGS)"))
    bench.note(f"{_megabytes(server):.0f} MB then, {before / 1024:.0f} MB before the first SELECT")
    held = [first, *(Imap(target, "full") for _ in range(WIDTH - 1))]
    _select(bench, Row("million.select", "ms", at_most=50), held[1], 5)
    for box in held[1:]:
        box.run(b"SELECT INBOX")
    for box in held:
        bench.time("million.fetch.flags", "msg/s", partial(box.run, b"FETCH 1:* (UID FLAGS)"), count)
    bench.time("million.status", "ms", lambda: first.run(b"STATUS INBOX (MESSAGES UNSEEN UIDNEXT HIGHESTMODSEQ)"))
    memory = Row("million.memory", "MB", at_most=400)
    memory.notes[OURS] = f"ten sessions on it, each did FETCH 1:*; {before / 1024:.0f} MB before the first"
    rows.put(memory, OURS, _megabytes(server))
    rows.tell(memory)
    for name, key in {"all": b"ALL", "unseen": b"UNSEEN", "not": b"NOT SMALLER 900", "from": b"FROM s77@"}.items():
        bench.time(f"million.search.{name}", "ms", partial(first.run, b"UID SEARCH " + key, ok=False))
        bench.note(first.tail[-60:].decode("latin1").strip().rpartition("\n")[2])
    some = count // 20
    bench.time("million.fetch.envelope", "msg/s", lambda: first.run(b"FETCH 1:%d (ENVELOPE)" % some), some)
    bench.note(f"the first {some}, of which nothing was rendered; {_megabytes(server):.0f} MB then")
    if behind:
        _behind(bench, behind)
    for box in held[1:]:
        box.close()
    first.run(b"UNSELECT")
    _deliveries(bench, "", int(400 * scale))
    empty = Imap(target, "empty", b"INBOX")
    first.run(b"SELECT INBOX")
    _deliveries(bench, ".selected", int(400 * scale))
    empty.close()
    _changes(bench, count)
    memory = Row("million.memory.end", "MB")
    rows.put(memory, OURS, _megabytes(server))
    rows.tell(memory)
    first.close()


class _Bench:
    """What the rows share: one session that has the mailbox selected, and the noop beside it."""

    def __init__(self, rows: Rows, server: Postwren, target: Target) -> None:
        self.rows, self.server, self.target = rows, server, target
        self.held = Imap(target, "full")
        self.held.run(b"STATUS INBOX (MESSAGES)")
        self.count = int(self.held.tail.partition(b"MESSAGES ")[2].partition(b")")[0])

    def time(self, name: str, unit: str, action: Callable[[], object], count: int = 0) -> None:
        """Once more for this row, with somebody beside it."""
        row = next((row for row in self.rows.all if row.name == name), None) or Row(name, unit)
        with noop_beside(self.target) as waits:
            begun = time.perf_counter()
            action()
            wall = time.perf_counter() - begun
        self.rows.put(row, OURS, count / wall if count else wall * 1000)
        row.notes[OURS] = f"noop {waits()}; {_megabytes(self.server):.0f} MB"
        self.rows.tell(row)

    def note(self, text: str) -> None:
        self.rows.all[-1].notes[OURS] = "; ".join(filter(None, (self.rows.all[-1].notes.get(OURS), text)))


@contextmanager
def noop_beside(target: Target) -> Iterator[Callable[[], str]]:
    """Another process asks for NOOP again and again; afterwards what it waited."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_noop, args=(target, theirs))
    process.start()
    mine.recv()
    found: list[str] = []
    try:
        yield lambda: found[0]
    finally:
        mine.send(None)
        waits = sorted(mine.recv())
        found.append(f"p99 {waits[len(waits) * 99 // 100] * 1000:.1f}, longest {waits[-1] * 1000:.1f} ms")
        process.join()


def _noop(target: Target, pipe: Connection) -> None:
    box = Imap(target, "empty")
    waits: list[float] = []
    pipe.send(None)
    while not pipe.poll(0.002) or not waits:
        begun = time.perf_counter()
        box.run(b"NOOP")
        waits.append(time.perf_counter() - begun)
    box.close()
    pipe.send(waits)


def _megabytes(server: Postwren) -> float:
    return pss_kilobytes(server.pids) / 1024


def _select(bench: _Bench, row: Row, box: Imap, times: int) -> None:
    for _ in range(times):
        begun = time.perf_counter()
        box.run(b"SELECT INBOX")
        bench.rows.put(row, OURS, (time.perf_counter() - begun) * 1000)
    bench.rows.tell(row)


def _behind(bench: _Bench, seconds: float) -> None:
    """Rendering and indexing behind, while nothing else goes on."""
    data = bench.server.data
    begun = _sizes(data)
    bench.time("million.behind", "ms", lambda: time.sleep(seconds))
    bench.note(", ".join(f"{name} {begun[name] >> 20} to {size >> 20} MB" for name, size in _sizes(data).items()))


def _sizes(data: Path) -> dict[str, int]:
    return {name: sum(path.stat().st_size for path in data.glob(f"{name}*")) for name in ("derived.db", "search.db")}


def _deliveries(bench: _Bench, where: str, times: int) -> None:
    """LMTP with ten connections and with one, and APPEND: interleaved, the ratio of the medians. Once with nobody on the two
    mailboxes, once with a session on each, which follows every delivery."""

    def by_lmtp(width: int) -> Callable[[str], int]:
        def send(login: str) -> int:
            swarm(bench.target.lmtp, [delivery(b"LHLO", login, MESSAGE, times) for _ in range(width)])
            return width * times

        return send

    _full_and_empty(bench, f"million.lmtp.10{where}", by_lmtp(WIDTH))
    _full_and_empty(bench, f"million.lmtp.1{where}", by_lmtp(1))
    boxes = {login: Imap(bench.target, login.partition("@")[0]) for login in (FULL, EMPTY)}
    numbers = itertools.count()

    def by_append(login: str) -> int:
        for _ in range(times):
            message = b"X-Number: %d\r\n%s" % (next(numbers), MESSAGE)
            boxes[login].run(b"APPEND INBOX {%d+}\r\n%s" % (len(message), message))
        return times

    _full_and_empty(bench, f"million.append{where}", by_append)
    for box in boxes.values():
        box.close()


def _full_and_empty(bench: _Bench, name: str, send: Callable[[str], int]) -> None:
    rates: dict[str, list[float]] = {FULL: [], EMPTY: []}
    for turn in range(5):
        for login in (FULL, EMPTY) if turn % 2 else (EMPTY, FULL):
            begun = time.perf_counter()
            sent = send(login)
            rates[login].append(sent / (time.perf_counter() - begun))
    full, empty = (statistics.median(rates[login]) for login in (FULL, EMPTY))
    row = Row(name, "full/empty", at_least=0.9)
    row.notes[OURS] = f"{full:.0f}/s to the full one, {empty:.0f}/s to the empty one"
    bench.rows.put(row, OURS, full / empty)
    bench.rows.tell(row)


def _changes(bench: _Bench, count: int) -> None:
    """QRESYNC, EXPUNGE, STORE; a second session sees all of it."""
    box, other = bench.held, Imap(bench.target, "full", b"INBOX")
    box.run(b"NOOP")
    box.run(b"STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)")
    uidvalidity, modseq = (
        int(box.tail.partition(name)[2].split()[0].strip(b")")) for name in (b"UIDVALIDITY ", b"HIGHESTMODSEQ ")
    )
    box.run(b"STORE 100 +FLAGS.SILENT (\\Deleted)")
    bench.time("million.expunge.1", "ms", lambda: box.run(b"EXPUNGE"))
    tenth = count // 10
    bench.time("million.store.tenth", "msg/s", lambda: box.run(b"STORE 1:%d +FLAGS.SILENT (\\Deleted)" % tenth), tenth)
    bench.time("million.other.noop", "ms", lambda: other.run(b"NOOP"))
    bench.time("million.expunge.tenth", "msg/s", lambda: box.run(b"EXPUNGE"), tenth)
    bench.time("million.other.expunge", "ms", lambda: other.run(b"NOOP"))
    bench.time("million.store.all", "msg/s", lambda: box.run(b"STORE 1:* +FLAGS.SILENT (\\Flagged)"), count - tenth)
    other.run(b"UNSELECT")
    other.run(b"ENABLE QRESYNC")
    bench.time("million.qresync.all", "ms", lambda: other.run(b"SELECT INBOX (QRESYNC (%d %d))" % (uidvalidity, modseq)))
    now = int(box.run(b"STATUS INBOX (HIGHESTMODSEQ)").partition(b"HIGHESTMODSEQ ")[2].partition(b")")[0])
    box.run(b"STORE 7 +FLAGS.SILENT (\\Answered)")
    bench.time("million.qresync", "ms", lambda: other.run(b"SELECT INBOX (QRESYNC (%d %d))" % (uidvalidity, now)))
    other.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixture", type=Path, default=FIXTURES, help="where the store is kept")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--behind", type=float, default=0, help="seconds of rendering and indexing that are looked at")
    options = parser.parse_args()
    raise_open_files()
    store = build(options.fixture, options.count)
    rows = Rows(1, lambda _: None)
    folder = Path(tempfile.mkdtemp(prefix="postwren-million-"))
    server = Postwren(folder / "postwren")
    try:
        target = Target(OURS, lambda: server.pids, lmtp=server.lmtp, imap=server.imap)
        million_rows(rows, server, target, store, 1.0, options.behind)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(table(rows.all))
    return 1 if any(row.is_met() is False for row in rows.all) else 0


if __name__ == "__main__":
    sys.exit(main())
