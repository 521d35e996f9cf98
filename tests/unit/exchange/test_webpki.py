"""Chains that are judged afterwards, by the authorities of the system (RFC 8461 section 5, mode testing)."""

import pytest
from tests.unit.exchange.chain import AUTHORITY_PARTS, DAY, NOW, issue, issued_by, names, servers

from postwren.exchange.policy import TlsResult
from postwren.exchange.webpki import judge

HOST = "mx.example.org"
ROOT = issue("root", None, *AUTHORITY_PARTS, is_critical=True)
OTHER = issue("root", None, *AUTHORITY_PARTS, is_critical=True)
LEAF = issue("leaf", ROOT, names(HOST, "*.wild.example"), servers(), issued_by(ROOT))


def result(chain: list[bytes], name: str = HOST, days: int = 0, authorities: tuple[bytes, ...] = (ROOT.der,)) -> TlsResult | None:
    blame = judge(name, chain, NOW + days * DAY, authorities)
    return None if blame is None else blame.result


def test_a_good_chain_is_found_good() -> None:
    assert result([LEAF.der]) is None
    assert result([LEAF.der, ROOT.der], "a.wild.example") is None


def test_what_is_wrong_has_its_own_word() -> None:
    assert result([LEAF.der], "other.example") is TlsResult.HOST_MISMATCH
    assert result([LEAF.der], days=10) is TlsResult.EXPIRED
    assert result([LEAF.der], authorities=(OTHER.der,)) is TlsResult.NOT_TRUSTED
    assert result([LEAF.der, ROOT.der], authorities=(OTHER.der, b"odd")) is TlsResult.NOT_TRUSTED


@pytest.mark.parametrize("chain", [[], [b""], [b"garbage"], [LEAF.der[:99]], [LEAF.der, b"garbage"]])
def test_what_cannot_be_read_is_not_trusted(chain: list[bytes]) -> None:
    assert result(chain) is TlsResult.NOT_TRUSTED


def test_without_authorities_nobody_can_tell() -> None:
    assert result([LEAF.der], authorities=()) is None
