"""A-61: the time of an answer does not tell whether a login exists. Welch's t-test on what the one door itself does."""

import asyncio
import hashlib
import math
import random
import statistics
import time

import pytest
from tests.unit.server.login.login_world import CREDENTIALS, Link, world

from postwren.mailstore.service.accounts import create_account
from postwren.server.login import Authenticator, LoginPolicy, RefusalReason, Refused
from postwren.server.login import authenticator as the_door
from postwren.transport.session import Peer
from postwren.wire.secret import Secret

pytestmark = pytest.mark.real

LARGEST_DIFFERENCE = 0.001  # seconds
KNOWN = 1000


def constant_cost(_hash: str, _password: Secret[str]) -> bool:
    """Stands in for argon2: some milliseconds, whatever the input."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 5000)
    return False


async def sampled(judge: Authenticator, samples: int) -> tuple[list[float], list[float]]:
    """Seconds of wrong logins at known and unknown names, in random order, each from a network of its own."""
    took: dict[str, list[float]] = {"known": [], "unknown": []}
    kinds = list(took) * samples
    random.Random(61).shuffle(kinds)
    for number, kind in enumerate(kinds):
        login = f"{kind}{len(took[kind]) % KNOWN}@example.org"
        link = Link(Peer(f"{20 + number // 4000}.{number % 250}.{number // 250 % 16 * 8}.1", 1))
        begun = time.perf_counter()
        outcome = await judge.password(login, Secret(f"wrong {number}"), link)
        took[kind].append(time.perf_counter() - begun)
        assert outcome == Refused(RefusalReason.WRONG)
    return took["known"], took["unknown"]


def welch(ones: list[float], others: list[float]) -> tuple[float, float]:
    """The difference of the means, and the chance of one as large between samples of one kind (normal for this many)."""
    difference = statistics.fmean(ones) - statistics.fmean(others)
    error = math.sqrt(statistics.variance(ones) / len(ones) + statistics.variance(others) / len(others))
    return difference, math.erfc(abs(difference) / error / math.sqrt(2))


def test_a61_known_and_unknown_logins_take_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What argon2 itself costs for either is compared in test_credential."""
    monkeypatch.setattr(the_door, "verify_password", constant_cost)

    async def scene() -> tuple[list[float], list[float]]:
        w = await world(LoginPolicy(failure_delay=0), ())
        for number in range(KNOWN):
            await w.store.perform(create_account(f"known{number}@example.org", CREDENTIALS, 1))
        return await sampled(w.judge, 1000)

    known, unknown = asyncio.run(scene())
    difference, chance = welch(known, unknown)
    print(f"known {statistics.fmean(known) * 1e3:.3f} ms, difference {difference * 1e6:+.1f} us, p = {chance:.3f}")
    assert abs(difference) < LARGEST_DIFFERENCE
