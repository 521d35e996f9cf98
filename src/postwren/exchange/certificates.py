"""The server's own certificate, obtained and renewed by ACME without a restart.

    keeper = CertificateKeeper(DATA/tls, names, obtain, now)
    keeper.prepare()            DATA/tls/acme.pem: a self-signed one until there is a better
    await keeper.renew()        when it is due; listeners notice that the file is another one

Key and chain are in one file, which is replaced as a whole: no handshake ever meets a key of one certificate and the chain of
another. A certificate is due when two thirds of its life are over, or names are missing in it.
"""

import asyncio
import datetime
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from postwren.config.loader import ConfigError
from postwren.config.schema import Tls
from postwren.exchange.acme import AcmeAuthority, AcmeFailed, Prover
from postwren.exchange.dnsprover import DnsProver, KeyInvalid, parse_key
from postwren.exchange.jose import AccountKey
from postwren.exchange.web import StrangersWeb
from postwren.transport.certificate import certificate_names, development_certificate, replace_file
from postwren.wire.resolver import Resolver

__all__ = ["CertificateKeeper", "HttpProver", "PrivateKey", "account_key", "keeper_for"]

log = logging.getLogger("postwren.acme")

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey
Obtain: TypeAlias = Callable[[Sequence[str], PrivateKey], Awaitable[bytes]]
_EVERY: Final = 3600.0
_FILE: Final = "acme.pem"
_ACCOUNT: Final = "acme-account.pem"


class HttpProver:
    """Implements `acme.Prover` by the challenges that our own listener answers (RFC 8555 section 8.3)."""

    kind = "http-01"

    def __init__(self, challenges: dict[str, str]) -> None:
        self._challenges = challenges

    async def publish(self, name: str, token: str, authorization: str) -> None:  # noqa: ARG002
        self._challenges[token] = authorization

    async def withdraw(self, name: str, token: str) -> None:  # noqa: ARG002
        self._challenges.pop(token, None)


def account_key(folder: Path) -> AccountKey:
    """The key of our account, made when it is missing; the account is made by its first use."""
    path = folder / _ACCOUNT
    if path.exists():
        return AccountKey.from_pem(path.read_bytes())
    key = AccountKey.generate()
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(path, key.to_pem())
    return key


class CertificateKeeper:
    """See the module. `names` gives those that are wanted now, the host's own first."""

    def __init__(
        self, folder: Path, names: Callable[[], Sequence[str]], obtain: Obtain, now: Callable[[], datetime.datetime]
    ) -> None:
        self.path = folder / _FILE
        self._folder = folder
        self._names = names
        self._obtain = obtain
        self._now = now

    def prepare(self) -> Path:
        """The file, which is good for a listener from now on."""
        if self._found() is None:
            certificate, key = development_certificate(self._folder, [self._names()[0]], self._now())
            replace_file(self.path, key.read_bytes() + certificate.read_bytes())
        return self.path

    async def renew(self) -> bool:
        """True: there is a new one. What fails is logged and tried again the next time."""
        names = [name.lower() for name in dict.fromkeys(self._names())]
        if not self._is_due(names):
            return False
        try:
            await self._replace(names)
        except (AcmeFailed, OSError) as error:
            log.error("no new certificate", extra={"fields": {"names": ",".join(names), "why": str(error)}})
            return await self._renew_own(names)
        return True

    async def run(self) -> None:
        """Once an hour, from now on."""
        while True:
            await self.renew()
            await asyncio.sleep(_EVERY)

    async def _renew_own(self, names: Sequence[str]) -> bool:
        """A name that does not lead here yet must not take the host's own certificate away."""
        if len(names) == 1 or not self._is_due(names[:1]):
            return False
        try:
            await self._replace(names[:1])
        except (AcmeFailed, OSError) as error:
            log.error("no new certificate", extra={"fields": {"names": names[0], "why": str(error)}})
            return False
        return True

    async def _replace(self, names: Sequence[str]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        chain = await self._obtain(names, key)
        private = serialization.NoEncryption()
        octets = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, private)
        replace_file(self.path, octets + chain)
        log.info("a new certificate", extra={"fields": {"names": ",".join(names)}})

    def _is_due(self, names: Sequence[str]) -> bool:
        found = self._found()
        if found is None or found.issuer == found.subject:
            return True
        life = found.not_valid_after_utc - found.not_valid_before_utc
        covered = certificate_names(found.public_bytes(serialization.Encoding.DER))
        return self._now() >= found.not_valid_before_utc + life * 2 / 3 or not covered >= set(names)

    def _found(self) -> x509.Certificate | None:
        try:
            return x509.load_pem_x509_certificates(self.path.read_bytes())[0]
        except (OSError, ValueError):
            return None


def keeper_for(tls: Tls, folder: Path, hostname: str, resolver: Resolver, challenges: dict[str, str]) -> CertificateKeeper:
    """As configured. Raises ConfigError."""
    trusted = Path(tls.acme_trust) if tls.acme_trust else None
    # Whoever configures a directory may have one in a private network; nothing outside of its origin is asked.
    web = StrangersWeb(resolver, is_private_allowed=True, trusted=trusted)
    try:
        authority = AcmeAuthority(web, tls.acme_directory, account_key(folder), tls.acme_contact)
        prover: Prover = _dns_prover(tls) if tls.acme_dns_server else HttpProver(challenges)
    except (AcmeFailed, KeyInvalid, OSError, ValueError) as error:
        raise ConfigError(f"tls.acme: {error}") from None

    def obtain(names: Sequence[str], key: PrivateKey) -> Awaitable[bytes]:
        return authority.obtain(names, key, prover)

    return CertificateKeeper(folder, lambda: [hostname, *tls.acme_names], obtain, lambda: datetime.datetime.now(datetime.UTC))


def _dns_prover(tls: Tls) -> Prover:
    address, _, port = tls.acme_dns_server.rpartition(":")
    key = parse_key(Path(tls.acme_dns_key).read_text(encoding="utf-8"))
    return DnsProver(str(ipaddress.ip_address(address.strip("[]"))), int(port), key)
