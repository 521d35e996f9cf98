"""What an exchange of any mechanism may say (RFC 4422 section 3): closed unions of frozen dataclasses.

A server's exchange never decides whom to let in: it hands over what was offered or proved, and its user judges.
A client's exchange never raises for what the server said: it answers `Abort`.
"""

import enum
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from postwren.wire.secret import Secret

__all__ = [
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
    "PasswordOffered",
    "Proved",
    "ScramKeysLike",
    "ServerExchange",
    "ServerStep",
    "TokenOffered",
    "text_of",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """`response_line` counts the octets of one base64 line without its CRLF (RFC 4954 section 4: 12,288 with it).
    Iterations are what a client accepts of a SCRAM server: fewer are a downgrade, more a denial of service (A-63)."""

    response_line: int = 12 * 1024 - 2
    iterations_min: int = 4096  # RFC 7677 section 4
    iterations_max: int = 1_000_000


class Fault(enum.Enum):
    """Why an exchange or a line of it ended without an outcome."""

    MALFORMED = "malformed"  # not the mechanism's grammar, not base64, or too long
    CANCELLED = "cancelled"  # the client sent "*"
    WRONG = "wrong"  # a proof that does not hold
    BINDING = "binding"  # channel binding is missing, of another channel, or was stripped on the way


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this (it may be empty) and give the response to `receive`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PasswordOffered:
    """PLAIN and LOGIN: to be verified by the server's user. `authzid` is empty when none was given."""

    authcid: str
    authzid: str
    password: Secret[str]


@dataclass(frozen=True, slots=True)
class KeysNeeded:
    """SCRAM: call `ScramServer.keys` with what is stored for this name (or with a decoy, where nothing is)."""

    authcid: str
    hash_name: str  # "sha-256" or "sha-1"


@dataclass(frozen=True, slots=True)
class TokenOffered:
    """OAUTHBEARER and XOAUTH2: a bearer token to be verified. When it is refused, `TokenServer.refuse` gives the error
    document that the client must acknowledge before the protocol says no."""

    authzid: str
    token: Secret[str]


@dataclass(frozen=True, slots=True)
class IdentityOffered:
    """EXTERNAL: who the client is follows from the channel; it wants to act as `authzid` (empty: as itself)."""

    authzid: str


@dataclass(frozen=True, slots=True)
class AnonymousOffered:
    """ANONYMOUS: anybody, with a trace for the log that proves nothing."""

    trace: str


@dataclass(frozen=True, slots=True)
class Proved:
    """The peer holds the keys of `authcid`, and has seen our proof of the same."""

    authcid: str
    authzid: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The exchange is over."""

    fault: Fault


ServerStep: TypeAlias = (
    Challenge | PasswordOffered | KeysNeeded | TokenOffered | IdentityOffered | AnonymousOffered | Proved | Failed
)


@dataclass(frozen=True, slots=True)
class Abort:
    """The client must not go on: cancel with "*", and believe nothing that this server says about the login."""

    reason: str


class ScramKeysLike(Protocol):
    """What a server stores for SCRAM (RFC 5802 section 3); `mailstore.model.ScramKeys` is one."""

    @property
    def salt(self) -> bytes: ...
    @property
    def iterations(self) -> int: ...
    @property
    def stored_key(self) -> bytes: ...
    @property
    def server_key(self) -> bytes: ...


class ServerExchange(Protocol):
    """One exchange, server side. After a step that is no `Challenge` and no `KeysNeeded` it is over."""

    def begin(self, initial: bytes | None) -> ServerStep:
        """The initial response, decoded; None when the command had none (b"" is an empty one)."""

    def receive(self, response: bytes) -> ServerStep:
        """The decoded response to the last challenge."""


class ClientExchange(Protocol):
    """One exchange, client side."""

    @property
    def mechanism(self) -> str:
        """Its name on the wire."""

    def start(self) -> bytes | None:
        """The initial response; None when the server speaks first."""

    def receive(self, challenge: bytes, /) -> bytes | Abort:
        """The response to a decoded challenge."""

    def finished(self, additional: bytes | None = None, /) -> Abort | None:
        """The server said yes, with `additional` data where the protocol has room for it. None: it is true."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a client can prove itself with. `host` and `port` are what it connected to (RFC 7628 section 3.1)."""

    authcid: str = ""
    authzid: str = ""
    password: Secret[str] | None = None
    token: Secret[str] | None = None
    has_certificate: bool = False
    anonymous_trace: str | None = None
    host: str = ""
    port: int = 0


def text_of(octets: bytes) -> str | None:
    """UTF-8 without NUL, or None: names and passwords of every mechanism are at least that."""
    if 0 in octets:
        return None
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return None
