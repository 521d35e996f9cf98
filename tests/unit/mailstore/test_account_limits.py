"""What an account may keep, at n and at n + 1, by whatever road it comes (A-49)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.scripts.pop3_world import cheap_credentials

from postwren.mailstore.errors import TooMany
from postwren.mailstore.model import Account
from postwren.mailstore.port import Unit
from postwren.mailstore.service import acl, flags, mailboxes
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.append import NewMessage, append
from postwren.mailstore.service.flags import FlagAction, change_flags
from postwren.storage.memory import MemoryStore
from postwren.terms import INBOX, MailboxId

NOW = 1_700_000_000


class Stage:
    def __init__(self, store: MemoryStore, account: Account) -> None:
        self.store, self.account_id = store, account.account_id
        self.inbox = self.id_of(INBOX)

    def id_of(self, name: str) -> MailboxId:
        found = self.store.reader.mailbox_by_name(self.account_id, name)
        assert found is not None
        return found.mailbox_id

    async def create(self, name: str) -> None:
        await self.store.perform(mailboxes.create_mailbox(self.account_id, name, NOW))

    async def refused(self, unit: Unit[object]) -> None:
        """It is too many, and nothing changed."""
        before = self.store.reader.account(self.account_id)
        with pytest.raises(TooMany):
            await self.store.perform(unit)
        assert self.store.reader.account(self.account_id) == before


def play(scenario: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        store = MemoryStore()
        account = await store.perform(create_account("ann@example.org", cheap_credentials("secret"), NOW))
        await scenario(Stage(store, account))
        store.close()

    asyncio.run(run())


def test_so_many_mailboxes_by_whatever_road(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that come above another one, or of the messages of INBOX."""
    monkeypatch.setattr(mailboxes, "LIMITS", mailboxes.Limits(mailboxes=4))

    async def scenario(stage: Stage) -> None:
        await stage.create("a/b")
        await stage.refused(mailboxes.create_mailbox(stage.account_id, "c/d", NOW))
        await stage.refused(mailboxes.rename_mailbox(stage.account_id, stage.id_of("a"), "c/d/e", NOW))
        await stage.create("c")
        await stage.refused(mailboxes.create_mailbox(stage.account_id, "d", NOW))
        await stage.refused(mailboxes.rename_mailbox(stage.account_id, stage.inbox, "d", NOW))
        await stage.store.perform(mailboxes.rename_mailbox(stage.account_id, stage.id_of("c"), "e", NOW))
        assert len(stage.store.reader.mailboxes(stage.account_id)) == 4

    play(scenario)


def test_so_many_subscriptions_by_whatever_road(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that mailboxes leave behind."""
    monkeypatch.setattr(mailboxes, "LIMITS", mailboxes.Limits(subscriptions=2))

    async def scenario(stage: Stage) -> None:
        for name in "abc":
            await stage.create(name)
            await stage.store.perform(mailboxes.subscribe(stage.account_id, stage.id_of(name), True))
            await stage.store.perform(mailboxes.delete_mailbox(stage.account_id, stage.id_of(name), NOW))
        assert sorted({*mailboxes.subscriptions(stage.store.reader, stage.account_id)} - {INBOX}) == ["a", "b"]
        await stage.refused(mailboxes.subscribe_name(stage.account_id, "d", True))
        await stage.store.perform(mailboxes.subscribe_name(stage.account_id, "a", False))
        await stage.store.perform(mailboxes.subscribe_name(stage.account_id, "d", True))

    play(scenario)


def test_so_many_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acl, "LIMITS", acl.Limits(grants=2))

    async def scenario(stage: Stage) -> None:
        def grant(name: str, rights: str) -> Unit[None]:
            return acl.set_rights(stage.account_id, stage.inbox, f"{name}@example.org", "", frozenset(rights))

        await stage.store.perform(grant("ben", "l"))
        await stage.store.perform(grant("-cat", "l"))
        await stage.refused(grant("dan", "l"))
        await stage.store.perform(grant("ben", "lr"))
        await stage.store.perform(grant("ben", ""))
        await stage.store.perform(grant("dan", "l"))

    play(scenario)


def test_so_many_flags_and_sets_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags, "LIMITS", flags.Limits(sets=4, flags=2))

    async def scenario(stage: Stage) -> None:
        writer = stage.store.new_body()
        writer.write(b"x")
        body = writer.finish()
        message = NewMessage(body, NOW, frozenset())
        await stage.store.perform(append(stage.account_id, stage.inbox, [message], NOW), [body])

        def mark(*names: str) -> Unit[object]:
            return change_flags(stage.account_id, stage.inbox, [(1, 1)], FlagAction.REPLACE, names)

        await stage.store.perform(mark("a", "b"))
        await stage.refused(mark("a", "b", "c"))
        for name in "cde":
            await stage.store.perform(mark(name))
        await stage.refused(mark("f"))
        await stage.refused(mark("g"))
        for name in "cde":
            await stage.store.perform(mark(name))
        assert len(stage.store.reader.flagsets(stage.account_id)) == 5  # with that of no flag at all

    play(scenario)
