"""Greylisting (RFC 6647): who has never written before is asked to come again, which mail servers do and most spam programs do
not.

What is remembered is a triplet of network (/24, /64), reverse-path and recipient, as hashes, and when it first came. A retry
within the window (not before `delay`, not after `window`) is taken, and its network is known from then on, as long as it keeps
writing. Memory is bounded: in all and for one network, so that nobody can wash out the others. What is forgotten costs a delay,
never mail.

`dump` and `load` carry it across restarts (one setting of the store). Times are seconds since 1970; a clock that jumps only
delays.
"""

import hashlib
import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from postwren.delivery.connection import IpAddress, plain_address
from postwren.terms import Address

__all__ = ["SETTING", "GreyPolicy", "Greylist"]

SETTING: Final = "greylist"

_NETWORK: Final = 8  # octets of a hash
_TRIPLET: Final = 16
_FORM: Final = b"\x01"
_COUNT: Final = struct.Struct("<I")
_WAITING: Final = struct.Struct(f"<{_TRIPLET}sq")
_KNOWN: Final = struct.Struct(f"<{_NETWORK}sq")


@dataclass(frozen=True, slots=True)
class GreyPolicy:
    """Seconds and counts. RFC 6647 section 5: a window of one minute to 24 hours, and at least a week for what is unused."""

    delay: int = 60
    window: int = 24 * 3600
    known_for: int = 36 * 24 * 3600
    waiting: int = 50_000
    waiting_of_network: int = 200
    known: int = 20_000


class Greylist:
    """One a server."""

    def __init__(self, policy: GreyPolicy = GreyPolicy()) -> None:
        self._policy = policy
        self._waiting: dict[bytes, int] = {}  # triplet, of which the network comes first -> when it first came; the oldest first
        self._of_network: dict[bytes, int] = {}  # how many of them
        self._known: dict[bytes, int] = {}  # network -> when it last wrote; the longest silent first

    def seconds_to_wait(self, ip: IpAddress, sender: Address | None, recipient: Address, now: int) -> int:
        """0: take it. Otherwise ask for another try (450 4.7.1) after so many seconds."""
        network = _network(ip)
        if self._is_known(network, now):
            return 0
        triplet = network + _hash(b"%s\0%s" % (_folded(sender), _folded(recipient)), _TRIPLET - _NETWORK)
        first = self._waiting.get(triplet)
        if first is None or not 0 <= now - first <= self._policy.window:
            self._remember(triplet, now)
            return self._policy.delay
        left = first + self._policy.delay - now
        if left > 0:
            return left
        self._forget(triplet)
        self._put_known(network, now)
        return 0

    def know(self, ip: IpAddress, now: int) -> None:
        """Mail of this address was good: its network need not wait."""
        self._put_known(_network(ip), now)

    def dump(self) -> bytes:
        """Everything, for `load`."""
        waiting = b"".join(_WAITING.pack(*item) for item in self._waiting.items())
        known = b"".join(_KNOWN.pack(*item) for item in self._known.items())
        return b"".join((_FORM, _COUNT.pack(len(self._waiting)), waiting, known))

    def load(self, data: bytes, now: int) -> None:
        """In place of what was known. What is no dump is forgotten, what is too old too."""
        self._waiting, self._of_network, self._known = {}, {}, {}
        if data[:1] != _FORM or len(data) < 1 + _COUNT.size:
            return
        start = 1 + _COUNT.size
        middle = start + _WAITING.size * _COUNT.unpack_from(data, 1)[0]
        if middle > len(data) or (len(data) - middle) % _KNOWN.size:
            return
        for triplet, first in _WAITING.iter_unpack(data[start:middle]):
            if 0 <= now - first <= self._policy.window:
                self._remember(triplet, first)
        for network, last in _KNOWN.iter_unpack(data[middle:]):
            if 0 <= now - last <= self._policy.known_for:
                self._put_known(network, last)

    # -- what waits, what is known

    def _remember(self, triplet: bytes, first: int) -> None:
        self._forget(triplet)
        while self._waiting and first - self._waiting[oldest := next(iter(self._waiting))] > self._policy.window:
            self._forget(oldest)
        network = triplet[:_NETWORK]
        waiting = self._of_network.get(network, 0)
        if waiting >= self._policy.waiting_of_network:
            return  # the retry of any that waits makes the network known
        if len(self._waiting) >= self._policy.waiting:
            self._forget(next(iter(self._waiting)))
            waiting = self._of_network.get(network, 0)
        self._waiting[triplet] = first
        self._of_network[network] = waiting + 1

    def _forget(self, triplet: bytes) -> None:
        if self._waiting.pop(triplet, None) is None:
            return
        network = triplet[:_NETWORK]
        left = self._of_network[network] - 1
        if left:
            self._of_network[network] = left
        else:
            del self._of_network[network]

    def _is_known(self, network: bytes, now: int) -> bool:
        last = self._known.get(network)
        if last is None or not 0 <= now - last <= self._policy.known_for:
            return False
        self._put_known(network, now)
        return True

    def _put_known(self, network: bytes, now: int) -> None:
        self._known.pop(network, None)
        while len(self._known) >= self._policy.known:
            del self._known[next(iter(self._known))]
        self._known[network] = now


def _network(ip: IpAddress) -> bytes:
    ip = plain_address(ip)
    prefix = 24 if ip.version == 4 else 64
    return _hash(ipaddress.ip_network((ip, prefix), strict=False).network_address.packed, _NETWORK)


def _folded(address: Address | None) -> bytes:
    """Senders that write their local part in several ways are one."""
    return b"" if address is None else str(address).lower().encode()


def _hash(data: bytes, octets: int) -> bytes:
    return hashlib.blake2b(data, digest_size=octets).digest()
