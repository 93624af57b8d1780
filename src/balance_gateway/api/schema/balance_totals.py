"""The root fields ``balanceTotals`` and ``balanceTotalsSeries``."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.account_filter import FilterArgument, to_domain_filter
from balance_gateway.api.schema.history import (
    FirstDay,
    HistoryStep,
    LastDay,
    Step,
    list_usable_days,
    require_usable_day,
)
from balance_gateway.api.schema.scalars import unset_to_none
from balance_gateway.api.schema.total_series import CurrencyTotalSeries, build_total_series
from balance_gateway.api.schema.totals import CurrencyTotal, TotalGroup, build_currency_total
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import GatewayError, TooExpensive
from balance_gateway.ports.reads import BalanceRequest, Observed
from balance_gateway.service import balances as service
from balance_gateway.service.total_series import build_series


def resolve_balance_totals(
    info: Info,
    filter: FilterArgument = strawberry.UNSET,
    as_of: Annotated[
        date | None,
        strawberry.argument(
            description="The day, in each account's time zone; the balances are those at its "
            "end. Default: today."
        ),
    ] = strawberry.UNSET,
    group_by: Annotated[
        TotalGroup | None,
        strawberry.argument(
            description="One total per provider or connector, too. Default: per currency only."
        ),
    ] = strawberry.UNSET,
) -> list[CurrencyTotal]:
    """Return the totals of the caller's accounts."""
    context = info.context
    directory = context.directory_for_reading()
    day = require_usable_day(unset_to_none(as_of), "asOf")
    group = unset_to_none(group_by)
    chosen = to_domain_filter(filter, context.limits.ids)
    accounts = directory.select(context.principal, chosen)
    # A total has no pages, so its size is limited before any balance is read.
    require_few(len(accounts), 1, context.limits)
    requests = [context.balance_request(account, day) for account in accounts]
    chosen_group = None if group is None else service.TotalGroup[group.name]
    build = partial(_build_totals, requests, chosen_group)
    return context.balances.load_all(requests, build)


def _build_totals(
    requests: Sequence[BalanceRequest],
    group: service.TotalGroup | None,
    results: Sequence[Observed[BalanceFigures] | Exception],
) -> list[CurrencyTotal]:
    return [build_currency_total(each) for each in _compute_totals(requests, results, group)]


def _compute_totals(
    requests: Sequence[BalanceRequest],
    results: Sequence[Observed[BalanceFigures] | Exception],
    group: service.TotalGroup | None = None,
) -> list[service.CurrencyTotal]:
    accounts = [request.account for request in requests]
    days = [request.as_of for request in requests]
    return service.compute_totals(accounts, days, _raise_defects(results), group)


def resolve_balance_totals_series(
    info: Info,
    from_: FirstDay,
    to: LastDay,
    filter: FilterArgument = strawberry.UNSET,
    step: Step = HistoryStep.DAY,
) -> list[CurrencyTotalSeries] | None:
    """Return the totals of several days."""
    context = info.context
    directory = context.directory_for_reading()
    days = list_usable_days(from_, to, step, context.limits)
    chosen = to_domain_filter(filter, context.limits.ids)
    accounts = directory.select(context.principal, chosen)
    require_few(len(accounts), len(days), context.limits)
    requests = [context.balance_request(account, day) for day in days for account in accounts]
    return context.balances.load_all(requests, partial(_build_series, days, requests))


def _build_series(
    days: Sequence[date],
    requests: Sequence[BalanceRequest],
    results: Sequence[Observed[BalanceFigures] | Exception],
) -> list[CurrencyTotalSeries]:
    size = len(requests) // len(days)
    starts = range(0, len(requests), size) if size else ()
    parts = [slice(start, start + size) for start in starts]
    totals = [_compute_totals(requests[part], results[part]) for part in parts]
    return build_total_series(build_series(days, totals) if totals else [])


def _raise_defects(
    results: Sequence[Observed[BalanceFigures] | Exception],
) -> list[Observed[BalanceFigures] | GatewayError]:
    """Return the results unchanged.

    Raises:
        Exception: the first result that is neither a balance nor an error for the caller.
    """
    checked: list[Observed[BalanceFigures] | GatewayError] = []
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, GatewayError):
            # A defect must not be listed as a missing account.
            raise result
        checked.append(result)
    return checked


def require_few(accounts: int, days: int, limits: Limits) -> None:
    """Require that totals have not too many balances.

    Args:
        accounts: the number of accounts.
        days: the number of days.
        limits: the limits.

    Raises:
        TooExpensive: there are too many.
    """
    most = limits.totals_accounts
    if accounts * days <= most:
        return
    if days == 1:
        message = (
            f"The totals must have at most {most} accounts, not {accounts}. Use a filter that "
            "matches fewer accounts."
        )
    else:
        message = (
            f"The totals must have at most {most} balances, not {accounts} accounts on {days} "
            "days. Use a filter that matches fewer accounts, or a longer step."
        )
    raise TooExpensive(message, field="filter")
