"""From the configuration to the engine's parts: what is said in `[outbound]`, checked, and made into roads."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Final

from postwren.config.loader import ConfigError
from postwren.config.schema import Outbound as OutboundConfig
from postwren.exchange.connection import Ours
from postwren.exchange.policy import OPPORTUNISTIC, TlsPolicies
from postwren.exchange.road import RoadMap, Roads, Smarthost
from postwren.protocols.sasl import ClientCredentials
from postwren.transport.deadline import Watch
from postwren.wire.resolver import Answer, Kind, Resolver, ResolverFailed
from postwren.wire.secret import Secret

__all__ = ["NoResolver", "make_roads"]

_SUBMISSIONS: Final = 465  # RFC 8314 section 3.3
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class NoResolver:
    """In the place of the DNS where the system names none: nobody can tell, so mail waits."""

    async def query(self, name: str, kind: Kind) -> Answer:  # noqa: ARG002
        """Always raises ResolverFailed."""
        raise ResolverFailed("the system names no resolver")


def make_roads(
    config: OutboundConfig,
    hostname: str,
    resolver: Resolver,
    watch: Watch,
    policies: TlsPolicies = OPPORTUNISTIC,
    *,
    allows_loopback: bool = False,
    trusted: Path | None = None,
    read: Callable[[Path], str] = lambda path: path.read_text(encoding="utf-8"),
) -> Roads:
    """Raises ConfigError. `trusted`: certificates to trust instead of the system's."""
    if config.bind:
        try:
            ipaddress.ip_address(config.bind)
        except ValueError:
            raise ConfigError(f"outbound.bind: {config.bind!r} is no IP address") from None
    smarthost = _smarthost(config) if config.smarthost else None
    credentials = _credentials(config, read) if config.credentials else None
    if credentials is not None and smarthost is None:
        raise ConfigError("outbound.credentials goes with outbound.smarthost")
    ours = Ours(hostname, watch, source=config.bind or None, trusted=trusted, credentials=credentials)
    ports = {host.lower(): port for host, port in config.ports.items()}
    own = frozenset((hostname.lower(),))
    return Roads(resolver, ours, RoadMap(own, ports, smarthost, allows_loopback), policies)


def _smarthost(config: OutboundConfig) -> Smarthost:
    host, colon, port = config.smarthost.rpartition(":")
    host = host.strip("[]").lower()
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"outbound.smarthost: {config.smarthost!r} is not HOST:PORT")
    return Smarthost(host, int(port), is_implicit_tls=int(port) == _SUBMISSIONS, is_here=host in _LOOPBACK)


def _credentials(config: OutboundConfig, read: Callable[[Path], str]) -> ClientCredentials:
    try:
        lines = read(Path(config.credentials)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"outbound.credentials: {config.credentials} cannot be read: {error}") from None
    if len(lines) < 2 or not (lines[0] and lines[1]):
        raise ConfigError(f"outbound.credentials: {config.credentials} has no login and password in two lines")
    return ClientCredentials(authcid=lines[0], password=Secret(lines[1]))
