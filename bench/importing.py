"""Importing many messages: the memory of `postwren import`, and whether its rate holds to the end.

The source is one mbox file of messages of 1 to 4 kB. Progress is read from outside: the octets in DATA/segments, four times a
second. Quarters are quarters of the octets written.
"""

import os
import random
import time
from pathlib import Path

from bench import corpus
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable
from bench.measure import OURS, Row, Rows

__all__ = ["import_rows"]

LOGIN = "import@example.net"


def import_rows(rows: Rows, server: Postwren, folder: Path, count: int) -> None:
    """The server is not running; its account exists afterwards."""
    server.add_accounts([LOGIN])
    source = folder / "many.mbox"
    write_mbox(source, count)
    begun = time.monotonic()
    process = server.popen("import", LOGIN, str(source))
    samples: list[tuple[float, int]] = []
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        samples.append((time.monotonic() - begun, _written(server.data)))
        if pid:
            break
        time.sleep(0.25)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Unavailable(f"import ended with {process.returncode}: {server.tail()}")
    first, last = quarter_rates(samples)
    for row, value in (
        (Row("import.rss", "MB", at_most=200), usage.ru_maxrss / 1000),
        (Row("import.rate", "msg/s"), count / samples[-1][0]),
        (Row("import.last/first quarter", "ratio", at_least=0.8), last / first),
    ):
        rows.put(row, OURS, value)
        rows.tell(row)
    source.unlink()


def write_mbox(path: Path, count: int, seed: int = 5) -> None:
    source = corpus.Corpus(seed)
    texts = [source.sized(1024 + 3 * k) for k in range(1000)]  # 1 to 4 kB
    rnd = random.Random(seed)
    with path.open("wb") as file:
        for number in range(count):
            message = b"X-Number: %d\r\n%s" % (number, rnd.choice(texts))
            file.write(b"From sender@example.com Mon Jan  1 00:00:00 2024\n")
            file.write(message.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ") + b"\n")


def quarter_rates(samples: list[tuple[float, int]]) -> tuple[float, float]:
    """Octets a second in the first and in the last quarter of the octets."""
    base, end = samples[0][1], samples[-1][1]
    marks = [base + (end - base) * part / 4 for part in range(5)]
    if end <= base:
        raise Unavailable("DATA/segments did not grow")
    times = [next(at for at, size in samples if size >= mark) for mark in marks]
    quarter = (end - base) / 4
    return quarter / max(times[1] - times[0], 1e-9), quarter / max(times[4] - times[3], 1e-9)


def _written(data: Path) -> int:
    folder = data / "segments"
    return sum(path.stat().st_size for path in folder.rglob("*.seg")) if folder.exists() else 0
