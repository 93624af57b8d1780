"""The GraphQL types Money, Freshness and Balance."""

from datetime import date, datetime
from enum import Enum
from functools import partial
from typing import Any

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.schema.missing_reasons import MissingReason, build_missing_reason
from balance_gateway.api.schema.scalars import BigInt, CurrencyCode, DecimalText
from balance_gateway.domain import balances as domain
from balance_gateway.domain import money as domain_money
from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.ports import reads


@strawberry.type(
    description="An amount in one currency, from the account holder's perspective: positive is "
    "money that the holder has, negative is money that the holder owes."
)
class Money:
    """An amount in one currency."""

    minor_units: BigInt = strawberry.field(
        description="The amount in the currency's smallest unit, such as cents; of any size."
    )
    amount: DecimalText = strawberry.field(
        description="The amount in major units, with all decimals of the currency."
    )
    currency: CurrencyCode = strawberry.field(description="The ISO 4217 currency code.")
    exponent: int = strawberry.field(
        description="The number of decimals of the currency, 0 to 4: amount = minorUnits / "
        "10^exponent."
    )


def build_money(value: domain_money.Money | None) -> Money | None:
    """Build the GraphQL object of an amount; None for None."""
    if value is None:
        return None
    exponent = value.exponent
    return Money(
        minor_units=BigInt(value.minor_units),
        amount=DecimalText(domain_money.decimal_text(value.minor_units, exponent)),
        currency=CurrencyCode(value.currency),
        exponent=exponent,
    )


@strawberry.enum(description="Where a value comes from.")
class FreshnessState(Enum):
    """The origin of a value."""

    LIVE = strawberry.enum_value(
        reads.FreshnessState.LIVE, description="Just read from the provider."
    )
    CACHED = strawberry.enum_value(
        reads.FreshnessState.CACHED, description="From an earlier call, and fresh."
    )
    STALE = strawberry.enum_value(
        reads.FreshnessState.STALE,
        description="From an earlier call, and too old to be fresh; staleReason has the reason.",
    )


@strawberry.enum(description="The behaviour when only a stale value is available.")
class OnStale(Enum):
    """The behaviour when only a stale value is available."""

    SERVE = strawberry.enum_value(
        reads.OnStale.SERVE, description="Return the value with the state STALE and its age."
    )
    ERROR = strawberry.enum_value(
        reads.OnStale.ERROR, description="Return null and an error with the code TOO_STALE."
    )


def to_domain_on_stale(on_stale: OnStale | None) -> reads.OnStale:
    """Convert the argument to the enum of the read port; None is SERVE."""
    return reads.OnStale.SERVE if on_stale is None else reads.OnStale[on_stale.name]


def _sourced_at(self: "Freshness", info: Info) -> datetime | None:
    query = self.query
    if query is None or Capability.READ_BANK_FEED not in query.account.capabilities:
        return None
    return info.context.bank_feeds.load(query.account, partial(_find_sync, query))


def _find_sync(
    query: domain.BalanceQuery, observed: reads.Observed[BankFeed | None]
) -> datetime | None:
    feed = observed.value
    return None if feed is None else feed.find_sync_for(query.account, query.as_of)


@strawberry.type(description="The age of a value and, if it is stale, the reason.")
class Freshness:
    """The age of a value."""

    query: strawberry.Private[domain.BalanceQuery | None]
    state: FreshnessState = strawberry.field(description="Where the value comes from.")
    observed_at: datetime = strawberry.field(
        description="When the call that read the value was started."
    )
    age_seconds: int = strawberry.field(
        description="Whole seconds between observedAt and this request, rounded down; 0 or more."
    )
    stale_reason: str | None = strawberry.field(
        description="The reason why no newer value is available; null unless the state is STALE."
    )
    sourced_at: datetime | None = strawberry.field(
        resolver=_sourced_at,
        description="When the provider last received data from the bank; null for a day before "
        "that one in the account's time zone, for a value other than a balance, and if the "
        "provider does not say. May need a further call to the provider; its failure is an error "
        "of this field only.",
    )


_INT_MAX = 2**31 - 1

# A dictionary is faster than the enum's own look-up, and this runs for every balance.
_STATES = {state: FreshnessState(state) for state in reads.FreshnessState}


def compute_age_seconds(observed_at: datetime, now: datetime) -> int:
    """Return the age of a value in whole seconds, from 0 to the largest GraphQL Int."""
    # A replica with a faster clock may have observed the value after ``now``.
    return min(max(0, int((now - observed_at).total_seconds())), _INT_MAX)


def build_freshness(
    observed: reads.Observed[Any], now: datetime, query: domain.BalanceQuery | None = None
) -> Freshness:
    """Build the freshness of an observed value.

    Args:
        observed: the value.
        now: the time of the request.
        query: the account and day of a balance; None for another value.
    """
    return Freshness(
        query=query,
        state=_STATES[observed.state],
        observed_at=observed.observed_at,
        age_seconds=compute_age_seconds(observed.observed_at, now),
        stale_reason=observed.stale_reason,
    )


@strawberry.type(description="The bank and ledger balances of an account at the end of a day.")
class Balance:
    """The balances of an account at the end of a day."""

    as_of: date = strawberry.field(
        description="The day, in the account's time zone; the balances are those at its end."
    )
    bank: Money | None = strawberry.field(
        description="The bank balance; null if the provider has none for the day."
    )
    ledger: Money | None = strawberry.field(
        description="The ledger balance; null if the provider has none for the day."
    )
    difference: Money | None = strawberry.field(
        description="bank − ledger; null if either is null."
    )
    bank_missing: MissingReason | None = strawberry.field(
        description="Why bank is null; null if there is a bank balance."
    )
    ledger_missing: MissingReason | None = strawberry.field(
        description="Why ledger is null; null if there is a ledger balance."
    )
    difference_missing: MissingReason | None = strawberry.field(
        description="Why difference is null; null if there is a difference."
    )
    freshness: Freshness = strawberry.field(description="The age of the balances.")


def build_balance(
    observed: reads.Observed[domain.BalanceFigures], account: Account, now: datetime
) -> Balance:
    """Build the GraphQL object of a balance of an account; ``now`` dates its age."""
    figures = observed.value
    return Balance(
        as_of=figures.as_of,
        bank=build_money(figures.bank),
        ledger=build_money(figures.ledger),
        difference=build_money(figures.difference),
        freshness=build_freshness(observed, now, domain.BalanceQuery(account, figures.as_of)),
        bank_missing=build_missing_reason(figures.bank_missing),
        ledger_missing=build_missing_reason(figures.ledger_missing),
        difference_missing=build_missing_reason(figures.difference_missing),
    )
