"""The server's documents on the web, by real connections: our own policy is what our own fetcher finds (RFC 8461)."""

import asyncio
from pathlib import Path
from typing import Final

import msgspec
import pytest

from postwren.app.server import Server
from postwren.config.loader import ConfigError
from postwren.config.schema import Config, Listen, MtaSts, Tls
from postwren.exchange.mtasts import MtaSts as Fetcher
from postwren.exchange.web import StrangersWeb
from postwren.mailauth.mtasts import Mode, Policy, format_record, id_of
from postwren.mailstore.model import Credentials
from postwren.mailstore.service.accounts import create_account
from postwren.protocols.http.client import Responded
from postwren.storage.memory import MemoryStore
from postwren.stores import open_store
from postwren.testing.authority import Authority
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress, Txt

POLICY: Final = Policy(Mode.TESTING, ("mx.example.org", "*.backup.example"), 14 * 24 * 3600)
HOST: Final = "mta-sts.example.org"
RESOLVER: Final = ScriptedResolver(
    {("_mta-sts.example.org", "TXT"): [Txt(format_record(id_of(POLICY)))], (HOST, "A"): [HostAddress("127.0.0.1")]}
)


def test_our_own_policy_is_found_by_our_own_fetcher(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue(HOST, "mx.example.org")
    config = Config(
        hostname="mx.example.org",
        listen=Listen(smtp=(), submission=(), submissions=(), imap=(), imaps=(), pop3=(), pop3s=(), https=("127.0.0.1:0",)),
        tls=Tls(str(certificate), str(key)),
        mta_sts=MtaSts("testing", ("MX.example.org", "*.backup.example")),
    )
    data = tmp_path / "data"

    async def story() -> tuple[Policy | None, Responded]:
        store = await open_store(data, config)
        await store.perform(create_account("ann@example.org", Credentials("x", {}), 1))
        store.close()
        server = Server(data, config)
        ports = await server.start()
        web = StrangersWeb(RESOLVER, is_private_allowed=True, trusted=authority.path, port=ports["https"][0])
        assert server.services is not None
        server.services.challenges["token"] = "token.thumb"
        try:
            found = await Fetcher(MemoryStore(), RESOLVER, web, lambda: 1.8e9).look_up("example.org")
            return found.policy, await web.get(HOST, "/.well-known/acme-challenge/token")
        finally:
            await server.close()

    policy, challenge = asyncio.run(story())
    assert policy == POLICY
    assert challenge.body == b"token.thumb"


def test_a_policy_that_nobody_would_take_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    config = msgspec.structs.replace(
        Config(hostname="mx.example.org", listen=Listen(smtp=("127.0.0.1:0",))), mta_sts=MtaSts("enforce", ("a b",))
    )

    async def story() -> None:
        with pytest.raises(ConfigError, match="mta_sts"):
            await Server(tmp_path, config).start()

    asyncio.run(story())
