"""What a server counts of its links."""

from dataclasses import dataclass

__all__ = ["LinkStats"]


@dataclass(slots=True)
class LinkStats:
    """Counts of all links of a server. `bugs` is zero or something is wrong with us."""

    opened: int = 0
    closed: int = 0
    refused: int = 0
    handshakes_failed: int = 0
    timed_out: int = 0
    slow_readers: int = 0
    bodies_failed: int = 0
    bugs: int = 0
