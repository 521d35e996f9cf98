"""Whether a chain leads to an authority that this system trusts, asked afterwards: for policies in mode testing, where what is
wrong is told and mail goes all the same (RFC 8461 section 5). What must be right is judged by OpenSSL in the handshake.
"""

import datetime
import ssl
from collections.abc import Sequence
from functools import lru_cache

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from postwren.exchange.policy import Blame, TlsResult
from postwren.transport.certificate import certificate_names, name_is_covered

__all__ = ["judge", "system_authorities"]

_SHOWN = 10  # certificates of a chain that are looked at
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def judge(name: str, chain: Sequence[bytes], now: datetime.datetime, authorities: Sequence[bytes]) -> Blame | None:
    """What is wrong with this chain (DER, leaf first) for a host of this name; None: nothing, or nobody can tell, because the
    system names no authorities."""
    if not authorities:
        return None
    if not chain:
        return Blame(TlsResult.NOT_TRUSTED, "it showed no certificate")
    try:
        leaf, *others = [x509.load_der_x509_certificate(der) for der in chain[:_SHOWN]]
        if not name_is_covered(name.lower(), certificate_names(chain[0])):
            return Blame(TlsResult.HOST_MISMATCH, "its certificate is for another name")
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            return Blame(TlsResult.EXPIRED, "its certificate is not valid now")
        verifier = PolicyBuilder().store(_store(tuple(authorities))).time(now).build_server_verifier(x509.DNSName(name))
        verifier.verify(leaf, others)
    except VerificationError as error:
        return Blame(TlsResult.NOT_TRUSTED, str(error)[:200])
    except _UNREADABLE as error:
        return Blame(TlsResult.NOT_TRUSTED, f"a certificate cannot be read ({error})"[:200])
    return None


@lru_cache(maxsize=1)
def system_authorities() -> tuple[bytes, ...]:
    """Those that OpenSSL loads by itself, in DER; read once."""
    return tuple(ssl.create_default_context().get_ca_certs(binary_form=True))


@lru_cache(maxsize=2)
def _store(authorities: tuple[bytes, ...]) -> Store:
    found = []
    for der in authorities:
        try:
            found.append(x509.load_der_x509_certificate(der))
        except _UNREADABLE:  # one that only OpenSSL can read
            continue
    return Store(found)
