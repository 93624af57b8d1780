"""The fields of balances, money, freshness and series, and how each is written.

Each value is written exactly as the resolvers of ``api/schema`` and graphql-core write it.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple

from balance_gateway.api.compiled.argument_coercion import ABSENT
from balance_gateway.api.compiled.compiler import (
    Compiler,
    ObjectType,
    SelectedField,
    Write,
    leaf,
    nested,
)
from balance_gateway.api.compiled.encoding import (
    encode_day,
    encode_instant,
    encode_name,
    encode_text,
)
from balance_gateway.api.compiled.holes import AgeHole, NowHole
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.request_values import is_stored
from balance_gateway.api.compiled.taken_values import take_value
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.history import require_usable_day
from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import BadInput, GatewayError
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import FreshnessState, Observed, OnStale


class BalanceView(NamedTuple):
    """A balance of an account."""

    account: Account
    observed: Observed[BalanceFigures]


class FreshnessView(NamedTuple):
    """The freshness of a value; ``account`` and ``day`` are those of a balance, else None."""

    observed: Observed[Any]
    account: Account | None = None
    day: date | None = None


class BalanceArguments(NamedTuple):
    """The arguments of a ``balance`` field; ``as_of`` None means today."""

    as_of: date | None
    max_age_s: int | None
    on_stale: OnStale


MONEY = ObjectType(
    "Money",
    {
        "minorUnits": leaf(lambda money: b'"%d"' % money.minor_units),
        "amount": leaf(lambda money: b'"%s"' % money.amount.encode()),
        "currency": leaf(lambda money: encode_text(money.currency)),
        "exponent": leaf(lambda money: b"%d" % money.exponent),
    },
)


def write_state(view: FreshnessView, out: Output) -> None:
    """Write the state of a value."""
    observed = view.observed
    if observed.state is FreshnessState.LIVE and not is_stored(observed):
        # The next time the same value is in the state CACHED.
        out.forbid_keeping()
    out.parts.append(encode_name(observed.state))


def write_observed_at(view: FreshnessView, out: Output) -> None:
    """Write when a value was observed: a stored one when it was last found unchanged."""
    observed = view.observed
    if is_stored(observed):
        out.add_hole(NowHole())
    else:
        out.parts.append(encode_instant(observed.observed_at))


def write_age(view: FreshnessView, out: Output) -> None:
    """Write the age of a value."""
    observed = view.observed
    if is_stored(observed):
        out.parts.append(b"0")
    else:
        out.add_hole(AgeHole(observed.observed_at))


def compile_sourced_at(compiler: Compiler, field: SelectedField) -> Write:
    """Compile ``sourcedAt``, which comes from the account's bank feed."""
    compiler.allow_error(field.nodes, field.path)

    def write(view: FreshnessView, out: Output) -> None:
        account = view.account
        if account is None or Capability.READ_BANK_FEED not in account.capabilities:
            out.parts.append(b"null")
            return
        feed = take_value(out.state.values.get_bank_feed(account), out, field.path)
        if feed is not None:
            assert view.day is not None
            out.parts.append(encode_instant(feed.value.find_sync_for(account, view.day)))

    return write


FRESHNESS = ObjectType(
    "Freshness",
    {
        "state": lambda _compiler, _field: write_state,
        "observedAt": lambda _compiler, _field: write_observed_at,
        "ageSeconds": lambda _compiler, _field: write_age,
        "staleReason": leaf(lambda view: encode_text(view.observed.stale_reason)),
        "sourcedAt": compile_sourced_at,
    },
)


def _figures(get: Callable[[BalanceFigures], Any]) -> Callable[[BalanceView], Any]:
    return lambda view: get(view.observed.value)


def _money(get: Callable[[BalanceFigures], Money | None]) -> Any:
    return nested(MONEY, _figures(get))


def _reason(get: Callable[[BalanceFigures], Any]) -> Any:
    return leaf(lambda view: encode_name(get(view.observed.value)))


BALANCE = ObjectType(
    "Balance",
    {
        "asOf": leaf(lambda view: encode_day(view.observed.value.as_of)),
        "bank": _money(lambda figures: figures.bank),
        "ledger": _money(lambda figures: figures.ledger),
        "difference": _money(lambda figures: figures.difference),
        "bankMissing": _reason(lambda figures: figures.bank_missing),
        "ledgerMissing": _reason(lambda figures: figures.ledger_missing),
        "differenceMissing": _reason(lambda figures: figures.difference_missing),
        "freshness": nested(
            FRESHNESS,
            lambda view: FreshnessView(view.observed, view.account, view.observed.value.as_of),
        ),
    },
)

#: The types of the arguments of ``balance``.
BALANCE_ARGUMENTS: Mapping[str, str] = {
    "asOf": "Date",
    "maxAgeSeconds": "Int",
    "onStale": "OnStale",
}


def build_balance_arguments(
    _limits: Limits, as_of: Any, max_age_s: Any, on_stale: Any
) -> BalanceArguments | GatewayError:
    """Build the arguments of a balance, or their error."""
    max_age_s = None if max_age_s is ABSENT else max_age_s
    if max_age_s is not None and max_age_s < 0:
        return BadInput("maxAgeSeconds must be 0 or more.", field="maxAgeSeconds")
    try:
        day = require_usable_day(None if as_of is ABSENT else as_of, "asOf")
    except BadInput as error:
        return error
    is_default = on_stale is ABSENT or on_stale is None
    return BalanceArguments(day, max_age_s, OnStale.SERVE if is_default else on_stale)


def compile_balance(compiler: Compiler, field: SelectedField) -> Write:
    """Compile ``BankAccount.balance``."""
    position = compiler.compile_arguments(field, BALANCE_ARGUMENTS, build_balance_arguments)
    write_balance = compiler.compile_object(BALANCE, field.nodes, field.path)
    compiler.allow_error(field.nodes, field.path)

    def write(account: Account, out: Output) -> None:
        arguments = out.state.arguments[position]
        if not isinstance(arguments, BalanceArguments):
            out.fail(field.path, arguments)
            return
        result = out.state.values.get_balance(account, *arguments)
        observed = take_value(result, out, field.path)
        if observed is not None:
            if arguments.max_age_s is not None:
                out.expire_at(observed.observed_at.timestamp() + arguments.max_age_s)
            write_balance(BalanceView(account, observed), out)

    return write
