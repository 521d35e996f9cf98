"""Who may connect: caps on connections at once and per minute, by address and network (A-08, A-30).

Networks are IPv4 /32, /26, /21 and IPv6 /64, /56, /48; an IPv6 peer counts as its /64, which is one customer. Memory is bounded:
what is open is bounded by the total cap, the counters of a minute by `LARGEST_TABLE`.
"""

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

__all__ = ["Admission", "Caps", "Refusal"]

LARGEST_TABLE: Final = 65536
"""Networks counted in one minute; beyond, new ones are only held by the total cap."""
K = TypeVar("K")
_V4_PREFIXES: Final = (32, 26, 21)
_V6_PREFIXES: Final = (64, 56, 48)


@dataclass(frozen=True, slots=True)
class Caps:
    """Connections at once (`total`; strangers by address; by account and address) and per minute by ascending network."""

    total: int = 10_000
    strangers_per_address: int = 20
    per_account_and_address: int = 20
    per_minute: tuple[int, int, int] = (300, 900, 2700)
    loopback_is_exempt: bool = True


class Refusal(enum.Enum):
    """Why a connection is not taken."""

    TOTAL = "too many connections"
    ADDRESS = "too many connections from this address"
    RATE = "too many connections a minute from this network"


class Admission:
    """Counts the connections of one server (all its listeners). `clock` gives seconds."""

    __slots__ = ("_accounts", "_caps", "_clock", "_minute", "_open", "_recent", "_strangers")

    def __init__(self, caps: Caps, clock: Callable[[], float]) -> None:
        self._caps = caps
        self._clock = clock
        self._open = 0
        self._strangers: dict[int, int] = {}
        self._accounts: dict[tuple[int, int], int] = {}
        self._minute = -1
        self._recent: dict[tuple[int, int], int] = {}

    def admit(self, address: str) -> Refusal | None:
        """Count a new connection. None: it is taken, `release` it later; else it is not counted as open."""
        if self._open >= self._caps.total:
            return Refusal.TOTAL
        if not self._is_exempt(address):
            if self._is_too_fast(address):
                return Refusal.RATE
            key = _key(address)
            count = self._strangers.get(key, 0)
            if count >= self._caps.strangers_per_address:
                return Refusal.ADDRESS
            self._strangers[key] = count + 1
        self._open += 1
        return None

    def authenticate(self, address: str, account: int, known_as: int | None) -> bool:
        """A connection (so far of the account `known_as`, or a stranger's) is this account's now, unless that has too many."""
        if self._is_exempt(address) or account == known_as:
            return True
        place = (account, _key(address))
        count = self._accounts.get(place, 0)
        if count >= self._caps.per_account_and_address:
            return False
        self._forget(address, known_as)
        self._accounts[place] = count + 1
        return True

    def release(self, address: str, known_as: int | None) -> None:
        """A connection that was admitted is gone."""
        self._open -= 1
        if not self._is_exempt(address):
            self._forget(address, known_as)

    def _forget(self, address: str, known_as: int | None) -> None:
        key = _key(address)
        if known_as is None:
            _decrease(self._strangers, key)
        else:
            _decrease(self._accounts, (known_as, key))

    def _is_too_fast(self, address: str) -> bool:
        """Counts by whole minutes: at most twice the cap in any 60 seconds, for one integer a network."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute = minute
            self._recent = {}
        networks = _networks(address)
        counts = [self._recent.get(network, 0) + 1 for network in networks]
        if any(count > cap for count, cap in zip(counts, self._caps.per_minute, strict=True)):
            return True
        for network, count in zip(networks, counts, strict=True):
            if count > 1 or len(self._recent) < LARGEST_TABLE:
                self._recent[network] = count
        return False

    def _is_exempt(self, address: str) -> bool:
        """Unix sockets have no address; their peers are local."""
        if not address:
            return True
        return self._caps.loopback_is_exempt and (address.startswith("127.") or address == "::1")


def _parse(address: str) -> tuple[int, int]:
    """(bits, number); an IPv4 address inside IPv6 is IPv4."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.max_prefixlen, int(parsed)


def _networks(address: str) -> list[tuple[int, int]]:
    bits, number = _parse(address)
    prefixes = _V4_PREFIXES if bits == 32 else _V6_PREFIXES
    return [(bits * 256 + prefix, number >> (bits - prefix)) for prefix in prefixes]


def _key(address: str) -> int:
    """One number an IPv4 address or IPv6 /64; the two families do not meet."""
    bits, number = _parse(address)
    return number if bits == 32 else (number >> 64) + (1 << 64)


def _decrease(counts: dict[K, int], key: K) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
