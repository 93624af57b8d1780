"""Balance histories: the days from a first to a last one in steps, and the points of a series."""

import calendar
from datetime import date, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Annotated, Protocol

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.errors import build_internal_message, log_defect
from balance_gateway.api.schema.list_sizes import COUNTED_BY_PARENT, list_size
from balance_gateway.api.schema.money import Balance, build_balance
from balance_gateway.api.schema.scalars import parse_date
from balance_gateway.domain import errors
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import BadInput, GatewayError
from balance_gateway.ports.reads import Observed

#: Closer to the ends of the calendar, the start or the end of a day overflows in some time zones.
DAY_MIN, DAY_MAX = date.min + timedelta(days=2), date.max - timedelta(days=2)


@strawberry.enum(description="The interval between the days of a balance history.")
class HistoryStep(Enum):
    """The interval between the days of a balance history."""

    DAY = strawberry.enum_value("day", description="Every day.")
    WEEK = strawberry.enum_value("week", description="Every seventh day.")
    MONTH = strawberry.enum_value(
        "month",
        description="The same day of every month, or the last day of a shorter month.",
    )


@strawberry.type(description="Why the balance of a day is missing.")
class BalanceProblem:
    """Why the balance of a day is missing."""

    code: ErrorCode = strawberry.field(description="The reason.")
    message: str = strawberry.field(description="The reason and the next step.")


@strawberry.type(description="A day of a series: its balance, or why it is missing.")
class BalancePoint:
    """A day of a series."""

    day: date = strawberry.field(description="The day, in the account's time zone.")
    balance: Balance | None = strawberry.field(
        description="The balance at the end of the day; null if it is unavailable."
    )
    problem: BalanceProblem | None = strawberry.field(
        description="Why the balance is missing; null if it is there."
    )


@strawberry.type(description="The balances of several days. One missing day leaves the others.")
class BalanceSeries:
    """The balances of several days."""

    points: list[BalancePoint] = strawberry.field(
        metadata=list_size(COUNTED_BY_PARENT), description="One point for each day, oldest first."
    )


def build_series(
    days: list[date],
    results: list[Observed[BalanceFigures] | Exception],
    account: Account,
    now: datetime,
    request_id: str,
) -> BalanceSeries:
    """Build a series from the result of each day.

    Args:
        days: the days, oldest first.
        results: the balance or the error of each day, in the same order.
        account: the account.
        now: the time of the request, for the ages of the balances.
        request_id: the id of the request; defects are logged under it.
    """
    points = []
    for day, result in zip(days, results, strict=True):
        try:
            if isinstance(result, Exception):
                raise result
            balance = build_balance(result, account, now)
        except Exception as error:
            problem = _build_problem(error, request_id)
            points.append(BalancePoint(day=day, balance=None, problem=problem))
        else:
            points.append(BalancePoint(day=day, balance=balance, problem=None))
    return BalanceSeries(points=points)


def _build_problem(error: Exception, request_id: str) -> BalanceProblem:
    if isinstance(error, GatewayError):
        return BalanceProblem(code=to_graphql_code(error.code), message=error.message)
    log_defect(error, request_id)
    code = to_graphql_code(errors.ErrorCode.INTERNAL)
    return BalanceProblem(code=code, message=build_internal_message(request_id))


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


def require_usable_day(day: date | None, field: str) -> date | None:
    """Return the day, or None for None.

    Args:
        day: the day of an argument; None if it was not given.
        field: the argument; named in the error.

    Raises:
        BadInput: the day is so close to an end of the calendar that its start or its end cannot
            be represented.
    """
    if day is not None and not DAY_MIN <= day <= DAY_MAX:
        raise BadInput(f"{field} must be between {DAY_MIN} and {DAY_MAX}.", field=field)
    return day


class _HasAccount(Protocol):
    """A GraphQL object of an account."""

    account: Account


FirstDay = Annotated[date, strawberry.argument(name="from", description="The first day.")]
LastDay = Annotated[
    date,
    strawberry.argument(description="The last day; always included. It must not be before from."),
]
Step = Annotated[
    HistoryStep | None, strawberry.argument(description="The interval between the days.")
]


def resolve_balance_history(
    self: _HasAccount,
    info: Info,
    from_: FirstDay,
    to: LastDay,
    step: Step = HistoryStep.DAY,
) -> list[Balance] | None:
    """Return the balances of several days; one unavailable day fails the field."""
    days = list_usable_days(from_, to, step, info.context.limits)
    context = info.context
    requests = [context.balance_request(self.account, day) for day in days]
    return context.balances.load_all(
        requests, partial(_build_history, account=self.account, now=context.now)
    )


def resolve_balance_series(
    self: _HasAccount,
    info: Info,
    from_: FirstDay,
    to: LastDay,
    step: Step = HistoryStep.DAY,
) -> BalanceSeries | None:
    """Return the balances of several days, with a problem for each day without one."""
    days = list_usable_days(from_, to, step, info.context.limits)
    context = info.context
    # All days are requested together, so that the loader makes one call for them.
    requests = [context.balance_request(self.account, day) for day in days]
    convert = partial(
        build_series, days, account=self.account, now=context.now, request_id=context.request_id
    )
    return context.balances.load_all(requests, convert)


def list_usable_days(
    start: date, end: date, step: HistoryStep | None, limits: Limits
) -> list[date]:
    """Return the days of a history.

    Raises:
        BadInput: see ``list_days`` and ``require_usable_day``.
    """
    require_usable_day(start, "from")
    require_usable_day(end, "to")
    return list_days(start, end, step or HistoryStep.DAY, limits.history_points)


def _build_history(
    answers: list[Observed[BalanceFigures] | Exception], account: Account, now: datetime
) -> list[Balance]:
    balances = []
    for answer in answers:
        if isinstance(answer, Exception):
            # A list of balances has no place for the error of one day.
            raise answer
        balances.append(build_balance(answer, account, now))
    return balances
