"""What the server's side of an IMAP connection tells its session.

A message of APPEND or REPLACE comes as `MessageOffered`, and after `core.accept_message()` as chunks and `MessageEnded`; the
command follows as `CommandReceived` when its last octet has come. After `core.refuse_message(tagged)` the command is over: the
core reads what is owed and throws it away, or tells the peer goodbye where it cannot (A-40)."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from postwren.protocols.imap.command import Command
from postwren.protocols.imap.command.append import Octets
from postwren.protocols.imap.fault import Fault
from postwren.wire.secret import Secret

__all__ = [
    "AuthAborted",
    "AuthResponse",
    "CommandReceived",
    "CommandRejected",
    "Event",
    "Fault",
    "IdleDone",
    "MessageChunk",
    "MessageEnded",
    "MessageOffered",
    "PeerClosed",
    "PeerDropped",
]


class CommandReceived(NamedTuple):
    """A whole command: answer it with `Tagged` exactly once before the next event (IDLE: after IdleDone).

    A tuple: a frozen dataclass takes three times as long to make, and these come by the hundred thousand."""

    tag: str
    command: Command


@dataclass(frozen=True, slots=True)
class MessageOffered:
    """A message literal is announced: judge size and mailbox, then `accept_message` or `refuse_message`. `literal.number` tells
    which."""

    tag: str
    mailbox: str
    literal: Octets
    is_replace: bool = False


@dataclass(frozen=True, slots=True)
class MessageChunk:
    """Octets of the accepted message, in order."""

    data: bytes


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """The last octet of the literal has come; the command goes on."""


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """Answered BAD already. What was received of its messages is to be forgotten."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """A line of an AUTHENTICATE exchange, decoded."""

    data: Secret[bytes]


@dataclass(frozen=True, slots=True)
class AuthAborted:
    """Answered BAD already: forget the exchange."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class IdleDone:
    """DONE: answer the IDLE."""


@dataclass(frozen=True, slots=True)
class PeerDropped:
    """Said BYE already: close."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """End of stream."""


Event: TypeAlias = (
    CommandReceived
    | MessageOffered
    | MessageChunk
    | MessageEnded
    | CommandRejected
    | AuthResponse
    | AuthAborted
    | IdleDone
    | PeerDropped
    | PeerClosed
)
