"""What a run tells, as it goes: one stream of events behind the bar, `--json` and programs. A run is `Began`, anything, and
`Ended`, `Verified` or `Failed`.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

__all__ = [
    "Began",
    "Difference",
    "Differs",
    "Ended",
    "Event",
    "Failed",
    "Found",
    "Held",
    "Noted",
    "Progress",
    "Step",
    "Tell",
    "Verified",
    "Watching",
    "as_json",
    "told",
]


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
class Step:
    """One thing that was done, in words, or with `--dry-run` that would be."""

    address: str
    line: str
    is_planned: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Deletions that were not carried out here because they are so many: messages by mailbox."""

    address: str
    gone: dict[str, int]


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that people should know; the run goes on."""

    address: str
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """All is done. `fetched` messages are new here; `known` came again and were here; `deleted` are gone there. The others are of
    two ways: sent there, flags changed on either side, moved on either side, gone here."""

    address: str
    fetched: int
    octets: int
    known: int
    deleted: int
    seconds: float
    is_dry_run: bool = False
    sent: int = 0
    flags: int = 0
    moved: int = 0
    deleted_here: int = 0


@dataclass(frozen=True, slots=True)
class Watching:
    """Both sides agree, and what changes is synchronised as it comes: told by `notify` of every mailbox, by `idle` of INBOX (the
    others are looked at every `seconds`), or by nobody (`poll`)."""

    address: str
    how: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """It ended early; what was done so far stays, and the next run goes on from there. `text` says why and what to do."""

    address: str
    text: str


class Difference(enum.StrEnum):
    """What may be different between the copy and the server. The values are told by `--json`."""

    MISSING_HERE = "missing-here"
    MISSING_THERE = "missing-there"
    FLAGS = "flags"
    OCTETS = "octets"  # they are not alike, and those here are as they came
    DAMAGED = "damaged"  # those here are not as they came
    HELD = "held"  # lost its counterpart when the server numbered anew: neither sent nor deleted
    UNPAIRED = "unpaired"  # only here, to be sent by the next run
    MAILBOX_MISSING_HERE = "mailbox-missing-here"
    MAILBOX_MISSING_THERE = "mailbox-missing-there"
    RENUMBERED = "renumbered"  # another UIDVALIDITY: the mailbox cannot be compared before the next run
    REFUSED = "refused"  # the server does not show it


@dataclass(frozen=True, slots=True)
class Differs:
    """One difference. `there` is the UID or UIDL there, `here` the UID here, as far as there is one."""

    address: str
    mailbox: str
    difference: Difference
    there: int | str | None = None
    here: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """The copy was compared with the server: how many messages of it were read here, how many there with how many octets, and
    how often it differs in what."""

    address: str
    here: int
    there: int
    octets: int
    differences: Mapping[str, int]
    seconds: float
    is_quick: bool = False


Event: TypeAlias = Began | Found | Progress | Step | Held | Noted | Watching | Differs | Verified | Ended | Failed
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
        case Step(address, line):
            return f"{address}: {line}"
        case Watching(address, how, seconds):
            return f"{address}: {_HOW[how].format(minutes=max(round(seconds / 60), 1))}"
        case Held(address, gone):
            boxes = ", ".join(f"{count:,} of {mailbox}" for mailbox, count in gone.items())
            return (
                f"{address}: held: the server has lost {boxes}. Nothing of it was deleted here; where that is right, "
                f"`postwren sync run {address} --accept-deletions` deletes it (it can be brought back for 30 days)"
            )
        case Differs():
            return _told_difference(event)
        case Verified():
            return _told_verified(event)
        case Ended():
            return _told_end(event)


_HOW: Final = {
    "notify": "watching; the server tells what changes (NOTIFY)",
    "idle": "watching; the server tells what changes in INBOX (IDLE), the other mailboxes are looked at every {minutes} min",
    "poll": "watching; the server tells nothing by itself, it is asked every {minutes} min",
}


_DIFFERENCES: Final = {
    Difference.MISSING_HERE: "is there and not here",
    Difference.MISSING_THERE: "is here and not there any more",
    Difference.FLAGS: "has other flags",
    Difference.OCTETS: "has other octets there than here",
    Difference.DAMAGED: "is damaged here",
    Difference.HELD: "is held here: it lost its counterpart when the server numbered anew",
    Difference.UNPAIRED: "is only here; the next run sends it",
    Difference.MAILBOX_MISSING_HERE: "the mailbox is there and not here",
    Difference.MAILBOX_MISSING_THERE: "the mailbox is here and not there",
    Difference.RENUMBERED: "the server numbers its messages anew (UIDVALIDITY); it can be compared after the next run",
    Difference.REFUSED: "the server does not show it",
}


def _told_difference(event: Differs) -> str:
    there = f" {event.there} there" if event.there is not None else ""
    here = f" {event.here} here" if event.here is not None else ""
    which = f" message{there}{',' * bool(there and here)}{here}" if there or here else ""
    more = f" ({event.text})" if event.text else ""
    return f"{event.address}: {event.mailbox}:{which} {_DIFFERENCES[event.difference]}{more}"


def _told_verified(event: Verified) -> str:
    how = "by sizes and headers" if event.is_quick else f"octet by octet ({size(event.octets)})"
    did = f"{event.here:,} messages here are whole, {event.there:,} compared {how}, {event.seconds:.1f} s"
    if event.differences.get(Difference.DAMAGED):
        did = did.replace("are whole", "read")
    if not event.differences:
        return f"{event.address}: no difference: {did}"
    counted = ", ".join(f"{count:,} {name}" for name, count in sorted(event.differences.items()))
    return f"{event.address}: {sum(event.differences.values()):,} differences: {counted}; {did}"


def _told_end(end: Ended) -> str:
    if end.is_dry_run:
        return f"{end.address}: nothing was done (--dry-run)"
    again = f", {end.known:,} were here already" if end.known else ""
    more = ((end.sent, "sent"), (end.moved, "moved"), (end.flags, "flagged"), (end.deleted_here, "deleted here"))
    others = "".join(f", {count:,} {what}" for count, what in more if count)
    new = f"{end.fetched:,} new ({size(end.octets)})"
    return f"{end.address}: {new}{again}{others}, {end.deleted:,} deleted there, {end.seconds:.1f} s"


def size(octets: int) -> str:
    """For people."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if octets >= step:
            return f"{octets / step:.1f} {unit}"
    return f"{octets} octets"
