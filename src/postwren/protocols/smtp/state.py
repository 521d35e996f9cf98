"""The states of an SMTP session and what leads from one to another (RFC 5321 4.1.4, RFC 2033, 3030, 3207, 4468, 4954).

    START --hello--> READY --MAIL--> MAIL --RCPT--> RCPT --DATA--> DATA --end--> READY
                                                     \\--BDAT, BURL--> CHUNKS --BDAT LAST, BURL LAST--> READY

Both roles follow the same tables: a command is allowed in a state or not, and its positive answer leads on. What a
refusal changes is in `AFTER_REFUSAL`; a pair that is in no table leaves the state as it is.
"""

import enum
from dataclasses import dataclass
from typing import Final

from postwren.protocols.smtp.command import (
    COMMANDS,
    Auth,
    Bdat,
    Burl,
    Command,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Parser,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)

__all__ = ["AFTER_ANSWER", "AFTER_REFUSAL", "ALLOWED", "LAST_IN_GROUP", "SMTP", "State", "Variant"]


class State(enum.Enum):
    """Where the session is between two commands (DATA: inside the message's octets)."""

    START = "start"
    READY = "ready"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CHUNKS = "chunks"
    CHUNKS_FAILED = "chunks failed"  # RFC 3030 2: indeterminate; only RSET, a hello or QUIT leads out
    CLOSED = "closed"

    __hash__ = object.__hash__  # members are single: the tables need not hash their names


_ALWAYS: Final[frozenset[type[Command]]] = frozenset((Ehlo, Helo, Lhlo, Rset, Noop, Quit, Help, Vrfy, Expn))

ALLOWED: Final[dict[State, frozenset[type[Command]]]] = {
    State.START: _ALWAYS,
    State.READY: _ALWAYS | {Mail, StartTls, Auth},
    State.MAIL: _ALWAYS | {Rcpt},
    State.RCPT: _ALWAYS | {Rcpt, Data, Bdat, Burl},
    State.CHUNKS: _ALWAYS | {Bdat, Burl},
    State.CHUNKS_FAILED: _ALWAYS,
    State.DATA: frozenset(),
    State.CLOSED: frozenset(),
}

_RESET: Final = {
    State.READY: State.READY,
    State.MAIL: State.READY,
    State.RCPT: State.READY,
    State.CHUNKS: State.READY,
    State.CHUNKS_FAILED: State.READY,
}
_HELLO: Final = _RESET | {State.START: State.READY}  # RFC 5321 4.1.4: a hello in mid-session resets like RSET

AFTER_ANSWER: Final[dict[type[Command], dict[State, State]]] = {
    Ehlo: _HELLO,
    Helo: _HELLO,
    Lhlo: _HELLO,
    Rset: _RESET,
    Mail: {State.READY: State.MAIL},
    Rcpt: {State.MAIL: State.RCPT},
    Data: {State.RCPT: State.DATA},
    Bdat: {State.RCPT: State.CHUNKS, State.CHUNKS: State.CHUNKS},
    Burl: {State.RCPT: State.CHUNKS, State.CHUNKS: State.CHUNKS},
    StartTls: {State.READY: State.START},
    Quit: dict.fromkeys(State, State.CLOSED),
}
AFTER_REFUSAL: Final[dict[type[Command], dict[State, State]]] = {
    Bdat: {State.RCPT: State.CHUNKS_FAILED, State.CHUNKS: State.CHUNKS_FAILED},
    Burl: {State.RCPT: State.CHUNKS_FAILED, State.CHUNKS: State.CHUNKS_FAILED},
}

LAST_IN_GROUP: Final[frozenset[type[Command]]] = frozenset((Ehlo, Helo, Lhlo, Data, StartTls, Auth))
"""Nothing may be pipelined behind these (RFC 2920 3.1; RFC 4954 4; RFC 3207 4). Others that the RFC names (NOOP, VRFY,
QUIT) do no harm: what follows them is a command in any case."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What SMTP and LMTP do not share."""

    name: str
    verbs: dict[str, tuple[type[Command], Parser]]
    hello: type[Ehlo] | type[Lhlo]
    answers_each_recipient: bool


SMTP: Final = Variant("SMTP", COMMANDS, Ehlo, answers_each_recipient=False)
