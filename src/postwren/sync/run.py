"""A whole run for one account, and what `sync add` needs before there is one. One run at a time: a lock of the system's, which
ends with its process, however that ends.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from postwren.mailstore.model import Account, Property
from postwren.mailstore.port import Reader, Store, Transaction, Unit
from postwren.sync.report import Ended, Event, Failed, Tell, as_json, size
from postwren.sync.secret import read_secret
from postwren.sync.settings import Choices, Settings, SettingsError, file_of
from postwren.sync.trouble import TROUBLE, SyncFailed, explain
from postwren.terms import AccountId, MailboxId
from postwren.wire.secret import Secret

__all__ = ["Busy", "account_of", "identify", "last_complete", "last_run", "remember", "run", "try_login", "under_lock"]

_IDENTITY: Final = "sync-identity"
_OF_ACCOUNT: Final = MailboxId(0)
_KIND: Final = "sync"
_LAST: Final = "last-run"
_COMPLETE: Final = "last-complete"


def identify(tx: Transaction) -> str:
    """The identity of this store, which settings name; made when there is none (D-72)."""
    kept = tx.setting(_IDENTITY)
    if kept is None:
        kept = secrets.token_hex(16).encode()
        tx.put_setting(_IDENTITY, kept)
    return kept.decode()


class Busy(SyncFailed):
    """Another process is at it just now."""


@contextlib.contextmanager
def under_lock(data: Path, address: str, suffix: str = ".lock") -> Iterator[None]:
    """Nobody else synchronises this account meanwhile (or sends its mail: ".outgoing"), or Busy."""
    path = file_of(data, address, suffix)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(fd, 20, 0).decode(errors="replace").strip()
            raise Busy(
                f"another run synchronises it just now{f' (process {who})' if who else ''}: wait until it ends, or end it"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(fd)


async def try_login(settings: Settings, secret: Secret[str]) -> tuple[str, str, str]:
    """Whether one gets in, before anything is written: how the login was proved, the version of TLS ("" in the clear), and what
    is there, in words. Raises SyncFailed."""
    from postwren.sync import pop3  # each way is loaded where it is gone: a start takes no longer than it must

    try:
        if settings.protocol == "imap":
            return await _try_imap(settings, secret)
        async with pop3.entered(settings, secret) as (client, mechanism):
            messages, octets = await client.stat()
            tls = client.tls_version or ""
            await client.quit()
    except TROUBLE as error:
        raise SyncFailed(explain(error, settings)) from error
    return mechanism, tls, f"{messages:,} messages, {size(octets)}"


async def _try_imap(settings: Settings, secret: Secret[str]) -> tuple[str, str, str]:
    from postwren.sync import mirror

    async with mirror.entered(settings, secret) as (client, mechanism):
        mailboxes, messages = await mirror.count(client)
        tls = client.tls_version or ""
        await client.logout()
    return mechanism, tls, f"{messages:,} messages in {mailboxes:,} mailboxes"


async def run(store: Store, data: Path, settings: Settings, tell: Tell, clock: Callable[[], float], choices: Choices) -> bool:
    """Whether it went well; `tell` heard everything. A refusal of the store is raised."""
    account: Account | None = None
    begun = int(clock())
    try:
        with under_lock(data, settings.address):
            account = account_of(store, settings)
            ended = await _synchronise(store, data, account.account_id, settings, tell, clock, choices)
    except (SyncFailed, SettingsError) as error:
        outcome: Event = Failed(settings.address, str(error))
    except TROUBLE as error:
        outcome = Failed(settings.address, explain(error, settings))
    else:
        outcome = ended
    if account is not None and not choices.is_dry_run:
        await store.perform(remember(account.account_id, outcome, int(clock()), begun))
    tell(outcome)
    return isinstance(outcome, Ended)


async def _synchronise(
    store: Store,
    data: Path,
    account_id: AccountId,
    settings: Settings,
    tell: Tell,
    clock: Callable[[], float],
    choices: Choices,
) -> Ended:
    secret = read_secret(data, settings)
    if settings.protocol == "imap":
        from postwren.sync import mirror

        spool = file_of(data, settings.address, ".partial")
        return await mirror.mirror(store, account_id, settings, secret, tell, clock, spool, choices)
    from postwren.sync import pop3

    return await pop3.take_all(store, account_id, settings, secret, tell, clock, is_dry_run=choices.is_dry_run)


def account_of(store: Store, settings: Settings) -> Account:
    """The copy, in the store that the settings mean. Raises SyncFailed."""
    identity = store.reader.setting(_IDENTITY)
    if identity is None or identity.decode() != settings.store:
        raise SyncFailed(
            "this is not the store that its settings were made for: it is new, or another one. Nothing was done. Put the store "
            "back from a backup, or begin anew with `postwren sync remove` and `postwren sync add`"
        )
    account = store.reader.account_by_login(settings.address)
    if account is None:
        raise SyncFailed(
            "its account is not in this store any more. Nothing was done; `postwren sync remove` and `postwren sync add` "
            "begin anew"
        )
    return account


def remember(account_id: AccountId, outcome: Event, now: int, begun: int | None = None) -> Unit[None]:
    """How a run ended, for `last_run`."""
    value = json.dumps({"at": now, "begun": now if begun is None else begun, **as_json(outcome)}, ensure_ascii=False).encode()

    def unit(tx: Transaction) -> None:
        if tx.account(account_id) is not None:
            tx.put_property(Property(account_id, _OF_ACCOUNT, _KIND, _LAST, value))
            if isinstance(outcome, Ended):
                tx.put_property(Property(account_id, _OF_ACCOUNT, _KIND, _COMPLETE, b"%d" % now))

    return unit


def last_run(reader: Reader, account_id: AccountId) -> dict[str, object] | None:
    """How the last run ended: an event as JSON, with `begun` and `at`, its end (seconds since 1970); None before the first."""
    for row in reader.properties(account_id, _OF_ACCOUNT, _KIND):
        if row.name == _LAST:
            return dict(json.loads(row.value))
    return None


def last_complete(reader: Reader, account_id: AccountId) -> int | None:
    """When the last run that came to its end did so (seconds since 1970): then all mailboxes were compared."""
    for row in reader.properties(account_id, _OF_ACCOUNT, _KIND):
        if row.name == _COMPLETE:
            return int(row.value)
    return None
