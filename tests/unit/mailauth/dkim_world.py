"""A message, keys and a DNS in which they are published."""

import asyncio
from collections.abc import Mapping, Sequence

from postwren.mailauth.dkim import Algorithm, BodyHash, DkimResult, SigningKey, Verifier, generate_key, load_signing_key, sign
from postwren.mailauth.dkim.key import format_key_record, key_name
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Txt

NOW = 1_790_000_000
RSA = load_signing_key("example.org", "r1", generate_key(Algorithm.RSA))
ED25519 = load_signing_key("example.org", "e1", generate_key(Algorithm.ED25519))
HEADER = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Tue, 24 Nov 2026 13:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n"
)
BODY = b"Dear  Bob,\r\n\r\nbest\twishes \r\n\r\n\r\n"
RECORDS = {key_name(key.selector, key.domain): format_key_record(key).encode() for key in (RSA, ED25519)}


def dns(records: Mapping[str, bytes] = RECORDS) -> ScriptedResolver:
    return ScriptedResolver({(name, "TXT"): [Txt(text)] for name, text in records.items()})


def hash_of(body: bytes) -> bytes:
    hashing = BodyHash()
    hashing.feed(body)
    return hashing.finish()


def signed(header: bytes = HEADER, body: bytes = BODY, keys: Sequence[SigningKey] = (RSA, ED25519), now: int = NOW) -> bytes:
    return sign(header, hash_of(body), keys, now) + header + body


def verified(message: bytes, resolver: ScriptedResolver | None = None, now: float = NOW, piece: int = 0) -> list[DkimResult]:
    verifier = Verifier()
    for at in range(0, len(message), piece or len(message) or 1):
        verifier.feed(message[at : at + (piece or len(message))])
    return asyncio.run(verifier.results(resolver or dns(), now))


def verdicts(message: bytes, resolver: ScriptedResolver | None = None, now: float = NOW) -> list[str]:
    return [result.verdict.value for result in verified(message, resolver, now)]
