"""Hostile messages cost what their size costs (A-31, A-50): four times the octets take less than eight times the time, and memory
stays a small multiple of the message. Ratios, never seconds."""

import time
import tracemalloc
from collections.abc import Callable

import pytest

from postwren.message.decode import decode_quoted_printable
from postwren.message.digest import digest
from postwren.message.limits import Limits

WIDE = Limits(
    header_block=1 << 26, header_field=1 << 26, header_fields=1 << 20, addresses=1 << 20, references=1 << 20, subject=1 << 26
)
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"


def multipart(boundary: bytes, body: bytes) -> bytes:
    return b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + body


def nested(levels: int) -> bytes:
    return b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(levels))


# what it is -> octets of about n times ten
SHAPES: dict[str, Callable[[int], bytes]] = {
    "one long header": lambda n: b"Subject: " + b"x" * 10 * n + b"\r\n\r\n",
    "one long header without a colon": lambda n: b"x" * 10 * n,
    "many headers": lambda n: b"To: a@b.c\r\n" * n + b"\r\n",
    "many lines that are no headers": lambda n: b"A: b\r\n" + b"nocolon!\r\n" * n,
    "many addresses": lambda n: b"To: " + b"a <b@c>, \r\n " * n + b"\r\n\r\n",
    "many odd addresses": lambda n: b"To: " + b'"a\\"" <b@c>(;), ' * (n // 2) + b"\r\n\r\n",
    "words before an address": lambda n: b"To: " + b"word word." * n + b"@ : : ::::\r\n\r\n",
    "colons and at signs": lambda n: b"To: " + b"w w w @ :;" * n + b"\r\n\r\n",
    "comments that never close": lambda n: b"To: a@b " + b"(" * 10 * n + b"\r\nContent-Type: a/b; " + b"(" * 10 * n + b"\r\n\r\n",
    "brackets that never close": lambda n: b"To: " + b"<" * 10 * n + b"\r\n\r\n",
    "routes": lambda n: b"To: <" + b"@aaaaaaaa," * n + b"\r\n\r\n",
    "quotes and backslashes": lambda n: b'To: "' + b"\\" * 10 * n + b'\r\nContent-Type: a/b; c="' + b"\\" * 10 * n + b"\r\n\r\n",
    "encoded words": lambda n: b"Subject: " + b"=?utf-8?q?a?= " * n + b"\r\n\r\n",
    "encoded words of many charsets": lambda n: b"Subject: " + b"".join(b"=?x%d?q?=C3?= " % i for i in range(n)) + b"\r\n\r\n",
    "encoded words that never end": lambda n: b"Subject: " + b"=?utf-8?q?" * n + b"\r\n\r\n",
    "question marks": lambda n: b"Subject: " + b"=?" * 5 * n + b"\r\n\r\n",
    "reply markers": lambda n: b"Subject: " + b"Re: [aaa] " * n + b"x\r\n\r\n",
    "blobs": lambda n: b"Subject: " + b"[a] " * 2 * n + b"x\r\n\r\n",
    "forwards": lambda n: b"Subject: " + b"[fwd: re: " * n + b"x" + b"(fwd)]" * n + b"\r\n\r\n",
    "references": lambda n: b"References: " + b"".join(b"<%d@x>" % i for i in range(n)) + b"\r\n\r\n",
    "open references": lambda n: b"References: " + b"<aaaaaaaaa" * n + b"\r\n\r\n",
    "parameters": lambda n: b"Content-Type: a/b" + b"".join(b"; n%d=x" % i for i in range(n)) + b"\r\n\r\n",
    "continued parameters": lambda n: b"Content-Type: a/b" + b"".join(b"; n*%d*=x" % i for i in range(n)) + b"\r\n\r\n",
    "parameters backwards": lambda n: b"Content-Type: a/b" + b"".join(b"; n*%d*=x" % i for i in range(n, -1, -1)) + b"\r\n\r\n",
    "parameters of blanks": lambda n: b"Content-Type: a/b; c=" + b"a b  (c)  " * n + b"\r\n\r\n",
    "folded lines": lambda n: b"Subject: x" + b"\r\n xxxxxxx" * n + b"\r\n\r\n",
    "eight-bit junk": lambda n: b"Subject: " + b"\xff\xfe" * 5 * n + b"\r\nTo: " + b"\xff" * 10 * n + b"\r\n\r\n",
    "nested multiparts": lambda n: nested(n // 4),
    "nested messages": lambda n: b"Content-Type: message/rfc822\r\n\r\n" * (n // 3),
    "lines under a hundred boundaries": lambda n: nested(99) + b"\r\n" + b"--no such\r\n" * n,
    "parts": lambda n: multipart(b"b", b"--b\r\n\r\nx\r\n" * n),
    "parts that are a header without end": lambda n: multipart(b"b", b"--b\r\nA: x\r\n" * n),
    "parts whose header never ends": lambda n: multipart(b"b", b"--b\r\n" * 100 + b"A: xxxxx\r\n" * n),
    "delimiters that are none": lambda n: multipart(b"b", b"--bb\r\n--b" * n),
    "hyphens": lambda n: multipart(b"b", b"-" * 10 * n),
    "one boundary nested in itself": lambda n: multipart(b"b", b"--b\r\n") * 90 + b"--b--\r\n--b\r\n" * n,
    "messages in parts": lambda n: multipart(b"b", b"--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n" * (n // 4)),
    "text": lambda n: TEXT + b"\r\n" + b"> quoted \r\n" * n,
    "blanks": lambda n: TEXT + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b" " * 10 * n,
    "markup": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<<!--<p>&#" * n,
    "scripts that never end": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<script>a<" * n,
}
PREVIEW = Limits(preview_input=1 << 26)


def seconds(octets: bytes, limits: Limits) -> float:
    return best_of_two(lambda: digest(octets, limits))


def best_of_two(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(2):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.real
@pytest.mark.parametrize("shape", SHAPES)
def test_cost_is_linear(shape: str) -> None:
    """With the caps taken away, so that it is the algorithm that is linear and not only the cap that saves it (a quadratic one
    would take 16 times as long)."""
    make = SHAPES[shape]
    for limits in (WIDE, PREVIEW) if shape in ("text", "blanks", "markup", "scripts that never end") else (WIDE,):
        small, large = seconds(make(4_000), limits), seconds(make(16_000), limits)
        assert large < 12 * max(small, 0.003), f"{small:.4f} s became {large:.4f} s"


@pytest.mark.real
def test_blanks_of_quoted_printable_are_seen_once() -> None:
    small, large = (best_of_two(lambda n=n: decode_quoted_printable(b" " * n + b"x")) for n in (50_000, 200_000))  # type: ignore[misc]
    assert large < 8 * max(small, 0.003)


@pytest.mark.parametrize("shape", SHAPES)
def test_memory_is_a_small_multiple_of_the_message(shape: str) -> None:
    octets = SHAPES[shape](15_000)
    tracemalloc.start()
    try:
        digest(octets)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The constant: one field of 64 KiB can be a token an octet.
    assert peak < 20 * len(octets) + (12 << 20), f"{peak / len(octets):.1f} times"


@pytest.mark.real
def test_the_bombs_of_a_31_in_full_size() -> None:
    for octets in (
        b"Subject: " + b"x" * 50_000_000 + b"\r\n\r\n",
        b"To: a@b\r\n" * 500_000 + b"\r\n",
        b"To: " + b"a@b.example, " * 100_000 + b"\r\n\r\n",
        b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n\r\n",
        b"Content-Type: a/b" + b"".join(b"; n*%d*=x" % i for i in range(20_000)) + b"\r\n\r\n",
        b"Subject: x" + b"\r\n x" * 1_000_000 + b"\r\n\r\n",
        multipart(b"b", b"--b\r\n\r\nx\r\n" * 100_000),
        nested(10_000),
        b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
    ):
        tracemalloc.start()
        digest(octets)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 << 20, f"{octets[:20]!r}: {peak >> 20} MB"
