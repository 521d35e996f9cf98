"""Dates of header fields (RFC 5322 section 3.3; obsolete zones and years of section 4.3) as seconds since 1970, read and written.

What people send besides is read too: asctime's order, ISO 8601, dots between the parts of a time, a missing time or zone
(RFC 5256 section 2.2: taken as 00:00:00 and UTC). Arithmetic only: no year is out of range.
"""

import re
from typing import Final, NamedTuple

__all__ = ["SentDate", "format_date", "parse_date"]


class SentDate(NamedTuple):
    """A point in time, and the zone it was written in."""

    epoch: int  # seconds since 1970 in UTC
    offset: int  # minutes east of Greenwich


_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_ZONES: Final = {b"est": -300, b"edt": -240, b"cst": -360, b"cdt": -300, b"mst": -420, b"mdt": -360, b"pst": -480, b"pdt": -420,
                 b"cet": 60, b"met": 60, b"cest": 120, b"mest": 120, b"bst": 60, b"jst": 540}  # fmt: skip
_LONGEST: Final = 256

_CLOCK = rb"(\d{1,2})[ \t]*[:.][ \t]*(\d{1,2})(?:[ \t]*[:.][ \t]*(\d{1,2})(?:[.,]\d+)?)?"
_ZONE = rb"[ \t]*([+-](?:\d{1,2}:?\d{2}|\d{1,2})|[A-Za-z]+)?"
_USUAL: Final = re.compile(
    rb"(?:[A-Za-z]+[,.]?)?[ \t]*(\d{1,2})[ \t-]*([A-Za-z]{3})[a-z]*[.,]?[ \t-]*(\d{2,4})(?:[ \t,]+" + _CLOCK + _ZONE + rb")?"
)
_ASCTIME: Final = re.compile(
    rb"[A-Za-z]+,?[ \t]+([A-Za-z]{3})[a-z]*[ \t]+(\d{1,2}),?[ \t]+" + _CLOCK + rb"[ \t]+(?:([+-]\d{4}|[A-Za-z]+)[ \t]+)?(\d{4})"
)
_ISO: Final = re.compile(rb"(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt \t]+" + _CLOCK + _ZONE + rb")?")
_COMMENT: Final = re.compile(rb"\([^()]*\)")


def parse_date(value: bytes) -> SentDate | None:
    """The date of an unfolded field value; None when it is none."""
    value = value[:_LONGEST]
    if b"(" in value:
        value = _COMMENT.sub(b" ", value)
    return _parse(value.strip())


def _parse(value: bytes) -> SentDate | None:
    if match := _USUAL.match(value):
        day, month, year, hour, minute, second, zone = match.groups()
        return _date(_year(year), _MONTHS.get(month.lower(), 0), day, hour, minute, second, zone)
    if match := _ASCTIME.match(value):
        month, day, hour, minute, second, zone, year = match.groups()
        return _date(_year(year), _MONTHS.get(month.lower(), 0), day, hour, minute, second, zone)
    if match := _ISO.match(value):
        year, month, day, hour, minute, second, zone = match.groups()
        return _date(int(year), int(month), day, hour, minute, second, zone)
    return None


def _year(digits: bytes) -> int:
    """RFC 5322 section 4.3: two digits below 50 are this century; three count from 1900."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _date(
    year: int, month: int, day: bytes, hour: bytes | None, minute: bytes | None, second: bytes | None, zone: bytes | None
) -> SentDate | None:
    if not 1 <= month <= 12 or not 1 <= int(day) <= _days_in(year, month):
        return None
    clock = (int(hour or 0), int(minute or 0), min(int(second or 0), 60))
    if clock[0] > 23 or clock[1] > 59:
        clock = (0, 0, 0)
    offset = _offset(zone)
    epoch = _days(year, month, int(day)) * 86_400 + clock[0] * 3_600 + clock[1] * 60 + min(clock[2], 59) - offset * 60
    return SentDate(epoch, offset)


def _offset(zone: bytes | None) -> int:
    """Minutes; 0 for unknown names: RFC 5322 section 4.3 wants the military ones so."""
    if zone is None or zone[0] not in b"+-":
        return 0 if zone is None else _ZONES.get(zone.lower(), 0)
    digits = zone[1:].replace(b":", b"")
    digits = digits.zfill(2) + b"00" if len(digits) < 3 else digits.zfill(4)
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    if int(digits[2:]) > 59 or int(digits[:2]) > 24:
        return 0
    return -minutes if zone[0:1] == b"-" else minutes


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in(year: int, month: int) -> int:
    return 28 + _is_leap(year) if month == 2 else 30 + (month in (1, 3, 5, 7, 8, 10, 12))


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar, the year counted from March."""
    year -= month <= 2
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719_468


_DAY_NAMES: Final = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")  # day 0 was a Thursday
_MONTH_NAMES: Final = ("Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb")


def format_date(epoch: int) -> str:
    """date-time of RFC 5322 section 3.3, in UTC; years 1900 to 9999."""
    days, seconds = divmod(epoch, 86_400)
    # The reverse of `_days`: eras of 400 years, years counted from March.
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    year = era * 400 + year_of_era + (month >= 10)
    clock = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{_DAY_NAMES[days % 7]}, {day} {_MONTH_NAMES[month]} {year:04} {clock} +0000"
