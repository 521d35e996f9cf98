"""DKIM (RFC 6376, RFC 8301, RFC 8463, RFC 8616): what is signed verifies, what was touched does not, and A-35 fails."""

import base64
import random
import re
import sys
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.mailauth.dkim_world import BODY, ED25519, HEADER, NOW, RECORDS, RSA, dns, hash_of, signed, verdicts, verified

from postwren.mailauth.dkim import LIMITS, BodyHash, Canonical, Limits, SigningKey, Verifier
from postwren.mailauth.dkim.canonical import FieldStack, canonical_field
from postwren.mailauth.dkim.key import KeyUnusable, canonical_domain, format_key_record, key_name, parse_key_record
from postwren.mailauth.dkim.sign import OVERSIGNED, SIGNED, signed_names
from postwren.mailauth.dkim.signature import parse_signature, without_signature
from postwren.mailauth.dkim.tags import TagsInvalid, parse_tags
from postwren.message.header import read_header
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Txt

RSA_NAME = key_name("r1", "example.org")
RSA_P = RECORDS[RSA_NAME].rpartition(b"p=")[2]


def resigned(tags: bytes, body: bytes = BODY, header: bytes = HEADER, key: SigningKey = RSA) -> bytes:
    """A message signed with these tags (all but bh= and b=), whatever they say."""
    field = b"DKIM-Signature: " + tags + b"; bh=" + base64.b64encode(hash_of(body)) + b"; b="
    names = re.search(rb"h=([^;]*)", tags)
    assert names is not None
    stack = FieldStack(header, read_header(header))
    wanted = [name.strip().lower() for name in names[1].split(b":")]
    own = canonical_field(field + b"\r\n", Canonical.RELAXED).removesuffix(b"\r\n")
    octets = b"".join([*stack.select(wanted, Canonical.RELAXED), own])
    return field + base64.b64encode(key.sign(octets)) + b"\r\n" + header + body


TAGS = b"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=r1; h=from:to:subject"


# -- both roles


def test_what_is_signed_verifies_with_either_key() -> None:
    """RFC 8463 section 3: a signature of each."""
    results = verified(signed())
    assert [(r.verdict.value, r.algorithm, r.domain, r.selector) for r in results] == [
        ("pass", "rsa-sha256", "example.org", "r1"),
        ("pass", "ed25519-sha256", "example.org", "e1"),
    ]
    assert [signed().count(b"b=" + r.start.encode()) for r in results] == [1, 1]


@pytest.mark.parametrize("piece", [1, 2, 7, 4096])
def test_pieces_make_no_difference(piece: int) -> None:
    assert verified(signed(), piece=piece) == verified(signed())


def test_relays_may_fold_headers_and_add_white_space() -> None:
    touched = (
        signed().replace(b"To: bob@example.net", b"TO:\r\n\tbob@example.net  ").replace(b"wishes \r\n", b"wishes\r\n") + b"\r\n"
    )
    assert verdicts(touched) == ["pass", "pass"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Dear", b"dear"),
        (b"To: bob", b"To: eve"),
        (b"Subject: ", b"Subject: x"),
        (b"Date: Tue", b"Date: Wed"),
        (b"\r\n\r\nbest", b"\r\nbest"),
        (b"d=example.org;\r\n\ts=r1", b"d=example.org;\r\n\ti=x@example.org; s=r1"),
    ],
)
def test_whatever_else_is_touched_the_signature_breaks(old: bytes, new: bytes) -> None:
    message = signed(keys=[RSA])
    assert old in message
    assert verdicts(message.replace(old, new, 1)) == ["fail"]


@pytest.mark.parametrize("name", OVERSIGNED)
def test_a35_nobody_adds_a_field_to_what_is_signed(name: bytes) -> None:
    """RFC 6376 section 8.15: in front, where it would be shown."""
    message = name + b": eve@example.com\r\n" + signed()
    assert verdicts(message) == (["permerror"] * 2 if name == b"From" else ["fail"] * 2)


def test_a_list_may_add_what_it_owes() -> None:
    assert verdicts(b"List-Id: <l.example.com>\r\nSender: l@example.com\r\nReceived: by x\r\n" + signed()) == ["pass", "pass"]


def test_fields_that_occur_are_signed_as_often_and_once_more() -> None:
    header = b"From: a@b\r\nList-Id: x\r\nTo: c\r\nTo: d\r\n"
    names = signed_names(FieldStack(header, read_header(header)))
    counts = {name: names.count(name) for name in (*OVERSIGNED, *SIGNED)}
    assert (counts[b"From"], counts[b"To"], counts[b"Cc"], counts[b"List-Id"], counts[b"Sender"]) == (2, 3, 1, 1, 0)


def test_our_signatures_end_say_when_and_have_no_length() -> None:
    """A-35: x= within 14 days, no l=."""
    message = signed(keys=[ED25519])
    tags = parse_tags(message.partition(b"From: Ann")[0].partition(b":")[2])
    assert int(tags["t"]) == NOW
    assert NOW < int(tags["x"]) <= NOW + 14 * 86_400
    assert "l" not in tags
    assert max(map(len, message.split(b"\r\n"))) <= 78


def test_a_message_without_from_is_not_signed() -> None:
    with pytest.raises(ValueError, match="From"):
        signed(header=b"To: x\r\n\r\n")


def test_a_private_key_is_not_shown() -> None:
    assert "private" not in repr(RSA)


# -- canonical forms


@pytest.mark.parametrize(
    ("body", "relaxed", "simple"),
    [
        (b"", b"", b"\r\n"),
        (b"\r\n\r\n", b"", b"\r\n"),
        (b" \t\r\n\r\n", b"", b" \t\r\n"),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n", b" C \r\nD \t E\r\n"),
        (b"a", b"a\r\n", b"a\r\n"),
        (b"a \t", b"a\r\n", b"a \t\r\n"),
        (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n\r\n\r\n", b"a\n\r\n", b"a\n\r\n"),
        (b"a\r\r\n\r\n", b"a\r\r\n", b"a\r\r\n"),
        (b"a \r", b"a \r\r\n", b"a \r\r\n"),
        (b"\n", b"\n\r\n", b"\n\r\n"),
    ],
)
def test_bodies_have_these_forms_in_whatever_pieces_they_come(body: bytes, relaxed: bytes, simple: bytes) -> None:
    """RFC 6376 section 3.4.3, section 3.4.4 and the examples of section 3.4.5."""
    for way, form in ((Canonical.RELAXED, relaxed), (Canonical.SIMPLE, simple)):
        expected = BodyHash(Canonical.SIMPLE)
        expected.feed(form)
        if form:
            digest = expected.finish()
        else:
            digest = base64.b64decode("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
        for piece in (1, 2, 3, 100):
            hashing = BodyHash(way)
            for at in range(0, len(body), piece):
                hashing.feed(body[at : at + piece])
            assert hashing.finish() == digest, (way, piece)
            assert hashing.size == len(form)


def plainly(body: bytes, way: Canonical) -> bytes:
    """The forms, said as the standard says them, for a whole body."""
    if way is Canonical.RELAXED:
        body = re.sub(rb"[ \t]+", b" ", body)
        body = re.sub(rb" (?=\r\n|\Z)", b"", body)
    while body.endswith(b"\r\n"):
        body = body[:-2]
    return body + b"\r\n" if body or way is Canonical.SIMPLE else b""


def test_bodies_cut_at_random_hash_as_whole_ones() -> None:
    chance = random.Random(1)
    for _ in range(1500):
        body = b"".join(chance.choices([b" ", b"\t", b"\r\n", b"\r", b"\n", b"x"], [4, 2, 5, 1, 1, 2], k=chance.randrange(12)))
        for way in Canonical:
            hashing = BodyHash(way)
            at = 0
            while at < len(body):
                piece = chance.randint(1, 4)
                hashing.feed(body[at : at + piece])
                at += piece
            whole = BodyHash(Canonical.SIMPLE)
            form = plainly(body, way)
            whole._update(form)
            assert hashing.finish() == whole._hash.digest(), body


def test_a35_ten_megabytes_of_white_space_cost_little_time_and_no_memory() -> None:
    for octets in (b" ", b"\r\n", b" \r\n", b"\t \r"):
        hashing = BodyHash()
        piece = octets * (100_000 // len(octets))
        start = time.process_time()
        for _ in range(100):
            hashing.feed(piece)
        assert time.process_time() - start < 2, octets
        assert sys.getsizeof(hashing._carry) < 100
        hashing.finish()


# -- signatures that must not count


@pytest.mark.parametrize("length", [0, len(b"Dear Bob,\r\n"), 1000])
def test_a35_a_signature_over_a_part_of_the_body_fails(length: int) -> None:
    """RFC 6376 section 8.2: what is appended may be anything. Nor may it cover more than there is (section 3.5)."""
    assert verdicts(resigned(TAGS + b"; l=%d" % length)) == ["fail"]


def test_a_length_of_the_whole_body_is_harmless() -> None:
    assert verdicts(resigned(TAGS + b"; l=%d" % len(b"Dear Bob,\r\n\r\nbest wishes\r\n"))) == ["pass"]


@pytest.mark.parametrize(("more", "verdict"), [(0, "pass"), (1, "fail")])
def test_a35_an_expired_signature_fails(more: int, verdict: str) -> None:
    message = resigned(TAGS + b"; t=%d; x=%d" % (NOW, NOW + 60))
    assert verdicts(message, now=NOW + 60 + more) == [verdict]


def weak_key(bits: int) -> bytes:
    number = random.Random(bits).getrandbits(bits) | 1 << (bits - 1) | 1
    public = rsa.RSAPublicNumbers(65537, number).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; p=" + base64.b64encode(der)


@pytest.mark.parametrize(
    ("bits", "reason"),
    [(512, "RSA key of 512 bits"), (LIMITS.weakest_rsa - 1, "RSA key of 1023 bits"), (4097, "too long"), (16384, "too long")],
)
def test_a35_rsa_keys_too_weak_or_too_dear_verify_nothing(bits: int, reason: str) -> None:
    """RFC 8301 section 3.2."""
    [result] = verified(signed(keys=[RSA]), dns({RSA_NAME: weak_key(bits)}))
    assert (result.verdict.value, reason in result.reason) == ("fail" if bits < 4096 else "neutral", True)


@pytest.mark.parametrize("bits", [LIMITS.weakest_rsa, LIMITS.strongest_rsa])
def test_a35_rsa_keys_at_the_bounds_are_taken(bits: int) -> None:
    assert parse_key_record(weak_key(bits)).algorithm.tag == "rsa-sha256"


def test_a_key_as_the_bare_rsa_structure_is_taken() -> None:
    """RFC 6376 section 3.6.1 says RSAPublicKey; everybody publishes SubjectPublicKeyInfo."""
    der = RSA.private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    assert verdicts(signed(keys=[RSA]), dns({RSA_NAME: b"p=" + base64.b64encode(der)})) == ["pass"]


def test_a35_ten_signatures_are_looked_at_and_a_thousand_cost_little() -> None:
    field = signed(keys=[RSA]).partition(b"From: Ann")[0]
    resolver = dns()
    message = field.replace(b"=", b"=A", 99)[:200].replace(b"\r\n\t", b" ") + b"\r\n"
    flood = message * 1000 + field + HEADER + BODY
    start = time.process_time()
    results = verified(flood, resolver)
    assert time.process_time() - start < 1
    assert len(results) == LIMITS.signatures
    assert not any(result.verdict.value == "pass" for result in results)
    verifier = Verifier(Limits(signatures=2))
    verifier.feed(field * 3 + HEADER + BODY)
    assert len(verifier._signatures) == 2
    ten = field * 10 + HEADER + BODY
    assert verdicts(ten, resolver) == ["pass"] * 10
    assert resolver.asked == [(RSA_NAME, "TXT")]  # one question for all of them


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (b"v=DKIM1; k=rsa; p=" + RSA_P, "pass"),
        (b"p=" + RSA_P, "pass"),
        (b"v=DKIM1; k=rsa; n=a note; zz=1; g=nobody; p=" + RSA_P, "pass"),  # g= of RFC 4871 means nothing now
        (b"v=DKIM1; h=sha1:sha256; s=email; p=" + RSA_P, "pass"),
        (b"v=DKIM1; s=tlsrpt:*; p=" + RSA_P, "pass"),
        (b"v=DKIM1; t=s; p=" + RSA_P, "pass"),
        (b"v=DKIM1; t=y; p=" + RSA_P, "pass"),
        (b"v=DKIM1; h=sha1; p=" + RSA_P, "permerror"),
        (b"v=DKIM1; s=tlsrpt; p=" + RSA_P, "permerror"),
        (b"v=DKIM1; p=", "permerror"),  # revoked
        (b"v=DKIM1", "permerror"),
        (b"v=DKIM2; p=" + RSA_P, "permerror"),
        (b"p=" + RSA_P + b"; v=DKIM1", "permerror"),
        (b"v=DKIM1; k=ed25519; p=" + RSA_P, "permerror"),
        (b"v=DKIM1; k=dsa; p=" + RSA_P, "permerror"),
        (b"v=DKIM1; p=AAAA", "permerror"),
        (b"v=DKIM1; p=!", "permerror"),
        (b"v=spf1 -all", "permerror"),
        (b"\xff\0", "permerror"),
        (RECORDS[key_name("e1", "example.org")], "permerror"),  # a key of the other kind
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_a35_a_key_record_says_what_its_key_is_for(record: bytes, verdict: str) -> None:
    assert verdicts(signed(keys=[RSA]), dns({RSA_NAME: record})) == [verdict]


def test_a35_a_revoked_key_is_told_from_a_damaged_one() -> None:
    [revoked] = verified(signed(keys=[RSA]), dns({RSA_NAME: b"v=DKIM1; p="}))
    [damaged] = verified(signed(keys=[RSA]), dns({RSA_NAME: b"v=DKIM1; p=AAAA"}))
    assert (revoked.reason, damaged.reason) == ("key revoked", "no key in p=")


def test_a_testing_key_makes_a_broken_signature_none() -> None:
    """t=y: RFC 6376 section 3.6.1."""
    broken = signed(keys=[RSA]).replace(b"To: bob", b"To: eve")
    [result] = verified(broken, dns({RSA_NAME: b"v=DKIM1; t=y; p=" + RSA_P}))
    assert (result.verdict.value, result.is_testing) == ("neutral", True)


@pytest.mark.parametrize(("flags", "verdict"), [(b"", "pass"), (b"; t=s", "permerror")])
def test_a_strict_key_signs_for_its_very_domain(flags: bytes, verdict: str) -> None:
    message = resigned(TAGS + b"; i=ann@mail.example.org")
    assert verdicts(message, dns({RSA_NAME: b"v=DKIM1; p=" + RSA_P + flags})) == [verdict]


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        (TAGS.replace(b"from:", b""), "permerror"),  # h= without From
        (TAGS.replace(b"v=1", b"v=2"), "neutral"),
        (TAGS.replace(b"v=1; ", b""), "neutral"),
        (TAGS.replace(b"rsa-sha256", b"rsa-sha1"), "neutral"),  # RFC 8301 section 3.1
        (TAGS.replace(b"relaxed/relaxed", b"nofws"), "neutral"),
        (TAGS + b"; d=example.org", "neutral"),
        (TAGS + b"; i=ann@example.net", "neutral"),
        (TAGS + b"; i=ann@xexample.org", "neutral"),
        (TAGS + b"; q=http", "neutral"),
        (TAGS + b"; t=2; x=1", "neutral"),
        (TAGS + b"; l=-1", "neutral"),
        (TAGS + b"; l=" + b"9" * 77, "neutral"),
        (TAGS.replace(b"d=example.org", b"d=-.org"), "neutral"),
        (TAGS.replace(b"d=example.org", b"d=" + b"a." * 130 + b"a"), "neutral"),
        (TAGS.replace(b"s=r1", b"s="), "neutral"),
        (TAGS + b"; zz=anything", "pass"),
    ],
)
def test_signatures_that_are_none(tags: bytes, verdict: str) -> None:
    assert verdicts(resigned(tags)) == [verdict]


def test_a35_two_from_fields_spoil_every_signature() -> None:
    assert verdicts(resigned(TAGS, header=b"From: eve@example.com\r\n" + HEADER)) == ["permerror"]


def test_no_key_and_no_answer_are_told_apart() -> None:
    assert verdicts(signed(keys=[RSA]), dns({})) == ["permerror"]
    failing = ScriptedResolver({}, failing={RSA_NAME})
    assert verdicts(signed(keys=[RSA]), failing) == ["temperror"]


def test_no_signature_is_no_result() -> None:
    assert verified(HEADER + BODY) == []
    assert verified(b"") == []
    assert verified(b"\r\nFrom: x") == []


def test_an_international_domain_is_asked_for_as_the_dns_knows_it() -> None:
    """RFC 8616 section 4: d=, s= and i= may be U-labels."""
    message = resigned(TAGS.replace(b"d=example.org", "d=Bücher.example; i=ann@bücher.example".encode()))
    resolver = dns({"r1._domainkey.xn--bcher-kva.example": RECORDS[RSA_NAME]})
    [result] = verified(message, resolver)
    assert (result.verdict.value, result.domain, result.identity) == (
        "pass",
        "xn--bcher-kva.example",
        "ann@xn--bcher-kva.example",
    )
    assert canonical_domain(b"\xff.example") is None


# -- limits


def test_tags_of_the_limit() -> None:
    assert len(parse_tags(b"a=1; b=2;", Limits(tags=2))) == 2
    with pytest.raises(TagsInvalid):
        parse_tags(b"a=1; b=2; c=3", Limits(tags=2))


def test_a_signature_field_of_the_limit() -> None:
    value = signed(keys=[RSA]).partition(b"From: Ann")[0].partition(b":")[2]
    assert parse_signature(value, Limits(field=len(value))).domain == "example.org"
    with pytest.raises(TagsInvalid):
        parse_signature(value, Limits(field=len(value) - 1))


def test_a_key_record_of_the_limit() -> None:
    record = format_key_record(RSA).encode()
    assert parse_key_record(record, Limits(key_record=len(record))).algorithm is RSA.algorithm
    with pytest.raises(KeyUnusable):
        parse_key_record(record, Limits(key_record=len(record) - 1))


@pytest.mark.parametrize(("others", "verdict"), [(LIMITS.key_records - 1, "pass"), (LIMITS.key_records, "permerror")])
def test_so_many_key_records_are_looked_at(others: int, verdict: str) -> None:
    records = [Txt(b"v=spf1 -all")] * others + [Txt(RECORDS[RSA_NAME])]
    assert verdicts(signed(keys=[RSA]), ScriptedResolver({(RSA_NAME, "TXT"): records})) == [verdict]


@pytest.mark.parametrize(("more", "verdict"), [(0, "pass"), (1, "policy")])
def test_a_header_of_the_limit(more: int, verdict: str) -> None:
    message = signed(keys=[RSA])
    size = message.index(b"\r\n\r\n") + 2
    filled = b"X: " + b"x" * (LIMITS.header - size - len(b"X: \r\n") + more) + b"\r\n" + message
    assert verdicts(filled) == [verdict]
    assert verified(filled, piece=5000) == verified(filled)


def test_only_the_signature_itself_is_taken_out() -> None:
    raw = b"DKIM-Signature: b=abc; bh=de; c=b; x=b\r\n"
    assert without_signature(raw) == b"DKIM-Signature: b=; bh=de; c=b; x=b\r\n"
    assert without_signature(b"D: a=1;\r\n\tb = a\r\n b ; d=b=\r\n") == b"D: a=1;\r\n\tb =; d=b=\r\n"
