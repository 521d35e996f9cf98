"""The ClientHello parser on what real clients send, in any cut, and on rubbish."""

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.transport.clienthello import LARGEST_HELLO, ClientHello, HelloReader, NotTls, parse_client_hello


def hello(name: str | None = "mail.example.org", alpn: list[str] | None = None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


@pytest.mark.parametrize("name", [None, "mail.example.org", "MAIL.example.ORG"])
@pytest.mark.parametrize("alpn", [None, ["imap"], ["h2", "http/1.1"]])
def test_name_and_alpn_are_read(name: str | None, alpn: list[str] | None) -> None:
    expected = ClientHello(
        None if alpn is None else tuple(p.encode() for p in alpn),
        None if name is None else name.lower(),
    )
    assert HelloReader().feed(hello(name, alpn)) == expected


def test_it_is_read_octet_by_octet_and_across_records() -> None:
    whole = hello(alpn=["pop3"])
    body = whole[5:]
    finely = b"".join(b"\x16\x03\x03" + len(body[i : i + 7]).to_bytes(2, "big") + body[i : i + 7] for i in range(0, len(body), 7))
    for octets in (whole, finely):
        reader = HelloReader()
        for i in range(len(octets) - 1):
            assert reader.feed(octets[i : i + 1]) is None
        assert reader.feed(octets[-1:]) == ClientHello((b"pop3",), "mail.example.org")
        assert reader.octets == octets


def message_of(length: int) -> bytes:
    """A ClientHello of this many octets in all, padded by an unknown extension, in one record or two."""
    padding = length - 4 - 2 - 32 - 1 - 2 - 1 - 2 - 4
    extension = b"\xff\x00" + padding.to_bytes(2, "big") + bytes(padding)
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\0" + b"\0" + len(extension).to_bytes(2, "big") + extension
    message = b"\1" + len(body).to_bytes(3, "big") + body
    assert len(message) == length
    parts = [message[:16384], message[16384:]]
    return b"".join(b"\x16\3\1" + len(part).to_bytes(2, "big") + part for part in parts if part)


def test_the_largest_hello_and_one_octet_more() -> None:
    assert HelloReader().feed(message_of(LARGEST_HELLO)) == ClientHello(None, None)
    with pytest.raises(NotTls):
        HelloReader().feed(message_of(LARGEST_HELLO + 1))


@given(st.binary(max_size=400))
def test_rubbish_is_an_answer_and_never_an_error_of_ours(rubbish: bytes) -> None:
    for first in (rubbish, hello()[:60] + rubbish):
        with contextlib.suppress(NotTls):
            HelloReader().feed(first)
    with contextlib.suppress(NotTls):
        parse_client_hello(rubbish)
