"""When a submission is to be let go: HOLDFOR and HOLDUNTIL (RFC 4865, with erratum 2040: date-time is that of RFC 3339).

FUTURERELEASE 2592000 2026-12-24T12:00:00Z      how long the server holds mail, as seconds and as the latest time
MAIL FROM:<ann@example.org> HOLDFOR=3600
MAIL FROM:<ann@example.org> HOLDUNTIL=2026-12-01T08:00:00+01:00
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

from postwren.message.date import parse_date
from postwren.protocols.smtp.reply import HOLD_SYNTAX, HOLD_TOO_LONG, CommandFault, Reply

__all__ = [
    "Hold",
    "HoldFor",
    "HoldUntil",
    "format_date_time",
    "format_hold",
    "hold_seconds",
    "parse_hold_for",
    "parse_hold_until",
]


@dataclass(frozen=True, slots=True)
class HoldFor:
    """Seconds from the MAIL on."""

    seconds: int


@dataclass(frozen=True, slots=True)
class HoldUntil:
    """Seconds since 1970."""

    epoch: int


Hold: TypeAlias = HoldFor | HoldUntil

_INTERVAL: Final = re.compile(r"[1-9][0-9]{0,8}")
_HOUR = r"(?:[01][0-9]|2[0-3])"
_DATE_TIME: Final = re.compile(
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt]{_HOUR}:[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{{1,9}})?(?:[Zz]|[+-]{_HOUR}:[0-5][0-9])"
)


def parse_hold_for(value: str) -> HoldFor:
    """future-release-integer = 1-9 digits (RFC 4865 3)"""
    if _INTERVAL.fullmatch(value) is None:
        raise CommandFault(HOLD_SYNTAX)
    return HoldFor(int(value))


def parse_hold_until(value: str) -> HoldUntil:
    """future-release-date-time = date-time"""
    date = parse_date(value.encode()) if _DATE_TIME.fullmatch(value) else None
    if date is None:
        raise CommandFault(HOLD_SYNTAX)
    return HoldUntil(date.epoch)


def format_date_time(epoch: int) -> str:
    """date-time of RFC 3339, in UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_hold(hold: Hold) -> str:
    """The parameter."""
    if isinstance(hold, HoldFor):
        return f"HOLDFOR={hold.seconds}"
    return f"HOLDUNTIL={format_date_time(hold.epoch)}"


def hold_seconds(hold: Hold | None, now: int, longest: int) -> int | Reply:
    """How long a submission waits, from `now` (seconds since 1970) on; or the reply to one that would wait longer than `longest`.
    A time that is over means now: clocks differ, and who wanted it sent wanted it sent."""
    if hold is None:
        return 0
    seconds = hold.seconds if isinstance(hold, HoldFor) else max(hold.epoch - now, 0)
    return HOLD_TOO_LONG if seconds > longest else seconds
