"""Certificates as the link needs them: names, the channel binding of RFC 5929 section 4, and one of our own for trying out."""

import datetime
import ipaddress
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["certificate_names", "development_certificate", "name_is_covered", "replace_file", "server_end_point"]

_LIFETIME = datetime.timedelta(days=397)  # what browsers and phones still take from a certificate they were told to trust
_RENEW_BEFORE = datetime.timedelta(days=30)


def server_end_point(der: bytes) -> bytes | None:
    """`tls-server-end-point` (RFC 5929 section 4.1): the certificate's hash, by its signature's algorithm but never by MD5 or
    SHA-1. None where the signature names no hash (Ed25519): the RFC leaves that undefined."""
    algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    if algorithm is None:
        return None
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    digest = hashes.Hash(algorithm)
    digest.update(der)
    return digest.finalize()


def certificate_names(der: bytes) -> frozenset[str]:
    """DNS names and IP addresses of the certificate, in lower case (the common name only where there is no other)."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return frozenset(str(name.value).lower() for name in common)
    names = {name.lower() for name in found.get_values_for_type(x509.DNSName)}
    return frozenset(names | {str(address) for address in found.get_values_for_type(x509.IPAddress)})


def name_is_covered(name: str, names: frozenset[str]) -> bool:
    """RFC 6125 section 6.4: exact, or one whole label by a wildcard."""
    name = name.removesuffix(".")
    _, _, parent = name.partition(".")
    return name in names or (bool(parent) and f"*.{parent}" in names)


def development_certificate(folder: Path, names: Sequence[str], now: datetime.datetime) -> tuple[Path, Path]:
    """A self-signed ECDSA P-256 certificate for `names`, localhost and the loopback addresses; paths of certificate and key.

    One that is there already is kept while it covers the names and holds for another 30 days."""
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    wanted = list(dict.fromkeys([*(name.lower() for name in names), "localhost", "127.0.0.1", "::1"]))
    if _is_still_good(certificate_path, key_path, wanted, now):
        return certificate_path, key_path
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key, wanted, now)
    folder.mkdir(parents=True, exist_ok=True)
    private = serialization.NoEncryption()
    replace_file(key_path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, private))
    replace_file(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_path, key_path


def _self_signed(key: ec.EllipticCurvePrivateKey, names: list[str], now: datetime.datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)  # so that a client can be given it as its CA
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _is_still_good(certificate_path: Path, key_path: Path, names: list[str], now: datetime.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return False
    der = certificate.public_bytes(serialization.Encoding.DER)
    return (
        certificate.public_key() == key.public_key()
        and certificate.not_valid_after_utc - now > _RENEW_BEFORE
        and certificate_names(der) >= set(names)
    )


def replace_file(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
