"""Joins the totals of several days into one series per currency."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from balance_gateway.domain.errors import ErrorCode
from balance_gateway.service.balances import CurrencyTotal, Missing


@dataclass(frozen=True, slots=True)
class TotalProblem:
    """Why a day has no total: the code of its first missing account, and a message."""

    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class TotalPoint:
    """A day of a series: its total, or why no balance of that day is known."""

    day: date
    total: CurrencyTotal | None
    problem: TotalProblem | None


@dataclass(frozen=True, slots=True)
class TotalSeries:
    """The totals of one currency, one point for each day, oldest first."""

    currency: str
    points: tuple[TotalPoint, ...]


def build_series(
    days: Sequence[date], totals: Sequence[Sequence[CurrencyTotal]]
) -> list[TotalSeries]:
    """Join the totals of several days.

    Args:
        days: the days, oldest first.
        totals: the totals of each day, in the same order; of the same accounts every day.

    Returns:
        One series per currency, sorted by currency code.
    """
    by_currency = [list(map(build_point, days, each)) for each in zip(*totals, strict=True)]
    currencies = [total.currency for total in totals[0]] if totals else []
    return [
        TotalSeries(currency, tuple(points))
        for currency, points in zip(currencies, by_currency, strict=True)
    ]


def build_point(day: date, total: CurrencyTotal) -> TotalPoint:
    """Build the point of a day; a total without any balance is a problem, not a zero."""
    if total.included:
        return TotalPoint(day, total, None)
    return TotalPoint(day, None, _find_problem(total.missing))


def _find_problem(missing: Sequence[Missing]) -> TotalProblem:
    if not missing:
        message = "Other accounts have the same money; none is left to be added here."
        return TotalProblem(ErrorCode.UNSUPPORTED_BY_PROVIDER, message)
    code = missing[0].code
    count = len(missing)
    accounts = "the account" if count == 1 else f"any of the {count} accounts"
    message = f"No balance of {accounts} is known for this day. Ask balanceTotals for the reasons."
    return TotalProblem(code, message)
