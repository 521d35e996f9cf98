"""A store in a folder with one account, for tests."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from postwren.mailstore.model import Account, BodyRef, Credentials
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.deliver import Delivered, Target, deliver
from postwren.storage.embedded import EmbeddedStore, Settings

T = TypeVar("T")
LOGIN = "ann@example.org"
SMALL = Settings(reserve=0, segment_size=20_000, spool_above=10_000, wal_octets=300_000, idle_seconds=0.01, look_seconds=0.02)


def message(number: int, size: int = 300) -> bytes:
    """A message that tells which one it is."""
    start = b"Subject: number %d\r\n\r\n" % number
    return start + b"." * (size - len(start) - 2) + b"\r\n"


def run(test: Callable[[EmbeddedStore], Awaitable[T]], path: Path, **options: Any) -> T:
    """Open, run, close."""

    async def whole() -> T:
        store = EmbeddedStore(path, **{"settings": SMALL, **options})
        try:
            return await test(store)
        finally:
            store.close()

    return asyncio.run(whole())


async def ann(store: EmbeddedStore) -> Account:
    """The account, made when it is missing."""
    if (found := store.reader.account_by_login(LOGIN)) is not None:
        return found
    return await store.perform(create_account(LOGIN, Credentials("hash", {}), 1_700_000_000))


async def put(store: EmbeddedStore, data: bytes) -> Delivered:
    """Deliver to ann's INBOX."""
    account = await ann(store)
    writer = store.new_body()
    writer.write(data)
    body = writer.finish()
    try:
        return (await store.perform(deliver([Target(account.account_id)], body, 1_700_000_000), (body,)))[0]
    except BaseException:
        body.discard()
        raise


def contents(store: EmbeddedStore) -> list[bytes]:
    """All octets in ann's INBOX, by UID."""
    account = store.reader.account_by_login(LOGIN)
    if account is None:
        return []
    inbox = store.reader.mailbox_by_name(account.account_id, "INBOX")
    assert inbox is not None
    rows = store.reader.maildrop_rows(account.account_id, inbox.mailbox_id)
    return [store.read_body(BodyRef(segment, offset, size, crc)) for _, size, _, segment, offset, crc, _ in rows]
