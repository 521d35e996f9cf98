"""dkimpy as the oracle: what we sign it verifies, what it signs we verify, over messages of the corpora too."""

import base64
import random
import re
import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from tests.shared import corpus
from tests.unit.mailauth.dkim_world import ED25519, HEADER, RECORDS, RSA, dns, signed, verdicts, verified
from tests.unit.mailauth.test_arc import judged, sealed

dkim = pytest.importorskip("dkim")
NOW = int(time.time())  # dkimpy looks at the system's clock
PEM = RSA.private.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)


def published(name: bytes, timeout: int = 5) -> bytes | None:
    return RECORDS.get(name.decode().rstrip("."))


def messages() -> Iterator[bytes]:
    chance = random.Random(8)
    for _ in range(40):
        body = b"".join(chance.choices([b" ", b"\t", b"\r\n", b"x", b"=", b"\xc3\xa4", b"."], k=chance.randrange(30))) + b"x\r\n"
        yield HEADER + body + b"\r\n" * chance.randrange(3)
    paths = corpus()
    for path in paths[:: len(paths) // 25 + 1]:
        octets = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
        header, empty_line, _ = octets.partition(b"\r\n\r\n")
        if empty_line and len(re.findall(rb"^from:", header, re.MULTILINE | re.IGNORECASE)) == 1 and len(octets) < 50_000:
            yield octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def cut(message: bytes) -> tuple[bytes, bytes]:
    header, empty_line, body = message.partition(b"\r\n\r\n")
    return header + empty_line, body


def is_plain(message: bytes) -> bool:
    """Whether its header is one for dkimpy: it refuses lines that are no fields."""
    try:
        dkim.rfc822_parse(message)
    except dkim.MessageFormatError:
        return False
    return True


def test_dkimpy_verifies_what_we_sign() -> None:
    count = 0
    for message in filter(is_plain, messages()):
        whole = signed(*cut(message), now=NOW)
        assert [dkim.DKIM(whole).verify(idx, dnsfunc=published) for idx in (0, 1)] == [True, True], message
        count += 1
    assert count >= 40


@pytest.mark.parametrize(
    "ways", [(b"simple", b"simple"), (b"relaxed", b"relaxed"), (b"simple", b"relaxed"), (b"relaxed", b"simple")]
)
def test_we_verify_what_dkimpy_signs(ways: tuple[bytes, bytes]) -> None:
    for number, message in enumerate(filter(is_plain, messages())):
        if number % 2:
            key = {"selector": b"e1", "privkey": _seed(), "signature_algorithm": b"ed25519-sha256"}
        else:
            key = {"selector": b"r1", "privkey": PEM}
        field = dkim.DKIM(message).sign(domain=b"example.org", canonicalize=ways, **key)
        assert verdicts(field + message, now=NOW)[0] == "pass", message  # others may be signatures of its own
        assert verified(field + message, now=NOW, piece=11) == verified(field + message, now=NOW)


def _seed() -> bytes:
    octets = ED25519.private.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    return base64.b64encode(octets)


def test_dkimpy_verifies_our_chain_and_we_its() -> None:
    ours = sealed(sealed(HEADER + b"x\r\n", RSA), RSA)
    verdict, _, reason = dkim.arc_verify(ours, dnsfunc=published)
    assert verdict == dkim.CV_Pass, reason
    message = b"Authentication-Results: mx.example.org; spf=pass\r\n" + HEADER + b"x\r\n"
    theirs = b"".join(dkim.arc_sign(message, b"r1", b"example.org", PEM, b"mx.example.org")) + message
    assert judged(theirs).verdict.value == "pass"
    both = sealed(theirs, RSA)
    assert (judged(both).verdict.value, judged(both).sets) == ("pass", 2)
    assert dkim.arc_verify(both, dnsfunc=published)[0] == dkim.CV_Pass


def test_the_oracle_says_no_when_we_do() -> None:
    whole = signed(*cut(HEADER + b"x\r\n"), now=NOW).replace(b"To: bob", b"To: eve")
    assert verdicts(whole, dns(), NOW) == ["fail", "fail"]
    assert dkim.DKIM(whole).verify(dnsfunc=published) is False
