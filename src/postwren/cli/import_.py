"""`postwren import`: mail from files into an account.

Messages go in groups, each one unit of work, the next group being read while the last one syncs; memory holds two groups.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from postwren.archive.detect import read_archive
from postwren.archive.item import ArchivedMessage
from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, find_account, print_json, with_store
from postwren.mailstore.model import Account
from postwren.mailstore.port import Store
from postwren.mailstore.service.append import Appended, NewMessage, append
from postwren.mailstore.service.mailboxes import create_mailbox
from postwren.mailstore.service.mailboxname import canonical
from postwren.terms import INBOX, EmailId, MailboxId

GROUP_MESSAGES = 200
GROUP_OCTETS = 8_000_000


def import_(
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The account.")],
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A Maildir, an mbox file, a message, or a folder of .eml or .mbox files.")
    ],
    mailbox: Annotated[
        str, typer.Option("--mailbox", metavar="NAME", help="Where to; folders of a Maildir go below it.")
    ] = INBOX,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Copy mail into an account. What a mailbox already held before is not taken twice, so it can be run again."""

    async def work(store: Store, _: Place) -> None:
        taking = Import(store, find_account(store.reader, login))
        for message in read_archive(path, mailbox):
            await taking.add(message)
        await taking.finish()
        if as_json:
            print_json({"imported": taking.taken, "already_there": taking.already})
            return
        already = f", {taking.already} already there" if taking.already else ""
        print(f"{taking.taken} messages imported{already}")

    with_store(data, config, work)


class Import:
    """One import under way."""

    def __init__(self, store: Store, account: Account) -> None:
        self.store = store
        self.account = account
        self.taken = self.already = 0
        self._mailboxes: dict[str, tuple[MailboxId, set[EmailId]]] = {}
        self._group: list[NewMessage] = []
        self._octets = 0
        self._target = MailboxId(0)
        self._under_way: asyncio.Task[Appended] | None = None
        self._shown = 0.0

    async def add(self, message: ArchivedMessage) -> None:
        """Take one message; it is durable at the latest when `finish` returns."""
        mailbox_id, held = self._mailboxes.get(message.mailbox) or await self._open(message.mailbox)
        if mailbox_id != self._target:
            await self._send()
            self._target = mailbox_id
        writer = self.store.new_body()
        writer.write(message.octets)
        body = writer.finish()
        if held:
            known = self.store.reader.email_by_content(self.account.account_id, body.content_id)
            if known and known.email_id in held:
                body.discard()
                self.already += 1
                return
        self._group.append(NewMessage(body, message.internaldate or int(time.time()), message.flags))
        self._octets += body.size
        if len(self._group) >= GROUP_MESSAGES or self._octets >= GROUP_OCTETS:
            await self._send()

    async def finish(self) -> None:
        """Wait until everything is durable."""
        await self._send()
        await self._settle()
        self._show(final=True)

    async def _open(self, name: str) -> tuple[MailboxId, set[EmailId]]:
        reader, account_id = self.store.reader, self.account.account_id
        box = reader.mailbox_by_name(account_id, canonical(name))
        if box is None:
            box = await self.store.perform(create_mailbox(account_id, name, int(time.time())))
        entries = await self.store.read(lambda r: r.entries(account_id, box.mailbox_id)) if box.messages else []
        self._mailboxes[name] = box.mailbox_id, {entry.email_id for entry in entries}
        return self._mailboxes[name]

    async def _send(self) -> None:
        group, self._group, self._octets = self._group, [], 0
        if group:
            await self._settle()
            unit = append(self.account.account_id, self._target, group, int(time.time()))
            self._under_way = asyncio.ensure_future(self.store.perform(unit, [message.body for message in group]))
            await asyncio.sleep(0)  # let it be queued before the next group is read

    async def _settle(self) -> None:
        if self._under_way:
            self.taken += len((await self._under_way).uids)
            self._under_way = None
            self._show()

    def _show(self, final: bool = False) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and (final or now - self._shown > 0.2):
            self._shown = now
            print(f"\r{self.taken} messages", end="\n" if final else "", file=sys.stderr, flush=True)
