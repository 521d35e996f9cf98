"""Where a connection is, and what may come next (RFC 1939 section 3).

    GREETING -> AUTHORIZATION -> TRANSACTION -> CLOSED

A POP3 connection is in step when both sides agree on one thing: which commands count now, and where each leads when it
is answered with +OK and with -ERR. That is all `AFTER` says: `AFTER[state][type of command]` is the pair (after +OK,
after -ERR); a command that is missing there is out of place. The table is blind to roles: the server moves when it
answers, the client when it reads the answer.

Three states are not named in the RFC, because it tells them in prose. NAMED is "a USER was accepted": only then PASS
counts, and whatever else comes forgets the name. EXCHANGE lies between AUTH and its last word (RFC 5034): lines are
SASL responses, not commands, so it has no row. TLS is "STLS was accepted": no octet in the clear counts any more.

The RFC's UPDATE state is the time between QUIT in TRANSACTION and its answer: nothing can happen there but the removal
itself, so it needs no row either, only the rule that the answer is not sent before the removal is done. Every other way
out of TRANSACTION (a lost connection, a timeout, a fault) leads to CLOSED without passing it: nothing is deleted (D-50).
"""

import enum
from typing import Final

from postwren.protocols.pop3.command import (
    Auth,
    Capa,
    Command,
    Dele,
    Lang,
    List,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)

__all__ = ["AFTER", "State"]


class State(enum.Enum):
    """See above."""

    GREETING = "greeting"
    AUTHORIZATION = "authorization"
    NAMED = "named"
    EXCHANGE = "exchange"
    TLS = "tls"
    TRANSACTION = "transaction"
    CLOSED = "closed"


_STAY: Final = (State.TRANSACTION, State.TRANSACTION)
_FORGET: Final = (State.AUTHORIZATION, State.AUTHORIZATION)
_END: Final = (State.CLOSED, State.CLOSED)

_BEFORE_LOGIN: Final[dict[type[Command], tuple[State, State]]] = {
    User: (State.NAMED, State.AUTHORIZATION),
    Auth: (State.TRANSACTION, State.AUTHORIZATION),
    Stls: (State.TLS, State.AUTHORIZATION),
    Capa: _FORGET,
    Utf8: _FORGET,
    Lang: _FORGET,
    Quit: _END,
}

AFTER: Final[dict[State, dict[type[Command], tuple[State, State]]]] = {
    State.GREETING: {},
    State.AUTHORIZATION: _BEFORE_LOGIN,
    State.NAMED: {**_BEFORE_LOGIN, Pass: (State.TRANSACTION, State.AUTHORIZATION)},
    State.EXCHANGE: {},
    State.TLS: {},
    State.TRANSACTION: {
        Stat: _STAY,
        List: _STAY,
        Uidl: _STAY,
        Retr: _STAY,
        Top: _STAY,
        Dele: _STAY,
        Noop: _STAY,
        Rset: _STAY,
        Capa: _STAY,
        Lang: _STAY,
        Quit: _END,
    },
    State.CLOSED: {},
}
