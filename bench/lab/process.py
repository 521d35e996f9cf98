"""Processes of a server: the whole tree below a root, its CPU seconds and its proportional memory; ports that are free."""

import os
import random
import re
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Unavailable", "cpu_seconds", "free_port_base", "pss_kilobytes", "raise_open_files", "tree", "until", "wait_for_port"]

HIGHEST_PORT = 32_000  # Linux hands out ephemeral ports from 32768 on


class Unavailable(Exception):
    """A program is not installed, or a server did not start; the text is for people."""


def tree(roots: list[int]) -> list[int]:
    """The pids in `roots` and all their descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = list(roots)
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found


def cpu_seconds(roots: list[int]) -> float:
    """User and system time of the tree, with that of children that have ended."""
    ticks = 0
    for pid in tree(roots):
        try:
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_kilobytes(roots: list[int]) -> int:
    """Memory of the tree; shared pages count once."""
    total = 0
    for pid in tree(roots):
        try:
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total


def free_port_base(offsets: tuple[int, ...], span: int = 100) -> int:
    """N such that every N+offset can be bound on 127.0.0.1 just now."""
    for _ in range(200):
        base = random.randrange(12_000, HIGHEST_PORT - span, span)
        if all(_is_free(base + offset) for offset in offsets):
            return base
    raise Unavailable("no free range of ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.005) -> None:
    """Wait for a condition of another process; Unavailable names `what` did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Unavailable(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


def wait_for_port(port: int, seconds: float = 20.0) -> None:
    until(lambda: _listens(port), seconds, f"port {port} listens", 0.02)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def raise_open_files() -> None:
    """As many open files as allowed, for us and for the servers started from here."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
