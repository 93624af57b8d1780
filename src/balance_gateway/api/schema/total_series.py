"""The GraphQL types of totals over several days."""

from collections.abc import Sequence
from datetime import date

import strawberry

from balance_gateway.api.schema.error_codes import to_graphql_code
from balance_gateway.api.schema.history import BalanceProblem
from balance_gateway.api.schema.list_sizes import COUNTED_BY_PARENT, list_size
from balance_gateway.api.schema.scalars import CurrencyCode
from balance_gateway.api.schema.totals import CurrencyTotal, build_currency_total
from balance_gateway.service import total_series as service


@strawberry.type(description="A day of a series of totals.")
class TotalPoint:
    """A day of a series of totals."""

    day: date = strawberry.field(description="The day, in each account's time zone.")
    total: CurrencyTotal | None = strawberry.field(
        description="The total at the end of the day; null if no balance of that day is known. "
        "Compare complete and missing: a total can lack accounts."
    )
    problem: BalanceProblem | None = strawberry.field(
        description="Why the total is missing; null if it is there."
    )


@strawberry.type(description="The totals of one currency on several days.")
class CurrencyTotalSeries:
    """The totals of one currency on several days."""

    currency: CurrencyCode = strawberry.field(description="The currency.")
    points: list[TotalPoint] = strawberry.field(
        metadata=list_size(COUNTED_BY_PARENT), description="One point for each day, oldest first."
    )


def build_total_series(series: Sequence[service.TotalSeries]) -> list[CurrencyTotalSeries]:
    """Build the GraphQL objects of series."""
    return [
        CurrencyTotalSeries(
            currency=CurrencyCode(each.currency),
            points=[_build_point(point) for point in each.points],
        )
        for each in series
    ]


def _build_point(point: service.TotalPoint) -> TotalPoint:
    problem = point.problem
    return TotalPoint(
        day=point.day,
        total=None if point.total is None else build_currency_total(point.total),
        problem=None
        if problem is None
        else BalanceProblem(code=to_graphql_code(problem.code), message=problem.message),
    )
