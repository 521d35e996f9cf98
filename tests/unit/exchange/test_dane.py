"""A host's certificate against its TLSA records (RFC 6698, 7671, 7672)."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.exchange.chain import AUTHORITY, DAY, NOW, Issued, issue, names, servers

from postwren.exchange.dane import LIMITS, judge, public_key_of, published, usable
from postwren.exchange.policy import TlsResult
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import ResolverFailed, Tlsa

HOST: Final = "mx.example.org"
ROOT: Final = issue("root", None, AUTHORITY)
MIDDLE: Final = issue("middle", ROOT, AUTHORITY)
LEAF: Final = issue("leaf", MIDDLE, names(HOST, "*.wild.example"), servers())
CHAIN: Final = (LEAF.der, MIDDLE.der, ROOT.der)


def tlsa(usage: int, selector: int, matching: int, der: bytes) -> Tlsa:
    octets = public_key_of(der) if selector else der
    digested = {0: lambda: octets, 1: hashlib.sha256(octets).digest, 2: hashlib.sha512(octets).digest}[matching]()
    return Tlsa(usage, selector, matching, digested)


def result(records: Sequence[Tlsa], chain: Sequence[bytes] = CHAIN, *hosts: str, at: int = 0) -> TlsResult | None:
    blame = judge(usable(records), hosts or (HOST,), chain, NOW + at * DAY)
    return None if blame is None else blame.result


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize(("usage", "issued"), [(3, LEAF), (2, MIDDLE), (2, ROOT)])
def test_what_is_published_is_found_good_and_anything_else_is_not(
    usage: int, issued: Issued, selector: int, matching: int
) -> None:
    assert result([tlsa(usage, selector, matching, issued.der)]) is None
    other = issue("other", ROOT, AUTHORITY)
    assert result([tlsa(usage, selector, matching, other.der)]) is TlsResult.TLSA_INVALID


def test_the_key_is_cut_out_as_the_library_writes_it() -> None:
    wanted = LEAF.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_of(LEAF.der) == wanted


def test_names_and_dates_do_not_matter_where_the_certificate_itself_is_published() -> None:
    record = tlsa(3, 1, 1, LEAF.der)
    assert result([record], CHAIN, "other.example", at=1000) is None
    assert result([record], (LEAF.der,)) is None


def test_names_and_dates_matter_where_an_issuer_is_published() -> None:
    record = tlsa(2, 0, 1, ROOT.der)
    assert result([record], CHAIN, "other.example") is TlsResult.HOST_MISMATCH
    assert result([record], CHAIN, "other.example", HOST) is None
    assert result([record], CHAIN, "a.wild.example") is None
    assert result([record], CHAIN, "a.b.wild.example") is TlsResult.HOST_MISMATCH
    assert result([record], at=10) is TlsResult.EXPIRED
    assert result([record], at=-2) is TlsResult.EXPIRED


def test_an_issuer_must_be_shown_unless_it_is_whole_in_the_dns() -> None:
    assert result([tlsa(2, 0, 1, ROOT.der)], CHAIN[:2]) is TlsResult.TLSA_INVALID
    assert result([tlsa(2, 0, 0, ROOT.der)], CHAIN[:2]) is None
    assert result([tlsa(2, 0, 0, ROOT.der)], CHAIN[:1]) is TlsResult.TLSA_INVALID
    assert result([tlsa(2, 0, 0, issue("root", None, AUTHORITY).der)], CHAIN[:2]) is TlsResult.TLSA_INVALID


def test_an_issuer_that_is_shown_but_did_not_issue_proves_nothing() -> None:
    own = issue("middle", None, AUTHORITY)
    leaf = issue("leaf", own, names(HOST))
    assert result([tlsa(2, 0, 1, MIDDLE.der)], (leaf.der, MIDDLE.der)) is TlsResult.TLSA_INVALID
    assert result([tlsa(2, 0, 1, ROOT.der)], (leaf.der, own.der, ROOT.der)) is TlsResult.TLSA_INVALID
    assert result([tlsa(2, 0, 1, LEAF.der)], CHAIN) is TlsResult.TLSA_INVALID, "a host's certificate is no issuer"


@pytest.mark.parametrize(
    "constraints",
    [
        (x509.BasicConstraints(ca=False, path_length=None),),
        (),
        (AUTHORITY, x509.KeyUsage(True, False, False, False, False, False, False, False, False)),
        (AUTHORITY, x509.NameConstraints([x509.DNSName("example.net")], None)),
    ],
)
def test_who_may_not_issue_did_not(constraints: tuple[x509.ExtensionType, ...]) -> None:
    middle = issue("middle", ROOT, *constraints, is_critical=True)
    leaf = issue("leaf", middle, names(HOST))
    assert result([tlsa(2, 0, 1, ROOT.der)], (leaf.der, middle.der, ROOT.der)) is TlsResult.TLSA_INVALID


@pytest.mark.parametrize(("length", "is_good"), [(0, False), (1, True)])
def test_the_length_of_a_path_is_kept(length: int, is_good: bool) -> None:
    root = issue("root", None, x509.BasicConstraints(ca=True, path_length=length))
    middle = issue("middle", root, AUTHORITY)
    leaf = issue("leaf", middle, names(HOST))
    assert (result([tlsa(2, 0, 1, root.der)], (leaf.der, middle.der, root.der)) is None) is is_good


def test_a_certificate_for_something_else_is_not_for_servers() -> None:
    leaf = issue("leaf", ROOT, names(HOST), servers(is_for=False))
    assert result([tlsa(2, 0, 1, ROOT.der)], (leaf.der, ROOT.der)) is TlsResult.NOT_TRUSTED


@pytest.mark.parametrize("above", [LIMITS.chain - 1, LIMITS.chain])
def test_so_many_certificates_are_looked_at_and_not_one_more(above: int) -> None:
    issued = [issue("root", None, AUTHORITY)]
    for number in range(above - 1):
        issued.append(issue(f"middle {number}", issued[-1], AUTHORITY))
    issued.append(issue("leaf", issued[-1], names(HOST)))
    chain = [one.der for one in reversed(issued)]
    assert (result([tlsa(2, 0, 1, chain[-1])], chain) is None) is (len(chain) <= LIMITS.chain)


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", LEAF.der[:100], b"\x30\x80" * 50, b"garbage" * 100],
    ids=["none", "one octet", "a long length", "a part of one", "no end", "garbage"],
)
def test_what_is_no_certificate_matches_nothing(octets: bytes) -> None:
    records = [tlsa(3, 1, 1, LEAF.der), tlsa(2, 0, 1, ROOT.der)]
    assert result(records, (octets, *CHAIN[1:])) in (TlsResult.NOT_TRUSTED, TlsResult.TLSA_INVALID)
    assert result(records[:1], (octets,)) is TlsResult.TLSA_INVALID
    assert result(records, ()) is TlsResult.TLSA_INVALID


@pytest.mark.parametrize(
    "record",
    [
        Tlsa(0, 0, 1, bytes(32)),
        Tlsa(1, 1, 1, bytes(32)),
        Tlsa(255, 0, 1, bytes(32)),
        Tlsa(3, 2, 1, bytes(32)),
        Tlsa(3, 1, 3, bytes(32)),
        Tlsa(3, 1, 1, bytes(31)),
        Tlsa(3, 1, 2, bytes(32)),
        Tlsa(3, 1, 0, b""),
    ],
)
def test_a_record_that_is_not_for_smtp_or_has_a_fault_cannot_be_used(record: Tlsa) -> None:
    assert usable([record]) == ()


def test_of_digests_of_the_same_the_strongest_counts() -> None:
    weak, strong = tlsa(3, 1, 1, LEAF.der), tlsa(3, 1, 2, MIDDLE.der)
    assert usable([weak, strong]) == (strong,)
    assert result([weak, strong]) is TlsResult.TLSA_INVALID
    assert result([weak, tlsa(3, 0, 2, MIDDLE.der), tlsa(3, 1, 0, MIDDLE.der)]) is None


def test_only_what_is_proven_counts_and_what_cannot_be_used_is_told_from_nothing() -> None:
    place: Final = ("_25._tcp.mx.example.org", "TLSA")
    good, odd = tlsa(3, 1, 1, LEAF.der), Tlsa(0, 0, 1, bytes(32))

    def found(records: list[Tlsa], is_secure: bool) -> tuple[Tlsa, ...] | None:
        return asyncio.run(published(ScriptedResolver({(place[0], "TLSA"): records}, is_secure=is_secure), HOST))

    assert found([good, odd], True) == (good,)
    assert found([odd], True) == ()
    assert found([], True) is None
    assert found([good], False) is None


def test_a10_a_question_that_fails_is_not_an_empty_answer() -> None:
    with pytest.raises(ResolverFailed):
        asyncio.run(published(ScriptedResolver({}, failing=["_25._tcp.mx.example.org"]), HOST))
