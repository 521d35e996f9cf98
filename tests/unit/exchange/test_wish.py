"""What a message asks of TLS (RFC 8689 sections 3 and 4.1)."""

import pytest

from postwren.exchange.policy import TlsWish
from postwren.exchange.wish import wish_in_header


@pytest.mark.parametrize(
    ("header", "wish"),
    [
        (b"TLS-Required: No\r\n", TlsWish.WAIVED),
        (b"tls-required:no\r\n", TlsWish.WAIVED),
        (b"TLS-Required:\r\n No\r\n", TlsWish.WAIVED),
        (b"TLS-Required: Yes\r\n", TlsWish.USUAL),
        (b"TLS-Required: No\r\nTLS-Required: No\r\n", TlsWish.USUAL),
        (b"X-TLS-Required: No\r\n", TlsWish.USUAL),
        (b"Subject: TLS-Required: No\r\n", TlsWish.USUAL),
        (b"\r\nTLS-Required: No\r\n", TlsWish.USUAL),
        (b"", TlsWish.USUAL),
    ],
)
def test_only_one_field_that_says_no_waives_policies(header: bytes, wish: TlsWish) -> None:
    assert wish_in_header(b"From: ann@example.org\r\n" + header + b"\r\nbody\r\n") is wish
