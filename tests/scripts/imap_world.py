"""A stage for IMAP: sessions on links in memory, over a store that is given."""

import random
from dataclasses import replace
from typing import Any

from postwren.mailstore.digester import Digester
from postwren.mailstore.invariant import check
from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.find import Finder
from postwren.mailstore.service.keys import Keys
from postwren.mailstore.service.mailboxes import create_mailbox, delete_mailbox
from postwren.mailstore.service.maildrop import remove
from postwren.mailstore.snapshot import Snapshots
from postwren.protocols.imap.command import Create, Delete, Status
from postwren.protocols.imap.command.list import StatusItem
from postwren.protocols.imap.response.list import MailboxStatus
from postwren.server.imap import TABLE, ImapService, ImapSession, ImapSettings, place
from postwren.server.imap.flagtext import FlagTextsOfAll
from postwren.server.imap.objectid import mailbox_id
from postwren.server.imap.refusal import NO_MAILBOX
from postwren.server.imap.session import waiting
from postwren.server.login import Authenticator, LoginPolicy
from postwren.terms import INBOX
from postwren.testing.loopback import PLAYED_TLS, LoopbackLink
from postwren.testing.play import LoopbackWire, Wire
from postwren.transport.session import Peer
from tests.scripts.pop3_world import cheap_credentials, no_sleep

NOW = 1_700_000_000
FAR = Peer("192.0.2.7", 40000)


async def create(session: ImapSession, tag: str, command: Create) -> None:
    await session.service.store.perform(create_mailbox(session.account_id, command.mailbox, NOW))
    session.finish(tag, "done")


async def delete(session: ImapSession, tag: str, command: Delete) -> None:
    found = place.find(session, command.mailbox)
    assert found
    await session.service.store.perform(delete_mailbox(session.account_id, found.mailbox.mailbox_id, NOW))
    session.finish(tag, "done")


def status(session: ImapSession, tag: str, command: Status) -> None:
    found = place.find(session, command.mailbox)
    if found is None:
        session.refuse(tag, NO_MAILBOX)
        return
    row = found.mailbox
    known: dict[StatusItem, int | str | None] = {
        StatusItem.MESSAGES: row.messages,
        StatusItem.UIDNEXT: row.uidnext,
        StatusItem.UIDVALIDITY: row.uidvalidity,
        StatusItem.UNSEEN: row.unseen,
        StatusItem.HIGHESTMODSEQ: row.highestmodseq,
        StatusItem.SIZE: row.size,
        StatusItem.MAILBOXID: mailbox_id(found.account_id, row.mailbox_id),
    }
    session.say(MailboxStatus(command.mailbox, tuple([(item, known[item]) for item in command.items if item in known])))
    session.finish(tag, "done")


STAND_INS = {Create: waiting(create), Delete: waiting(delete), Status: status}
table = replace(TABLE, commands={**STAND_INS, **TABLE.commands})


class ImapWorld:
    """Implements `imap_stage.World`."""

    name = "postwren"

    def __init__(self, store: Store, settings: ImapSettings | None = None) -> None:
        self.store = store
        octets = random.Random(7).randbytes
        policy = LoginPolicy(allow_cleartext=True)
        self.authenticator = Authenticator(store, policy, now=lambda: NOW, random=octets, sleep=no_sleep)
        keys = Keys(store.read_body, store.digests)
        self.service = ImapService(
            store=store,
            authenticator=self.authenticator,
            snapshots=Snapshots(store, lambda: 0.0),
            digester=Digester(store, lambda: 0.0),
            finder=Finder(store, keys),
            keys=keys,
            flag_texts=FlagTextsOfAll(store),
            settings=settings or ImapSettings(is_compressing=True),
            now=lambda: NOW,
            random=octets,
            searching={},
        )
        self.links: list[LoopbackLink] = []

    async def account(self, login: str, quota: int) -> None:
        if self.store.reader.account_by_login(login) is None:
            await self.store.perform(create_account(login, cheap_credentials("secret"), NOW, quota))

    def link(self, **options: Any) -> LoopbackLink:
        link = LoopbackLink(ImapSession(self.service, table), **options)
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
