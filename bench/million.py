"""A mailbox of 1,000,000 messages: SELECT, the memory of the server with ten sessions on it, and deliveries to it beside
deliveries to an
empty one. The messages are small (about 700 octets) and all different; they are put in place by the store itself, a thousand a
unit of work.
"""

import asyncio
import random
import statistics
import time
from pathlib import Path

from bench.driver import delivery, swarm
from bench.imap import Imap
from bench.lab.postwren import Postwren
from bench.lab.process import pss_kilobytes
from bench.measure import OURS, Row, Rows, Target
from postwren.mailstore.service.append import NewMessage, append
from postwren.storage.embedded import EmbeddedStore
from postwren.terms import INBOX

__all__ = ["million_rows"]

AT_ONCE = 1000
FULL, EMPTY = "full@example.net", "empty@example.net"
WIDTH = 10


def million_rows(rows: Rows, server: Postwren, target: Target, count: int, scale: float) -> None:
    """Fill, start, measure."""
    server.add_accounts([FULL, EMPTY])
    asyncio.run(_fill(server.data, count))
    server.start()
    before = pss_kilobytes(server.pids)
    first = Imap(target, "full")
    _select_row(rows, Row("million.select.first", "ms", at_most=50), first, 1)
    held = [first, *(Imap(target, "full") for _ in range(9))]
    _select_row(rows, Row("million.select", "ms", at_most=50), held[1], 5)
    for box in held:
        box.run(b"SELECT INBOX")
        box.run(b"FETCH %d:* (UID FLAGS)" % (count - 9))
        box.sock.sendall(b"b-2 IDLE\r\n")
        box.line()
    memory = Row("million.memory", "MB", at_most=400)
    rows.put(memory, OURS, pss_kilobytes(server.pids) / 1024)
    memory.notes[OURS] = f"with ten sessions on it; {before / 1024:.0f} MB before the first"
    rows.tell(memory)
    for box in held:
        box.close()
    _delivery_row(rows, target, int(400 * scale))


def _select_row(rows: Rows, row: Row, box: Imap, times: int) -> None:
    values = []
    for _ in range(times):
        begun = time.perf_counter()
        box.run(b"SELECT INBOX")
        values.append((time.perf_counter() - begun) * 1000)
    rows.put(row, OURS, statistics.median(values))
    rows.tell(row)


def _delivery_row(rows: Rows, target: Target, times: int) -> None:
    """Interleaved, ten connections each; the ratio of the medians."""
    message = b"From: a@example.com\r\nSubject: one more\r\n\r\n" + b"x" * 600 + b"\r\n"
    rates: dict[str, list[float]] = {FULL: [], EMPTY: []}
    for _ in range(3):
        for login, values in rates.items():
            begun = time.perf_counter()
            swarm(target.lmtp, [delivery(b"LHLO", login, message, times) for _ in range(WIDTH)])
            values.append(times * WIDTH / (time.perf_counter() - begun))
    full, empty = (statistics.median(rates[login]) for login in (FULL, EMPTY))
    row = Row("million.delivery", "full/empty", at_least=0.9)
    row.notes[OURS] = f"{full:.0f}/s to the full one, {empty:.0f}/s to the empty one"
    rows.put(row, OURS, full / empty)
    rows.tell(row)


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
            bodies = []
            for number in range(start, min(start + AT_ONCE, count)):
                writer = store.new_body()
                subject = f"Message {number} {rnd.getrandbits(64):x}"
                writer.write(_message(subject, number, rnd.getrandbits(32)))
                bodies.append(writer.finish())
            messages = [NewMessage(body, now - count + start + place) for place, body in enumerate(bodies)]
            await store.perform(append(account.account_id, inbox.mailbox_id, messages, now), bodies)
    finally:
        store.close()


def _message(subject: str, number: int, salt: int) -> bytes:
    return (
        f"From: Sender {salt % 1000} <s{salt % 1000}@example.com>\r\nTo: full@example.net\r\nSubject: {subject}\r\n"
        f"Message-ID: <{number}.{salt:x}@example.com>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\n"
        + f"line {salt:x} of a short text about nothing\r\n"
        * 12
    ).encode()
