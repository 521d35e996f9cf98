"""A device with a store in memory, for tests of `sync`."""

import hashlib
from pathlib import Path

import msgspec

from postwren.client.conversation import Security
from postwren.mailstore.invariant import check
from postwren.mailstore.model import Account, Credentials, Entry
from postwren.mailstore.port import Store, Transaction
from postwren.mailstore.replica import Taken
from postwren.mailstore.service.accounts import create_account
from postwren.sync.report import Ended, Event, Failed, Noted
from postwren.sync.run import identify, run
from postwren.sync.secret import keep_secret
from postwren.sync.settings import Choices, Settings, save_settings
from postwren.terms import INBOX
from postwren.wire.secret import Secret

__all__ = ["Device"]

NOW = 1_780_000_000
ANN = "ann@example.org"


class Device:
    """The account, its settings, a clock that is moved by hand, and everything that runs told."""

    def __init__(self, store: Store, folder: Path, delete: str = "at-once") -> None:
        self.store, self.folder, self.now = store, folder, float(NOW)
        self.delete = delete
        self.told: list[Event] = []

    async def begin(self) -> "Device":
        def unit(tx: Transaction) -> tuple[Account, str]:
            return create_account(ANN, Credentials("", {}), NOW)(tx), identify(tx)

        self.account, identity = await self.store.perform(unit)
        self.settings = Settings(
            ANN, "pop3", "127.0.0.1", 1, Security.NONE, "ann", keep_secret(self.folder, ANN, Secret("sesame")), identity
        )
        save_settings(self.folder, self.settings)
        return self

    async def sync(self, port: int, *, is_dry_run: bool = False) -> bool:
        settings = msgspec.structs.replace(self.settings, port=port, delete=self.delete)
        self.told.clear()
        is_well = await run(self.store, self.folder, settings, self.told.append, lambda: self.now, Choices(is_dry_run=is_dry_run))
        assert list(check(self.store.reader)) == []
        return is_well

    @property
    def ended(self) -> Ended:
        assert isinstance(self.told[-1], Ended), self.told[-1]
        return self.told[-1]

    @property
    def failed(self) -> str:
        assert isinstance(self.told[-1], Failed), self.told[-1]
        return self.told[-1].text

    @property
    def noted(self) -> list[str]:
        return [event.text for event in self.told if isinstance(event, Noted)]

    def entries(self) -> list[Entry]:
        box = self.store.reader.mailbox_by_name(self.account.account_id, INBOX)
        assert box is not None
        return self.store.reader.entries(self.account.account_id, box.mailbox_id)

    def messages(self) -> list[bytes]:
        """In the order of arrival."""
        reader, found = self.store.reader, []
        for entry in self.entries():
            email = reader.email(self.account.account_id, entry.email_id)
            assert email is not None
            found.append(self.store.read_body(email.body))
        return found

    def taken(self) -> list[Taken]:
        return self.store.reader.taken(self.account.account_id)

    def holds(self, octets: bytes) -> bool:
        content_id = hashlib.sha256(octets).digest()
        return self.store.reader.email_by_content(self.account.account_id, content_id) is not None
