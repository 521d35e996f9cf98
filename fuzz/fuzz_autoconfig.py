"""No document makes the reader of autoconfig raise anything but its refusal, or say a server without TLS or without a host name.

The first line is the address, the rest the document.
"""

from contextlib import suppress

from postwren.client.conversation import Security
from postwren.sync.autoconfig import MOST_SERVERS, AutoconfigInvalid, is_hostname, parse_autoconfig


def target(data: bytes) -> None:
    address, _, document = data.partition(b"\n")
    with suppress(AutoconfigInvalid):
        servers = parse_autoconfig(document, address.decode("latin-1"))
        assert len(servers) <= MOST_SERVERS
        for server in servers:
            assert server.tls is not Security.NONE
            assert is_hostname(server.host)
            assert server.host.isascii()
            assert 0 < server.port < 65536
            assert server.login.isprintable()


_SERVER = (
    b'<%sServer type="%s"><hostname>mail.%%EMAILDOMAIN%%</hostname><port>993</port><socketType>SSL</socketType>'
    b"<username>%%EMAILADDRESS%%</username><authentication>OAuth2</authentication></%sServer>"
)
_BEFORE, _BEHIND = b'<clientConfig version="1.1"><emailProvider id="example.org">', b"</emailProvider></clientConfig>"
SEEDS: list[bytes] = [
    b"ann@example.org\n" + _BEFORE + _SERVER % (b"incoming", b"imap", b"incoming") + _BEHIND,
    b"ann@example.org\n" + _BEFORE + _SERVER % (b"outgoing", b"smtp", b"outgoing") * 3 + _BEHIND,
    b'%EMAILDOMAIN%@x\n<?xml version="1.0" encoding="utf-16"?>' + _BEFORE + b"<![CDATA[&amp;]]>&#x41;" + _BEHIND,
    b'a@b\n<!DOCTYPE x [<!ENTITY a "b"><!ENTITY % p SYSTEM "file:///">%p;]>' + _BEFORE + b"&a;" + _BEHIND,
]
