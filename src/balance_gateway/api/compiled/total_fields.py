"""The fields of totals, and how totals are computed from the values of a request."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from balance_gateway.api.compiled.account_json import AccountWriter
from balance_gateway.api.compiled.argument_coercion import ABSENT, NO_FILTER, FilterArgument
from balance_gateway.api.compiled.balance_fields import MONEY
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
from balance_gateway.api.compiled.encoding import (
    encode_boolean,
    encode_day,
    encode_instant,
    encode_name,
    encode_text,
)
from balance_gateway.api.compiled.holes import NowHole
from balance_gateway.api.compiled.kept_totals import KeptTotals, TotalFeeds, TotalView
from balance_gateway.api.compiled.output import NEVER_EXPIRES_S, Output
from balance_gateway.api.compiled.request_values import MISSING, is_stored
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.api.compiled.taken_values import get_terms, take_value
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.history import DAY_MAX, DAY_MIN
from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.ports.cache_validity import CacheTerms
from balance_gateway.ports.reads import Observed
from balance_gateway.service.balances import (
    CurrencyTotal,
    Missing,
    TotalGroup,
    compute_totals,
    correct_totals,
)


class TotalsArguments(NamedTuple):
    """The arguments of totals; ``as_of`` None means today, ``group`` None no groups."""

    filter: FilterArgument
    as_of: date | None
    group: TotalGroup | None = None


#: The types of the arguments of ``balanceTotals``.
TOTALS_ARGUMENTS: Mapping[str, str] = {
    "filter": "BankAccountFilter",
    "asOf": "Date",
    "groupBy": "TotalGroup",
}


def _compile_missing_account(compiler: Compiler, field: SelectedField) -> Write:
    writer = AccountWriter(compiler, field.nodes, field.path)
    return lambda missing, out: writer.write(missing.account, out)


MISSING_BALANCE = ObjectType(
    "MissingBalance",
    {
        "bankAccount": _compile_missing_account,
        "code": leaf(lambda missing: encode_text(missing.code)),
        "reason": leaf(lambda missing: encode_name(missing.reason)),
    },
)


def _list_missing(view: TotalView) -> Sequence[Missing]:
    return view.total.missing


def _write_oldest_observed_at(view: TotalView, out: Output) -> None:
    if view.is_now:
        out.add_hole(NowHole())
    else:
        out.parts.append(encode_instant(view.total.oldest_observed_at))


def _compile_oldest_sourced_at(compiler: Compiler, field: SelectedField) -> Write:
    compiler.allow_error(field.nodes, field.path)

    def write(view: TotalView, out: Output) -> None:
        values = out.state.values
        feeds = view.feeds = view.feeds or TotalFeeds(view.total)
        rows = feeds.find_outdated(out.state.now_s)
        results = [values.get_bank_feed(feeds.queries[row].account) for row in rows]
        if MISSING in results:
            out.write_missing()
            return
        for row, result in zip(rows, results, strict=True):
            if not isinstance(result, Observed):
                # Without this account the oldest is not known.
                take_value(result, out, field.path)
                return
            feeds.put(row, result)
        out.depend_on_all(feeds.list_terms())
        out.parts.append(encode_instant(feeds.find_oldest_sync()))

    return write


CURRENCY_TOTAL = ObjectType(
    "CurrencyTotal",
    {
        "currency": leaf(lambda view: encode_text(view.total.currency)),
        "group": leaf(lambda view: encode_text(view.total.group)),
        "bank": nested(MONEY, lambda view: view.total.bank),
        "ledger": nested(MONEY, lambda view: view.total.ledger),
        "complete": leaf(lambda view: encode_boolean(view.total.complete)),
        "included": leaf(lambda view: b"%d" % view.total.included),
        "bankIncluded": leaf(lambda view: b"%d" % view.total.bank_included),
        "ledgerIncluded": leaf(lambda view: b"%d" % view.total.ledger_included),
        "missing": nested_list(MISSING_BALANCE, _list_missing),
        "overlapping": leaf(lambda view: encode_json([each.id for each in view.total.overlapping])),
        "firstDay": leaf(lambda view: encode_day(view.total.first_day)),
        "lastDay": leaf(lambda view: encode_day(view.total.last_day)),
        "staleIncluded": leaf(lambda view: b"%d" % view.total.stale_included),
        "oldestObservedAt": lambda _compiler, _field: _write_oldest_observed_at,
        "oldestSourcedAt": _compile_oldest_sourced_at,
    },
)


def build_totals_arguments(
    limits: Limits, filter_: Any, as_of: Any, group_by: Any
) -> TotalsArguments:
    """Build the arguments of ``balanceTotals``.

    Raises:
        FallBackToGraphQLCore: they are wrong; the field is required, so graphql-core reports it.
    """
    chosen = NO_FILTER if filter_ is ABSENT or filter_ is None else filter_
    day = None if as_of is ABSENT else as_of
    if chosen.items > limits.ids or (day is not None and not DAY_MIN <= day <= DAY_MAX):
        raise FallBackToGraphQLCore("argument")
    return TotalsArguments(chosen, day, None if group_by is ABSENT else group_by)


def compile_totals(compiler: Compiler, field: SelectedField) -> Write:
    """Compile ``Query.balanceTotals``."""
    position = compiler.compile_arguments(field, TOTALS_ARGUMENTS, build_totals_arguments)
    write_total = compiler.compile_object(CURRENCY_TOTAL, field.nodes, field.item_path)

    def write(_query: None, out: Output) -> None:
        totals = find_totals(out.state.arguments[position], out)
        if totals is None:
            out.write_missing()
        else:
            write_list(totals, write_total, out)

    return write


def find_totals(arguments: TotalsArguments, out: Output) -> Sequence[TotalView] | None:
    """Return the totals; None if a balance is missing, which has been requested then."""
    state = out.state
    state.require_reading()
    key = state.context.principal.tenant, arguments.filter.filter, arguments.as_of, arguments.group
    cache = None if state.kept is None else state.kept.totals
    kept = None if cache is None else cache.find(key)
    if kept is None or not kept.is_valid(state.now_s):
        kept = _compute_totals(arguments, kept, out)
        if kept is None:
            return None
        if cache is not None and kept.valid_until_s > state.now_s:
            cache.put(key, kept)
    out.validities += kept.validities
    out.expire_at(kept.valid_until_s)
    out.value_count += len(kept.results)
    return kept.totals


def _compute_totals(
    arguments: TotalsArguments, former: KeptTotals | None, out: Output
) -> KeptTotals | None:
    """Compute the totals, from former ones if few balances have changed; None if one is missing."""
    state = out.state
    changed = None if former is None else former.find_changed_rows(state.now_s)
    if former is not None and changed is not None and 8 * len(changed) < len(former.results):
        accounts, days = former.accounts, former.days
        found = state.values.get_balances(
            [accounts[row] for row in changed], [days[row] for row in changed]
        )
        if found is None:
            return None
        results = list(former.results)
        for row, result in zip(changed, found, strict=True):
            results[row] = result
        known = [view.total for view in former.totals]
        corrected = correct_totals(known, changed, former.results, results)
        if corrected is not None:
            views = [
                TotalView(total, False, view.feeds)
                for total, view in zip(corrected, former.totals, strict=True)
            ]
            terms = list(map(get_terms, results))
            return _build_kept(views, accounts, days, results, terms, former.midnight_s, out)
    accounts, days = _list_accounts(arguments, out)
    all_results = state.values.get_balances(accounts, days)
    if all_results is None:
        return None
    midnight_s = NEVER_EXPIRES_S if arguments.as_of else _find_midnight_s(accounts, out)
    # First, because a defect must not be listed as a missing account.
    terms = list(map(get_terms, all_results))
    totals = compute_totals(accounts, days, all_results, arguments.group)
    views = [TotalView(total, False) for total in totals]
    return _build_kept(views, accounts, days, all_results, terms, midnight_s, out)


def _list_accounts(
    arguments: TotalsArguments, out: Output
) -> tuple[Sequence[Account], Sequence[date]]:
    """Return the accounts and the day of each."""
    context = out.state.context
    directory = context.directory_for_reading()
    accounts = directory.select(context.principal, arguments.filter.filter)
    if len(accounts) > context.limits.totals_accounts:
        raise FallBackToGraphQLCore("argument")
    return accounts, [arguments.as_of or context.today(account) for account in accounts]


def _find_midnight_s(accounts: Sequence[Account], out: Output) -> float:
    """Return the earliest end of today in the accounts' time zones, in seconds since 1970."""
    today = out.state.context.today
    zones = {account.time_zone.key: account for account in accounts}
    return min(
        (day_end_exclusive(today(each), each.time_zone).timestamp() for each in zones.values()),
        default=NEVER_EXPIRES_S,
    )


def _build_kept(
    views: Sequence[TotalView],
    accounts: Sequence[Account],
    days: Sequence[date],
    results: Sequence[Any],
    terms: Sequence[CacheTerms | None],
    midnight_s: float,
    out: Output,
) -> KeptTotals:
    part = Output(out.state)
    part.depend_on_all(terms)
    part.expire_at(midnight_s)
    for view in views:
        view.is_now = _is_now(view.total, results, part)
    validities = part.collect_validities(out.state.now_s)
    return KeptTotals(
        totals=views,
        accounts=accounts,
        days=days,
        results=results,
        validities=validities or (),
        valid_until_s=0.0 if validities is None else part.valid_until_s,
        midnight_s=midnight_s,
    )


def _is_now(total: CurrencyTotal, results: Sequence[Any], part: Output) -> bool:
    """Whether the oldest value of a total is one that is always as of now."""
    oldest = total.oldest_observed_at
    if oldest is None or oldest < part.state.context.now:
        return False
    stored = [is_stored(results[row]) for row in total.counted_rows]
    if any(stored) and not all(stored):
        # The next time the oldest value is another one.
        part.forbid_keeping()
    return all(stored)
