"""A POP3 maildrop beside what was taken from it: every message that is listed there, octet by octet. Nothing is deleted."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Final

from postwren.client.conversation import ServerFailed
from postwren.client.pop3 import Pop3Client, Refused
from postwren.mailstore.port import Reader, Store
from postwren.mailstore.replica import Taken, TakenState
from postwren.protocols.pop3.command import Retr, Top
from postwren.sync.identity import HEADER, headers_here
from postwren.sync.maildrop import Listed, listed
from postwren.sync.pop3 import entered, gone_here
from postwren.sync.report import Began, Difference
from postwren.sync.settings import Settings
from postwren.sync.verify import Tally
from postwren.terms import INBOX, AccountId, MailboxId, Uid
from postwren.wire.secret import Secret

__all__ = ["compare"]

WINDOW: Final = 32
_ASKED: Final = 2  # windows on the wire


async def compare(
    store: Store, account_id: AccountId, settings: Settings, secret: Secret[str], tally: Tally, *, is_quick: bool
) -> None:
    """Log in and compare. Raises `trouble.TROUBLE` and SyncFailed."""
    async with entered(settings, secret) as (client, mechanism):
        tally.tell(Began(settings.address, "pop3", settings.host, client.tls_version or "", mechanism))
        rows = await store.read(lambda reader: reader.taken(account_id))
        gone = await store.read(lambda reader: gone_here(reader, account_id, rows))
        heads = is_quick and "TOP" in await client.capabilities()
        await _Comparison(store, account_id, client, tally, heads, gone).run(rows)
        with suppress(ServerFailed, OSError):
            await client.quit()


@dataclass(frozen=True, slots=True)
class _Comparison:
    store: Store
    account_id: AccountId
    client: Pop3Client
    tally: Tally
    heads: bool  # ask for headers only
    gone: frozenset[tuple[MailboxId, Uid]]

    async def run(self, rows: Sequence[Taken]) -> None:
        sizes, uidls = await self.client.maildrop()
        self.tally.of, self.tally.of_octets = len(sizes), sum(sizes.values())
        messages = listed(sizes, uidls)
        for lost in self._unlisted(messages, rows):
            self.tally.differ(INBOX, Difference.MISSING_THERE, _name(lost.uidl), lost.uid)
        taken = {row.uidl: row for row in rows}
        by_content = {row.content_id: row for row in rows}
        known: list[tuple[Listed, Taken | None]] = []
        row: Taken | None
        for message in messages:
            row = None if message.uidl is None else taken.get(message.uidl)
            if row is None and message.uidl is not None:
                self.tally.differ(INBOX, Difference.MISSING_HERE, _name(message.uidl), None, "not taken yet")
                self.tally.read(1, 0)
            else:
                known.append((message, row))
        windows = [known[start : start + WINDOW] for start in range(0, len(known), WINDOW)]
        for window in windows[:_ASKED]:
            self._ask(window)
        for number, window in enumerate(windows):
            for message, row in window:
                await self._one(message, row, by_content)
            if number + _ASKED < len(windows):
                self._ask(windows[number + _ASKED])

    def _unlisted(self, messages: Sequence[Listed], rows: Sequence[Taken]) -> list[Taken]:
        """Left there, or so we thought. Those that only their octets tell apart are looked for by these."""
        names = {message.uidl for message in messages}
        nameless = any(message.uidl is None for message in messages)
        return [
            row
            for row in rows
            if row.state is TakenState.LISTED and row.uidl not in names and not (nameless and row.uidl.startswith(b"\0"))
        ]

    def _ask(self, window: Sequence[tuple[Listed, Taken | None]]) -> None:
        self.client.send(*(self._command(message) for message, _ in window))

    def _command(self, message: Listed) -> Retr | Top:
        return Top(message.number, 0) if self.heads and message.uidl is not None else Retr(message.number)

    async def _one(self, message: Listed, row: Taken | None, by_content: dict[bytes, Taken]) -> None:
        command = self._command(message)
        content, header = sha256(), bytearray()

        def write(data: bytes) -> None:
            content.update(data)
            if len(header) < HEADER:
                header.extend(data[: HEADER - len(header)])

        name = f"number {message.number}" if message.uidl is None else _name(message.uidl)
        try:
            octets = await self.client.message(command, write)
        except Refused as refused:
            self.tally.differ(INBOX, Difference.REFUSED, name, None, refused.reply.text)
            return
        self.tally.read(1, octets)
        row = row or by_content.get(content.digest())
        if row is None:
            self.tally.differ(INBOX, Difference.MISSING_HERE, name, None, "not taken yet")
        elif (row.mailbox_id, row.uid) in self.gone:
            self.tally.differ(INBOX, Difference.MISSING_HERE, name, None, "deleted here")
        elif not await self._is_same(command, row, content.digest(), bytes(header)):
            self.tally.differ(INBOX, Difference.OCTETS, name, row.uid)

    async def _is_same(self, command: Retr | Top, row: Taken, content_id: bytes, header: bytes) -> bool:
        if isinstance(command, Retr):
            return content_id == row.content_id
        return header.rstrip(b"\r\n") == await self.store.read(partial(self._header, row))

    def _header(self, row: Taken, reader: Reader) -> bytes | None:
        email = reader.email_by_content(self.account_id, row.content_id)
        if email is None:
            return None
        return headers_here(self.store, self.account_id, [email.email_id], reader).get(email.email_id)


def _name(uidl: bytes) -> str:
    return uidl.decode("ascii", "backslashreplace")
