"""Certificates for tests of chains: an authority, one below it, and a host's."""

import datetime
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW: Final = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
DAY: Final = datetime.timedelta(days=1)
AUTHORITY: Final = x509.BasicConstraints(ca=True, path_length=None)
AUTHORITY_PARTS: Final = (AUTHORITY, x509.KeyUsage(False, False, False, False, False, True, True, False, False))
"""What the verifier of the web wants of an authority beside its key's identifier."""


@dataclass(frozen=True, slots=True)
class Issued:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def issue(name: str, issuer: Issued | None, *extensions: x509.ExtensionType, days: int = 10, is_critical: bool = False) -> Issued:
    """Valid from the day before NOW, for so many days; self-signed without an issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        issuer_name=own if issuer is None else issuer.certificate.subject,
        subject_name=own,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=NOW - DAY,
        not_valid_after=NOW + (days - 1) * DAY,
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return Issued(key, builder.sign(key if issuer is None else issuer.key, hashes.SHA256()))


def names(*hosts: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])


def servers(is_for: bool = True) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH if is_for else ExtendedKeyUsageOID.CODE_SIGNING])


def issued_by(issuer: Issued) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
