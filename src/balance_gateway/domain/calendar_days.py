"""Converts between instants and calendar days in a time zone."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

#: Returns the current instant in UTC. Injected so that tests control the time.
Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the current instant from the machine's clock, in UTC."""
    return datetime.now(UTC)


def today(now: datetime, time_zone: ZoneInfo) -> date:
    """Return the calendar day of an instant in a time zone."""
    return now.astimezone(time_zone).date()


def nearest_day(instant: datetime, time_zone: ZoneInfo) -> date:
    """Return the calendar day of an instant; the first or last one if the calendar ends there."""
    try:
        return today(instant, time_zone)
    except OverflowError:
        return date.min if instant.year == date.min.year else date.max


# A dashboard asks for the same few days of many accounts.
@lru_cache(maxsize=4_096)
def day_start(day: date, time_zone: ZoneInfo) -> datetime:
    """Return the first instant of a day in a time zone, in UTC.

    When clocks skip midnight, the day starts at the first instant that exists. When midnight
    occurs twice, the day starts at the first occurrence.
    """
    midnight = datetime.combine(day, time.min, tzinfo=time_zone)
    start, other = midnight.utcoffset(), midnight.replace(fold=1).utcoffset()
    if start is None or other is None or start >= other:
        return midnight.astimezone(UTC)
    return _find_change(midnight, other - start)


def _find_change(skipped: datetime, gap: timedelta) -> datetime:
    """Return the instant at which clocks skip a local time; a gap can begin before midnight."""
    after = skipped.astimezone(UTC)
    before = after - gap
    offset_before = before.astimezone(skipped.tzinfo).utcoffset()
    while after - before > timedelta(microseconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(skipped.tzinfo).utcoffset() == offset_before:
            before = middle
        else:
            after = middle
    return after


def day_end_exclusive(day: date, time_zone: ZoneInfo) -> datetime:
    """Return the first instant after the day, in UTC."""
    return day_start(day + timedelta(days=1), time_zone)


def day_end_inclusive(day: date, time_zone: ZoneInfo) -> datetime:
    """Return the last microsecond of the day, in UTC."""
    return day_end_exclusive(day, time_zone) - timedelta(microseconds=1)


def format_instant(instant: datetime) -> str:
    """Format an aware instant as RFC 3339 in UTC with ``Z``; microseconds only if there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
