"""Parses days and instants of options, and the calendar of a range of days."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from balance_gateway.cli.usage import CommandError, UsageError
from balance_gateway.domain.calendar_days import day_start, format_instant

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]{5,15}([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)

_WITHIN_THE_CALENDAR = "must be within the years 0001 to 9999 in UTC."


class DayType(click.ParamType[date]):
    """A calendar day as YYYY-MM-DD."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse a day."""
        if isinstance(value, date):
            return value
        day = parse_day(value)
        if day is None:
            self.fail(f"{value!r} must be a day such as 2026-01-31.", param, ctx)
        return day


DAY = DayType()


def parse_day(text: str) -> date | None:
    """Return a day; None if the text is not one."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def parse_instant(option: str, text: str) -> date | datetime:
    """Return a day, or an instant in UTC.

    Raises:
        UsageError: the text is neither, or the calendar ends before.
    """
    day = parse_day(text)
    if day is not None:
        return day
    try:
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{option} {_WITHIN_THE_CALENDAR}") from None
    except ValueError:
        pass
    raise UsageError(
        f"{option} must be a day such as 2026-01-31, or an instant with an offset such as"
        " 2026-01-31T09:00:00+01:00."
    )


def find_day_start(option: str, day: date, time_zone: str) -> str:
    """Return the first instant of a day in a zone, as RFC 3339 in UTC.

    Raises:
        UsageError: the calendar ends before.
        CommandError: the zone is not known here.
    """
    try:
        return format_instant(day_start(day, ZoneInfo(time_zone)))
    except OverflowError:
        raise UsageError(f"{option} {_WITHIN_THE_CALENDAR}") from None
    except (ZoneInfoNotFoundError, ValueError):
        raise CommandError(
            f"The time zone {time_zone!r} of the account is not known on this machine: give"
            f" {option} as an instant with an offset, or upgrade the package tzdata."
        ) from None


def format_utc(instant: datetime) -> str:
    """Format an instant as RFC 3339 in UTC."""
    return format_instant(instant.astimezone(UTC))


def split_range(
    first: date, last: date, step_days: int | None, points: int
) -> Iterator[tuple[date, date]]:
    """Yield ranges that have at most so many points each, and together those of the whole range.

    Args:
        first: the first day.
        last: the last day.
        step_days: the days between two points; None for steps of another kind, which are not
            split.
        points: the maximum number of points of a range.
    """
    if step_days is None:
        yield first, last
        return
    while first <= last:
        # Without the last day of the calendar: it has no day after it.
        reach = min((last - first).days, (points - 1) * step_days)
        yield first, first + timedelta(days=reach)
        if (last - first).days <= reach:
            return
        # The end of a range is always a point: the next range begins a step after it.
        if (last - first).days < reach + step_days:
            first = last
        else:
            first += timedelta(days=reach + step_days)
