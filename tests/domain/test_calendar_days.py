"""Tests the limits of days in time zones with clock changes and skipped days."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.domain.calendar_days import (
    day_end_exclusive,
    day_end_inclusive,
    day_start,
    system_clock,
    today,
)

NAMES = ["UTC", "Europe/Copenhagen", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Kiritimati",
         "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "Pacific/Apia", "America/Havana",
         "Australia/Lord_Howe", "Etc/GMT+12"]  # fmt: skip
ZONES = st.sampled_from(NAMES).map(ZoneInfo)
INSTANTS = st.integers(3 * 86_400, 2**31 - 1).map(lambda s: datetime.fromtimestamp(s, UTC))
DAYS = st.dates(date(1970, 1, 2), date(2037, 12, 30))


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 3, 29), "Europe/Copenhagen", 23),
        (date(2026, 10, 25), "Europe/Copenhagen", 25),
        (date(2026, 3, 8), "America/Los_Angeles", 23),
        (date(2026, 11, 1), "America/Los_Angeles", 25),
        (date(2026, 5, 7), "Europe/Copenhagen", 24),
        (date(2026, 10, 4), "Australia/Lord_Howe", 23.5),
        (date(2018, 11, 4), "America/Sao_Paulo", 23),
        (date(2018, 2, 17), "America/Sao_Paulo", 25),
        (date(2011, 12, 30), "Pacific/Apia", 0),
    ],
)
def test_day_length_follows_clock_changes(day: date, zone: str, hours: float) -> None:
    length = day_end_exclusive(day, ZoneInfo(zone)) - day_start(day, ZoneInfo(zone))

    assert length == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("day", "zone", "start"),
    [
        (date(2026, 5, 7), "UTC", "2026-05-07T00:00:00+00:00"),
        (date(2026, 5, 7), "Europe/Copenhagen", "2026-05-06T22:00:00+00:00"),
        (date(2026, 5, 7), "America/Los_Angeles", "2026-05-07T07:00:00+00:00"),
        (date(2026, 5, 7), "Asia/Kathmandu", "2026-05-06T18:15:00+00:00"),
        # Clocks went from 24:00 of the 3rd to 01:00 of the 4th: midnight does not exist.
        (date(2018, 11, 4), "America/Sao_Paulo", "2018-11-04T03:00:00+00:00"),
        # Clocks went from 23:30 of the 30th to 00:30 of the 31st.
        (date(1919, 3, 31), "America/Toronto", "1919-03-31T04:30:00+00:00"),
        # Clocks went back from 01:00 to 00:00: midnight occurs twice.
        (date(2025, 11, 2), "America/Havana", "2025-11-02T04:00:00+00:00"),
    ],
)
def test_a_day_starts_at_its_first_instant(day: date, zone: str, start: str) -> None:
    first = day_start(day, ZoneInfo(zone))

    assert first == instant(start)
    assert first.tzinfo is UTC
    assert today(first, ZoneInfo(zone)) == day
    assert today(first - timedelta(microseconds=1), ZoneInfo(zone)) < day


@given(DAYS, ZONES)
def test_a_day_ends_where_the_next_one_starts(day: date, zone: ZoneInfo) -> None:
    next_start = day_start(day + timedelta(days=1), zone)

    assert day_end_exclusive(day, zone) == next_start
    assert day_end_inclusive(day, zone) == next_start - timedelta(microseconds=1)
    assert day_start(day, zone) <= next_start


@given(DAYS, ZONES)
def test_the_first_and_last_instants_are_the_limits_of_the_day(day: date, zone: ZoneInfo) -> None:
    first, last = day_start(day, zone), day_end_inclusive(day, zone)
    if last < first:  # the zone skipped this whole day
        assert (zone.key, day) == ("Pacific/Apia", date(2011, 12, 30))
        return

    assert today(first, zone) == today(last, zone) == day
    assert today(first - timedelta(microseconds=1), zone) < day
    assert today(last + timedelta(microseconds=1), zone) > day


@given(INSTANTS, ZONES)
def test_every_instant_is_within_its_day(now: datetime, zone: ZoneInfo) -> None:
    day = today(now, zone)

    assert day_start(day, zone) <= now < day_end_exclusive(day, zone)


@pytest.mark.parametrize(
    ("now", "zone", "day"),
    [
        ("2026-05-08T03:30:00+00:00", "America/Los_Angeles", date(2026, 5, 7)),
        ("2026-05-08T03:30:00+00:00", "UTC", date(2026, 5, 8)),
        ("2026-05-08T03:30:00+00:00", "Europe/Copenhagen", date(2026, 5, 8)),
        ("2026-05-07T21:59:59.999999+00:00", "Europe/Copenhagen", date(2026, 5, 7)),
        ("2026-05-07T22:00:00+00:00", "Europe/Copenhagen", date(2026, 5, 8)),
        ("2026-05-07T09:59:59+00:00", "Pacific/Kiritimati", date(2026, 5, 7)),
        ("2026-05-07T10:00:00+00:00", "Pacific/Kiritimati", date(2026, 5, 8)),
        ("2026-05-07T11:59:59+00:00", "Etc/GMT+12", date(2026, 5, 6)),
        ("2026-05-08T01:00:00+05:00", "UTC", date(2026, 5, 7)),
    ],
)
def test_today_depends_on_the_time_zone(now: str, zone: str, day: date) -> None:
    assert today(instant(now), ZoneInfo(zone)) == day


def test_the_system_clock_returns_utc() -> None:
    assert system_clock().utcoffset() == timedelta(0)
