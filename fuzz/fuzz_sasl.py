"""No line of a client makes a server's exchange raise, prove what was not proved, or answer beyond a few kilobytes.

The first octet picks the mechanism; the rest is lines as they come from the wire. The keys are of a password that no
input is computed from, so that `Proved` can only be a fault of ours.
"""

import base64
from dataclasses import dataclass

from postwren.protocols import sasl
from postwren.protocols.sasl.oauth import TokenServer
from postwren.protocols.sasl.scram import ScramServer

NAMES = sorted(sasl.MECHANISMS)
BINDINGS = {"tls-server-end-point": b"\x01" * 32, "tls-unique": b"\x02" * 12}


@dataclass(frozen=True, slots=True)
class Keys:
    stored_key: bytes
    server_key: bytes
    salt: bytes = b"salt"
    iterations: int = 10_000


KEYS = {"sha-256": Keys(b"\x03" * 32, b"\x04" * 32), "sha-1": Keys(b"\x03" * 20, b"\x04" * 20)}


def target(data: bytes) -> None:
    first, *lines = data[1:].split(b"\n")
    exchange = sasl.server_exchange(NAMES[data[0] % len(NAMES) if data else 0], nonce="nonce", bindings=BINDINGS)
    initial = sasl.decode_initial(first) if first else None
    if isinstance(initial, sasl.Fault):
        return
    step = exchange.begin(initial)
    for line in lines:
        if isinstance(step, sasl.KeysNeeded) and isinstance(exchange, ScramServer):
            step = exchange.keys(KEYS[step.hash_name])
        elif isinstance(step, sasl.TokenOffered) and isinstance(exchange, TokenServer):
            step = exchange.refuse({"status": "invalid_token"})
        assert not isinstance(step, sasl.Proved)
        response = sasl.decode_response(line)
        if not isinstance(step, sasl.Challenge) or isinstance(response, sasl.Fault):
            return
        assert len(step.data) <= 2 * sasl.Limits().response_line
        step = exchange.receive(response)


def _seed(name: str, *messages: bytes) -> bytes:
    return bytes((NAMES.index(name),)) + b"\n".join(map(base64.b64encode, messages))


SEEDS: list[bytes] = [
    _seed("PLAIN", b"\0tim\0tanstaaftanstaaf"),
    _seed("LOGIN", b"", b"ann", b"secret"),
    _seed("SCRAM-SHA-256", b"n,,n=user,r=abc", b"c=biws,r=abcnonce,p=" + base64.b64encode(b"\0" * 32), b""),
    _seed("SCRAM-SHA-256-PLUS", b"p=tls-unique,a=x,n=u=2Cser,r=abc", b"c=cD10bHM=,r=abcnonce,p=AAAA"),
    _seed("OAUTHBEARER", b"n,a=ann,\x01host=h\x01auth=Bearer abc\x01\x01", b"\x01"),
    _seed("XOAUTH2", b"user=ann\x01auth=Bearer abc\x01\x01", b""),
    _seed("EXTERNAL", b"ann"),
    _seed("ANONYMOUS", b"trace") + b"\n*",
]
