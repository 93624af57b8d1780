"""The GraphQL types BankFeed and ReportedBalance: the provider's own link to the bank."""

from datetime import datetime
from enum import Enum
from functools import partial

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.schema.money import Freshness, Money, build_freshness, build_money
from balance_gateway.domain import bank_feeds as domain
from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.ports.reads import Observed
from balance_gateway.service import reported_balances as service


@strawberry.enum(description="The state of the link between a provider and a bank.")
class BankFeedState(Enum):
    """The state of the link between a provider and a bank."""

    CONNECTED = strawberry.enum_value(
        domain.BankFeedState.CONNECTED, description="The provider receives the bank's data."
    )
    SYNCING = strawberry.enum_value(
        domain.BankFeedState.SYNCING, description="The provider is receiving data at this moment."
    )
    NEEDS_REPAIR = strawberry.enum_value(
        domain.BankFeedState.NEEDS_REPAIR,
        description="The link is broken until a person repairs it at the provider.",
    )
    DISCONNECTED = strawberry.enum_value(
        domain.BankFeedState.DISCONNECTED,
        description="The link was ended: the account is disconnected or archived at the provider.",
    )
    UNTRACKED = strawberry.enum_value(
        domain.BankFeedState.UNTRACKED, description="The provider does not follow the account."
    )
    UNKNOWN = strawberry.enum_value(
        domain.BankFeedState.UNKNOWN,
        description="The provider reports no state, or one that the gateway does not know.",
    )


@strawberry.type(description="The provider's own link to the account's bank.")
class BankFeed:
    """The provider's own link to the account's bank."""

    state: BankFeedState = strawberry.field(description="The state of the link.")
    last_synced_at: datetime | None = strawberry.field(
        description="When the provider last received data from the bank; null if it never has or "
        "does not say."
    )
    disconnected_at: datetime | None = strawberry.field(
        description="Since when the link is broken or ended; null while it works, or if the "
        "provider does not say."
    )
    needs_attention: bool = strawberry.field(
        description="Whether the provider waits for a person to act on the link or the account."
    )
    freshness: Freshness = strawberry.field(
        description="The age of this information; its sourcedAt is null."
    )


@strawberry.type(
    description="The latest bank balance that the provider reports. It belongs to no day, so it "
    "can differ from the balance of today."
)
class ReportedBalance:
    """The latest bank balance that the provider reports."""

    amount: Money = strawberry.field(description="The balance.")
    reported_at: datetime | None = strawberry.field(
        description="The instant to which the balance belongs; null if the provider does not "
        "return it."
    )
    freshness: Freshness = strawberry.field(
        description="The age of this information; its sourcedAt is null."
    )


def load_bank_feed(info: Info, account: Account) -> BankFeed | None:
    """Return the account's bank feed, or a future of it; None if its provider reports none."""
    if Capability.READ_BANK_FEED not in account.capabilities:
        return None
    context = info.context
    return context.bank_feeds.load(account, partial(_build_bank_feed, now=context.now))


def load_latest_bank(info: Info, account: Account) -> ReportedBalance | None:
    """Return the latest bank balance, or a future of it; None if the provider reports none."""
    if Capability.READ_BANK_FEED not in account.capabilities:
        return None
    context = info.context
    return context.reported_balances.load(account, partial(_build_reported, now=context.now))


def _build_bank_feed(observed: Observed[domain.BankFeed | None], now: datetime) -> BankFeed | None:
    value = observed.value
    if value is None:
        return None
    return BankFeed(
        state=BankFeedState(value.state),
        last_synced_at=value.last_synced_at,
        disconnected_at=value.disconnected_at,
        needs_attention=value.needs_attention,
        freshness=build_freshness(observed, now),
    )


def _build_reported(
    observed: Observed[service.ReportedBalance | None], now: datetime
) -> ReportedBalance | None:
    value = observed.value
    if value is None:
        return None
    amount = build_money(value.amount)
    assert amount is not None
    return ReportedBalance(
        amount=amount,
        reported_at=value.reported_at,
        freshness=build_freshness(observed, now),
    )
