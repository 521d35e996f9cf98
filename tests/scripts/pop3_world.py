"""A stage for POP3: a store with accounts and messages, sessions on links in memory, a clock that moves by hand."""

import itertools
import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from argon2 import PasswordHasher

from postwren.mailstore.invariant import check
from postwren.mailstore.model import Account, Credentials, ScramKeys
from postwren.mailstore.port import Store
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.maildrop import remove
from postwren.protocols.sasl.scram import scram_keys
from postwren.server.login import Authenticator, LoginPolicy
from postwren.server.pop3 import MaildropCache, MaildropLocks, Pop3Service, Pop3Session
from postwren.terms import INBOX, Uid
from postwren.testing.loopback import PLAYED_TLS, LoopbackLink
from postwren.testing.play import play
from postwren.testing.script import Case, Cut
from postwren.transport.session import Peer
from postwren.wire.secret import Secret

NOW = 1_700_000_000
LOGIN, PASSWORD = "ann@example.org", "secret"
FAR = Peer("192.0.2.7", 40000)


class Alarm:
    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Implements `maildrop_lock.Clock`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.alarms: list[Alarm] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> Alarm:
        alarm = Alarm(self.now + delay, callback)
        self.alarms.append(alarm)
        return alarm

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [alarm for alarm in self.alarms if alarm.due <= end]:
            alarm = min(due, key=lambda alarm: alarm.due)
            self.alarms.remove(alarm)
            self.now = max(self.now, alarm.due)
            if alarm.callback is not None:
                alarm.callback()
        self.now = end

    def pending(self) -> int:
        return sum(alarm.callback is not None for alarm in self.alarms)


@lru_cache
def cheap_credentials(password: str) -> Credentials:
    """As an account has them, at a thousandth of the price."""
    encoded = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)
    keys = {name: ScramKeys(b"salt", 4096, *scram_keys(Secret(password), b"salt", 4096, name)) for name in ("sha-256", "sha-1")}
    return Credentials(encoded, keys)


async def no_sleep(_: float) -> None:
    """A failed login need not cost a second here."""


class Pop3World:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock()
        policy = LoginPolicy(allow_cleartext=True)
        octets = random.Random(7).randbytes
        self.authenticator = Authenticator(store, policy, now=lambda: NOW, random=octets, sleep=no_sleep)
        self.service = Pop3Service(store, self.authenticator, MaildropLocks(self.clock), MaildropCache(store), now=lambda: NOW)
        self.links: list[LoopbackLink] = []

    async def account(self, login: str = LOGIN, password: str = PASSWORD) -> Account:
        found = self.store.reader.account_by_login(login)
        if found is not None:
            return found
        return await self.store.perform(create_account(login, cheap_credentials(password), NOW))

    async def message(self, data: bytes, login: str = LOGIN) -> Uid:
        account = await self.account(login)
        writer = self.store.new_body()
        writer.write(data)
        body = writer.finish()
        return (await self.store.perform(deliver([Target(account.account_id)], body, NOW), (body,)))[0].uid

    async def expunge(self, *uids: int, login: str = LOGIN) -> None:
        """As an IMAP session would."""
        account = await self.account(login)
        inbox = self.store.reader.mailbox_by_name(account.account_id, INBOX)
        assert inbox is not None
        await self.store.perform(remove(account.account_id, inbox.mailbox_id, [Uid(uid) for uid in uids], NOW))

    def uids(self, login: str = LOGIN) -> list[int]:
        account = self.store.reader.account_by_login(login)
        assert account is not None
        inbox = self.store.reader.mailbox_by_name(account.account_id, INBOX)
        assert inbox is not None
        return [row[0] for row in self.store.reader.maildrop_rows(account.account_id, inbox.mailbox_id)]

    def link(self, **options: Any) -> LoopbackLink:
        """A new connection."""
        link = LoopbackLink(Pop3Session(self.service), **options)
        self.links.append(link)
        return link

    async def logged_in(self, login: str = LOGIN, password: str = PASSWORD) -> LoopbackLink:
        link = self.link()
        assert (await say(link, f"USER {login}", f"PASS {password}"))[2].startswith("+OK ")
        return link

    def end(self) -> None:
        """Every session's end; then nothing is held, nothing is due, and the store is sound."""
        for link in self.links:
            link.drop()
        self.authenticator.close()
        assert self.service.locks._held == {}
        assert self.clock.pending() == 0 or all(link.is_closed for link in self.links)
        assert [bug for link in self.links for bug in link.bugs] == []
        assert list(check(self.store.reader, self.store.body_pieces)) == []


async def say(link: LoopbackLink, *lines: str) -> list[str]:
    """Send lines in one read; what came back since the last time, as lines."""
    link.receive("".join(line + "\r\n" for line in lines).encode())
    await link.settled()
    return link.take().decode("latin-1").split("\r\n")[:-1]


def unescaped(words: list[str]) -> bytes:
    return " ".join(words).encode().decode("unicode_escape").encode("latin-1")


async def stage(world: Pop3World, case: Case) -> LoopbackLink:
    """What `@` words mean: account LOGIN PASSWORD; message LOGIN TEXT; messages LOGIN COUNT; large LOGIN OCTETS;
    holder LOGIN; tls; far (no password in the clear from there)."""
    options: dict[str, Any] = {}
    await world.account()
    for words in case.stage:
        match words:
            case ["account", login, password]:
                await world.account(login, password)
            case ["message", login, *text]:
                await world.message(unescaped(text), login)
            case ["messages", login, count]:
                for number in range(1, int(count) + 1):
                    await world.message(b"Subject: %d\r\n\r\nbody %d\r\n" % (number, number), login)
            case ["large", login, octets]:
                line = itertools.cycle((b"." * 76 + b"\r\n", b"x" * 76 + b"\r\n"))
                body = b"Subject: large\r\n\r\n" + b"".join(itertools.islice(line, int(octets) // 78 + 1))
                await world.message(body[: int(octets) - 2] + b"\r\n", login)
            case ["holder", login]:
                await world.logged_in(login)
            case ["tls"]:
                options["tls"] = PLAYED_TLS
            case ["far"]:
                options["peer"] = FAR
            case _:
                raise ValueError(f"{case.file}: no such stage: {words}")
    return world.link(**options)


async def play_case(store: Store, case: Case, cut: Cut) -> None:
    world = Pop3World(store)
    try:
        await play(case, await stage(world, case), cut)
        world.end()
    finally:
        world.authenticator.close()
        store.close()
