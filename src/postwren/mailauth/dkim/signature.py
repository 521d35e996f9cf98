"""DKIM-Signature fields as they are read (RFC 6376 section 3.5, RFC 8616 section 4); ARC's are made of the same tags."""

import re
from dataclasses import dataclass
from typing import Final

from postwren.mailauth.dkim.canonical import Canonical
from postwren.mailauth.dkim.key import Algorithm, canonical_domain
from postwren.mailauth.dkim.limits import LIMITS, Limits
from postwren.mailauth.dkim.tags import TagsInvalid, decode_base64, integer, parse_tags, words

__all__ = ["FromUnsigned", "Signature", "parse_algorithm", "parse_signature", "signature_of", "without_signature"]

_B: Final = re.compile(rb"((?:\A[^:]*+:|;)[ \t\r\n]*+b[ \t\r\n]*+=)[^;]*+")
_IDENTITY: Final = re.compile(r"[^\x00-\x20\x7f-\x9f]*@[^\x00-\x20\x7f-\x9f@]+")
_FIELD_NAME: Final = re.compile(rb"[!-9<-~]++")
_SHA256: Final = 32


class FromUnsigned(TagsInvalid):
    """h= leaves out From: such a signature says nothing (section 5.4)."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature says of itself."""

    domain: str  # d=, A-labels in lower case
    selector: str
    identity: str  # i=
    algorithm: Algorithm
    header_way: Canonical
    body_way: Canonical
    names: list[bytes]  # h=, in lower case
    body_hash: bytes
    signature: bytes
    length: int | None  # l=
    expires: int | None

    @property
    def identity_domain(self) -> str:
        """Of i=: the domain or one below."""
        return self.identity.rpartition("@")[2]


def parse_signature(value: bytes, limits: Limits = LIMITS) -> Signature:
    """The value of a DKIM-Signature field; raises TagsInvalid."""
    if len(value) > limits.field:
        raise TagsInvalid("signature too long")
    tags = parse_tags(value, limits)
    if tags.get("v") != b"1":
        raise TagsInvalid("v= is not 1")
    return signature_of(tags)


def signature_of(tags: dict[str, bytes], *, identity: bool = True) -> Signature:
    """The tags of a signature; without `identity` i= is something else (RFC 8617 section 4.1.2)."""
    for name in ("a", "b", "bh", "d", "h", "s"):
        if not tags.get(name):
            raise TagsInvalid(f"no {name}=")
    domain, selector = canonical_domain(tags["d"]), canonical_domain(tags["s"])
    if domain is None or selector is None or len(domain) + len(selector) + len("._domainkey.") > 253:
        raise TagsInvalid("no domain in d= or s=")
    header_way, body_way = _ways(tags.get("c", b"simple/simple"))
    names = words(tags["h"])
    if b"from" not in names:
        raise FromUnsigned("From is not signed")
    if any(_FIELD_NAME.fullmatch(name) is None for name in names):
        raise TagsInvalid("no field name in h=")
    body_hash = decode_base64(tags["bh"])
    if len(body_hash) != _SHA256:
        raise TagsInvalid("no SHA-256 in bh=")
    if b"dns/txt" not in words(tags.get("q", b"dns/txt")):
        raise TagsInvalid("no way to the key in q=")
    signed = integer(tags["t"], 12) if "t" in tags else None
    expires = integer(tags["x"], 12) if "x" in tags else None
    if signed is not None and expires is not None and expires <= signed:
        raise TagsInvalid("x= is not after t=")
    return Signature(
        domain,
        selector,
        _identity(tags.get("i"), domain) if identity else f"@{domain}",
        parse_algorithm(tags["a"]),
        header_way,
        body_way,
        names,
        body_hash,
        decode_base64(tags["b"]),
        integer(tags["l"], 76) if "l" in tags else None,
        expires,
    )


def parse_algorithm(value: bytes) -> Algorithm:
    """a=; raises TagsInvalid. SHA-1 is none (RFC 8301 section 3.1)."""
    for algorithm in Algorithm:
        if value.lower() == algorithm.tag.encode():
            return algorithm
    raise TagsInvalid("rsa-sha1" if value.lower() == b"rsa-sha1" else "unknown algorithm")


def _ways(value: bytes) -> tuple[Canonical, Canonical]:
    header, _, body = value.lower().partition(b"/")
    try:
        return Canonical(header.decode()), Canonical(body.decode() or "simple")
    except ValueError:
        raise TagsInvalid("unknown canonicalization") from None


def _identity(value: bytes | None, domain: str) -> str:
    if value is None:
        return f"@{domain}"
    text = value.decode("utf-8", "replace")
    if _IDENTITY.fullmatch(text) is None:
        raise TagsInvalid("no address in i=")
    local, _, host = text.rpartition("@")
    name = canonical_domain(host.encode())
    if name is None or not (name == domain or name.endswith(f".{domain}")):
        raise TagsInvalid("i= is not below d=")
    return f"{local}@{name}"


def without_signature(raw: bytes) -> bytes:
    """The field with nothing in b=: what the signature in it is over (section 3.7)."""
    return _B.sub(rb"\1", raw, count=1)
