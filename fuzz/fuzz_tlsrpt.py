"""No record of a TLS report makes us raise, and no place in it can break a line or a header field."""

from postwren.mailauth.tlsrpt import LIMITS, mail_address, parse_record
from postwren.protocols.smtp.path import AddressInvalid, parse_mailbox


def target(data: bytes) -> None:
    places = parse_record(data.split(b"\n"))
    assert len(places) <= LIMITS.places
    for place in places:
        assert place.isascii()
        assert place.isprintable()
        address = mail_address(place)
        if address is not None:
            try:
                parsed = str(parse_mailbox(address))
            except AddressInvalid:
                continue
            assert "\r" not in parsed
            assert "\n" not in parsed


SEEDS: list[bytes] = [
    b"v=TLSRPTv1; rua=mailto:reports@example.org,https://example.org/r?x;",
    b"v=TLSRPTv1;rua=mailto:a%0d%0ab%2c@example.org; rua=x\nv=spf1 -all",
]
