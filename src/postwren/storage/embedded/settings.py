"""What an operator or a test may choose about a store on disk. Limits stand here once; sizes are in octets."""

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a store is kept. The defaults suit a server; tests shrink them."""

    reserve: int = 64 << 20  # below this much free space no message is taken (D-04)
    segment_size: int = 64 << 20  # a segment that reached it is sealed
    fill_step: int = 256 << 10  # a segment grows by this much, in zeros that messages then take the place of
    spool_above: int = 256 << 10  # longer messages are written to a file as they arrive
    batch_units: int = 256  # most units of one group commit
    batch_octets: int = 8 << 20  # no further unit joins a group whose messages reached this
    wal_octets: int = (
        32 << 20
    )  # the log of the index: it has this length from the first idle moment on, and is folded in at the latest then
    idle_seconds: float = 1.0  # this long without work is an idle moment
    lag_seconds: float = 0.05  # changes of flags are synced so long after they were answered; 0: before (ADR 0012)
    lock_seconds: float = 30.0  # how long another process may keep the index to itself
    look_seconds: float = 0.5  # how often changes by other processes are looked for, while anyone listens
    open_segments: int = 128  # segment files held open for reading
    retired_seconds: int = 86_400  # a segment nobody refers to any more stays this long for those who still read it
    orphan_seconds: int = 7 * 86_400  # octets that no row names are kept this long, for a look by hand
