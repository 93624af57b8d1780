"""Money, how fresh a figure is, and balances as of a day."""

from datetime import date, datetime
from enum import Enum
from typing import Any

import strawberry

from balance_gateway.api.schema.scalars import BigInt, CurrencyCode, DecimalText
from balance_gateway.domain import balances as domain
from balance_gateway.domain import money as domain_money
from balance_gateway.ports import reads


@strawberry.type(
    description="An amount of one currency, from the account holder's side: + is money the holder "
    "has, − is money the holder owes."
)
class Money:
    """An amount."""

    minor_units: BigInt = strawberry.field(
        description="The amount in the currency's smallest unit, such as cents; any size."
    )
    amount: DecimalText = strawberry.field(
        description="The amount in major units, with all of the currency's decimals."
    )
    currency: CurrencyCode = strawberry.field(description="The currency, ISO 4217.")
    exponent: int = strawberry.field(
        description="The number of decimals of the currency, 0 to 4: amount = minorUnits / "
        "10^exponent."
    )


def build_money(value: domain_money.Money | None) -> Money | None:
    """An amount as it is answered; None stays None."""
    if value is None:
        return None
    exponent = value.exponent
    return Money(
        minor_units=BigInt(value.minor_units),
        amount=DecimalText(domain_money.decimal_text(value.minor_units, exponent)),
        currency=CurrencyCode(value.currency),
        exponent=exponent,
    )


@strawberry.enum(description="Where a figure comes from.")
class FreshnessState(Enum):
    """Where a figure comes from."""

    LIVE = strawberry.enum_value(
        reads.FreshnessState.LIVE, description="The provider was asked for it just now."
    )
    CACHED = strawberry.enum_value(
        reads.FreshnessState.CACHED, description="It was kept from an earlier call and is fresh."
    )
    STALE = strawberry.enum_value(
        reads.FreshnessState.STALE,
        description="It was kept from an earlier call and is old; staleReason tells why.",
    )


@strawberry.enum(description="What to do when only a stale figure can be had.")
class OnStale(Enum):
    """What to do with a stale figure."""

    SERVE = strawberry.enum_value(
        reads.OnStale.SERVE, description="Answer it, labelled STALE with its age."
    )
    ERROR = strawberry.enum_value(
        reads.OnStale.ERROR, description="Answer null and an error with the code TOO_STALE."
    )


def to_domain_on_stale(wanted: OnStale | None) -> reads.OnStale:
    """What is wanted, in the service's words; by default to be served."""
    return reads.OnStale.SERVE if wanted is None else reads.OnStale[wanted.name]


@strawberry.type(description="How old a figure is, and why it is not newer.")
class Freshness:
    """How old a figure is."""

    state: FreshnessState = strawberry.field(description="Where the figure comes from.")
    observed_at: datetime = strawberry.field(
        description="The instant at which the call that read the figure was started."
    )
    age_seconds: int = strawberry.field(
        description="Whole seconds between observedAt and this request, rounded down; 0 or more."
    )
    stale_reason: str | None = strawberry.field(
        description="For STALE: why no newer figure could be had; otherwise null."
    )


_STATES = {state: FreshnessState(state) for state in reads.FreshnessState}


def build_freshness(observed: reads.Observed[Any], now: datetime) -> Freshness:
    """How old an observed value is at the request's "now"."""
    return Freshness(
        state=_STATES[observed.state],
        observed_at=observed.observed_at,
        age_seconds=max(0, int((now - observed.observed_at).total_seconds())),
        stale_reason=observed.stale_reason,
    )


@strawberry.type(description="What a provider says of an account at the end of one day.")
class Balance:
    """The figures of one day."""

    as_of: date = strawberry.field(
        description="The day at whose end the figures stand, in the account's time zone."
    )
    bank: Money | None = strawberry.field(
        description="The bank's figure; null when the provider has none for that day."
    )
    ledger: Money | None = strawberry.field(
        description="The books' figure; null when the provider has none for that day."
    )
    difference: Money | None = strawberry.field(
        description="bank − ledger; null when one of them is not known."
    )
    freshness: Freshness = strawberry.field(description="How old the figures are.")


def build_balance(observed: reads.Observed[domain.BalanceFigures], now: datetime) -> Balance:
    """A balance as it is answered."""
    figures = observed.value
    return Balance(
        as_of=figures.as_of,
        bank=build_money(figures.bank),
        ledger=build_money(figures.ledger),
        difference=build_money(figures.difference),
        freshness=build_freshness(observed, now),
    )
