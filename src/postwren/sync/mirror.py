"""A copy of an IMAP account: from the connection to the last event of a run (`imap` does what lies between)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from postwren.client.conversation import ServerFailed
from postwren.client.imap import ImapClient, Refused
from postwren.mailstore.port import Store
from postwren.protocols.imap.command import Authenticate, Login
from postwren.protocols.imap.response import Untagged
from postwren.sync.imap import Options, Outcome, synchronise
from postwren.sync.look import MailboxRefused
from postwren.sync.remote import Remote
from postwren.sync.report import Began, Ended, Tell
from postwren.sync.settings import Choices, Settings, is_loopback
from postwren.sync.trouble import LoginRefused, SyncFailed, wrong_login
from postwren.terms import AccountId
from postwren.wire.secret import Secret

__all__ = ["concluded", "count", "entered", "mirror"]


@asynccontextmanager
async def entered(
    settings: Settings, secret: Secret[str], *, overheard: Callable[[Untagged], object] | None = None, is_far: bool | None = None
) -> AsyncIterator[tuple[ImapClient, str]]:
    """A client that is logged in, and how; what it says is compressed where the server lets and `is_far` (None: is not this
    machine). Raises `trouble.TROUBLE`, or LoginRefused."""
    client = ImapClient(settings.host, settings.port, security=settings.tls, trusted=settings.trusted, overheard=overheard)
    pinned = settings.mechanism or None
    is_token = settings.kept_in == "token-command"
    async with client:
        try:
            if is_token:
                mechanism = await client.login(settings.login, token=secret, pinned=pinned)
            else:
                mechanism = await client.login(settings.login, secret, pinned=pinned)
        except Refused as refused:
            if isinstance(refused.command, Authenticate | Login):
                raise LoginRefused(wrong_login(settings, refused.answer.text)) from refused
            raise
        await _compress(client, not is_loopback(settings.host) if is_far is None else is_far)
        yield client, mechanism


async def _compress(client: ImapClient, is_far: bool) -> None:
    """Headers and flags shrink to a fifth, and a line is slower than a processor. The password was said before."""
    if is_far and "COMPRESS=DEFLATE" in await client.capabilities():
        with suppress(Refused):
            await client.compress()


async def count(client: ImapClient) -> tuple[int, int]:
    """Mailboxes and messages there."""
    listed = await (await Remote.enter(client)).mailboxes()
    return len(listed), sum(mailbox.messages for mailbox in listed)


async def mirror(
    store: Store,
    account_id: AccountId,
    settings: Settings,
    secret: Secret[str],
    tell: Tell,
    clock: Callable[[], float],
    spool: Path,
    choices: Choices,
) -> Ended:
    """One run. Raises `trouble.TROUBLE`, SyncFailed where not all could be done, or a refusal of the store."""
    begun = clock()
    options = Options(settings.address, lambda: int(clock()), spool, tell, choices=choices)
    async with entered(settings, secret) as (client, mechanism):
        tell(Began(settings.address, "imap", settings.host, client.tls_version or "", mechanism))
        try:
            outcome = await synchronise(store, account_id, await Remote.enter(client), options)
        except MailboxRefused as refused:
            raise ServerFailed(str(refused)) from refused
        with suppress(ServerFailed, OSError):
            await client.logout()
    return concluded(settings.address, outcome, clock() - begun, is_dry_run=choices.is_dry_run)


def concluded(address: str, outcome: Outcome, seconds: float, *, is_dry_run: bool = False) -> Ended:
    """What a run did. Raises SyncFailed where that is not all."""
    if outcome.held:
        gone = sum(outcome.held.values())
        raise SyncFailed(f"{gone:,} deletions are held; `postwren sync run {address} --accept-deletions` carries them out")
    if not outcome.is_complete and not is_dry_run:
        raise SyncFailed("not all of it could be done, as said above; the next run tries it again")
    did = outcome.counts
    return Ended(
        address,
        did.get("pulled", 0),
        outcome.octets,
        did.get("paired", 0),
        did.get("deleted_there", 0),
        seconds,
        is_dry_run=is_dry_run,
        sent=did.get("pushed", 0),
        flags=did.get("flags", 0),
        moved=did.get("moved", 0),
        deleted_here=did.get("deleted_here", 0),
    )
