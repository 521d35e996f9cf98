"""ARC (RFC 8617): a chain that we seal verifies, one that was touched fails, and what A-36 lists is bounded."""

import asyncio

import pytest
from tests.unit.mailauth.dkim_world import BODY, ED25519, HEADER, NOW, RECORDS, RSA, dns, hash_of

from postwren.mailauth import arc
from postwren.mailauth.dkim import LIMITS, Limits, SigningKey, Verifier
from postwren.testing.resolver import ScriptedResolver

RESULTS = b"mx.example.org; spf=pass smtp.mailfrom=example.net"


def judged(message: bytes, resolver: ScriptedResolver | None = None, limits: Limits = LIMITS) -> arc.ArcResult:
    verifier = Verifier()
    verifier.feed(message)
    return asyncio.run(arc.verify(verifier, resolver or dns(), limits))


def sealed(message: bytes, key: SigningKey = ED25519, chain: arc.ArcResult | None = None, limits: Limits = LIMITS) -> bytes:
    header, _, body = message.partition(b"\r\n\r\n")
    found = judged(message) if chain is None else chain
    return arc.seal(header + b"\r\n", hash_of(body), found, RESULTS, key, NOW, limits) + message


def test_a_message_without_a_chain_has_none() -> None:
    assert judged(HEADER + BODY) == arc.ArcResult(judged(HEADER + BODY).verdict)
    assert judged(HEADER + BODY).verdict.value == "none"


@pytest.mark.parametrize("keys", [[RSA], [ED25519, RSA], [RSA, RSA, ED25519]])
def test_a_chain_that_we_seal_verifies(keys: list[SigningKey]) -> None:
    message = HEADER + BODY
    for key in keys:
        message = sealed(message, key)
    result = judged(message)
    assert (result.verdict.value, result.sets, result.reason) == ("pass", len(keys), "")
    assert result.sealed_by == ("example.org",) * len(keys)
    assert result.results == RESULTS


def test_who_changes_a_message_seals_it_as_it_leaves() -> None:
    """The older signatures break, the seals hold: that is what a chain is for."""
    first = sealed(HEADER + BODY)
    changed = first.replace(b"Subject: ", b"Subject: [list] ") + b"-- \r\nthe list\r\n"
    assert judged(changed).verdict.value == "fail"
    assert judged(sealed(changed, RSA, judged(first))).verdict.value == "pass"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"spf=pass", b"spf=fail"),
        (b"To: bob", b"To: eve"),
        (b"Dear", b"dear"),
        (b"cv=none", b"cv=pass"),
        (b"cv=pass", b"cv=none"),
        (b"cv=pass", b"cv=fail"),
        (b"ARC-Seal: i=1;", b"ARC-Seal: i=3;"),
        (b"ARC-Seal: i=2;", b"ARC-Seal: i=1;"),
        (b"ARC-Seal: i=2;", b"ARC-Seal: i=-1;"),
        (b"ARC-Seal: i=2;", b"ARC-Seal: i=2; h=from;"),
        (b"ARC-Authentication-Results: i=1;", b"ARC-Authentication-Results: ;"),
        (b"ARC-Authentication-Results: i=1;", b"X-ARC-Authentication-Results: i=1;"),
        (b"ARC-Message-Signature: i=1;", b"ARC-Message-Signature: i=1; i=1;"),
        (b"ARC-Message-Signature: i=1; a=rsa-sha256", b"ARC-Message-Signature: i=1; a=ed25519-sha256"),
        (b"ARC-Seal: i=1; a=rsa-sha256", b"ARC-Seal: i=1; a=rsa-sha1"),
        (b"s=r1", b"s=e1"),
        (b"d=example.org", b"d=example.net"),
    ],
)
def test_a_chain_that_was_touched_fails(old: bytes, new: bytes) -> None:
    message = sealed(sealed(HEADER + BODY, RSA), RSA)
    assert old in message
    result = judged(message.replace(old, new, 1))
    assert (result.verdict.value, result.sealed_by) == ("fail", ())


def test_a_set_more_than_once_fails() -> None:
    message = sealed(HEADER + BODY)
    assert judged(message.partition(b"ARC-Message")[0] + message).verdict.value == "fail"


def test_a_broken_chain_is_sealed_once_as_broken() -> None:
    """RFC 8617 section 5.1.2: that seal is over its own set, and nobody adds another."""
    broken = sealed(HEADER + BODY).replace(b"Dear", b"dear")
    last = sealed(broken)
    assert b"i=2; a=ed25519-sha256; cv=fail" in last
    result = judged(last)
    assert (result.verdict.value, result.reason) == ("fail", "the last sealer found the chain broken")
    assert sealed(last) == last


def test_a_key_that_nobody_can_tell_is_no_failure_yet() -> None:
    assert judged(sealed(HEADER + BODY), ScriptedResolver({}, failing={"e1._domainkey.example.org"})).verdict.value == "temperror"
    assert judged(sealed(HEADER + BODY), ScriptedResolver({})).verdict.value == "fail"


def test_a36_a_chain_of_the_limit() -> None:
    """Fifty sets are the most (RFC 8617 section 4.2.1); each key is asked for once, and none where the newest does not verify."""
    limits = Limits(arc_sets=3)
    message = HEADER + BODY
    for _ in range(3):
        message = sealed(message)
    resolver = dns()
    assert judged(message, resolver, limits).verdict.value == "pass"
    assert resolver.asked == [("e1._domainkey.example.org", "TXT")]
    assert sealed(message, limits=limits) == message
    silent = dns()
    result = judged(sealed(message), silent, limits)
    assert (result.verdict.value, result.reason) == ("fail", "4 sets")
    assert silent.asked == []


def test_a36_only_the_newest_key_is_asked_for_when_the_message_was_touched() -> None:
    other = SigningKey("example.net", "e1", ED25519.private)
    message = sealed(HEADER + BODY, other, judged(HEADER + BODY))
    resolver = dns({**RECORDS, "e1._domainkey.example.net": RECORDS["e1._domainkey.example.org"]})
    message = sealed(message, ED25519, judged(message, resolver))
    assert judged(message, resolver).sealed_by == ("example.net", "example.org")
    resolver.asked.clear()
    assert judged(message.replace(b"To: bob", b"To: eve"), resolver).verdict.value == "fail"
    assert resolver.asked == [("e1._domainkey.example.org", "TXT")]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"ARC-Seal: i=2;", b"ARC-Seal: i=2; h=from;", "h= in a seal, or no b="),
        (b"cv=pass", b"cv=none", "cv= is wrong"),
        (b"cv=none", b"cv=pass", "cv= is wrong"),
        (b"ARC-Seal: i=2;", b"ARC-Seal: i=1;", "i=1 twice"),
        (b"ARC-Seal: i=2;", b"X-ARC-Seal: i=2;", "sets are not whole"),
    ],
)
def test_a_chain_of_the_wrong_form_is_told_before_any_key_is_asked_for(old: bytes, new: bytes, reason: str) -> None:
    """RFC 8617 section 5.2: whoever sealed it so."""
    message = sealed(sealed(HEADER + BODY, RSA), RSA)
    resolver = dns()
    assert judged(message.replace(old, new, 1), resolver).reason == reason
    assert resolver.asked == []
