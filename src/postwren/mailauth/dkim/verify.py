"""Signatures of others (RFC 6376 section 6): the message is fed as it comes, and judged when it has ended.

Nothing of the body is kept, and without a signature nothing of it is hashed either. A signature that covers only the
beginning of the body (l=) counts as broken when there is more, for what is behind may be anything (section 8.2, A-35).
"""

import asyncio
import base64
from dataclasses import dataclass
from typing import Final

from postwren.mailauth.dkim.canonical import BodyHash, Canonical, FieldStack, canonical_field
from postwren.mailauth.dkim.key import KeyRecord, KeyUnusable, fetch_key, is_signature_of
from postwren.mailauth.dkim.limits import LIMITS, Limits
from postwren.mailauth.dkim.signature import FromUnsigned, Signature, parse_signature, signature_of, without_signature
from postwren.mailauth.dkim.tags import TagsInvalid, parse_tags
from postwren.mailauth.verdict import Verdict
from postwren.message.header import Field, empty_line, find_empty_line, read_header
from postwren.message.limits import DEFAULT_LIMITS
from postwren.wire.resolver import Resolver

__all__ = ["DkimResult", "Keys", "Verifier"]

_DKIM: Final = b"dkim-signature"
_ARC: Final = b"arc-message-signature"


@dataclass(frozen=True, slots=True)
class DkimResult:
    """What became of one signature. `reason` is for the log and for Authentication-Results; all texts are printable."""

    verdict: Verdict
    domain: str = ""  # d=, A-labels in lower case
    selector: str = ""
    identity: str = ""  # i=
    algorithm: str = ""  # a=
    reason: str = ""
    start: str = ""  # the first letters of b= (RFC 6008)
    is_testing: bool = False  # t=y: a broken signature says no more than none


class Keys:
    """Keys that were asked for while a message is judged: each is asked for once."""

    __slots__ = ("_found", "_limits", "_resolver")

    def __init__(self, resolver: Resolver, limits: Limits = LIMITS) -> None:
        self._resolver = resolver
        self._limits = limits
        self._found: dict[tuple[str, str], KeyRecord | KeyUnusable] = {}

    async def fetch(self, wanted: set[tuple[str, str]]) -> None:
        """Ask for these (selector, domain), all at once."""
        missing = [key for key in wanted if key not in self._found]
        for key, found in zip(missing, await asyncio.gather(*map(self._fetch, missing)), strict=True):
            self._found[key] = found

    async def _fetch(self, key: tuple[str, str]) -> KeyRecord | KeyUnusable:
        try:
            return await fetch_key(self._resolver, *key, self._limits)
        except KeyUnusable as error:
            return error

    def get(self, selector: str, domain: str) -> KeyRecord:
        """One of those that were fetched; raises KeyUnusable."""
        found = self._found[selector, domain]
        if isinstance(found, KeyUnusable):
            raise found
        return found


class Verifier:
    """Reads along; the octets must be those that the peer sent, with no line of ours in front.

    `fields`, `body_hash` and `body_size` are for `mailauth.arc`; they and `results` are for after the last octet.
    """

    __slots__ = ("_bodies", "_digests", "_header", "_is_too_long", "_limits", "_signatures", "fields")

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._header: bytearray | None = bytearray()  # until it ends
        self._is_too_long = False
        self._bodies: dict[Canonical, BodyHash] = {}
        self._digests: dict[Canonical, bytes] = {}
        self._signatures: list[tuple[Field, Signature | TagsInvalid]] = []
        self.fields = FieldStack(b"", read_header(b""))

    def feed(self, data: bytes) -> None:
        """The next octets of the message."""
        if self._header is None:
            for body in self._bodies.values():
                body.feed(data)
            return
        searched = max(0, len(self._header) - 3)
        self._header += data
        block = bytes(self._header[searched:])
        if searched == 0 and (start := empty_line(block, 0, len(block))) is not None:
            self._begin_body(b"", block[start:])
        elif (found := find_empty_line(block, 0, len(block))) is not None:
            self._begin_body(bytes(self._header[: searched + found[0]]), block[found[1] :])
        elif len(self._header) > self._limits.header:
            self._begin_body(bytes(self._header), b"")

    def _begin_body(self, block: bytes, rest: bytes) -> None:
        self._header = None
        header = read_header(block)
        if len(block) > self._limits.header or len(header.fields) >= DEFAULT_LIMITS.header_fields:
            self._is_too_long = True
            return
        self.fields = FieldStack(block, header)
        for field in self.fields.every(_DKIM)[: self._limits.signatures]:
            read = self._parse(field)
            self._signatures.append((field, read))
            if isinstance(read, Signature):
                self._bodies.setdefault(read.body_way, BodyHash(read.body_way))
        for field in self.fields.every(_ARC)[: self._limits.arc_sets]:
            way = _body_way(self.fields.raw(field), self._limits)
            if way is not None:
                self._bodies.setdefault(way, BodyHash(way))
        for body in self._bodies.values():
            body.feed(rest)

    def _parse(self, field: Field) -> Signature | TagsInvalid:
        try:
            return parse_signature(self.fields.raw(field).partition(b":")[2], self._limits)
        except TagsInvalid as error:
            return error

    def _end(self) -> None:
        if self._header is not None:
            self._begin_body(bytes(self._header), b"")
        for way, body in self._bodies.items():
            if way not in self._digests:
                self._digests[way] = body.finish()

    @property
    def is_too_long(self) -> bool:
        """The header is beyond what is looked at."""
        self._end()
        return self._is_too_long

    def body_hash(self, way: Canonical) -> bytes:
        """The body's hash in this form, which a signature in the header names (b"" where none does)."""
        self._end()
        return self._digests.get(way, b"")

    def body_fault(self, signature: Signature) -> str:
        """Why the body is not the one that was signed; "" where it is."""
        self._end()
        body = self._bodies.get(signature.body_way)
        if body is None or (signature.length is not None and signature.length != body.size):
            return f"l= covers {signature.length} of {body.size if body else 0} octets"
        return "" if self._digests[signature.body_way] == signature.body_hash else "body hash did not verify"

    def is_header_signed(self, signature: Signature, field: Field, key: KeyRecord) -> bool:
        """Whether the key's owner signed this header with the signature in `field`."""
        way = signature.header_way
        own = canonical_field(without_signature(self.fields.raw(field)), way).removesuffix(b"\r\n")
        signed = b"".join([*self.fields.select(signature.names, way), own])
        return is_signature_of(key, signature.signature, signed)

    async def results(self, resolver: Resolver, now: float) -> list[DkimResult]:
        """One for each of the signatures that are looked at, from the top; none for a message without. Never raises."""
        self._end()
        if self._is_too_long:
            return [DkimResult(Verdict.POLICY, reason="header too long")]
        judged = [(field, self._before_key(read, now)) for field, read in self._signatures]
        keys = Keys(resolver, self._limits)
        await keys.fetch({(each.selector, each.domain) for _, each in judged if isinstance(each, Signature)})
        return [each if isinstance(each, DkimResult) else self._judge(each, field, keys) for field, each in judged]

    def _before_key(self, signature: Signature | TagsInvalid, now: float) -> Signature | DkimResult:
        """The signature; or what is wrong with it, whatever its key (section 6.1.1)."""
        if isinstance(signature, TagsInvalid):
            verdict = Verdict.PERMERROR if isinstance(signature, FromUnsigned) else Verdict.NEUTRAL
            return DkimResult(verdict, reason=str(signature))
        if len(self.fields.every(b"from")) != 1:  # section 8.15: which of them would be shown, and which is signed?
            return _result(signature, Verdict.PERMERROR, "not one From")
        if signature.expires is not None and signature.expires < now:
            return _result(signature, Verdict.FAIL, "signature expired")
        fault = self.body_fault(signature)
        return _result(signature, Verdict.FAIL, fault) if fault else signature

    def _judge(self, signature: Signature, field: Field, keys: Keys) -> DkimResult:
        try:
            key = keys.get(signature.selector, signature.domain)
        except KeyUnusable as error:
            return _result(signature, error.verdict, error.reason)
        if key.algorithm is not signature.algorithm:
            return _result(signature, Verdict.PERMERROR, "key of another type")
        if key.is_strict and signature.identity_domain != signature.domain:
            return _result(signature, Verdict.PERMERROR, "i= is below d=")
        if self.is_header_signed(signature, field, key):
            return _result(signature, Verdict.PASS, "", key.is_testing)
        if key.is_testing:  # section 3.6.1: no different from a message without a signature
            return _result(signature, Verdict.NEUTRAL, "signature did not verify, key is for testing", True)
        return _result(signature, Verdict.FAIL, "signature did not verify")


def _result(signature: Signature, verdict: Verdict, reason: str, is_testing: bool = False) -> DkimResult:
    return DkimResult(
        verdict,
        signature.domain,
        signature.selector,
        signature.identity,
        signature.algorithm.tag,
        reason,
        base64.b64encode(signature.signature[:6]).decode(),
        is_testing,
    )


def _body_way(raw: bytes, limits: Limits) -> Canonical | None:
    """The form in which the body is hashed for an ARC-Message-Signature, should it be one."""
    try:
        return signature_of(parse_tags(raw.partition(b":")[2][: limits.field], limits), identity=False).body_way
    except TagsInvalid:
        return None
