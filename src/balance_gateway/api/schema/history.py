"""The days of a balance history: from a day to a day, a step apart."""

import calendar
from datetime import date, timedelta
from enum import Enum

import strawberry

from balance_gateway.domain.errors import BadInput


@strawberry.enum(description="How far apart the days of a history are.")
class HistoryStep(Enum):
    """How far apart the days of a history are."""

    DAY = strawberry.enum_value("day", description="Every day.")
    WEEK = strawberry.enum_value("week", description="Every seventh day.")
    MONTH = strawberry.enum_value(
        "month",
        description="The same day of every month, or the month's last where it has no such day.",
    )


def days_between(start: date, end: date, step: HistoryStep, points_max: int) -> list[date]:
    """The days from ``start``, a step apart, and ``end`` as the last; oldest first.

    Raises:
        BadInput: ``end`` is before ``start``, or there are more than ``points_max`` days.
    """
    if end < start:
        raise BadInput("from must not be after to.", field="from")
    if points_between(start, end, step) > points_max:
        message = (
            f"A history has at most {points_max} days. Move from and to closer together, or use a "
            "longer step."
        )
        raise BadInput(message, field="from")
    days, count = [start], 1
    while (day := _step(start, count, step)) < end:
        days.append(day)
        count += 1
    if days[-1] != end:
        days.append(end)
    return days


def points_between(start: date, end: date, step: HistoryStep) -> int:
    """The number of days of a history, without counting them one by one."""
    if step is HistoryStep.MONTH:
        months = (end.year - start.year) * 12 + end.month - start.month
        return max(0, months + (end.day > start.day)) + 1
    span = 1 if step is HistoryStep.DAY else 7
    return max(0, -(-(end - start).days // span)) + 1


def _step(start: date, count: int, step: HistoryStep) -> date:
    try:
        if step is HistoryStep.MONTH:
            year, month = divmod(start.year * 12 + start.month - 1 + count, 12)
            return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))
        return start + timedelta(days=count if step is HistoryStep.DAY else 7 * count)
    except (ValueError, OverflowError):
        return date.max
