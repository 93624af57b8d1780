"""The GraphQL types BankAccount, OpeningBalance and Tag, and the resolvers of their fields."""

from datetime import date, datetime
from enum import Enum
from functools import partial
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS
from balance_gateway.api.schema.bank_feed import (
    BankFeed,
    ReportedBalance,
    load_bank_feed,
    load_latest_bank,
)
from balance_gateway.api.schema.connectors import (
    Capability,
    Connector,
    ProviderKind,
    build_capabilities,
    build_connector,
    to_graphql_provider,
)
from balance_gateway.api.schema.history import (
    BalanceSeries,
    count_points,
    require_usable_day,
    resolve_balance_history,
    resolve_balance_series,
)
from balance_gateway.api.schema.list_sizes import TYPICAL_SIZE, list_size
from balance_gateway.api.schema.money import (
    Balance,
    Freshness,
    Money,
    OnStale,
    build_balance,
    build_freshness,
    build_money,
    to_domain_on_stale,
)
from balance_gateway.api.schema.node import Node
from balance_gateway.api.schema.scalars import CurrencyCode, Json, unset_to_none
from balance_gateway.api.schema.unsettled_write import UnsettledWrite, build_unsettled_write
from balance_gateway.domain import balances as domain
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.errors import BadInput
from balance_gateway.ports import reads


@strawberry.enum(description="A side of the ledger, debit or credit.")
class BalanceSide(Enum):
    """A side of the ledger."""

    DEBIT = strawberry.enum_value(
        Side.DEBIT, description="The account normally holds money, such as a current account."
    )
    CREDIT = strawberry.enum_value(
        Side.CREDIT, description="The account normally owes money, such as a credit card."
    )


@strawberry.enum(description="Where the opening balance comes from.")
class OpeningBalanceSource(Enum):
    """The origin of an opening balance."""

    PROVIDER = strawberry.enum_value(
        domain.OpeningBalanceSource.PROVIDER, description="The provider stores it."
    )
    RECORDED_BY_GATEWAY = strawberry.enum_value(
        domain.OpeningBalanceSource.RECORDED_BY_GATEWAY,
        description="The value that the gateway last set, for a provider that cannot return it.",
    )
    DERIVED = strawberry.enum_value(
        domain.OpeningBalanceSource.DERIVED,
        description="The balance of a day before the account's first transaction.",
    )


@strawberry.type(description="A tag that the provider stores with an opening balance.")
class Tag:
    """A provider's tag."""

    tag_id: strawberry.ID = strawberry.field(description="The provider's id of the tag.")
    key: str = strawberry.field(description="The dimension of the tag.")
    value: str = strawberry.field(description="The value in the dimension.")
    dimension_id: strawberry.ID = strawberry.field(description="The provider's id of the key.")
    definition_id: strawberry.ID = strawberry.field(
        description="The provider's id of the key and value pair."
    )
    dimension_display_name: str | None = strawberry.field(
        description="The display name of the key; null if it has none."
    )
    value_display_name: str | None = strawberry.field(
        description="The display name of the value; null if it has none."
    )
    archived_at: datetime | None = strawberry.field(
        description="When the tag was archived; null if it is in use."
    )


@strawberry.type(description="The opening balance of an account.")
class OpeningBalance:
    """The opening balance of an account."""

    amount: Money = strawberry.field(description="The amount.")
    effective_at: datetime | None = strawberry.field(
        description="When the account had this balance; null if the provider does not return it."
    )
    source: OpeningBalanceSource = strawberry.field(
        description="Where the opening balance comes from."
    )
    created_at: datetime | None = strawberry.field(
        description="When it was first recorded; null if the provider does not return it."
    )
    updated_at: datetime | None = strawberry.field(
        description="When it was last changed; null if the provider does not return it."
    )
    memo: str | None = strawberry.field(description="A free-text note; null if there is none.")
    reference_number: str | None = strawberry.field(
        description="A reference number shown to users; null if there is none."
    )
    tags: list[Tag] = strawberry.field(
        metadata=list_size(TYPICAL_SIZE),
        description="The provider's tags, in the provider's order.",
    )
    metadata: Json | None = strawberry.field(
        description="The provider's free-form JSON object; null if there is none."
    )
    freshness: Freshness = strawberry.field(description="The age of the opening balance.")


def build_opening_balance(
    observed: reads.Observed[domain.OpeningBalance], now: datetime
) -> OpeningBalance:
    """Build the GraphQL object of an opening balance; its age is measured at ``now``."""
    value = observed.value
    amount = build_money(value.amount)
    assert amount is not None
    return OpeningBalance(
        amount=amount,
        effective_at=value.effective_at,
        source=OpeningBalanceSource(value.source),
        created_at=value.created_at,
        updated_at=value.updated_at,
        memo=value.memo,
        reference_number=value.reference_number,
        tags=[_build_tag(tag) for tag in value.tags],
        metadata=None if value.metadata is None else Json(value.metadata),
        freshness=build_freshness(observed, now),
    )


def _build_tag(tag: domain.Tag) -> Tag:
    return Tag(
        tag_id=strawberry.ID(tag.id),
        key=tag.key,
        value=tag.value,
        dimension_id=strawberry.ID(tag.dimension_id),
        definition_id=strawberry.ID(tag.definition_id),
        dimension_display_name=tag.dimension_display_name,
        value_display_name=tag.value_display_name,
        archived_at=tag.archived_at,
    )


def _build_opening_balance_or_none(
    observed: reads.Observed[domain.OpeningBalance | None], now: datetime
) -> OpeningBalance | None:
    value = observed.value
    if value is None:
        return None
    present = reads.Observed(value, observed.observed_at, observed.state, observed.stale_reason)
    return build_opening_balance(present, now)


def _opening_balance(self: "BankAccount", info: Info) -> OpeningBalance | None:
    context = info.context
    convert = partial(_build_opening_balance_or_none, now=context.now)
    return context.opening_balances.load(self.account, convert)


def _normal_balance(self: "BankAccount", info: Info) -> BalanceSide | None:
    # A configured side needs no call to the provider.
    if self.account.normal_balance is not None:
        return BalanceSide(self.account.normal_balance)
    return info.context.normal_balances.load(self.account, BalanceSide)


def _balance(
    self: "BankAccount",
    info: Info,
    as_of: Annotated[
        date | None,
        strawberry.argument(
            description="The day, in the account's time zone; the balance is the one at its end. "
            "Default: today. A future day is passed on to the provider."
        ),
    ] = strawberry.UNSET,
    max_age_seconds: Annotated[
        int | None,
        strawberry.argument(
            description="The maximum age of the balance in seconds, 0 or more; 0 reads it from the "
            "provider. Default: the gateway's configuration."
        ),
    ] = strawberry.UNSET,
    on_stale: Annotated[
        OnStale | None,
        strawberry.argument(description="The behaviour when only a stale balance is available."),
    ] = OnStale.SERVE,
) -> Balance | None:
    max_age_s = unset_to_none(max_age_seconds)
    if max_age_s is not None and max_age_s < 0:
        raise BadInput("maxAgeSeconds must be 0 or more.", field="maxAgeSeconds")
    context = info.context
    request = context.balance_request(
        self.account,
        require_usable_day(unset_to_none(as_of), "asOf"),
        max_age_s,
        to_domain_on_stale(on_stale),
    )
    return context.balances.load(
        request, partial(build_balance, account=self.account, now=context.now)
    )


def _connector(self: "BankAccount", info: Info) -> Connector:
    return build_connector(info.context.get_connector(self.account.connector))


def _unsettled_write(self: "BankAccount", info: Info) -> UnsettledWrite | None:
    return info.context.unsettled_writes.load(self.account, build_unsettled_write)


def _bank_feed(self: "BankAccount", info: Info) -> BankFeed | None:
    return load_bank_feed(info, self.account)


def _latest_bank(self: "BankAccount", info: Info) -> ReportedBalance | None:
    return load_latest_bank(info, self.account)


def _capabilities(self: "BankAccount") -> list[Capability]:
    return build_capabilities(self.account.capabilities)


@strawberry.type(description="An account at a provider. Needs the scope balances:read.")
class BankAccount(Node):
    """An account at a provider."""

    account: strawberry.Private[Account]
    name: str = strawberry.field(description="The display name of the account.")
    currency: CurrencyCode = strawberry.field(description="The account's currency.")
    provider: ProviderKind = strawberry.field(description="The provider of the account.")
    time_zone: str = strawberry.field(
        description="The IANA name of the time zone that decides which day is today and where days "
        "end, such as Europe/Copenhagen."
    )
    opening_balance: OpeningBalance | None = strawberry.field(
        resolver=_opening_balance,
        description="The opening balance; null if none is set.",
    )
    unsettled_write: UnsettledWrite | None = strawberry.field(
        resolver=_unsettled_write,
        description="A write that the provider may or may not have applied, so that the opening "
        "balance may be another than shown; the newest of your own; null if there is none.",
    )
    normal_balance: BalanceSide | None = strawberry.field(
        resolver=_normal_balance,
        description="The side of the account's normal balance; null with an error if it is neither "
        "configured nor known from the provider. Amounts are always from the "
        "holder's perspective: a credit card with a debt of 500 has the balance −500.",
    )
    balance: Balance | None = strawberry.field(
        resolver=_balance,
        description="The balance at the end of a day; null with an error if it is unavailable.",
    )
    balance_history: list[Balance] | None = strawberry.field(
        resolver=resolve_balance_history,
        metadata=list_size(count_points, "from", "to", "step"),
        deprecation_reason="Use balanceSeries: it has the other days if one is unavailable.",
        description="The balances of several days, oldest first, at most "
        f"{DEFAULT_LIMITS.history_points}; null with the error of the day if one is unavailable.",
    )
    balance_series: BalanceSeries | None = strawberry.field(
        resolver=resolve_balance_series,
        metadata=list_size(count_points, "from", "to", "step"),
        description="The balances of several days, at most "
        f"{DEFAULT_LIMITS.history_points}. A day that is unavailable has a problem.",
    )

    connector: Connector = strawberry.field(
        resolver=_connector, description="The connector that gives access to the account."
    )
    bank_feed: BankFeed | None = strawberry.field(
        resolver=_bank_feed,
        description="The provider's own link to the bank; null if the provider does not report it, "
        "or has no link for the account.",
    )
    latest_bank: ReportedBalance | None = strawberry.field(
        resolver=_latest_bank,
        description="The latest bank balance that the provider reports, of no particular day; null "
        "if it reports none.",
    )
    capabilities: list[Capability] = strawberry.field(
        resolver=_capabilities,
        description="The operations that the provider supports for this account as configured, "
        "sorted by name.",
    )


def build_bank_account(account: Account) -> BankAccount:
    """Build the GraphQL object of an account."""
    return BankAccount(
        account=account,
        id=strawberry.ID(account.id),
        name=account.name,
        currency=CurrencyCode(account.currency),
        provider=to_graphql_provider(account.provider),
        time_zone=account.time_zone.key,
    )
