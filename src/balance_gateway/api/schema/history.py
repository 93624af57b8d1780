"""Lists the days of a balance history: from a first to a last day, in steps."""

import calendar
from datetime import date, timedelta
from enum import Enum

import strawberry

from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.scalars import parse_date
from balance_gateway.domain.errors import BadInput


@strawberry.enum(description="The interval between the days of a balance history.")
class HistoryStep(Enum):
    """The interval between the days of a balance history."""

    DAY = strawberry.enum_value("day", description="Every day.")
    WEEK = strawberry.enum_value("week", description="Every seventh day.")
    MONTH = strawberry.enum_value(
        "month",
        description="The same day of every month, or the last day of a shorter month.",
    )


def list_days(start: date, end: date, step: HistoryStep, points_max: int) -> list[date]:
    """Return the days from ``start`` in steps, then ``end``; oldest first, without repetitions.

    Raises:
        BadInput: ``end`` is before ``start``, or there are more than ``points_max`` days.
    """
    if end < start:
        raise BadInput("from must be on or before to.", field="from")
    # Counted before the list is built: a caller may ask for thousands of years.
    if count_days(start, end, step) > points_max:
        message = (
            f"The history must have at most {points_max} days. Move from and to closer together, "
            "or use a longer step."
        )
        raise BadInput(message, field="from")
    days, count = [start], 1
    while (day := _add_steps(start, count, step)) < end:
        days.append(day)
        count += 1
    if days[-1] != end:
        days.append(end)
    return days


def count_days(start: date, end: date, step: HistoryStep) -> int:
    """Return the number of days that ``list_days`` would return, without building the list."""
    if step is HistoryStep.MONTH:
        months = (end.year - start.year) * 12 + end.month - start.month
        return max(0, months + (end.day > start.day)) + 1
    span = 1 if step is HistoryStep.DAY else 7
    return max(0, -(-(end - start).days // span)) + 1


def count_points(limits: Limits, start: object, end: object, step: object) -> int:
    """Return the size of a history for the cost of a document; 1 if an argument is invalid.

    Args:
        limits: limits the size.
        start: the first day as sent.
        end: the last day as sent.
        step: the name of the interval as sent; None for days.
    """
    try:
        points = count_days(parse_date(start), parse_date(end), HistoryStep[str(step or "DAY")])
    except Exception:  # Coercion reports invalid values later.
        return 1
    return min(points, limits.history_points)


def _add_steps(start: date, count: int, step: HistoryStep) -> date:
    try:
        if step is HistoryStep.MONTH:
            year, month = divmod(start.year * 12 + start.month - 1 + count, 12)
            return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))
        return start + timedelta(days=count if step is HistoryStep.DAY else 7 * count)
    except (ValueError, OverflowError):
        # Beyond the calendar; any end of a history is on or before this day.
        return date.max
