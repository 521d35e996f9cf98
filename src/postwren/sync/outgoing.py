"""Sends what waits in an account's outbox by the account's own server, at most once each (docs/sync.md); `outbox` has the rows.

    sent = await Outgoing(office, settings).run()       one pass; None: another process does it just now
    await Postman(office, tell).run()                   whenever there is something, until cancelled

A server that cannot be reached costs no attempts: everything waits for the next pass, however long the device is offline.
"""

import asyncio
import contextlib
import json
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from postwren.client.conversation import Security
from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.queue import Also, Concluder
from postwren.delivery.report import Reporter
from postwren.delivery.retry import Schedule
from postwren.exchange.connection import Connection, HostFailed, Letter, Ours, Result, Target
from postwren.exchange.letter import read_letter
from postwren.exchange.policy import TlsRule
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.model import Property
from postwren.mailstore.port import Store, Transaction
from postwren.mailstore.queue import DeliveryState, QueuedRecipient, outbox_of
from postwren.protocols.sasl import ClientCredentials
from postwren.sync.outbox import (
    TROUBLE,
    Handed,
    doubt,
    doubted,
    hand_over,
    header_of,
    is_in_sent,
    sent_copy,
    set_rows,
    trouble_of,
    waiting,
)
from postwren.sync.run import Busy, account_of, under_lock
from postwren.sync.secret import read_secret
from postwren.sync.settings import Settings
from postwren.terms import AccountId, MailboxId, Uid
from postwren.wire.secret import Secret

__all__ = ["Office", "Outgoing", "Passed", "credentials_of", "ours_of", "target_of"]

_REPEAT: Final = 5  # seconds before what a server recognises is repeated
_AGAIN: Final = 300  # before a repeat that it did not answer with yes
_ENDED_EARLY: Final = 3  # connections, before the pass ends
_NO_OCTETS: Final = Verdict(Fate.FAILED, 554, "5.3.0", "The message is not in the store any more")
_UNABLE: Final = Verdict(Fate.DEFERRED, 451, "4.3.0", "the message cannot be sent now")


@dataclass(frozen=True, slots=True)
class Office:
    """What all outboxes of a store share. `clock` is the queue's, `now` the system's."""

    store: Store
    data: Path
    clock: Callable[[], int]
    now: Callable[[], float] = time.time
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(slots=True)
class Passed:
    """Messages, of one pass; and why the server could not be used, or ""."""

    sent: int = 0
    deferred: int = 0
    refused: int = 0
    doubtful: int = 0
    why: str = ""


def target_of(settings: Settings) -> Target:
    """Where mail of the account leaves: with TLS that is verified, or on this machine."""
    host, port = settings.submission
    is_secure = settings.smtp_tls is not Security.NONE
    rule = TlsRule(host, is_required=is_secure, is_verified=is_secure)
    address = "127.0.0.1" if host == "localhost" else host
    return Target(host, address, port, rule, settings.smtp_tls is Security.IMPLICIT, in_the_clear=not is_secure)


async def ours_of(data: Path, settings: Settings) -> Ours:
    """How we get in there: as to the server that the mail comes from. Raises SettingsError."""
    secret = await asyncio.to_thread(read_secret, data, settings)  # a command may ask its user something
    return Ours("localhost", trusted=settings.trusted, credentials=credentials_of(settings, secret))


def credentials_of(settings: Settings, secret: Secret[str]) -> ClientCredentials:
    """The same login and secret as where the mail comes from."""
    host, port = settings.submission
    if settings.kept_in == "token-command":
        return ClientCredentials(settings.login, token=secret, host=host, port=port)
    return ClientCredentials(settings.login, password=secret, host=host, port=port)


class Withdrawn(Exception):
    """Somebody took the message out of the outbox while it was about to leave."""


class Outgoing:
    """One pass over an account's outbox. `is_closing`: no further message begins."""

    def __init__(self, office: Office, settings: Settings) -> None:
        self._office, self._store, self._settings = office, office.store, settings
        self._key = outbox_of(settings.address)
        self._passed = Passed()
        host, port = settings.submission
        self._place = f"{host}:{port}"
        reporter = Reporter("localhost", office.clock, office.now, lambda: secrets.token_urlsafe(12), lambda _octets, _now: b"")
        self._conclude = Concluder(office.store, reporter, office.clock, office.now, random.random, office.schedule)
        self.is_closing = False

    async def run(self) -> Passed | None:
        """None where another process is at it. Raises what the store raises, SettingsError and SyncFailed."""
        try:
            with under_lock(self._office.data, self._settings.address, ".outgoing"):
                account_id = account_of(self._store, self._settings).account_id
                await self._recover()
                if self._next() is not None:
                    await self._send(await ours_of(self._office.data, self._settings))
                await self._remember(account_id)
        except Busy:
            return None
        return self._passed

    async def _send(self, ours: Ours) -> None:
        connection: Connection | None = None
        failures = 0
        try:
            while not self.is_closing and failures < _ENDED_EARLY and (group := self._next()) is not None:
                if connection is None:
                    connection = await Connection.open(target_of(self._settings), ours)
                is_over = await self._deliver(connection, group)
                failures = failures + 1 if is_over and connection.transactions <= 1 else 0
                if is_over:
                    await connection.abort()
                    connection = None
        except HostFailed as failed:
            self._passed.why = failed.verdict.text
        finally:
            if connection is not None:
                await connection.quit()

    def _next(self) -> list[QueuedRecipient] | None:
        """What goes in one transaction: of one message, what is new, or what went in one transaction before."""
        reader, now = self._store.reader, self._office.clock()
        due = reader.due_recipients(self._key, now, 1)
        if not due:
            return None
        handed = Handed.parse(due[0].reply)
        rows = [row for row in reader.queued_recipients(due[0].uid) if row.domain == self._key]
        rows = [row for row in rows if row.state is DeliveryState.WAITING and row.next_attempt <= now]
        return [row for row in rows if Handed.parse(row.reply) == handed]

    # -- a message

    async def _deliver(self, connection: Connection, rows: list[QueuedRecipient]) -> bool:
        """Whether the connection is of no more use."""
        uid, before = rows[0].uid, Handed.parse(rows[0].reply)
        letter = read_letter(self._store, uid)
        if letter is None:
            await self._conclude(uid, [Outcome(row.number, _NO_OCTETS) for row in rows])
            self._passed.refused += 1
            return False
        keeps_tokens = "XONCE" in connection.extensions
        if before is not None and not (keeps_tokens and self._is_known_there(before)):
            await self._doubt(uid, rows)
            return False
        token = before.token if before is not None else secrets.token_hex(16) if keeps_tokens else ""
        handed = before or Handed(self._place, int(self._office.now()), token)
        given: list[QueuedRecipient] = []

        async def ready(accepted: Sequence[QueuedRecipient]) -> None:
            if not await self._store.perform(hand_over(accepted, handed)):
                raise Withdrawn
            given.extend(row._replace(state=DeliveryState.HANDED_OVER, reply=str(handed)) for row in accepted)

        try:
            result = await connection.transact(replace(letter, token=token), rows, ready)
        except Withdrawn:
            return True
        except (OSError, ValueError):  # a body that cannot be read, an address that is none
            await self._conclude(uid, [Outcome(row.number, _UNABLE) for row in rows])
            return True
        if before is not None:
            await self._repeated(letter, rows, handed, result)
        else:
            await self._attempted(letter, given, handed, result)
        return result.is_over

    def _is_known_there(self, handed: Handed) -> bool:
        return handed.place == self._place and handed.may_be_repeated(self._office.now())

    async def _attempted(self, letter: Letter, given: Sequence[QueuedRecipient], handed: Handed, result: Result) -> None:
        in_doubt = {row.number for row in given} if result.is_in_doubt else set()
        rows = [row for row in given if row.number in in_doubt]
        await self._written(letter, [outcome for outcome in result.outcomes if outcome.number not in in_doubt])
        if rows and handed.token:
            await self._let_wait(letter.message.uid, rows, _REPEAT)
        elif rows:
            await self._doubt(letter.message.uid, rows)

    async def _repeated(self, letter: Letter, rows: list[QueuedRecipient], handed: Handed, result: Result) -> None:
        """It may have been sent the first time, whatever is said now but yes."""
        fates = {outcome.number: outcome.verdict.fate for outcome in result.outcomes}
        uid = letter.message.uid
        await self._written(letter, [outcome for outcome in result.outcomes if outcome.verdict.fate is Fate.DELIVERED])
        rows = [row._replace(reply=str(handed)) for row in rows if row.number in fates]
        if deferred := [row for row in rows if fates[row.number] is Fate.DEFERRED]:
            await self._let_wait(uid, deferred, _AGAIN)
        if refused := [row for row in rows if fates[row.number] is Fate.FAILED]:
            await self._doubt(uid, refused)

    async def _written(self, letter: Letter, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        fates = {outcome.verdict.fate for outcome in outcomes}
        also = self._copy(letter) if Fate.DELIVERED in fates else None
        await self._conclude(letter.message.uid, outcomes, also=also)
        self._passed.sent += Fate.DELIVERED in fates
        self._passed.refused += Fate.FAILED in fates
        self._passed.deferred += Fate.DEFERRED in fates

    def _copy(self, letter: Letter) -> Also | None:
        account = self._store.reader.account(letter.message.account_id)
        if account is None or self._settings.sent != "device":
            return None
        message_id = header_of(self._store, letter.message.uid).get("Message-ID", "")
        if message_id and is_in_sent(self._store, account, message_id):
            return None
        return sent_copy(self._store, account.account_id, letter, int(self._office.now()))

    async def was_sent(self, uid: Uid, rows: Sequence[QueuedRecipient]) -> None:
        """Its owner says so: as if the server had."""
        letter = read_letter(self._store, uid)
        outcomes = [Outcome(row.number, Verdict(Fate.DELIVERED, 250, "2.0.0", "somebody says so")) for row in rows]
        if letter is not None:
            await self._written(letter, outcomes)

    # -- what has no answer

    async def _recover(self) -> None:
        """What was on its way when a process ended. Nobody is at it now: the lock is ours."""
        for message, rows, _ in waiting(self._store.reader, self._settings.address):
            groups: dict[Handed | None, list[QueuedRecipient]] = {}
            for row in rows:
                if row.state is DeliveryState.HANDED_OVER:
                    groups.setdefault(Handed.parse(row.reply), []).append(row)
            for handed, group in groups.items():
                if handed is not None and handed.may_be_repeated(self._office.now()):
                    await self._let_wait(message.uid, group, 0)
                else:
                    await self._doubt(message.uid, group)

    async def _let_wait(self, uid: Uid, rows: Sequence[QueuedRecipient], seconds: int) -> None:
        """For a repeat under the same token."""
        when = self._office.clock() + seconds
        put = [row._replace(state=DeliveryState.WAITING, attempts=row.attempts + 1, next_attempt=when) for row in rows]
        await self._store.perform(set_rows(uid, put))
        self._passed.deferred += bool(seconds)

    async def _doubt(self, uid: Uid, rows: Sequence[QueuedRecipient]) -> None:
        address, now = self._settings.address, int(self._office.now())
        writer = self._store.new_body()
        writer.write(doubted(uid, rows, address, header_of(self._store, uid), now, secrets.token_urlsafe(12)))
        note = writer.finish()
        await self._store.perform(doubt(uid, rows, address, note, now, self._office.clock()), [note])
        self._passed.doubtful += 1

    async def _remember(self, account_id: AccountId) -> None:
        """Why nothing leaves, for `trouble_of`; written when that changes."""
        why, before = self._passed.why, trouble_of(self._store.reader, account_id)
        if why == (before or {}).get("text", ""):
            return
        kind, name = TROUBLE
        value = json.dumps({"at": int(self._office.now()), "text": why}, ensure_ascii=False).encode()

        def unit(tx: Transaction) -> None:
            if why:
                tx.put_property(Property(account_id, MailboxId(0), kind, name, value))
            else:
                tx.delete_property(account_id, MailboxId(0), kind, name)

        with contextlib.suppress(MailstoreError):
            await self._store.perform(unit)
