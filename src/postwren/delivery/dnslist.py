"""Lists of addresses in the DNS: who is known for spam, and who for good mail (RFC 5782).

    list.example.org                   weight 1, any answer within 127.0.0.0/8
    list.example.org=127.0.0.2-11*3    weight 3, for these answers only
    good.example.org=127.0.*.1-3*-2    a list of good hosts: a negative weight; * is any octet

A list is asked only while it passes its test (section 5): 127.0.0.2 is listed, 127.0.0.1 is not. So one that is dead, that has
been given up and now answers everything, or that refuses us (127.255.255.0/24) weighs nothing.
"""

import asyncio
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from postwren.delivery.connection import IpAddress, plain_address
from postwren.wire.resolver import HostAddress, Resolver, ResolverFailed, Txt

__all__ = ["DnsList", "DnsLists", "Hit", "Limits", "ListInvalid", "Score", "parse_list", "parse_lists"]


class ListInvalid(ValueError):
    """No description of a list; the text says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of all lists together."""

    lists: int = 16
    weight: int = 100  # of one list, in either direction
    seconds: float = 5.0  # for one address: what has not answered by then weighs nothing
    retest: int = 3600  # seconds after which a list's test is made again


@dataclass(frozen=True, slots=True)
class DnsList:
    """`codes`: for each octet of an answer the least and the greatest that counts."""

    zone: str
    weight: int = 1
    codes: tuple[tuple[int, int], ...] = ((127, 127), (0, 255), (0, 255), (0, 255))

    def counts(self, answer: str) -> bool:
        try:
            octets = ipaddress.IPv4Address(answer).packed
        except ValueError:
            return False
        if octets[0] != 127 or octets[:3] == b"\x7f\xff\xff":  # the latter is an error of many lists: a refusal, a typing error
            return False
        return all(low <= octet <= high for octet, (low, high) in zip(octets, self.codes, strict=True))


@dataclass(frozen=True, slots=True)
class Hit:
    """The address is on `zone`; `text` is what the list says about it (a stranger's, printable ASCII, "" where nothing)."""

    zone: str
    weight: int
    text: str


@dataclass(frozen=True, slots=True)
class Score:
    """The weights of all lists that the address is on."""

    weight: int = 0
    hits: tuple[Hit, ...] = ()


_LIST: Final = re.compile(r"(?P<zone>[^=*]+?)\.?(?:=(?P<codes>[^=]+?))?(?:\*(?P<weight>-?[0-9]{1,4}))?")
_ZONE: Final = re.compile(r"(?!.{190})[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})+")
_RANGE: Final = re.compile(r"(\*)|([0-9]{1,3})(?:-([0-9]{1,3}))?")
_LISTED: Final[tuple[IpAddress, IpAddress]] = (ipaddress.ip_address("127.0.0.2"), ipaddress.ip_address("::ffff:127.0.0.2"))
_UNLISTED: Final[tuple[IpAddress, IpAddress]] = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::ffff:127.0.0.1"))
_TEXT: Final = 200  # characters of what a list says


def parse_list(text: str, limits: Limits = Limits()) -> DnsList:
    """ZONE[=CODES][*WEIGHT]. Raises ListInvalid."""
    match = _LIST.fullmatch(text.strip().lower())
    if match is None or _ZONE.fullmatch(match["zone"]) is None:
        raise ListInvalid(f"{text!r} is not like list.example.org, list.example.org=127.0.0.2 or list.example.org=127.0.0.2*3")
    weight = int(match["weight"] or 1)
    if not 0 < abs(weight) <= limits.weight:
        raise ListInvalid(f"{text!r}: a weight is a number up to {limits.weight}, or down to -{limits.weight}, and not 0")
    codes = match["codes"]
    return DnsList(match["zone"], weight) if codes is None else DnsList(match["zone"], weight, _codes(text, codes))


def _codes(text: str, codes: str) -> tuple[tuple[int, int], ...]:
    ranges = []
    for octet in codes.split("."):
        match = _RANGE.fullmatch(octet)
        if match is None:
            raise ListInvalid(f"{text!r}: {octet!r} is neither a number, nor two with a dash between, nor *")
        low, high = (0, 255) if match[1] else (int(match[2]), int(match[3] or match[2]))
        if not low <= high <= 255:
            raise ListInvalid(f"{text!r}: {octet!r} is no range of octets")
        ranges.append((low, high))
    if len(ranges) != 4:
        raise ListInvalid(f"{text!r}: an answer has four octets")
    return tuple(ranges)


def question(ip: IpAddress, zone: str) -> str:
    """Sections 2.1 and 2.4: octets, of IPv6 nibbles, the last one first."""
    return f"{ip.reverse_pointer.rpartition('.')[0].rpartition('.')[0]}.{zone}"


@dataclass(slots=True)
class _State:
    """Of one list. IPv4 and IPv6 pass their tests apart: many lists have only the former."""

    tested: int | None = None
    works: tuple[bool, bool] = (False, False)


@dataclass(slots=True)
class DnsLists:
    """The lists of an installation, and which of them work. `now` is seconds of any clock that runs."""

    lists: tuple[DnsList, ...]
    limits: Limits = Limits()
    _states: dict[str, _State] = field(init=False)

    def __post_init__(self) -> None:
        if len(self.lists) > self.limits.lists:
            raise ListInvalid(f"more than {self.limits.lists} lists")
        self._states = {each.zone: _State() for each in self.lists}

    async def test(self, resolver: Resolver, now: int) -> list[str]:
        """Test those whose time has come (at the start: all), and say which lists do not work for IPv4."""
        due = [each for each in self.lists if self._is_due(self._states[each.zone], now)]
        for each in due:
            self._states[each.zone].tested = now  # at once: who comes meanwhile goes by the test before
        for each, works in zip(due, await asyncio.gather(*(self._test(resolver, each) for each in due)), strict=True):
            self._states[each.zone].works = works
        return [each.zone for each in self.lists if not self._states[each.zone].works[0]]

    async def score(self, resolver: Resolver, ip: IpAddress, now: int) -> Score:
        """Never raises: a list that fails weighs nothing."""
        ip = plain_address(ip)
        await self.test(resolver, now)
        asked = [each for each in self.lists if self._states[each.zone].works[ip.version == 6]]
        hits = await asyncio.gather(*(self._hit(resolver, each, ip) for each in asked))
        found = tuple(hit for hit in hits if hit is not None)
        return Score(sum(hit.weight for hit in found), found)

    def _is_due(self, state: _State, now: int) -> bool:
        return state.tested is None or not 0 <= now - state.tested < self.limits.retest

    async def _test(self, resolver: Resolver, each: DnsList) -> tuple[bool, bool]:
        asked = [self._is_listed(resolver, each, ip) for ip in _LISTED]
        asked += [self._is_listed(resolver, each, ip, is_any=True) for ip in _UNLISTED]
        listed4, listed6, unlisted4, unlisted6 = await asyncio.gather(*asked)
        return listed4 is True and unlisted4 is False, listed6 is True and unlisted6 is False

    async def _hit(self, resolver: Resolver, each: DnsList, ip: IpAddress) -> Hit | None:
        if not await self._is_listed(resolver, each, ip):
            return None
        return Hit(each.zone, each.weight, await self._text(resolver, each, ip) if each.weight > 0 else "")

    async def _is_listed(self, resolver: Resolver, each: DnsList, ip: IpAddress, *, is_any: bool = False) -> bool | None:
        """None: nobody could tell. `is_any`: any answer at all is one."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                answer = await resolver.query(question(ip, each.zone), "A")
        except (ResolverFailed, TimeoutError):
            return None
        return any(isinstance(record, HostAddress) and (is_any or each.counts(record.address)) for record in answer.records)

    async def _text(self, resolver: Resolver, each: DnsList, ip: IpAddress) -> str:
        """Section 2.1: why it is listed, for the reply."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                answer = await resolver.query(question(ip, each.zone), "TXT")
        except (ResolverFailed, TimeoutError):
            return ""
        texts = [record.text for record in answer.records if isinstance(record, Txt)]
        text = texts[0].decode("ascii", "replace")[:_TEXT] if texts else ""
        return text if text.isascii() and text.isprintable() else ""


def parse_lists(texts: Iterable[str], limits: Limits = Limits()) -> DnsLists:
    """Raises ListInvalid."""
    return DnsLists(tuple(parse_list(text, limits) for text in texts), limits)
