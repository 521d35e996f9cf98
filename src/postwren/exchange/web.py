"""A document that a stranger names, by HTTPS, for the server: what MTA-STS and TLS reports need of the web.

What must stay true (A-74): the name is resolved once, by our own resolver, and the address that was judged is the one that is
connected to; nothing on this machine or in a private network is, but in a server for trying out. No redirection is followed
(RFC 8461 section 3.3), the certificate must be the host's, and all together has one deadline.
"""

import asyncio
import ipaddress
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Final

from postwren.client.conversation import Conversation, Security
from postwren.protocols.http.client import ClientConnection, Get, Post, Responded
from postwren.transport.tls import TlsFault
from postwren.wire.resolver import HostAddress, Kind, Resolver, ResolverFailed

__all__ = ["CertificateBad", "StrangersWeb", "WebFailed", "is_public"]

_PATIENCE: Final = 20.0  # seconds; section 3.3 of RFC 8461 suggests a minute, and a delivery waits for us
_MOST_ADDRESSES: Final = 3
_KINDS: Final[tuple[Kind, ...]] = ("AAAA", "A")


class WebFailed(Exception):
    """No document; the text says why, as a clause."""


class CertificateBad(WebFailed):
    """Because of its certificate."""


def is_public(address: str) -> bool:
    """Whether it is an address of the internet: an IPv4 address inside an IPv6 one counts as what it is."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (None if parsed.teredo is None else parsed.teredo[1])
        if inner is not None:
            return inner.is_global
        if parsed in _NAT64:
            return ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF).is_global
    return parsed.is_global and not parsed.is_multicast


_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


class StrangersWeb:
    """`is_private_allowed`: for trying out. `trusted` is a file of certificates to trust instead of the system's."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        is_private_allowed: bool = False,
        trusted: Path | None = None,
        port: int = 443,
        patience: float = _PATIENCE,
    ) -> None:
        self._resolver = resolver
        self._is_private_allowed = is_private_allowed
        self._trusted = trusted
        self._port = port
        self._patience = patience

    async def get(self, host: str, target: str) -> Responded:
        """The answer with status 200. Raises WebFailed."""
        answer = await self.ask(Get(host, target))
        if answer.status != 200:
            raise WebFailed(f"answered {answer.status}")
        return answer

    async def ask(self, request: Get | Post, port: int = 0) -> Responded:
        """Whatever is answered; `request.host` is a name or an IPv4 address. Raises WebFailed."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._ask_any(request, port or self._port)
        except TimeoutError:
            raise WebFailed("no answer in time") from None

    async def _ask_any(self, request: Get | Post, port: int) -> Responded:
        """The first address that can be connected to answers for all."""
        why: Exception = OSError("no address")
        for address in await self._addresses(request.host):
            try:
                return await self._ask(request, address, port)
            except ssl.SSLCertVerificationError as error:
                raise CertificateBad(f"its certificate cannot be trusted ({error.verify_message})") from None
            except (OSError, TlsFault) as error:
                why = error
        raise WebFailed(str(why) or type(why).__name__)

    async def _addresses(self, host: str) -> list[str]:
        found = [host] if _is_address(host) else []
        for kind in _KINDS if not found else ():
            try:
                answer = await self._resolver.query(host, kind)
            except ResolverFailed as error:
                raise WebFailed(f"its address cannot be found out ({error})") from None
            found += [record.address for record in answer.records if isinstance(record, HostAddress)]
        usable = [address for address in found if self._is_private_allowed or is_public(address)]
        if not usable:
            raise WebFailed("its addresses are none of the internet" if found else "no such host")
        return usable[:_MOST_ADDRESSES]

    async def _ask(self, request: Get | Post, address: str, port: int) -> Responded:
        core = ClientConnection()
        host = request.host
        async with Conversation(core) as talk:
            await talk.connect(host, port, Security.IMPLICIT, b"http/1.1", self._trusted, address=address)
            core.send(request if port == 443 else replace(request, host=f"{host}:{port}"))
            talk.flush()
            event = await talk.next_event()
        if not isinstance(event, Responded):
            raise WebFailed(event.reason)
        return event
