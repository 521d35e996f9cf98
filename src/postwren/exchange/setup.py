"""From the configuration to the engine's parts: what is said in `[outbound]`, checked, and made into roads."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Final

from postwren.config.loader import ConfigError
from postwren.config.schema import Outbound as OutboundConfig
from postwren.exchange.connection import Ours
from postwren.exchange.limits import OutboundLimits
from postwren.exchange.policy import OPPORTUNISTIC, TlsPolicies
from postwren.exchange.road import RoadMap, Roads, Smarthost
from postwren.protocols.sasl import ClientCredentials
from postwren.transport.deadline import Watch
from postwren.wire.resolver import Answer, Kind, Resolver, ResolverFailed
from postwren.wire.secret import Secret

__all__ = ["NoResolver", "limits_of", "make_roads"]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class NoResolver:
    """In the place of the DNS where the system names none: nobody can tell, so mail waits."""

    async def query(self, name: str, kind: Kind) -> Answer:  # noqa: ARG002
        """Always raises ResolverFailed."""
        raise ResolverFailed("the system names no resolver")


def limits_of(config: OutboundConfig) -> OutboundLimits:
    """Those that the configuration decides, the others as they are."""
    return OutboundLimits(connections_of_domain=config.connections_per_domain)


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
    credentials = _credentials(config, read) if config.login else None
    if credentials is not None and smarthost is None:
        raise ConfigError("outbound.login goes with outbound.smarthost")
    ours = Ours(hostname, watch, limits_of(config), config.bind or None, trusted, credentials)
    ports = {host.lower(): port for host, port in config.ports.items()}
    own = frozenset((hostname.lower(),))
    return Roads(resolver, ours, RoadMap(own, ports, smarthost, allows_loopback), policies)


def _smarthost(config: OutboundConfig) -> Smarthost:
    host, colon, port = config.smarthost.rpartition(":")
    host = host.strip("[]").lower()
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"outbound.smarthost: {config.smarthost!r} is not HOST:PORT")
    if config.smarthost_tls == "none" and host not in _LOOPBACK:
        raise ConfigError("outbound.smarthost_tls: none is for a host on this machine only")
    return Smarthost(host, int(port), config.smarthost_tls)


def _credentials(config: OutboundConfig, read: Callable[[Path], str]) -> ClientCredentials:
    if not config.password_file:
        raise ConfigError("outbound.login needs outbound.password_file")
    try:
        lines = read(Path(config.password_file)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"outbound.password_file: {config.password_file} cannot be read: {error}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"outbound.password_file: {config.password_file} is empty")
    return ClientCredentials(authcid=config.login, password=Secret(lines[0]))
