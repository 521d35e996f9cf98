"""Sets of sequence numbers and UIDs (RFC 9051 section 9, sequence-set; RFC 5182 for `$`)."""

import enum
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

from postwren.protocols.imap.fault import Unparsable
from postwren.wire.errors import LocalProtocolError

__all__ = ["SAVED", "STAR", "NumSet", "Saved", "format_numset", "normalize", "parse_numset", "ranges_of", "resolve"]

STAR: Final = 1 << 32
"""`*`: above every number there can be; whoever knows the mailbox puts its largest number there."""
LARGEST: Final = STAR - 1
_NUMBER: Final = rb"(?:[1-9][0-9]{0,9}|\*)"
_RANGE: Final = rb"%b(?::%b)?" % (_NUMBER, _NUMBER)
_SET: Final = re.compile(rb"%b(?:,%b)*+" % (_RANGE, _RANGE))


class Saved(enum.Enum):
    """The type of `SAVED`."""

    SAVED = "SAVED"


SAVED: Final = Saved.SAVED
"""`$`: the result that the last SEARCH saved."""

NumSet: TypeAlias = tuple[tuple[int, int], ...] | Literal[Saved.SAVED]
"""Ranges as they were written, in their order; either end may be `STAR`, and (7, 2) means (2, 7)."""


def parse_numset(octets: bytes) -> NumSet:
    """`sequence-set = (seq-number / seq-range) ["," sequence-set] / "$"`."""
    if octets == b"$":
        return SAVED
    if not _SET.fullmatch(octets):
        raise Unparsable
    return tuple(map(_parse_range, octets.split(b",")))


def _parse_range(octets: bytes) -> tuple[int, int]:
    first, colon, last = octets.partition(b":")
    low = _parse_number(first)
    return (low, _parse_number(last)) if colon else (low, low)


def _parse_number(digits: bytes) -> int:
    if digits == b"*":
        return STAR
    number = int(digits)
    if number > LARGEST:
        raise Unparsable
    return number


def format_numset(numbers: NumSet) -> bytes:
    """As it stands on the wire; LocalProtocolError for the empty set, which has no form."""
    if numbers is SAVED:
        return b"$"
    if not numbers:
        raise LocalProtocolError("a set without numbers")
    return ",".join([_format_range(low, high) for low, high in numbers]).encode()


def _format_range(low: int, high: int) -> str:
    first = "*" if low == STAR else str(low)
    return first if low == high else f"{first}:{'*' if high == STAR else high}"


def resolve(numbers: tuple[tuple[int, int], ...], maximum: int) -> list[tuple[int, int]]:
    """Ascending, disjoint ranges within 1 to `maximum`, the largest number there is; none where there are no numbers at all."""
    if not maximum:
        return []
    if len(numbers) == 1:  # most sets
        low, high = sorted(min(end, maximum) if end == STAR else end for end in numbers[0])
        return [(low, min(high, maximum))] if low <= maximum else []
    placed = [(maximum if low == STAR else low, maximum if high == STAR else high) for low, high in numbers]
    return normalize((low, min(high, maximum)) for low, high in map(sorted, placed) if low <= maximum)


def normalize(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers as ascending, disjoint ranges that do not touch. Each range's first number is its smallest."""
    merged: list[tuple[int, int]] = []
    start = end = -1
    for low, high in sorted(ranges):
        if low > end + 1:
            if start > 0:
                merged.append((start, end))
            start, end = low, high
        elif high > end:
            end = high
    if start > 0:
        merged.append((start, end))
    return merged


def ranges_of(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Ascending numbers as the fewest ranges."""
    if not numbers:
        return ()
    breaks = [place for place in range(1, len(numbers)) if numbers[place] != numbers[place - 1] + 1]
    starts, ends = [0, *breaks], [*breaks, len(numbers)]
    return tuple((numbers[start], numbers[end - 1]) for start, end in zip(starts, ends, strict=True))
