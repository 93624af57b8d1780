"""Days: what "today" is for an account, and the instants at which a day begins and ends."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

#: Tells the time: an aware instant in UTC. Injected, so that tests can choose it.
Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The machine's clock, as an aware instant in UTC."""
    return datetime.now(UTC)


def today(now: datetime, time_zone: ZoneInfo) -> date:
    """The calendar day of an instant in a time zone."""
    return now.astimezone(time_zone).date()


def day_start(day: date, time_zone: ZoneInfo) -> datetime:
    """The first instant of a day in a time zone, in UTC.

    Where clocks skip midnight the day starts at the first instant that exists; where midnight
    comes twice, at the first of the two.
    """
    return datetime.combine(day, time.min, tzinfo=time_zone).astimezone(UTC)


def day_end_exclusive(day: date, time_zone: ZoneInfo) -> datetime:
    """The first instant that no longer belongs to the day, in UTC."""
    return day_start(day + timedelta(days=1), time_zone)


def day_end_inclusive(day: date, time_zone: ZoneInfo) -> datetime:
    """The last instant of the day, in UTC, to the microsecond."""
    return day_end_exclusive(day, time_zone) - timedelta(microseconds=1)
