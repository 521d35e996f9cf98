"""Rounds, medians and the table.

A row is one scenario for several targets. Rounds are interleaved (ours, peers, ours, peers ...; every other round backwards), so
that what else the machine does falls on all of them alike; a cell is the median of its rounds; the peer that counts is the best.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.driver import Refused
from bench.lab.process import Unavailable, cpu_seconds

__all__ = ["OURS", "Row", "Rows", "Target", "table"]

OURS = "Postwren"


@dataclass(slots=True)
class Target:
    """A running server. `fill(login, messages)` puts messages into the login's INBOX as fast as it can; `rest` waits until
    work in the background is done; `user` is the login of a name."""

    name: str
    pids: Callable[[], list[int]]
    smtp: int = 0
    lmtp: int = 0
    pop3: int = 0
    pop3s: int = 0
    imap: int = 0
    fill: Callable[[str, list[bytes]], None] = lambda _login, _messages: None
    rest: Callable[[], None] = lambda: None
    user: Callable[[str], str] = lambda name: f"{name}@example.net"


@dataclass(slots=True)
class Row:
    """One scenario. `bar`: a ratio to the best peer where there is one, else the absolute limit `at_most`."""

    name: str
    unit: str
    bar: float = 0
    at_most: float = 0
    at_least: float = 0
    values: dict[str, list[float]] = field(default_factory=dict)
    driver_cpu: dict[str, list[float]] = field(default_factory=dict)
    server_cpu: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def is_rate(self) -> bool:
        return self.unit.endswith("/s")

    def median(self, name: str) -> float | None:
        values = self.values.get(name)
        return statistics.median(values) if values else None

    def best_peer(self) -> tuple[str, float] | None:
        peers = [(name, statistics.median(values)) for name, values in self.values.items() if name != OURS and values]
        if not peers:
            return None
        return (max if self.is_rate else min)(peers, key=lambda item: item[1])

    def ratio(self) -> float | None:
        """How many times better we are than the best peer."""
        ours, peer = self.median(OURS), self.best_peer()
        if ours is None or peer is None or 0 in (ours, peer[1]):  # below what the clock tells
            return None
        return ours / peer[1] if self.is_rate else peer[1] / ours

    def is_met(self) -> bool | None:
        ours, ratio = self.median(OURS), self.ratio()
        if ours is None:
            return None
        if self.at_most:
            return ours <= self.at_most
        if self.at_least:
            return ours >= self.at_least
        return None if ratio is None or not self.bar else ratio >= self.bar

    def as_json(self) -> dict[str, Any]:
        medians = {name: _short(statistics.median(values)) for name, values in self.values.items() if values}
        own = {name: round(statistics.median(values), 2) for name, values in self.driver_cpu.items() if values}
        theirs = {name: round(statistics.median(values), 2) for name, values in self.server_cpu.items() if values}
        return {
            "unit": self.unit,
            "median": medians,
            "values": {name: [_short(value) for value in values] for name, values in self.values.items()},
            "driver_cpu": own,
            "server_cpu": theirs,
            "bar": self.bar or self.at_most or self.at_least or None,
            "ratio": _short(self.ratio()) if self.ratio() else None,
            "met": self.is_met(),
            "notes": self.notes,
        }


class Rows:
    """All rows of a run, in order; `changed` is called after each. `only`: names of the rows that are timed (none: all)."""

    def __init__(self, rounds: int, changed: Callable[["Rows"], None], only: frozenset[str] = frozenset()) -> None:
        self.rounds, self.changed, self.only = rounds, changed, only
        self.all: list[Row] = []

    def measure(
        self,
        row: Row,
        targets: list[Target],
        action: Callable[[Target, Any], object],
        count: int = 0,
        before: Callable[[Target], Any] = lambda _: None,
        rounds: int = 0,
    ) -> None:
        """Time action(target, before(target)). With `count` the value is count/s, else milliseconds."""
        if self.only and row.name not in self.only:
            return
        self.all.append(row)
        for turn in range(rounds or self.rounds):
            for target in targets if turn % 2 == 0 else targets[::-1]:
                if target.name in row.notes:
                    continue
                try:
                    self._once(row, target, action, count, before)
                except (OSError, EOFError, Refused, Unavailable) as error:
                    row.notes[target.name] = f"{type(error).__name__}: {error}"[:300]
        self.tell(row)

    def _once(
        self, row: Row, target: Target, action: Callable[[Target, Any], object], count: int, before: Callable[[Target], Any]
    ) -> None:
        given = before(target)
        pids = target.pids()
        server, own, start = cpu_seconds(pids), _own_cpu(), time.perf_counter()
        action(target, given)
        wall = time.perf_counter() - start
        row.driver_cpu.setdefault(target.name, []).append((_own_cpu() - own) / wall)
        row.server_cpu.setdefault(target.name, []).append((cpu_seconds(pids) - server) / wall)
        row.values.setdefault(target.name, []).append(count / wall if count else wall * 1000)
        target.rest()

    def put(self, row: Row, name: str, value: float) -> None:
        """A value that something else measured."""
        row.values.setdefault(name, []).append(value)
        if row not in self.all:
            self.all.append(row)

    def tell(self, row: Row) -> None:
        told = ", ".join(f"{name} {number(statistics.median(values))}" for name, values in row.values.items() if values)
        failed = "".join(f"; {name}: {note}" for name, note in row.notes.items())
        print(f"{row.name:24} {row.unit:6} {told}{failed}", file=sys.stderr, flush=True)
        self.changed(self)


def table(rows: list[Row]) -> str:
    lines = [
        "| scenario | unit | ours | best peer | ratio | bar | met | CPU ours: server, driver | CPU peer: server, driver |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, peer, ratio = row.median(OURS), row.best_peer(), row.ratio()
        bar = (
            f"{row.bar:g} x" if row.bar else f"<= {row.at_most:g}" if row.at_most else f">= {row.at_least:g}" * bool(row.at_least)
        )
        cells = [
            row.name,
            row.unit,
            "-" if ours is None else number(ours),
            "-" if peer is None else f"{number(peer[1])} ({peer[0]})",
            "-" if ratio is None else f"{ratio:.2f}",
            bar or "-",
            {None: "-", True: "yes", False: "**no**"}[row.is_met()],
            _shares(row, OURS),
            _shares(row, peer[0]) if peer else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"- {row.name}, {name}: {note}" for row in rows for name, note in row.notes.items()]
    return "\n".join(lines + (["", *notes] if notes else []))


def number(value: float) -> str:
    if value >= 1e5:
        return f"{value / 1e3:.0f}k"
    if value >= 1e4:
        return f"{value / 1e3:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _shares(row: Row, name: str) -> str:
    if name not in row.server_cpu:
        return "-"
    return f"{statistics.median(row.server_cpu[name]):.2f}, {statistics.median(row.driver_cpu[name]):.2f}"


def _short(value: float | None) -> float:
    return float(f"{value or 0:.4g}")


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
