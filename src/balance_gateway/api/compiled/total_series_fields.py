"""The fields of totals over several days; each day's totals are kept by themselves."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from balance_gateway.api.compiled.argument_coercion import ABSENT, NO_FILTER, FilterArgument
from balance_gateway.api.compiled.compiler import (
    Compiler,
    ObjectType,
    SelectedField,
    Write,
    leaf,
    nested,
    nested_list,
    write_list,
)
from balance_gateway.api.compiled.current_totals import TotalsArguments, find_totals
from balance_gateway.api.compiled.encoding import encode_day, encode_text
from balance_gateway.api.compiled.kept_totals import TotalView
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.api.compiled.series_fields import (
    SERIES_ARGUMENTS,
    SeriesArguments,
    build_series_arguments,
)
from balance_gateway.api.compiled.total_fields import CURRENCY_TOTAL
from balance_gateway.api.request.limits import Limits
from balance_gateway.domain.errors import GatewayError
from balance_gateway.service.total_series import TotalProblem, build_point

#: The types of the arguments of ``balanceTotalsSeries``.
TOTAL_SERIES_ARGUMENTS: Mapping[str, str] = {**SERIES_ARGUMENTS, "filter": "BankAccountFilter"}


class TotalSeriesArguments(NamedTuple):
    """The arguments of a series of totals."""

    filter: FilterArgument
    days: Sequence[date]


class Point(NamedTuple):
    """A day of a series, with its total or its problem."""

    day: date
    view: TotalView | None
    problem: TotalProblem | None


class Series(NamedTuple):
    """The points of one currency."""

    currency: str
    points: Sequence[Point]


PROBLEM = ObjectType(
    "BalanceProblem",
    {
        "code": leaf(lambda problem: encode_text(problem.code)),
        "message": leaf(lambda problem: encode_text(problem.message)),
    },
)

POINT = ObjectType(
    "TotalPoint",
    {
        "day": leaf(lambda point: encode_day(point.day)),
        "total": nested(CURRENCY_TOTAL, lambda point: point.view),
        "problem": nested(PROBLEM, lambda point: point.problem),
    },
)

SERIES = ObjectType(
    "CurrencyTotalSeries",
    {
        "currency": leaf(lambda series: encode_text(series.currency)),
        "points": nested_list(POINT, lambda series: series.points),
    },
)


def _build_arguments(
    limits: Limits, start: date, end: date, step: Any, filter_: Any
) -> TotalSeriesArguments | GatewayError:
    chosen = NO_FILTER if filter_ is ABSENT or filter_ is None else filter_
    series = build_series_arguments(limits, start, end, step)
    if not isinstance(series, SeriesArguments):
        return series
    if chosen.items > limits.ids:
        raise FallBackToGraphQLCore("argument")
    return TotalSeriesArguments(chosen, series.days)


def compile_totals_series(compiler: Compiler, field: SelectedField) -> Write:
    """Compile ``Query.balanceTotalsSeries``."""
    position = compiler.compile_arguments(field, TOTAL_SERIES_ARGUMENTS, _build_arguments)
    write_series = compiler.compile_object(SERIES, field.nodes, field.item_path)
    compiler.allow_error(field.nodes, field.path)

    def write(_query: None, out: Output) -> None:
        arguments = out.state.arguments[position]
        out.state.require_reading()
        if not isinstance(arguments, TotalSeriesArguments):
            out.fail(field.path, arguments)
            return
        series = _find_series(arguments, out)
        if series is None:
            out.write_missing()
        else:
            write_list(series, write_series, out)

    return write


def _find_series(arguments: TotalSeriesArguments, out: Output) -> list[Series] | None:
    """Return the series; None if a balance is missing, which has been requested then."""
    _require_few(arguments, out)
    by_day = [find_totals(TotalsArguments(arguments.filter, day), out) for day in arguments.days]
    found = [each for each in by_day if each is not None]
    if len(found) < len(by_day):
        return None
    return [
        Series(views[0].total.currency, list(map(_build_point, arguments.days, views)))
        for views in zip(*found, strict=True)
    ]


def _require_few(arguments: TotalSeriesArguments, out: Output) -> None:
    context = out.state.context
    directory = context.directory_for_reading()
    accounts = directory.select(context.principal, arguments.filter.filter)
    if len(accounts) * len(arguments.days) > context.limits.totals_accounts:
        # graphql-core reports the error.
        raise FallBackToGraphQLCore("argument")


def _build_point(day: date, view: TotalView) -> Point:
    point = build_point(day, view.total)
    return Point(day, None if point.total is None else view, point.problem)
