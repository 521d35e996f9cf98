"""DANE for SMTP: a host's certificate is judged by the TLSA records of `_25._tcp.HOST` (RFC 6698, 7671, 7672).

    records = await published(resolver, "mx.example.org")     None: the host publishes none; (): none that can be used
    blame = judge(records, ("mx.example.org", "example.org"), chain, now)

Only what a resolver on this machine has proven counts, and only for hosts whose address it has proven too (RFC 7672 section
2.2.2): that is the caller's to see. A question that fails raises ResolverFailed: then the host is passed over, and never spoken
to in the clear (section 2.1.2; A-10).

Certificates are a stranger's: they are read once, no path is searched, and what cannot be read matches nothing.
"""

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from postwren.exchange.policy import Blame, TlsResult
from postwren.transport.certificate import certificate_names, name_is_covered
from postwren.wire.resolver import Resolver, Tlsa

__all__ = ["LIMITS", "Limits", "judge", "public_key_of", "published", "usable"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Certificates of a chain that are looked at."""

    chain: int = 10


LIMITS: Final = Limits()

_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
E = TypeVar("E", bound=x509.ExtensionType)

_TRUST_ANCHOR: Final = 2
_END_ENTITY: Final = 3
_DIGESTS: Final = {0: None, 1: hashlib.sha256, 2: hashlib.sha512}
_UNDERSTOOD: Final = (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE)
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0


async def published(resolver: Resolver, host: str) -> tuple[Tlsa, ...] | None:
    """None where there are none, or nobody has proven them. Raises ResolverFailed.

    RFC 7672 section 2.2: records of which none can be used still demand TLS, with any certificate."""
    answer = await resolver.query(f"_25._tcp.{host}", "TLSA")
    records = [record for record in answer.records if isinstance(record, Tlsa)]
    return usable(records) if answer.is_secure and records else None


def usable(records: Sequence[Tlsa]) -> tuple[Tlsa, ...]:
    """Those that we judge by. RFC 7672 section 3.1.3: usages 0 and 1 are not for SMTP. RFC 7671 section 9: of digests of the same
    thing only the strongest counts."""
    good = [record for record in records if _is_usable(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in good:
        key = record.usage, record.selector
        strongest[key] = max(record.matching, strongest.get(key, 0))
    return tuple(r for r in good if r.matching in (0, strongest[r.usage, r.selector]))


def _is_usable(record: Tlsa) -> bool:
    if record.usage not in (_TRUST_ANCHOR, _END_ENTITY) or record.selector not in (0, 1) or record.matching not in _DIGESTS:
        return False
    digest = _DIGESTS[record.matching]
    return bool(record.data) if digest is None else len(record.data) == digest().digest_size


def judge(records: Sequence[Tlsa], names: Sequence[str], chain: Sequence[bytes], now: datetime.datetime) -> Blame | None:
    """What is wrong with this chain (DER, leaf first); None: nothing. `records` are usable; `names` are those of which the leaf
    must cover one where its issuer is what is published."""
    if not chain:
        return Blame(TlsResult.TLSA_INVALID, "it showed no certificate")
    # RFC 7672 section 3.1.1: neither names nor dates of the leaf matter here
    if any(record.usage == _END_ENTITY and _matches(record, chain[0]) for record in records):
        return None
    anchors = [record for record in records if record.usage == _TRUST_ANCHOR]
    if not anchors:
        return Blame(TlsResult.TLSA_INVALID, "its certificate is none of those that its TLSA records name")
    return _judge_by_anchor(anchors, names, chain[: LIMITS.chain], now)


def _judge_by_anchor(
    anchors: Sequence[Tlsa], names: Sequence[str], chain: Sequence[bytes], now: datetime.datetime
) -> Blame | None:
    """RFC 7672 section 3.1.2: the leaf leads to an issuer that is published, by issuers that the host shows (RFC 7671 section
    5.2.2), and is valid and for this host."""
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        whole = [x509.load_der_x509_certificate(r.data) for r in anchors if r.selector == 0 and r.matching == 0]
        length = _length_to_anchor(anchors, chain, certificates)
        if length is None and (above := _issuer_among(whole, certificates[-1], len(certificates) - 1)) is not None:
            certificates.append(above)
            length = len(certificates)
        if length is None:
            return Blame(TlsResult.TLSA_INVALID, "no issuer of its certificate is one that its TLSA records name")
        if not all(c.not_valid_before_utc <= now <= c.not_valid_after_utc for c in certificates[:length]):
            return Blame(TlsResult.EXPIRED, "a certificate is not valid now")
        if not _is_for_servers(certificates[0]):
            return Blame(TlsResult.NOT_TRUSTED, "its certificate is not for servers")
        covered = certificate_names(chain[0])
    except _UNREADABLE as error:
        return Blame(TlsResult.NOT_TRUSTED, f"a certificate cannot be read ({error})")
    if not any(name_is_covered(name.lower(), covered) for name in names):
        return Blame(TlsResult.HOST_MISMATCH, "its certificate is for another name")
    return None


def _length_to_anchor(anchors: Sequence[Tlsa], chain: Sequence[bytes], certificates: Sequence[x509.Certificate]) -> int | None:
    """How many certificates, the leaf included, lead to the first that is published."""
    for position in range(1, len(chain)):
        if not _issued(certificates[position], certificates[position - 1], position - 1):
            return None
        if any(_matches(record, chain[position]) for record in anchors):
            return position + 1
    return None


def _issuer_among(issuers: Sequence[x509.Certificate], below: x509.Certificate, depth: int) -> x509.Certificate | None:
    """A whole certificate in the DNS needs not be shown by the host."""
    return next((issuer for issuer in issuers if _issued(issuer, below, depth)), None)


def _issued(issuer: x509.Certificate, below: x509.Certificate, depth: int) -> bool:
    """Whether it may issue certificates, and issued this one, which has `depth` others of authorities beneath it."""
    constraints = _extension(issuer, x509.BasicConstraints)
    usage = _extension(issuer, x509.KeyUsage)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        return False
    if constraints.path_length is not None and depth > constraints.path_length:
        return False
    if any(e.critical and e.oid not in _UNDERSTOOD for e in issuer.extensions):  # constraints of names, for one
        return False
    try:
        below.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _is_for_servers(leaf: x509.Certificate) -> bool:
    wanted = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    usages = _extension(leaf, x509.ExtendedKeyUsage)
    return usages is None or not wanted.isdisjoint(usages)


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _matches(record: Tlsa, der: bytes) -> bool:
    """RFC 6698 sections 2.1.2 to 2.1.4."""
    try:
        selected = der if record.selector == 0 else public_key_of(der)
    except ValueError:
        return False
    digest = _DIGESTS[record.matching]
    return record.data == (selected if digest is None else digest(selected).digest())


def public_key_of(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate as it stands there (RFC 5280 section 4.1): a key of a kind that no library knows
    has a digest too. ValueError."""
    _, start, end = _element(der, 0, len(der))  # Certificate
    _, start, end = _element(der, start, end)  # TBSCertificate
    tag, _, after = _element(der, start, end)
    skipped = 5 if tag == _VERSION else 4  # serial number, signature, issuer, validity, subject
    for _ in range(skipped):
        _, _, after = _element(der, after, end)
    tag, _, stop = _element(der, after, end)
    if tag != _SEQUENCE:
        raise ValueError("no certificate")
    return der[after:stop]


def _element(der: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Its tag, where its content begins, and where it ends."""
    if at + 2 > end:
        raise ValueError("a certificate is cut short")
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 3 or start + size > end:
            raise ValueError("a length that cannot be")
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    if start + length > end:
        raise ValueError("a certificate is cut short")
    return tag, start, start + length
