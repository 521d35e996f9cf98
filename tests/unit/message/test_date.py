"""Dates: RFC 5322 section 3.3, section 4.3, appendix A, and what people send."""

import email.utils
from datetime import UTC, datetime

import pytest

from postwren.message.date import SentDate, parse_date


def at(*fields: int) -> int:
    return int(datetime(*fields, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


CASES = [
    ("Fri, 21 Nov 1997 09:55:06 -0600", at(1997, 11, 21, 15, 55, 6), -360),
    ("Tue, 1 Jul 2003 10:52:37 +0200", at(2003, 7, 1, 8, 52, 37), 120),
    ("Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)", at(1969, 2, 14, 3, 2), -210),
    ("21 Nov 97 09:55:06 GMT", at(1997, 11, 21, 9, 55, 6), 0),
    ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", at(1997, 11, 21, 15, 55, 6), -360),
    ("Mon, 3 Jun 2024 10:11:09 EDT", at(2024, 6, 3, 14, 11, 9), -240),
    ("Mon, 3 Jun 2024 10:11:09 Z", at(2024, 6, 3, 10, 11, 9), 0),
    ("3 Jun 49 10:00:00 UT", at(2049, 6, 3, 10), 0),
    ("3 Jun 50 10:00:00 UT", at(1950, 6, 3, 10), 0),
    ("3 Jun 102 10:00:00 UT", at(2002, 6, 3, 10), 0),
    ("Sat Jan  3 01:05:34 2004", at(2004, 1, 3, 1, 5, 34), 0),
    ("Sat Jan  3 01:05:34 EST 2004", at(2004, 1, 3, 6, 5, 34), -300),
    ("2004-01-03T01:05:34+01:00", at(2004, 1, 3, 0, 5, 34), 60),
    ("Mon, 3-Jun-2024 10:11:09", at(2024, 6, 3, 10, 11, 9), 0),
    ("Mon, 3 Jun 2024", at(2024, 6, 3), 0),
    ("Mon, 3 Jun 2024 99:11:09 +0200", at(2024, 6, 2, 22), 120),
    ("Thu, 29 Feb 2024 23:59:60 +0000", at(2024, 2, 29, 23, 59, 59), 0),
]


@pytest.mark.parametrize(("value", "epoch", "offset"), CASES, ids=[c[0] for c in CASES])
def test_dates(value: str, epoch: int, offset: int) -> None:
    assert parse_date(value.encode()) == SentDate(epoch, offset)


@pytest.mark.parametrize(
    "value", ["", "yesterday", "Thu, 30 Feb 2024 10:00:00 +0000", "1 Xyz 2024 10:00", "\0\xff", "0 Jan 2020", "2020-13-01"]
)
def test_hopeless_dates_are_none(value: str) -> None:
    assert parse_date(value.encode("latin-1")) is None


def test_every_day_of_four_centuries_agrees_with_the_standard_library() -> None:
    for day in range(-150_000, 50_000, 97):
        moment = datetime.fromtimestamp(day * 86_400, UTC)
        assert parse_date(email.utils.format_datetime(moment).encode()) == SentDate(day * 86_400, 0)
