"""Failed logins slow down where they come from and whom they are aimed at (A-60). Pure: the clock is an argument.

An address counts three times: alone, with its neighbours, with its provider's block (IPv4 /32, /26, /21; IPv6 /64,
/56, /48), each in a window of a minute and one of a day. A login that many fail at makes further attempts wait, at
most 30 seconds, and never shuts its owner out: an address from which this login succeeded does not wait.

The same wrong password twice is one guess: a device with an old password must not close the door on its household.
Times are seconds since 1970, so that counters survive a restart. Memory is bounded: what was touched least recently goes.
"""

import json
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias, TypeVar

__all__ = ["Limits", "Throttle"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
IpAddress: TypeAlias = IPv4Address | IPv6Address
Block: TypeAlias = str  # "4/32/cb007106": family, prefix, the bits before it in hex


@dataclass(frozen=True, slots=True)
class Limits:
    """Failures in a window from one address, its near and its wide network; the sizes of what is remembered."""

    a_minute: tuple[int, int, int] = (10, 30, 90)
    a_day: tuple[int, int, int] = (50, 150, 450)
    free_failures: int = 3  # of one login, before attempts wait
    longest_wait: float = 30.0
    login_term: float = 3600.0  # without a failure, after which a login's failures are forgotten
    blocks: int = 30_000
    logins: int = 10_000
    known: int = 20_000
    saved_blocks: int = 5_000


class _Recent(OrderedDict[K, V]):
    """A dict of bounded size."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def put(self, key: K, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._capacity:
            self.popitem(last=False)


@dataclass(slots=True)
class _Count:
    """Failures of one block in the minute and the day they belong to."""

    minute: int
    in_minute: int
    day: int
    in_day: int

    def add(self, minute: int, day: int) -> None:
        self.in_minute = self.in_minute + 1 if self.minute == minute else 1
        self.in_day = self.in_day + 1 if self.day == day else 1
        self.minute, self.day = minute, day


class Throttle:
    """Failures by address and by login."""

    __slots__ = ("_blocks", "_exempt", "_known", "_limits", "_logins", "_wrong")

    def __init__(self, exempt: tuple[IPv4Network | IPv6Network, ...] = (), limits: Limits = Limits()) -> None:
        self._limits = limits
        self._exempt = exempt
        self._blocks: _Recent[Block, _Count] = _Recent(limits.blocks)
        self._logins: _Recent[str, tuple[int, float]] = _Recent(limits.logins)  # failures, when last
        self._known: _Recent[tuple[str, Block], None] = _Recent(limits.known)
        self._wrong: _Recent[tuple[Block, bytes], None] = _Recent(limits.known)

    def is_blocked(self, address: str, now: float) -> bool:
        """Whether too many failures came from this address or around it. An empty address (a Unix socket) never is."""
        minute, day = _windows(now)
        for level, block in enumerate(self._blocks_of(address)):
            count = self._blocks.get(block)
            if count is None:
                continue
            if count.minute == minute and count.in_minute >= self._limits.a_minute[level]:
                return True
            if count.day == day and count.in_day >= self._limits.a_day[level]:
                return True
        return False

    def wait(self, address: str, login: str, now: float) -> float:
        """Seconds that an attempt at this login from this address must wait before it is judged."""
        failures, last = self._logins.get(login, (0, now))
        over = failures - self._limits.free_failures
        blocks = self._blocks_of(address)
        if over < 0 or not blocks or not 0 <= now - last < self._limits.login_term or (login, blocks[0]) in self._known:
            return 0.0
        return min(float(2 ** min(over, 10)), self._limits.longest_wait)

    def failed(self, address: str, login: str, now: float, guess: bytes | None = None) -> None:
        """An attempt was wrong; `login` is "" when it can be nobody's. `guess` tells guesses apart (a keyed hash of login and
        password); None where there is nothing to tell them by."""
        blocks = self._blocks_of(address)
        if not blocks:
            return
        if guess is not None:
            is_repeated = (blocks[0], guess) in self._wrong
            self._wrong.put((blocks[0], guess), None)
            if is_repeated:
                return
        minute, day = _windows(now)
        for block in blocks:
            count = self._blocks.get(block) or _Count(minute, 0, day, 0)
            count.add(minute, day)
            self._blocks.put(block, count)
        if not login:
            return
        failures, last = self._logins.get(login, (0, now))
        self._logins.put(login, (failures + 1 if 0 <= now - last < self._limits.login_term else 1, now))

    def succeeded(self, address: str, login: str) -> None:
        """An attempt was right: this login is at home there. Its failures stay: the owner's success is not the attacker's."""
        blocks = self._blocks_of(address)
        if blocks:
            self._known.put((login, blocks[0]), None)

    def snapshot(self, now: float) -> bytes:
        """What a restart must not forget: the day's counts by address, the most recent ones."""
        _, day = _windows(now)
        rows = [
            [block, count.minute, count.in_minute, count.day, count.in_day]
            for block, count in reversed(self._blocks.items())
            if count.day == day
        ]
        logins = [[login, n, last] for login, (n, last) in self._logins.items() if now - last < self._limits.login_term]
        known = [list(key) for key in self._known]
        keep = self._limits.saved_blocks
        data = {"blocks": rows[:keep][::-1], "logins": logins[-keep:], "known": known[-keep:]}
        return json.dumps(data, separators=(",", ":")).encode()

    def restore(self, snapshot: bytes) -> None:
        """Take up where `snapshot` left off; one that is not understood counts as none."""
        try:
            data = json.loads(snapshot)
            blocks = [(str(block), _Count(*map(int, counts))) for block, *counts in data["blocks"]]
            logins = [(str(login), (int(n), float(last))) for login, n, last in data["logins"]]
            known = [(str(login), str(block)) for login, block in data["known"]]
        except (ValueError, KeyError, TypeError):
            return
        for block, count in blocks:
            self._blocks.put(block, count)
        for login, row in logins:
            self._logins.put(login, row)
        for key in known:
            self._known.put(key, None)

    def _blocks_of(self, address: str) -> tuple[Block, ...]:
        """The address as its three networks, the nearest first; none where it is exempt or local."""
        if not address:
            return ()
        try:
            parsed = ip_address(address)
        except ValueError:
            return ("?",)
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        if any(parsed.version == network.version and parsed in network for network in self._exempt):
            return ()
        prefixes = (32, 26, 21) if parsed.version == 4 else (64, 56, 48)
        bits = int(parsed)
        return tuple(f"{parsed.version}/{prefix}/{bits >> (parsed.max_prefixlen - prefix):x}" for prefix in prefixes)


def _windows(now: float) -> tuple[int, int]:
    """The minute and the day of this moment."""
    return int(now // 60), int(now // 86_400)
