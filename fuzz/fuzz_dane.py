"""No certificate of a host makes the judge of DANE raise; one that is not what the records name is never found good."""

import datetime
import hashlib

from cryptography.hazmat.primitives import serialization
from tests.unit.exchange.chain import AUTHORITY, issue, names

from postwren.exchange.dane import judge, public_key_of
from postwren.wire.resolver import Tlsa

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
ROOT = issue("root", None, AUTHORITY)
LEAF = issue("leaf", ROOT, names("mx.example.org"))
RECORDS = (Tlsa(3, 1, 1, hashlib.sha256(public_key_of(LEAF.der)).digest()), Tlsa(2, 0, 1, hashlib.sha256(ROOT.der).digest()))


def target(data: bytes) -> None:
    try:
        key = public_key_of(data)
    except ValueError:
        key = b""
    if key:
        assert key in data
    blame = judge(RECORDS, ("mx.example.org",), (data, ROOT.der), NOW)
    if blame is None and data != LEAF.der:
        assert key == LEAF.certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )


SEEDS: list[bytes] = [LEAF.der, ROOT.der, b"\x30\x82\x01\x00"]
