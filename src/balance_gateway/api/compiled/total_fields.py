"""The fields of totals."""

from collections.abc import Mapping, Sequence
from typing import Any

from balance_gateway.api.compiled.account_json import AccountWriter
from balance_gateway.api.compiled.argument_coercion import ABSENT, NO_FILTER
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
from balance_gateway.api.compiled.current_totals import TotalsArguments, find_totals
from balance_gateway.api.compiled.encoding import (
    encode_boolean,
    encode_day,
    encode_instant,
    encode_name,
    encode_text,
)
from balance_gateway.api.compiled.holes import NowHole
from balance_gateway.api.compiled.kept_totals import TotalFeeds, TotalView
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.request_values import MISSING
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.api.compiled.taken_values import take_value
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.history import DAY_MAX, DAY_MIN
from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.ports.cache_validity import LocalCacheVersions
from balance_gateway.ports.reads import Observed
from balance_gateway.service.balances import (
    Missing,
)

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
        feeds = view.feeds = view.feeds or _build_feeds(view, out)
        positions = feeds.watched.find_changed(out.state.now_s)
        get_feed = out.state.values.get_bank_feed
        results = [get_feed(feeds.queries[position].account) for position in positions]
        if MISSING in results:
            out.write_missing()
            return
        for position, result in zip(positions, results, strict=True):
            if not isinstance(result, Observed):
                # Without this account the oldest is not known.
                take_value(result, out, field.path)
                return
            feeds.put(position, result)
        watched = feeds.watched
        if view.is_kept:
            out.validities += watched.list_validities()
        else:
            out.validities += [each.validity for each in watched.list_terms()]
        out.expire_at(watched.valid_until_s)
        out.value_count += len(feeds.queries)
        out.parts.append(encode_instant(feeds.find_oldest_sync()))

    return write


def _build_feeds(view: TotalView, out: Output) -> TotalFeeds:
    kept = out.state.kept
    return TotalFeeds(view.total, LocalCacheVersions() if kept is None else kept.totals.versions)


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
