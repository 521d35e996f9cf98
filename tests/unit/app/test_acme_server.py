"""A server that gets its certificate by ACME while it runs (RFC 8555): its own listener answers the challenge."""

import asyncio
import ssl
from pathlib import Path

import msgspec
import pytest
from tests.unit.exchange.acme_stub import AcmeStub

from postwren.app.server import Server
from postwren.config.loader import ConfigError
from postwren.config.schema import Config, Listen, Tls
from postwren.exchange.certificates import keeper_for
from postwren.testing.authority import Authority
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress

RESOLVER = ScriptedResolver({("acme.example", "A"): [HostAddress("127.0.0.1")]})


async def said(port: int, target: str) -> str:
    """The body of what our web server says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.0\r\nHost: mx.example.org\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode()


async def names_shown(port: int) -> set[str]:
    """The names of the certificate that a listener shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    from postwren.transport.certificate import certificate_names

    return set(certificate_names(shown))


def test_a_server_gets_its_certificate_and_shows_it_without_a_restart(tmp_path: Path) -> None:
    own = Authority(tmp_path)
    ports: dict[str, list[int]] = {}

    async def look(kind: str, name: str, token: str) -> str:
        return await said(ports["http"][0], f"/.well-known/acme-challenge/{token}")

    async def story() -> tuple[set[str], set[str]]:
        async with AcmeStub(own.issue("acme.example"), look) as stub:
            stub.pending = 0
            config = Config(
                hostname="mx.example.org",
                listen=Listen(**dict.fromkeys(Listen.__struct_fields__, ()) | dict.fromkeys(("imaps", "http"), ("127.0.0.1:0",))),
                tls=Tls(acme=True, acme_directory=f"{stub.base}/directory", acme_names=("a.example",), acme_trust=str(own.path)),
            )
            server = Server(tmp_path / "data", config, resolver=RESOLVER)
            ports.update(await server.start())
            before = await names_shown(ports["imaps"][0])
            after = before
            while after == before:
                after = await names_shown(ports["imaps"][0])
            await server.close()
            return before, after

    before, after = asyncio.run(asyncio.wait_for(story(), 30))
    assert "localhost" in before
    assert after == {"mx.example.org", "a.example"}


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        (Tls(acme=True, acme_directory="http://acme.example/"), "not an address"),
        (Tls(acme=True, acme_dns_server="ns.example.org:53", acme_dns_key="KEY"), "ns.example.org"),
        (Tls(acme=True, acme_dns_server="127.0.0.1:53", acme_dns_key="NONE"), "NONE"),
        (Tls(acme=True, acme_dns_server="127.0.0.1:53", acme_dns_key="ODD"), "tsig-keygen"),
    ],
)
def test_a_fault_of_the_configuration_is_told_at_the_start(tmp_path: Path, tls: Tls, why: str) -> None:
    (tmp_path / "KEY").write_text('key "acme" { algorithm hmac-sha256; secret "c2VjcmV0"; };')
    (tmp_path / "ODD").write_text("odd")
    tls = msgspec.structs.replace(tls, acme_dns_key=str(tmp_path / tls.acme_dns_key))
    with pytest.raises(ConfigError, match=why):
        keeper_for(tls, tmp_path / "tls", "mx.example.org", RESOLVER, {})
