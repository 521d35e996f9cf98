"""A server's core at some point of its life, and its events when it is fed in one read, octet by octet or in steps."""

from typing import Any

from postwren.protocols.imap.command import Authenticate, Idle
from postwren.protocols.imap.event import AuthResponse, CommandReceived, IdleDone, MessageChunk, MessageOffered
from postwren.protocols.imap.limits import Limits
from postwren.protocols.imap.response import Continuation, Status, Tagged
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.server import ServerConnection
from postwren.protocols.imap.state import State
from postwren.wire.core import NEED_DATA

__all__ = ["core_in", "events", "output", "talk"]


def core_in(state: State, limits: Limits | None = None) -> ServerConnection:
    core = ServerConnection(limits)
    core.greet(Condition(Status.OK, "ready"))
    core.enter(state)
    core.data_to_send()
    return core


def events(core: ServerConnection, data: bytes, step: int | None = None) -> list[Any]:
    """All events of these octets; commands are answered OK, messages accepted, the chunks of a message joined."""
    found: list[Any] = []
    tag = ""
    for start in range(0, len(data), step or len(data)):
        core.receive_data(data[start : start + (step or len(data))])
        while (event := core.next_event()) is not NEED_DATA:
            if isinstance(event, MessageChunk) and found and isinstance(found[-1], MessageChunk):
                found[-1] = MessageChunk(found[-1].data + event.data)
            else:
                found.append(event)
            match event:
                case CommandReceived(there, Idle() | Authenticate()):
                    tag = there
                    core.send(Continuation("go on"))
                case CommandReceived(there, _):
                    core.send(Tagged(there, Status.OK, "done"))
                case IdleDone() | AuthResponse():
                    core.send(Tagged(tag, Status.OK, "done"))
                case MessageOffered():
                    core.accept_message()
    return found


def output(core: ServerConnection) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else b"".join(piece) for piece in core.data_to_send())


def talk(core: ServerConnection, data: bytes, step: int | None = None) -> bytes:
    """What the server says to these octets."""
    events(core, data, step)
    return output(core)
