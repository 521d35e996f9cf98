"""What the tests of logins stand on: a store with one account, a clock that only sleep moves, a link that can be dressed."""

import itertools
import os
from dataclasses import dataclass, field

from postwren.mailstore.service.accounts import create_account
from postwren.protocols import sasl
from postwren.server.login import Authenticator, Challenge, LoginPolicy, LoginStep, Refused, make_credentials
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import PLAYED_TLS
from postwren.transport.session import Peer, TlsInfo
from postwren.wire.secret import Secret

PASSWORD = Secret("correct horse")
WRONG = Secret("wrong horse")
CREDENTIALS = make_credentials(PASSWORD)
OLD_TLS = TlsInfo("TLSv1.2", "ECDHE", {"tls-server-end-point": b"\x01" * 32, "tls-unique": b"\x02" * 12})


@dataclass
class Link:
    """A `LinkControl` that nothing is written to."""

    peer: Peer = field(default_factory=lambda: Peer("192.0.2.1", 4000))
    tls: TlsInfo | None = PLAYED_TLS
    can_start_tls: bool = False
    has_heard: bool = False

    def start_tls(self) -> None: ...
    def start_compression(self, came: bytes = b"") -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def flush(self) -> None: ...
    def authenticated(self, account: int) -> bool:
        return True


class Clock:
    """Seconds since 1970; `sleep` is what moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class World:
    store: MemoryStore
    clock: Clock
    judge: Authenticator

    def again(self, policy: LoginPolicy = LoginPolicy()) -> Authenticator:  # noqa: B008 - frozen
        """Another process on the same store."""
        return Authenticator(self.store, policy, now=self.clock, random=os.urandom, sleep=self.clock.sleep)


async def world(policy: LoginPolicy = LoginPolicy(), logins: tuple[str, ...] = ("ann@example.org",)) -> World:  # noqa: B008 - frozen
    store, clock = MemoryStore(), Clock()
    for login in logins:
        await store.perform(create_account(login, CREDENTIALS, 1))
    judge = Authenticator(store, policy, now=clock, random=os.urandom, sleep=clock.sleep)
    return World(store, clock, judge)


NONCES = itertools.count()


async def converse(
    judge: Authenticator, link: Link, name: str, mine: sasl.ClientCredentials, bindings: dict[str, bytes] | None = None
) -> tuple[LoginStep, sasl.Abort | None]:
    """A whole exchange with our own client: how the server ended it, and what the client thinks of that."""
    client = sasl.client_exchange(name, mine, nonce=f"nonce{next(NONCES)}", bindings=bindings)
    exchange = judge.begin(name, link)
    if isinstance(exchange, Refused):
        return exchange, None
    step = await exchange.step(client.start())
    while isinstance(step, Challenge):
        answer = client.receive(step.data)
        if isinstance(answer, sasl.Abort):
            return step, answer
        step = await exchange.step(answer)
    return step, client.finished()
