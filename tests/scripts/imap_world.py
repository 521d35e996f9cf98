"""A stage for IMAP: sessions on links in memory, over a store that is given."""

import random
from typing import Any

from postwren.mailstore.digester import Digester
from postwren.mailstore.invariant import check
from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.find import Finder
from postwren.mailstore.service.keys import Keys
from postwren.mailstore.service.maildrop import remove
from postwren.mailstore.snapshot import Snapshots
from postwren.server.imap import TABLE, ImapService, ImapSession, ImapSettings
from postwren.server.imap.flagtext import FlagTextsOfAll
from postwren.server.login import Authenticator, LoginPolicy
from postwren.terms import INBOX
from postwren.testing.loopback import PLAYED_TLS, LoopbackLink
from postwren.testing.play import LoopbackWire, Wire
from postwren.transport.session import Peer
from tests.scripts.pop3_world import cheap_credentials, no_sleep

ADMINISTRATOR = "root@example.org"
NOW = 1_700_000_000
FAR = Peer("192.0.2.7", 40000)


class ImapWorld:
    """Implements `imap_stage.World`."""

    name = "postwren"

    def __init__(self, store: Store, settings: ImapSettings | None = None) -> None:
        self.store = store
        octets = random.Random(7).randbytes
        policy = LoginPolicy(allow_cleartext=True)
        self.authenticator = Authenticator(store, policy, now=lambda: NOW, random=octets, sleep=no_sleep)
        keys = Keys(store.read_body, store.digests, store)
        self.service = ImapService(
            store=store,
            authenticator=self.authenticator,
            snapshots=Snapshots(store, lambda: 0.0),
            digester=Digester(store, lambda: 0.0),
            finder=Finder(store, keys),
            keys=keys,
            flag_texts=FlagTextsOfAll(store),
            settings=settings or ImapSettings(is_compressing=True, administrators=frozenset({ADMINISTRATOR})),
            now=lambda: NOW,
            random=octets,
            searching={},
        )
        self.links: list[LoopbackLink] = []

    async def account(self, login: str, quota: int) -> None:
        if self.store.reader.account_by_login(login) is None:
            await self.store.perform(create_account(login, cheap_credentials("secret"), NOW, quota))

    def link(self, **options: Any) -> LoopbackLink:
        link = LoopbackLink(ImapSession(self.service, TABLE), **options)
        self.links.append(link)
        return link

    async def connect(self, scene: set[str]) -> Wire:
        options: dict[str, Any] = {"tls": PLAYED_TLS} if "tls" in scene else {}
        if "far" in scene:
            options["peer"] = FAR
        return LoopbackWire(self.link(**options))

    async def deliver(self, login: str, message: bytes) -> None:
        account = self.store.reader.account_by_login(login)
        assert account is not None
        writer = self.store.new_body()
        writer.write(message)
        body = writer.finish()
        await self.store.perform(deliver([Target(account.account_id)], body, NOW), (body,))

    async def remove_by_pop3(self, login: str, number: int) -> None:
        account = self.store.reader.account_by_login(login)
        assert account is not None
        inbox = self.store.reader.mailbox_by_name(account.account_id, INBOX)
        assert inbox is not None
        uid = self.store.reader.maildrop_rows(account.account_id, inbox.mailbox_id)[number - 1][0]
        await self.store.perform(remove(account.account_id, inbox.mailbox_id, [uid], NOW))

    def end(self) -> None:
        """Every session's end; then the store is sound."""
        for link in self.links:
            link.drop()
        self.authenticator.close()
        assert [bug for link in self.links for bug in link.bugs] == []
        assert list(check(self.store.reader, self.store.body_pieces)) == []
