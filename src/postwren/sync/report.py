"""What a run tells, as it goes: one stream of events behind the bar, `--json` and programs. A run is `Began`, anything, and
`Ended`, or `Failed`.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

__all__ = ["Began", "Ended", "Event", "Failed", "Found", "Noted", "Progress", "Tell", "as_json", "told"]


@dataclass(frozen=True, slots=True)
class Began:
    """The server let us in. `tls` is the version, "" in the clear; `mechanism` how the login was proved."""

    address: str
    protocol: str
    host: str
    tls: str
    mechanism: str


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be done: messages to fetch with their octets as the server says, and messages to delete there. A long run says
    it again as it goes on."""

    address: str
    there: int
    fetch: int
    fetch_octets: int
    delete: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What is durable here so far."""

    address: str
    fetched: int
    of: int
    octets: int
    of_octets: int


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that people should know; the run goes on."""

    address: str
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """All is done. `fetched` messages are new here; `known` came again and were here; `deleted` are gone there."""

    address: str
    fetched: int
    octets: int
    known: int
    deleted: int
    seconds: float
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """It ended early; what was done so far stays, and the next run goes on from there. `text` says why and what to do."""

    address: str
    text: str


Event: TypeAlias = Began | Found | Progress | Noted | Ended | Failed
Tell: TypeAlias = Callable[[Event], None]


def as_json(event: Event) -> dict[str, Any]:
    """Its fields, with the kind as `event`."""
    return {"event": type(event).__name__.lower(), **asdict(event)}


def told(event: Event) -> str:
    """One line for people."""
    match event:
        case Began(address, protocol, host, tls, mechanism):
            return f"{address}: {host} by {protocol.upper()}, {tls or 'no TLS'}, {mechanism}"
        case Found(address, there, fetch, octets, delete):
            return f"{address}: {there:,} there, fetch {fetch:,} ({size(octets)}), delete {delete:,} there"
        case Progress(address, fetched, of, octets, of_octets):
            share = min(100 * octets // of_octets, 100) if of_octets else 100
            return f"{address}: {fetched:,} of {of:,} messages, {size(octets)}, {share} %"
        case Noted(address, text) | Failed(address, text):
            return f"{address}: {text}"
        case Ended(address, fetched, octets, known, deleted, seconds, is_dry_run):
            again = f", {known:,} were here already" if known else ""
            if is_dry_run:
                return f"{address}: nothing was done (--dry-run)"
            return f"{address}: {fetched:,} new ({size(octets)}){again}, {deleted:,} deleted there, {seconds:.1f} s"


def size(octets: int) -> str:
    """For people."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if octets >= step:
            return f"{octets / step:.1f} {unit}"
    return f"{octets} octets"
