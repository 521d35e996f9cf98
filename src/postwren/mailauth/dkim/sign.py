"""Signatures that we put on (RFC 6376 section 5).

Relaxed in both, without l=, and with every name of `OVERSIGNED` once more than it occurs, so that nobody can add a second From or
another Content-Type in front of ours (section 8.15, A-35). With an RSA and an Ed25519 key a message gets a signature of each:
who cannot verify the one verifies the other (RFC 8463 section 3).
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Final

from postwren.mailauth.dkim.canonical import Canonical, FieldStack, canonical_field
from postwren.mailauth.dkim.key import SigningKey
from postwren.message.header import read_header

__all__ = ["LIFETIME", "OVERSIGNED", "SIGNED", "fold_base64", "fold_names", "sign", "signed_names"]

OVERSIGNED: Final = (
    b"From", b"Reply-To", b"Subject", b"Date", b"To", b"Cc", b"Message-ID", b"In-Reply-To", b"References",
    b"MIME-Version", b"Content-Type", b"Content-Transfer-Encoding",
)  # fmt: skip
SIGNED: Final = (
    b"Sender", b"Content-ID", b"Content-Disposition", b"Content-Language", b"Auto-Submitted", b"TLS-Required",
    b"List-Id", b"List-Help", b"List-Unsubscribe", b"List-Unsubscribe-Post", b"List-Subscribe", b"List-Post",
)  # fmt: skip
"""Signed as often as they occur: a list may add the first of them (section 5.4.1)."""
LIFETIME: Final = 14 * 86_400  # seconds from t= to x=: our queue's five days and another's, and then some
_LINE: Final = 72


def sign(header: bytes, body_hash: bytes, keys: Sequence[SigningKey], now: int) -> bytes:
    """The DKIM-Signature fields to put in front of a message with this header (with or without its empty line) and this body
    (`BodyHash.finish()`). ValueError where there is no From."""
    fields = read_header(header)
    if b"from" not in fields:
        raise ValueError("a message without From cannot be signed")
    stack = FieldStack(header, fields)
    names = signed_names(stack)
    signed = b"".join(stack.select([name.lower() for name in names], Canonical.RELAXED))
    digest = base64.b64encode(body_hash)
    return b"".join([_field(key, names, signed, digest, now) for key in keys])


def signed_names(stack: FieldStack) -> list[bytes]:
    """The h= of a message."""
    oversigned = [name for name in OVERSIGNED for _ in range(len(stack.every(name.lower())) + 1)]
    return oversigned + [name for name in SIGNED for _ in stack.every(name.lower())]


def _field(key: SigningKey, names: list[bytes], signed: bytes, digest: bytes, now: int) -> bytes:
    start = (
        f"DKIM-Signature: v=1; a={key.algorithm.tag}; c=relaxed/relaxed; d={key.domain};\r\n"
        f"\ts={key.selector}; t={now}; x={now + LIFETIME};\r\n\th="
    ).encode()
    unsigned = b"%b%b;\r\n\tbh=%b;\r\n\tb=" % (start, fold_names(names), digest)
    own = canonical_field(unsigned + b"\r\n", Canonical.RELAXED).removesuffix(b"\r\n")
    return unsigned + fold_base64(key.sign(signed + own)) + b"\r\n"


def fold_names(names: Iterable[bytes]) -> bytes:
    """Names with colons between, in lines."""
    lines = [b""]
    for name in names:
        if len(lines[-1]) + len(name) > _LINE:
            lines.append(b"")
        lines[-1] += name + b":"
    return b"\r\n\t".join(lines)[:-1]


def fold_base64(octets: bytes) -> bytes:
    """A signature in lines."""
    text = base64.b64encode(octets)
    return b"\r\n\t".join([text[at : at + _LINE] for at in range(0, len(text), _LINE)])
