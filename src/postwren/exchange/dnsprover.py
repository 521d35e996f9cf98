"""Proof by the DNS that a name is ours (RFC 8555 section 8.4): a TXT record, put there by a signed update (RFC 2136, 8945).

    prover = DnsProver("192.0.2.53", 53, parse_key(text))

The server is the primary of our zones; which zone a name is in, it is asked itself. Port 80 of the name need not lead here.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from postwren.exchange.acme import AcmeFailed
from postwren.exchange.jose import base64url

__all__ = ["DnsProver", "KeyInvalid", "UpdateKey", "parse_key"]

_PATIENCE: Final = 10.0
_TTL: Final = 60
_SPREAD: Final = 10.0  # seconds that the other name servers of the zone have to follow
_KEY: Final = re.compile(
    r'\s*key\s+"?([A-Za-z0-9_.-]{1,253})"?\s*\{\s*'
    r'algorithm\s+"?(hmac-sha(?:224|256|384|512))"?\s*;\s*secret\s+"?([A-Za-z0-9+/=]+)"?\s*;\s*\}\s*;?\s*',
    re.IGNORECASE,
)


class KeyInvalid(Exception):
    """Not the file of a key."""


@dataclass(frozen=True, slots=True)
class UpdateKey:
    """A TSIG key. `secret` is base64."""

    name: str
    algorithm: str
    secret: str

    def __repr__(self) -> str:
        return f"UpdateKey({self.name!r})"


def parse_key(text: str) -> UpdateKey:
    """As `tsig-keygen` writes it: `key "NAME" { algorithm hmac-sha256; secret "..."; };` Raises KeyInvalid."""
    found = _KEY.fullmatch(text)
    if found is None:
        raise KeyInvalid('not a key as tsig-keygen writes it: key "NAME" { algorithm hmac-sha256; secret "..."; };')
    return UpdateKey(found[1], found[2].lower(), found[3])


class DnsProver:
    """Implements `acme.Prover`. `address` is an IP address."""

    kind = "dns-01"

    def __init__(
        self, address: str, port: int, key: UpdateKey, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._address = address
        self._port = port
        try:
            self._key = dns.tsig.Key(key.name, key.secret, key.algorithm)
        except (ValueError, dns.exception.DNSException) as error:
            raise KeyInvalid(f"the secret is no base64 ({error})") from None
        self._sleep = sleep
        self._values: dict[tuple[str, str], tuple[dns.name.Name, dns.name.Name, str]] = {}

    async def publish(self, name: str, token: str, authorization: str) -> None:
        value = base64url(hashlib.sha256(authorization.encode()).digest())
        owner = dns.name.from_text(f"_acme-challenge.{name}")
        zone = await self._zone_of(owner)
        update = dns.update.UpdateMessage(zone, keyring=self._key)
        update.add(owner, _TTL, "TXT", f'"{value}"')
        await self._say(update)
        self._values[name, token] = owner, zone, value
        await self._sleep(_SPREAD)

    async def withdraw(self, name: str, token: str) -> None:
        owner, zone, value = self._values.pop((name, token))
        update = dns.update.UpdateMessage(zone, keyring=self._key)
        update.delete(owner, "TXT", f'"{value}"')
        await self._say(update)

    async def _zone_of(self, owner: dns.name.Name) -> dns.name.Name:
        """The nearest name above that has an SOA there."""
        name = owner
        while len(name) > 2:  # never the root or a top-level domain
            answer = await self._ask(dns.message.make_query(name, "SOA"))
            if any(rrset.rdtype == dns.rdatatype.SOA and rrset.name == name for rrset in answer.answer):
                return name
            name = name.parent()
        raise AcmeFailed(f"{self._address} has no zone of {owner}")

    async def _say(self, update: dns.update.UpdateMessage) -> None:
        answer = await self._ask(update)
        if answer.rcode() != dns.rcode.NOERROR:
            raise AcmeFailed(f"{self._address} refused the update: {dns.rcode.to_text(answer.rcode())}")

    async def _ask(self, query: dns.message.Message) -> dns.message.Message:
        try:
            return await dns.asyncquery.tcp(query, self._address, timeout=_PATIENCE, port=self._port)
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise AcmeFailed(f"{self._address}: {type(error).__name__} {error}") from None
