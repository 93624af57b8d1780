"""Finds totals: kept ones, kept ones that are corrected by what has changed, or new ones.

Adding up kept rows takes less than a microsecond for each account, so totals of accounts that are
named by their ids are not kept: callers seldom name the same ones again.
"""

from collections.abc import Sequence
from datetime import date
from operator import attrgetter
from typing import Any, NamedTuple

from balance_gateway.api.compiled.argument_coercion import FilterArgument
from balance_gateway.api.compiled.kept_totals import KeptTotals, TotalView
from balance_gateway.api.compiled.kept_values import StoredValidity
from balance_gateway.api.compiled.output import NEVER_EXPIRES_S, Output
from balance_gateway.api.compiled.request_values import MISSING
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.api.compiled.total_rows import AS_OF_REQUEST, KeptRow
from balance_gateway.api.compiled.watched_values import choose_terms
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.reads import Observed, OnStale
from balance_gateway.service.balances import (
    CurrencyTotal,
    TotalGroup,
    build_row,
    sum_rows,
)

# Faster than comprehensions, and this is done for each account of each request.
_GET_VALIDITY, _GET_UNTIL_S = attrgetter("validity"), attrgetter("until_s")
_IS_VALID = attrgetter("is_valid")


class TotalsArguments(NamedTuple):
    """The arguments of totals; ``as_of`` None means today, ``group`` None no groups."""

    filter: FilterArgument
    as_of: date | None
    group: TotalGroup | None = None


def find_totals(arguments: TotalsArguments, out: Output) -> Sequence[TotalView] | None:
    """Return the totals; None if a balance is missing, which has been requested then."""
    state = out.state
    state.require_reading()
    chosen, cache = arguments.filter.filter, None
    if state.kept is not None and chosen.ids is None:
        cache = state.kept.totals
    key = state.context.principal.tenant, chosen, arguments.as_of, arguments.group
    kept = None if cache is None else cache.find(key)
    if kept is not None and state.now_s < kept.midnight_s:
        is_correct = _correct(kept, arguments.group, out)
        if is_correct is None:
            return None
        if is_correct:
            return _depend_on(kept, out)
    accounts, days = _list_accounts(arguments, out)
    rows = _find_rows(accounts, days, out)
    if rows is None:
        return None
    midnight_s = NEVER_EXPIRES_S if arguments.as_of else _find_midnight_s(accounts, out)
    until_s = min(map(_GET_UNTIL_S, rows), default=NEVER_EXPIRES_S)
    is_kept = cache is not None and state.now_s < until_s
    totals = sum_rows([each.row for each in rows], arguments.group)
    views = [TotalView(total, _is_now(total, rows, out), is_kept) for total in totals]
    if cache is not None and is_kept:
        kept = KeptTotals(views, rows, midnight_s, cache.versions)
        cache.put(key, kept)
        return _depend_on(kept, out)
    out.validities += map(_GET_VALIDITY, rows)
    out.expire_at(min(until_s, midnight_s))
    out.value_count += len(rows)
    return views


def _depend_on(kept: KeptTotals, out: Output) -> Sequence[TotalView]:
    for view in kept.views:
        view.is_now = _is_now(view.total, kept.rows, out)
    out.validities += kept.watched.list_validities()
    out.expire_at(kept.valid_until_s)
    out.value_count += len(kept.rows)
    return kept.views


def _correct(kept: KeptTotals, group: TotalGroup | None, out: Output) -> bool | None:
    """Correct kept totals by the balances that have changed.

    Returns:
        False if there must be new totals; None if a balance is missing, which has been requested
        then.
    """
    changed = kept.watched.find_changed(out.state.now_s)
    if not changed:
        return True
    if 2 * len(changed) > len(kept.rows):
        return False
    before = [kept.rows[position].row for position in changed]
    found = _find_rows([each.account for each in before], [each.day for each in before], out)
    return None if found is None else kept.correct(dict(zip(changed, found, strict=True)), group)


def _list_accounts(
    arguments: TotalsArguments, out: Output
) -> tuple[Sequence[Account], Sequence[date]]:
    """Return the accounts and the day of each."""
    context = out.state.context
    directory = context.directory_for_reading()
    accounts = directory.select(context.principal, arguments.filter.filter)
    if len(accounts) > context.limits.totals_accounts:
        raise FallBackToGraphQLCore("argument")
    if arguments.as_of is not None:
        return accounts, [arguments.as_of] * len(accounts)
    return accounts, list(map(context.today, accounts))


def _find_midnight_s(accounts: Sequence[Account], out: Output) -> float:
    """Return the earliest end of today in the accounts' time zones, in seconds since 1970."""
    today = out.state.context.today
    zones = {account.time_zone.key: account for account in accounts}
    return min(
        (day_end_exclusive(today(each), each.time_zone).timestamp() for each in zones.values()),
        default=NEVER_EXPIRES_S,
    )


def _is_now(total: CurrencyTotal, rows: Sequence[KeptRow], out: Output) -> bool:
    """Whether the oldest value of a total is one that is always as of now."""
    oldest = total.oldest_observed_at
    if oldest is None or oldest <= out.state.context.now:
        return False
    if oldest is AS_OF_REQUEST:
        return True
    # A value that was read while this request waited, later than the instant of the request.
    is_now = any(rows[each].row.observed_at is AS_OF_REQUEST for each in total.counted_rows)
    if is_now:
        # The next time the oldest value is another one.
        out.forbid_keeping()
    return is_now


def _find_rows(
    accounts: Sequence[Account], days: Sequence[date], out: Output
) -> list[KeptRow] | None:
    """Return the row of each account and day.

    Args:
        accounts: the accounts.
        days: the day of each account's balance, in the same order.
        out: the output that the rows are for.

    Returns:
        None if a balance is missing; it has been requested then, unless nothing may be read.

    Raises:
        FallBackToGraphQLCore: a defect, which graphql-core reports.
    """
    state, now_s = out.state, out.state.now_s
    kept = None if state.kept is None else state.kept.totals.rows
    rows: list[Any] = [None] * len(accounts) if kept is None else kept.find(accounts, days)
    read = state.values.read_accounts
    if not read and None not in rows and _are_valid(rows, now_s):
        return rows
    outdated = [
        position
        for position, row in enumerate(rows)
        # What this request has read itself comes first.
        if row is None
        or now_s >= row.until_s
        or accounts[position].id in read
        or not row.validity.is_valid
    ]
    is_complete = True
    for position in outdated:
        account, day = accounts[position], days[position]
        result = state.values.get_balance(account, day, None, OnStale.SERVE)
        if result is MISSING:
            is_complete = False
            if not state.can_continue:
                break
            continue
        row = rows[position] = _build_kept_row(account, day, result)
        if kept is not None and now_s < row.until_s:
            kept.put(day, row)
    return rows if is_complete else None


def _are_valid(rows: Sequence[KeptRow], now_s: float) -> bool:
    return all(map(_IS_VALID, map(_GET_VALIDITY, rows))) and now_s < min(
        map(_GET_UNTIL_S, rows), default=NEVER_EXPIRES_S
    )


def _build_kept_row(account: Account, day: date, result: Any) -> KeptRow:
    if not isinstance(result, Observed | GatewayError):
        # First, because a defect must not be listed as a missing account.
        raise FallBackToGraphQLCore("defect")
    row = build_row(account, day, result)
    terms = choose_terms(result.cache_terms if isinstance(result, Observed) else None)
    if isinstance(terms.validity, StoredValidity) and row.missing is None:
        row = row._replace(observed_at=AS_OF_REQUEST)
    return KeptRow(row, terms.validity, terms.until_s)
