"""Whatever a message and the DNS say: DKIM and ARC come to a verdict, in pieces as in whole, and ask bounded questions."""

import asyncio
import base64
import contextlib
from collections.abc import Iterator

from postwren.mailauth import arc
from postwren.mailauth.dkim import LIMITS, Algorithm, BodyHash, DkimResult, Verifier, generate_key, load_signing_key, sign
from postwren.mailauth.dkim.key import KeyUnusable, format_key_record, parse_key_record
from postwren.mailauth.dkim.tags import TagsInvalid, parse_tags
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Answer, Kind, Txt

KEYS = [load_signing_key("example.org", each.value, generate_key(each)) for each in Algorithm]
HEADER = b"From: a@example.org\r\nTo: b\r\n b\r\nSubject: x\r\n\r\n"
RECORDS = [format_key_record(key).encode() for key in KEYS]


class AnyKey(ScriptedResolver):
    """Publishes the keys under every name, behind what the input says."""

    def __init__(self, text: bytes) -> None:
        super().__init__({})
        self.text = text

    async def query(self, name: str, kind: Kind) -> Answer:
        self.asked.append((name, kind))
        return Answer((Txt(self.text), *map(Txt, RECORDS)))


def _hash(body: bytes) -> bytes:
    hashing = BodyHash()
    hashing.feed(body)
    return hashing.finish()


def SEEDS() -> Iterator[bytes]:  # noqa: N802 (the name every target has)
    body = b"one \r\n\r\ntwo\t\t\r\n"
    message = sign(HEADER, _hash(body), KEYS, 1) + HEADER + body
    yield message
    chain = arc.ArcResult(asyncio.run(arc.verify(Verifier(), AnyKey(b""))).verdict)
    sealed = arc.seal(HEADER, _hash(body), chain, b"mx.example.org; spf=pass", KEYS[1], 1) + HEADER + body
    yield sealed
    yield b"v=DKIM1; k=rsa; h=sha256; s=email; t=y:s; p=" + base64.b64encode(b"key") + b"\r\n\r\n"
    yield from RECORDS


def judge(data: bytes, piece: int) -> tuple[list[DkimResult], arc.ArcResult]:
    verifier, resolver = Verifier(), AnyKey(data[:200])
    for at in range(0, len(data), piece):
        verifier.feed(data[at : at + piece])
    found = asyncio.run(verifier.results(resolver, 10)), asyncio.run(arc.verify(verifier, resolver))
    assert len(found[0]) <= LIMITS.signatures
    assert len(resolver.asked) <= LIMITS.signatures + LIMITS.arc_sets + 1
    return found


def target(data: bytes) -> None:
    assert judge(data, len(data) or 1) == judge(data, 1 + len(data) // 7)
    for parse, refusal in ((parse_tags, TagsInvalid), (parse_key_record, KeyUnusable)):
        with contextlib.suppress(refusal):
            parse(data)
