"""The Authenticated Received Chain (RFC 8617): what others found before they changed a message, and what we pass on when we do.

A set is three fields of one instance number: what was found (ARC-Authentication-Results), a signature over the message as it left
(ARC-Message-Signature), and a seal over all sets so far (ARC-Seal). The newest signature is verified first: where it does not
hold, nobody is asked for the keys of the rest (A-36).
"""

import base64
from dataclasses import dataclass
from typing import Final

from postwren.mailauth.dkim.canonical import Canonical, FieldStack, canonical_field
from postwren.mailauth.dkim.key import KeyUnusable, SigningKey, canonical_domain, is_signature_of
from postwren.mailauth.dkim.limits import LIMITS, Limits
from postwren.mailauth.dkim.sign import fold_base64, fold_names, signed_names
from postwren.mailauth.dkim.signature import Signature, parse_algorithm, signature_of, without_signature
from postwren.mailauth.dkim.tags import TagsInvalid, decode_base64, integer, parse_tags
from postwren.mailauth.dkim.verify import Keys, Verifier
from postwren.mailauth.verdict import Verdict
from postwren.message.header import Field, read_header
from postwren.wire.resolver import Resolver

__all__ = ["ArcResult", "seal", "verify"]

_RESULTS: Final = b"arc-authentication-results"
_SIGNATURE: Final = b"arc-message-signature"
_SEAL: Final = b"arc-seal"


@dataclass(frozen=True, slots=True)
class ArcResult:
    """NONE, PASS, FAIL, or TEMPERROR where a key was not to be had now. `sets` is how many there are; `sealed_by` are the domains
    of the seals, the oldest first, in a chain that passes; `results` is what the oldest set says was found, without its i=."""

    verdict: Verdict
    sets: int = 0
    reason: str = ""
    sealed_by: tuple[str, ...] = ()
    results: bytes = b""


class _Broken(Exception):
    """The chain fails; the text says why."""


@dataclass(frozen=True, slots=True)
class _Set:
    """One instance."""

    results: Field
    signature_field: Field
    signature: Signature
    seal_field: Field
    domain: str  # whose seal it is
    selector: str
    algorithm: str  # a= of the seal
    seal: bytes
    said: bytes  # cv=


async def verify(verifier: Verifier, resolver: Resolver, limits: Limits = LIMITS) -> ArcResult:
    """Judge the chain of a message that was fed to the verifier (section 5.2). Never raises."""
    if verifier.is_too_long:
        return ArcResult(Verdict.FAIL, reason="header too long")
    stack = verifier.fields
    count = max(len(stack.every(name)) for name in (_RESULTS, _SIGNATURE, _SEAL))
    if not count:
        return ArcResult(Verdict.NONE)
    keys = Keys(resolver, limits)
    try:
        if count > limits.arc_sets:
            raise _Broken(f"{count} sets")
        chain = _chain(stack, limits)
        await _newest_signature(verifier, chain, keys)
        await keys.fetch({(each.selector, each.domain) for each in chain})
        for at in range(len(chain), 0, -1):
            _check_seal(stack, chain[:at], keys)
    except (_Broken, TagsInvalid) as error:
        return ArcResult(Verdict.FAIL, count, str(error))
    except KeyUnusable as error:
        return ArcResult(Verdict.TEMPERROR if error.verdict is Verdict.TEMPERROR else Verdict.FAIL, count, error.reason)
    found = stack.canonical(chain[0].results, Canonical.RELAXED).partition(b";")[2].strip()
    return ArcResult(Verdict.PASS, count, "", tuple(each.domain for each in chain), found)


def _chain(stack: FieldStack, limits: Limits) -> list[_Set]:
    """The sets in order (section 5.2, steps 2 and 3): every instance whole, once, and saying of those before it what it must."""
    numbered = [_numbered(stack, name, limits) for name in (_RESULTS, _SIGNATURE, _SEAL)]
    count = len(numbered[0])
    if any(sorted(fields) != list(range(1, count + 1)) for fields in numbered):
        raise _Broken("sets are not whole")
    sets = [_set(stack, *[fields[at] for fields in numbered], limits=limits) for at in range(1, count + 1)]
    if sets[-1].said == b"fail":
        raise _Broken("the last sealer found the chain broken")
    if any(each.said != (b"none" if at == 0 else b"pass") for at, each in enumerate(sets)):
        raise _Broken("cv= is wrong")
    return sets


def _numbered(stack: FieldStack, name: bytes, limits: Limits) -> dict[int, Field]:
    found: dict[int, Field] = {}
    for field in stack.every(name):
        value = stack.raw(field).partition(b":")[2]
        if name is _RESULTS:  # instance ";" what Authentication-Results has
            label, _, number = value.partition(b";")[0].partition(b"=")
            if label.strip() != b"i":
                raise _Broken("no i= in ARC-Authentication-Results")
            instance = integer(number.strip(), 2)
        else:
            instance = integer(_tags(value, limits).get("i", b""), 2)
        if found.setdefault(instance, field) is not field:
            raise _Broken(f"i={instance} twice")
    return found


def _tags(value: bytes, limits: Limits) -> dict[str, bytes]:
    if len(value) > limits.field:
        raise TagsInvalid("field too long")
    return parse_tags(value, limits)


def _set(stack: FieldStack, results: Field, signature: Field, seal: Field, *, limits: Limits) -> _Set:
    tags = _tags(stack.raw(seal).partition(b":")[2], limits)
    if "h" in tags or "b" not in tags:  # section 4.1.3: a seal with h= is none
        raise _Broken("h= in a seal, or no b=")
    domain, selector = canonical_domain(tags.get("d", b"")), canonical_domain(tags.get("s", b""))
    if domain is None or selector is None:
        raise _Broken("no domain in a seal")
    algorithm = parse_algorithm(tags.get("a", b"")).tag
    parsed = signature_of(_tags(stack.raw(signature).partition(b":")[2], limits), identity=False)
    if any(name == _SEAL for name in parsed.names):  # section 4.1.2
        raise _Broken("a signature over seals")
    return _Set(
        results, signature, parsed, seal, domain, selector, algorithm, decode_base64(tags["b"]), tags.get("cv", b"").lower()
    )


async def _newest_signature(verifier: Verifier, chain: list[_Set], keys: Keys) -> None:
    newest = chain[-1].signature
    if fault := verifier.body_fault(newest):
        raise _Broken(fault)
    await keys.fetch({(newest.selector, newest.domain)})
    key = keys.get(newest.selector, newest.domain)
    if key.algorithm is not newest.algorithm or not verifier.is_header_signed(newest, chain[-1].signature_field, key):
        raise _Broken("the newest signature did not verify")


def _check_seal(stack: FieldStack, chain: list[_Set], keys: Keys) -> None:
    last = chain[-1]
    key = keys.get(last.selector, last.domain)
    own = canonical_field(without_signature(stack.raw(last.seal_field)), Canonical.RELAXED).removesuffix(b"\r\n")
    octets = _sealed([_relaxed(stack, each) for each in chain[:-1]], _relaxed(stack, last)[:2], own)
    if key.algorithm.tag != last.algorithm or not is_signature_of(key, last.seal, octets):
        raise _Broken(f"seal {len(chain)} did not verify")


def _relaxed(stack: FieldStack, each: _Set) -> list[bytes]:
    return [stack.canonical(field, Canonical.RELAXED) for field in (each.results, each.signature_field, each.seal_field)]


def _sealed(before: list[list[bytes]], last: list[bytes], own: bytes) -> bytes:
    """What a seal is over (section 5.1.1): all sets in order, the last one's seal without its b= and its line end."""
    return b"".join([*(field for fields in before for field in fields), *last, own])


def seal(
    header: bytes, body_hash: bytes, chain: ArcResult, results: bytes, key: SigningKey, now: int, limits: Limits = LIMITS
) -> bytes:
    """One more set, to put in front of a message that is passed on: `header` and `body_hash` (relaxed) are of the message as it
    leaves, `chain` of how it came, `results` is the value of our Authentication-Results (with our authserv-id in front).

    b"" where no set may be added: to a chain that was marked as broken before, or that is too long (section 5.1).
    A chain that is broken now gets a last set that says so, which seals only itself (section 5.1.2).
    """
    fields = read_header(header)
    stack = FieldStack(header, fields)
    if chain.sets >= limits.arc_sets or chain.reason == "the last sealer found the chain broken":
        return b""
    said = {Verdict.NONE: "none", Verdict.PASS: "pass"}.get(chain.verdict, "fail")
    before = [] if said != "pass" else [_relaxed(stack, each) for each in _chain(stack, limits)]
    instance = chain.sets + 1
    found = b"ARC-Authentication-Results: i=%d; %b\r\n" % (instance, results)
    signature = _signature(stack, body_hash, key, instance, now)
    unsigned = (
        f"ARC-Seal: i={instance}; a={key.algorithm.tag}; cv={said}; d={key.domain};\r\n\ts={key.selector}; t={now};\r\n\tb="
    ).encode()
    own = canonical_field(unsigned + b"\r\n", Canonical.RELAXED).removesuffix(b"\r\n")
    last = [canonical_field(field, Canonical.RELAXED) for field in (found, signature)]
    return b"".join([unsigned, fold_base64(key.sign(_sealed(before, last, own))), b"\r\n", signature, found])


def _signature(stack: FieldStack, body_hash: bytes, key: SigningKey, instance: int, now: int) -> bytes:
    names = signed_names(stack) + [b"DKIM-Signature"] * len(stack.every(b"dkim-signature"))
    start = (
        f"ARC-Message-Signature: i={instance}; a={key.algorithm.tag}; c=relaxed/relaxed; d={key.domain};\r\n"
        f"\ts={key.selector}; t={now};\r\n\th="
    ).encode()
    unsigned = b"%b%b;\r\n\tbh=%b;\r\n\tb=" % (start, fold_names(names), base64.b64encode(body_hash))
    own = canonical_field(unsigned + b"\r\n", Canonical.RELAXED).removesuffix(b"\r\n")
    signed = b"".join([*stack.select([name.lower() for name in names], Canonical.RELAXED), own])
    return unsigned + fold_base64(key.sign(signed)) + b"\r\n"
