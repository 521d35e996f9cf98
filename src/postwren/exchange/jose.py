"""Signed requests of ACME: JSON web signatures by ES256 (RFC 7515, 7517, 7518 section 3.4, 7638; RFC 8555 section 6.2)."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

__all__ = ["AccountKey", "base64url"]

_COORDINATE = 32  # octets, P-256


def base64url(octets: bytes) -> str:
    """Without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class AccountKey:
    """A P-256 key that is an account at an ACME server."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        point = key.public_key().public_numbers()
        # RFC 7638 section 3.2: the members that a thumbprint counts, in their order
        self.jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": base64url(point.x.to_bytes(_COORDINATE, "big")),
            "y": base64url(point.y.to_bytes(_COORDINATE, "big")),
        }

    @classmethod
    def generate(cls) -> "AccountKey":
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, octets: bytes) -> "AccountKey":
        """ValueError where it is none."""
        key = serialization.load_pem_private_key(octets, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("an ACME account's key is one of P-256")
        return cls(key)

    def to_pem(self) -> bytes:
        private = serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, private)

    @property
    def thumbprint(self) -> str:
        """RFC 7638."""
        return base64url(hashlib.sha256(_compact(self.jwk)).digest())

    def sign(self, url: str, nonce: str, payload: dict[str, Any] | None, account: str | None) -> bytes:
        """A request's body. `payload` None: POST-as-GET; `account` None: who we are is the key itself."""
        header: dict[str, Any] = {"alg": "ES256", "nonce": nonce, "url": url}
        header |= {"jwk": self.jwk} if account is None else {"kid": account}
        protected = base64url(_compact(header))
        body = "" if payload is None else base64url(_compact(payload))
        r, s = decode_dss_signature(self._key.sign(f"{protected}.{body}".encode(), ec.ECDSA(hashes.SHA256())))
        signature = base64url(r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big"))
        return _compact({"protected": protected, "payload": body, "signature": signature})


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
