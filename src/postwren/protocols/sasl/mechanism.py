"""The table of mechanisms with their properties, the exchanges behind them, and how a client chooses.

`strength` is what a man in the middle must not be able to lower (A-63): a client remembers the best mechanism that ever
worked with a server and goes no lower. Mechanisms of equal strength are taken in the table's order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from postwren.protocols.sasl.anonymous import AnonymousServer, anonymous_client
from postwren.protocols.sasl.exchange import ClientCredentials, ClientExchange, ServerExchange
from postwren.protocols.sasl.external import ExternalServer, external_client
from postwren.protocols.sasl.login import LoginClient, LoginServer
from postwren.protocols.sasl.oauth import OAuthBearerClient, OAuthBearerServer, XOAuth2Client, XOAuth2Server
from postwren.protocols.sasl.plain import PlainServer, plain_client
from postwren.protocols.sasl.scram import BINDING_TYPES, ClientBinding, ScramClient, ScramServer

__all__ = ["MECHANISMS", "Mechanism", "choose", "client_exchange", "server_exchange"]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """`shows_secret`: the server (or whoever listens) sees a password or token. `needs`: what of `ClientCredentials` it takes."""

    name: str
    strength: int
    needs: str  # "password", "token", "certificate" or "nothing"
    shows_secret: bool = False
    needs_tls: bool = False
    binds_channel: bool = False
    hash_name: str | None = None  # SCRAM's


MECHANISMS: Final[dict[str, Mechanism]] = {
    m.name: m
    for m in (
        Mechanism("EXTERNAL", 6, "certificate", needs_tls=True),
        Mechanism("SCRAM-SHA-256-PLUS", 5, "password", needs_tls=True, binds_channel=True, hash_name="sha-256"),
        Mechanism("SCRAM-SHA-1-PLUS", 4, "password", needs_tls=True, binds_channel=True, hash_name="sha-1"),
        Mechanism("SCRAM-SHA-256", 3, "password", hash_name="sha-256"),
        Mechanism("SCRAM-SHA-1", 2, "password", hash_name="sha-1"),
        Mechanism("OAUTHBEARER", 1, "token", shows_secret=True, needs_tls=True),
        Mechanism("XOAUTH2", 1, "token", shows_secret=True, needs_tls=True),
        Mechanism("PLAIN", 1, "password", shows_secret=True, needs_tls=True),
        Mechanism("LOGIN", 1, "password", shows_secret=True, needs_tls=True),
        Mechanism("ANONYMOUS", 0, "nothing"),
    )
}


def server_exchange(
    name: str, *, nonce: str, bindings: Mapping[str, bytes] | None = None, offers_plus: bool = False
) -> ServerExchange:
    """A new exchange of the mechanism `name` (a key of `MECHANISMS`). `nonce` is printable and has no comma; `bindings` is
    the channel's, or None without TLS; `offers_plus` says that a -PLUS mechanism was offered on this connection."""
    mechanism = MECHANISMS[name]
    if mechanism.hash_name is not None:
        bound = (bindings or {}) if mechanism.binds_channel else None
        return ScramServer(mechanism.hash_name, nonce, bound, offers_plus)
    return _SERVERS[name]()


_SERVERS: Final[dict[str, type[ServerExchange]]] = {
    "EXTERNAL": ExternalServer,
    "OAUTHBEARER": OAuthBearerServer,
    "XOAUTH2": XOAuth2Server,
    "PLAIN": PlainServer,
    "LOGIN": LoginServer,
    "ANONYMOUS": AnonymousServer,
}


def client_exchange(
    name: str,
    credentials: ClientCredentials,
    *,
    nonce: str,
    bindings: Mapping[str, bytes] | None = None,
) -> ClientExchange:
    """A new exchange of a mechanism that `choose` returned for the same credentials and bindings. Raises `NotPreparable` when
    the name or password cannot be used with SCRAM at all."""
    mechanism = MECHANISMS[name]
    if mechanism.hash_name is not None:
        usable = _usable(bindings)
        binding = ClientBinding("y" if usable else "n")
        if mechanism.binds_channel:
            binding = ClientBinding(usable[0], (bindings or {})[usable[0]])
        return ScramClient(name, mechanism.hash_name, credentials, nonce, binding)
    match name:
        case "EXTERNAL":
            return external_client(credentials)
        case "OAUTHBEARER":
            return OAuthBearerClient(credentials)
        case "XOAUTH2":
            return XOAuth2Client(credentials)
        case "PLAIN":
            return plain_client(credentials)
        case "LOGIN":
            return LoginClient(credentials)
    return anonymous_client(credentials)


def choose(
    offered: Iterable[str],
    credentials: ClientCredentials,
    bindings: Mapping[str, bytes] | None,
    pinned: str | None = None,
    *,
    allows_cleartext: bool = False,
) -> str | None:
    """The strongest mechanism that was offered and that these credentials can speak, or None.

    `bindings` is None without TLS: mechanisms that show a secret are then out, unless `allows_cleartext` (loopback). Nothing
    weaker than `pinned` is returned. Without a -PLUS among the offers SCRAM says that it could have bound the channel, so
    that an honest server notices when somebody took the offer away.
    """
    names = {name.upper() for name in offered}
    lowest = MECHANISMS[pinned].strength if pinned else 0
    for mechanism in MECHANISMS.values():
        if mechanism.name not in names or mechanism.strength < lowest or not _has(credentials, mechanism.needs):
            continue
        if mechanism.needs_tls and bindings is None and not (allows_cleartext and mechanism.shows_secret):
            continue
        if mechanism.binds_channel and not _usable(bindings):
            continue
        return mechanism.name
    return None


def _usable(bindings: Mapping[str, bytes] | None) -> list[str]:
    return [kind for kind in BINDING_TYPES if kind in (bindings or {})]


def _has(credentials: ClientCredentials, what: str) -> bool:
    """Whether the credentials hold it; "nothing" is held only by who has nothing else."""
    has = {
        "password": credentials.password is not None,
        "token": credentials.token is not None,
        "certificate": credentials.has_certificate,
    }
    return has[what] if what in has else credentials.anonymous_trace is not None and not any(has.values())
