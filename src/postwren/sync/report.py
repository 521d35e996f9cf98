"""What a run tells, as it goes: one stream of events behind the bar on a terminal, `--json` and the library.

    async for event in ...: match event: case Progress(...): ...

An event is a fact of the run, never a command; whoever does not listen changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Connected", "Done", "Event", "Finished", "Held", "MailboxBegan", "Planned", "Progress", "Tell", "Warned"]


@dataclass(frozen=True, slots=True)
class Connected:
    """Logged in. `lacks`: what the server has not, and what that costs, in words."""

    address: str
    host: str
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MailboxBegan:
    """So much is to be fetched and sent in a mailbox; octets as far as the server told them."""

    mailbox: str
    pulls: int
    octets: int
    pushes: int


@dataclass(frozen=True, slots=True)
class Progress:
    """So much of it is done and durable."""

    mailbox: str
    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Planned:
    """One step, in words: what `--dry-run` shows."""

    line: str


@dataclass(frozen=True, slots=True)
class Done:
    """One step was carried out."""

    line: str


@dataclass(frozen=True, slots=True)
class Held:
    """Deletions that were not carried out because they are so many: messages by mailbox."""

    gone: dict[str, int]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the user should know: a conflict and which edit gave way, a mailbox that was left alone."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a run that was not cut. `counts`: pulled, pushed, moved, flags, deleted here, deleted there."""

    address: str
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)


Event: TypeAlias = Connected | MailboxBegan | Progress | Planned | Done | Held | Warned | Finished
Tell: TypeAlias = Callable[[Event], None]
