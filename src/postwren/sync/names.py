"""Mailbox hunks carried out, and what the two sides call a mailbox (docs/sync.md)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

from postwren.mailstore.errors import MailboxExists, MailboxNameInvalid, NoSuchMailbox, SpecialUseTaken, TooMany
from postwren.mailstore.port import Store, Transaction, Unit
from postwren.mailstore.replica import Replica
from postwren.mailstore.service import uidrange
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.mailboxes import create_mailbox, delete_mailbox, rename_mailbox
from postwren.mailstore.service.mailboxname import canonical, is_inferior
from postwren.sync.hunk import (
    Bind,
    CreateLocal,
    CreateRemote,
    DeleteLocal,
    DeleteRemote,
    ForgetMailbox,
    MailboxHunk,
    RenameLocal,
    RenameRemote,
    told,
)
from postwren.sync.look import MailboxRefused
from postwren.sync.plan import BaseMailbox, LocalMailbox, RemoteMailbox
from postwren.sync.remote import Listed, Remote, local_name, remote_name
from postwren.sync.report import Noted, Step, Tell
from postwren.terms import AccountId, MailboxId, ModSeq, SpecialUse

__all__ = ["Names", "base_mailboxes", "local_mailboxes", "remote_mailboxes"]

REFUSALS: Final = (MailboxExists, MailboxNameInvalid, NoSuchMailbox, SpecialUseTaken, TooMany, MailboxRefused)


def base_mailboxes(replicas: Sequence[Replica]) -> list[BaseMailbox]:
    """As both sides last had them."""
    return [
        BaseMailbox(row.mailbox_id, row.name, row.remote_name, row.uidvalidity, row.uidnext, row.object_id) for row in replicas
    ]


def local_mailboxes(store: Store, account_id: AccountId) -> list[LocalMailbox]:
    """As they are here."""
    return [LocalMailbox(row.mailbox_id, row.name, row.messages) for row in store.reader.mailboxes(account_id)]


def remote_mailboxes(listed: Sequence[Listed], wants: Callable[[str], bool], note: Callable[[str], None]) -> list[RemoteMailbox]:
    """As they are there, each under a name of ours that no other has; names that nothing here may have are left out, and told."""
    taken: set[str] = set()
    found = []
    for mailbox in listed:
        try:
            name = canonical(local_name(mailbox.remote_name, mailbox.delimiter))
        except MailboxNameInvalid as error:
            note(f"{mailbox.remote_name}: left out, for it cannot have this name here: {error.why}")
            continue
        if not wants(name):
            continue
        while name.lower() in taken:  # names that differ in case only are one to half of the world
            name += "~"
        taken.add(name.lower())
        state = mailbox.checkpoint
        uidvalidity, uidnext = (0, 0) if state is None else (state.uidvalidity, state.uidnext)
        found.append(RemoteMailbox(mailbox.remote_name, name, uidvalidity, uidnext, mailbox.object_id))
    return found


class Names:
    """Carries out what `plan_mailboxes` says. What is refused is told and left for the next run."""

    def __init__(
        self, store: Store, account_id: AccountId, remote: Remote, address: str, tell: Tell, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._account_id = account_id
        self._remote = remote
        self._address = address
        self._tell = tell
        self._now = now
        self.delimiter: str | None = "/"
        self.uses: Mapping[str, SpecialUse | None] = {}
        self.has_failed = False

    async def run(self, hunks: Sequence[MailboxHunk]) -> None:
        """All of them, in order."""
        names = {mailbox.mailbox_id: mailbox.name for mailbox in self._store.reader.mailboxes(self._account_id)}
        for hunk in hunks:
            try:
                await self._one(hunk)
                self._tell(Step(self._address, told(hunk, names)))
            except REFUSALS as refusal:
                self.has_failed = True
                self._tell(Noted(self._address, f"{told(hunk, names)}: refused: {refusal}"))

    async def _one(self, hunk: MailboxHunk) -> None:
        match hunk:
            case Bind(mailbox_id, name):
                await self._store.perform(_bind(self._account_id, mailbox_id, name))
            case CreateLocal(name, here):
                await self._create_local(name, here)
            case CreateRemote(mailbox_id, here):
                name = remote_name(here, self.delimiter)
                await self._remote.create(name)
                await self._store.perform(_bind(self._account_id, mailbox_id, name))
            case RenameLocal(mailbox_id, here, name):
                await self._store.perform(self._rename_local(mailbox_id, here, name))
            case RenameRemote(mailbox_id, name, here):
                await self._rename_remote(mailbox_id, name, here)
            case DeleteLocal(mailbox_id):
                await self._store.perform(_delete_local(self._account_id, mailbox_id, self._now()))
            case DeleteRemote(mailbox_id, name):
                await self._remote.delete(name)
                await self._store.perform(lambda tx: tx.delete_replica(self._account_id, mailbox_id))
            case ForgetMailbox(mailbox_id):
                await self._store.perform(lambda tx: tx.delete_replica(self._account_id, mailbox_id))
            case _:
                assert_never(hunk)

    async def _create_local(self, name: str, here: str) -> None:
        use = self.uses.get(name)
        taken = {mailbox.special_use for mailbox in self._store.reader.mailboxes(self._account_id)}
        creating = create_mailbox(self._account_id, here, self._now(), None if use in taken else use)

        def unit(tx: Transaction) -> None:
            known = tx.mailbox_by_name(self._account_id, here)  # one above another is made with it
            mailbox_id = creating(tx).mailbox_id if known is None else known.mailbox_id
            _bind(self._account_id, mailbox_id, name)(tx)

        await self._store.perform(unit)

    def _rename_local(self, mailbox_id: MailboxId, here: str, name: str) -> Unit[None]:
        def unit(tx: Transaction) -> None:
            mailbox = tx.mailbox(self._account_id, mailbox_id)
            if mailbox is None:
                raise NoSuchMailbox(here)
            if mailbox.name != here:
                rename_mailbox(self._account_id, mailbox_id, here, self._now())(tx)
            for row in tx.replicas(self._account_id):
                if row.mailbox_id == mailbox_id:
                    tx.put_replica(self._account_id, row._replace(name=here, remote_name=name))
                elif is_inferior(row.name, mailbox.name):  # it was renamed along
                    tx.put_replica(self._account_id, row._replace(name=here + row.name[len(mailbox.name) :]))

        return unit

    async def _rename_remote(self, mailbox_id: MailboxId, name: str, here: str) -> None:
        """With what is below: a server renames it along."""
        rows = {row.mailbox_id: row for row in self._store.reader.replicas(self._account_id)}
        old = rows.get(mailbox_id)
        if old is None or old.name == here:  # it went along with one above it
            return
        new = remote_name(here, self.delimiter)
        await self._remote.rename(name, new)

        def unit(tx: Transaction) -> None:
            for row in tx.replicas(self._account_id):
                if row.mailbox_id == mailbox_id:
                    tx.put_replica(self._account_id, row._replace(name=here, remote_name=new))
                elif self.delimiter is not None and row.remote_name.startswith(name + self.delimiter):
                    below = new + row.remote_name[len(name) :]
                    tx.put_replica(self._account_id, row._replace(name=local_name(below, self.delimiter), remote_name=below))

        await self._store.perform(unit)


def _bind(account_id: AccountId, mailbox_id: MailboxId, name: str) -> Unit[None]:
    """A copy begins: nothing was compared yet. What is in the mailbox already is to be looked at."""

    def unit(tx: Transaction) -> None:
        mailbox = tx.mailbox(account_id, mailbox_id)
        if mailbox is None:
            raise NoSuchMailbox(mailbox_id)
        modseq = ModSeq(0) if mailbox.messages else mailbox.highestmodseq
        tx.delete_replica(account_id, mailbox_id)
        tx.put_replica(account_id, Replica(mailbox_id, mailbox.name, name, 0, 0, 0, modseq, 0, None))

    return unit


def _delete_local(account_id: AccountId, mailbox_id: MailboxId, now: int) -> Unit[None]:
    """What was synchronised goes, recoverable; the mailbox too where nothing else is left in it: else it is new to the server."""

    def unit(tx: Transaction) -> None:
        uids = uidrange.of([pair.uid for pair in tx.pairs(account_id, mailbox_id)])
        expunge(account_id, mailbox_id, uids, now, only_deleted=False)(tx)
        tx.delete_replica(account_id, mailbox_id)
        mailbox = tx.mailbox(account_id, mailbox_id)
        if mailbox is not None and not mailbox.messages:
            delete_mailbox(account_id, mailbox_id, now)(tx)

    return unit
