"""A stage for stories about one store: short words for what every story does, and the invariants at the end."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from postwren.mailstore.invariant import check
from postwren.mailstore.model import Account, Credentials, Entry, Mailbox
from postwren.mailstore.port import NewBody, Reader, Store, Unit
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.append import Appended, NewMessage, append
from postwren.mailstore.service.deliver import Delivered, Target, deliver
from postwren.mailstore.service.flags import FlagAction, FlagsChanged, change_flags
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.terms import INBOX, AccountId, MailboxId, ModSeq

__all__ = ["NOBODY", "Scene", "StoreOpener", "dump", "story"]

T = TypeVar("T")
NOBODY = Credentials("", {})


class StoreOpener(Protocol):
    """What an adapter's test class adds to a contract."""

    async def open_store(self, path: Path) -> Store:
        """A store in this folder: a new one, or the one that was closed there."""


class Scene:
    """One store and a clock that stands still."""

    def __init__(self, opener: StoreOpener, path: Path, store: Store) -> None:
        self.opener = opener
        self.path = path
        self.store = store
        self.now = 1_700_000_000
        self.is_open = True

    @property
    def reader(self) -> Reader:
        return self.store.reader

    async def perform(self, unit: Unit[T], bodies: Sequence[NewBody] = ()) -> T:
        return await self.store.perform(unit, bodies)

    async def account(self, login: str = "ann@example.org", quota: int = 0) -> Account:
        return await self.perform(create_account(login, NOBODY, self.now, quota))

    def body(self, data: bytes) -> NewBody:
        writer = self.store.new_body()
        writer.write(data)
        return writer.finish()

    async def deliver(
        self, account: Account, data: bytes = b"Subject: hello\r\n\r\nhello\r\n", mailbox: str = INBOX
    ) -> Delivered:
        return (await self.deliver_to([Target(account.account_id, mailbox)], data))[0]

    async def deliver_to(self, targets: Sequence[Target], data: bytes) -> list[Delivered]:
        body = self.body(data)
        try:
            return await self.perform(deliver(targets, body, self.now), [body])
        finally:
            body.discard()

    async def append(self, account: Account, *data: bytes, flags: Iterable[str] = (), mailbox: str = INBOX) -> Appended:
        bodies = [self.body(each) for each in data]
        messages = [NewMessage(body, self.now - 1000, frozenset(flags)) for body in bodies]
        mailbox_id = self.mailbox(account, mailbox).mailbox_id
        try:
            return await self.perform(append(account.account_id, mailbox_id, messages, self.now), bodies)
        finally:
            for body in bodies:
                body.discard()

    async def create(self, account: Account, name: str) -> Mailbox:
        return await self.perform(create_mailbox(account.account_id, name, self.now))

    async def add_flags(self, mailbox: Mailbox, uid: int, *flags: str) -> FlagsChanged:
        return await self.perform(change_flags(mailbox.account_id, mailbox.mailbox_id, [(uid, uid)], FlagAction.ADD, flags))

    # -- what is there now

    def mailbox(self, account: Account, name: str = INBOX) -> Mailbox:
        found = self.reader.mailbox_by_name(account.account_id, name)
        assert found is not None, name
        return found

    def row(self, account: Account) -> Account:
        found = self.reader.account(account.account_id)
        assert found is not None
        return found

    def entries(self, account: Account, name: str = INBOX) -> list[Entry]:
        return self.reader.entries(account.account_id, self.mailbox(account, name).mailbox_id)

    def uids(self, account: Account, name: str = INBOX) -> list[int]:
        return [entry.uid for entry in self.entries(account, name)]

    def flags(self, account: Account, name: str = INBOX) -> dict[int, frozenset[str]]:
        entries = self.entries(account, name)
        return {entry.uid: self.reader.flagset(account.account_id, entry.flagset_id) for entry in entries}

    def content(self, account: Account, entry: Entry) -> bytes:
        email = self.reader.email(account.account_id, entry.email_id)
        assert email is not None
        return self.store.read_body(email.body)

    def contents(self, account: Account, name: str = INBOX) -> list[bytes]:
        return [self.content(account, entry) for entry in self.entries(account, name)]

    # -- its life

    async def reopen(self) -> None:
        """Close the store and open it again."""
        await self.end()
        self.store = await self.opener.open_store(self.path)
        self.is_open = True

    async def verify(self) -> None:
        """All invariants, on one snapshot, octets included."""
        violations = await self.store.read(lambda reader: list(check(reader, self.store.body_pieces)))
        assert violations == []

    async def end(self) -> None:
        """Check all invariants and close."""
        if self.is_open:
            self.is_open = False
            try:
                await self.verify()
            finally:
                self.store.close()


def story(method: Callable[[Any, Scene], Coroutine[Any, Any, None]]) -> Callable[[Any, Path], None]:
    """Make a test of a coroutine method that takes a scene."""

    def test(self: StoreOpener, tmp_path: Path) -> None:
        asyncio.run(_play(self, tmp_path, partial(method, self)))

    test.__name__ = method.__name__
    test.__doc__ = method.__doc__
    return test


async def _play(opener: StoreOpener, path: Path, play: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    scene = Scene(opener, path, await opener.open_store(path))
    try:
        await play(scene)
    except BaseException:
        scene.is_open = False
        scene.store.close()
        raise
    await scene.end()


def dump(reader: Reader, account_id: AccountId) -> list[object]:
    """Everything that a reader tells about an account, to compare before with after."""
    told: list[object] = [reader.account(account_id), list(reader.addresses(account_id))]
    told += [reader.mailboxes(account_id), list(reader.emails(account_id)), reader.expunged(account_id)]
    told.append(reader.changes(account_id, ModSeq(0)))
    for mailbox in reader.mailboxes(account_id):
        told.append(_rows(reader, account_id, mailbox.mailbox_id))
    return told


def _rows(reader: Reader, account_id: AccountId, mailbox_id: MailboxId) -> list[object]:
    entries = reader.entries(account_id, mailbox_id)
    flags = [reader.flagset(account_id, entry.flagset_id) for entry in entries]
    return [entries, flags, reader.maildrop_rows(account_id, mailbox_id)]
