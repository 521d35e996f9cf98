"""SASL (RFC 4422), sans-IO and in both roles: one file a mechanism, client and server side by side.

    framing     base64 lines as POP3, SMTP and IMAP carry them
    exchange    what an exchange may say: the closed unions of steps
    mechanism   the literal table of mechanisms, and how a client chooses
    prepare     SASLprep (RFC 4013)
    plain login scram oauth external anonymous

Server:  step = exchange.begin(initial)            initial response, decoded; None when there was none
         step = exchange.receive(response)         until the step is no Challenge
         step = exchange.keys(keys)                answers KeysNeeded
Client:  initial = exchange.start()                None: wait for the first challenge
         answer = exchange.receive(challenge)      Abort: cancel with "*" and distrust the server
         exchange.finished()                       after the server's OK: Abort means that the OK is worth nothing

Nothing here raises for what the peer said, and nothing here draws randomness: nonces are arguments.
"""

from postwren.protocols.sasl.exchange import (
    Abort,
    AnonymousOffered,
    Challenge,
    ClientCredentials,
    ClientExchange,
    Failed,
    Fault,
    IdentityOffered,
    KeysNeeded,
    Limits,
    PasswordOffered,
    Proved,
    ScramKeysLike,
    ServerExchange,
    ServerStep,
    TokenOffered,
)
from postwren.protocols.sasl.framing import decode_initial, decode_response, encode_challenge, encode_initial
from postwren.protocols.sasl.mechanism import MECHANISMS, Mechanism, choose, client_exchange, server_exchange
from postwren.protocols.sasl.prepare import NotPreparable, saslprep

__all__ = [
    "MECHANISMS",
    "Abort",
    "AnonymousOffered",
    "Challenge",
    "ClientCredentials",
    "ClientExchange",
    "Failed",
    "Fault",
    "IdentityOffered",
    "KeysNeeded",
    "Limits",
    "Mechanism",
    "NotPreparable",
    "PasswordOffered",
    "Proved",
    "ScramKeysLike",
    "ServerExchange",
    "ServerStep",
    "TokenOffered",
    "choose",
    "client_exchange",
    "decode_initial",
    "decode_response",
    "encode_challenge",
    "encode_initial",
    "saslprep",
    "server_exchange",
]
