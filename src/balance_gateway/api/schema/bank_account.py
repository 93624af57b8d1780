"""BankAccount: what is configured of it, its balances, its opening balance."""

from datetime import date, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS
from balance_gateway.api.schema.connectors import Connector, ProviderKind, build_connector
from balance_gateway.api.schema.history import HistoryStep, days_between
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
from balance_gateway.api.schema.scalars import CurrencyCode, Json, unset_to_none
from balance_gateway.domain import balances as domain
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.errors import BadInput
from balance_gateway.ports import reads

#: Days around these two have no beginning or no end that a clock can tell.
DAY_MIN, DAY_MAX = date.min + timedelta(days=2), date.max - timedelta(days=2)


@strawberry.interface(description="Something with an id that is the same for ever.")
class Node:
    """Something with an id."""

    id: strawberry.ID = strawberry.field(description="The gateway's id.")


@strawberry.enum(description="A side of the books.")
class BalanceSide(Enum):
    """A side of the books."""

    DEBIT = strawberry.enum_value(
        Side.DEBIT, description="The account usually holds money, such as a current account."
    )
    CREDIT = strawberry.enum_value(
        Side.CREDIT, description="The account usually owes money, such as a credit card."
    )


@strawberry.enum(description="Whose word an opening balance is.")
class OpeningBalanceSource(Enum):
    """Whose word an opening balance is."""

    PROVIDER = strawberry.enum_value(
        domain.OpeningBalanceSource.PROVIDER, description="The provider keeps it and told it."
    )
    RECORDED_BY_GATEWAY = strawberry.enum_value(
        domain.OpeningBalanceSource.RECORDED_BY_GATEWAY,
        description="The provider cannot be asked; it is what the gateway last set there.",
    )
    DERIVED = strawberry.enum_value(
        domain.OpeningBalanceSource.DERIVED,
        description="It is the balance of a day before the account's first transaction.",
    )


@strawberry.type(description="A tag that a provider keeps with an opening balance.")
class Tag:
    """A tag of a provider."""

    id: strawberry.ID = strawberry.field(description="The provider's id of the tag.")
    key: str = strawberry.field(description="The dimension of the tag.")
    value: str = strawberry.field(description="The value in that dimension.")
    dimension_id: strawberry.ID = strawberry.field(description="The provider's id of the key.")
    definition_id: strawberry.ID = strawberry.field(
        description="The provider's id of the pair of key and value."
    )
    dimension_display_name: str | None = strawberry.field(
        description="The key as people read it; null without one."
    )
    value_display_name: str | None = strawberry.field(
        description="The value as people read it; null without one."
    )
    archived_at: datetime | None = strawberry.field(
        description="When the tag was archived; null while it is in use."
    )


@strawberry.type(description="The balance an account starts its books with.")
class OpeningBalance:
    """The balance an account starts its books with."""

    amount: Money = strawberry.field(description="The opening balance.")
    effective_at: datetime | None = strawberry.field(
        description="When the account had it; null when the provider does not tell."
    )
    source: OpeningBalanceSource = strawberry.field(description="Whose word it is.")
    created_at: datetime | None = strawberry.field(
        description="When it was first recorded; null when the provider does not tell."
    )
    updated_at: datetime | None = strawberry.field(
        description="When it was last changed; null when the provider does not tell."
    )
    memo: str | None = strawberry.field(description="A note for people; null without one.")
    reference_number: str | None = strawberry.field(
        description="An identifier that users see; null without one."
    )
    tags: list[Tag] = strawberry.field(description="The provider's tags, in its order.")
    metadata: Json | None = strawberry.field(
        description="The provider's free JSON object; null without one."
    )
    freshness: Freshness = strawberry.field(description="How old it is.")


def build_opening_balance(
    observed: reads.Observed[domain.OpeningBalance], now: datetime
) -> OpeningBalance:
    """An opening balance as it is answered."""
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
        tags=[_tag_of(tag) for tag in value.tags],
        metadata=None if value.metadata is None else Json(value.metadata),
        freshness=build_freshness(observed, now),
    )


def _tag_of(tag: domain.Tag) -> Tag:
    return Tag(
        id=strawberry.ID(tag.id),
        key=tag.key,
        value=tag.value,
        dimension_id=strawberry.ID(tag.dimension_id),
        definition_id=strawberry.ID(tag.definition_id),
        dimension_display_name=tag.dimension_display_name,
        value_display_name=tag.value_display_name,
        archived_at=tag.archived_at,
    )


def _opening_balance_or_none(
    observed: reads.Observed[domain.OpeningBalance | None], now: datetime
) -> OpeningBalance | None:
    value = observed.value
    if value is None:
        return None
    known = reads.Observed(value, observed.observed_at, observed.state, observed.stale_reason)
    return build_opening_balance(known, now)


def _opening_balance(self: "BankAccount", info: Info) -> OpeningBalance | None:
    context = info.context
    convert = partial(_opening_balance_or_none, now=context.now)
    return context.opening_balances.load(self.account, convert)


def _normal_balance(self: "BankAccount", info: Info) -> BalanceSide:
    if self.account.normal_balance is not None:
        return BalanceSide(self.account.normal_balance)
    return info.context.normal_balances.load(self.account, BalanceSide)


def _balance(
    self: "BankAccount",
    info: Info,
    as_of: Annotated[
        date | None,
        strawberry.argument(
            description="The day at whose end the balance is wanted, in the account's time zone; "
            "left out: today. Days to come are taken and answered as the provider answers them."
        ),
    ] = strawberry.UNSET,
    max_age_seconds: Annotated[
        int | None,
        strawberry.argument(
            description="The oldest figure taken, in seconds, 0 or more; 0: ask the provider now; "
            "left out: as the gateway is configured."
        ),
    ] = strawberry.UNSET,
    on_stale: Annotated[
        OnStale | None,
        strawberry.argument(description="What to do when only a stale figure can be had."),
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
    return context.balances.load(request, partial(build_balance, now=context.now))


def _balance_history(
    self: "BankAccount",
    info: Info,
    from_: Annotated[date, strawberry.argument(name="from", description="The first day.")],
    to: Annotated[
        date, strawberry.argument(description="The last day, always included; not before from.")
    ],
    step: Annotated[
        HistoryStep | None, strawberry.argument(description="How far apart the days are.")
    ] = HistoryStep.DAY,
) -> list[Balance]:
    context = info.context
    require_usable_day(from_, "from")
    require_usable_day(to, "to")
    days = days_between(from_, to, step or HistoryStep.DAY, context.limits.history_points)
    requests = [context.balance_request(self.account, day) for day in days]
    return context.balances.load_all(requests, partial(_history_of, now=context.now))


def _history_of(
    answers: list[reads.Observed[domain.BalanceFigures] | Exception], now: datetime
) -> list[Balance]:
    balances = []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        balances.append(build_balance(answer, now))
    return balances


def _connector(self: "BankAccount", info: Info) -> Connector:
    return build_connector(info.context.gateway.directory.connector(self.account.connector))


def require_usable_day(day: date | None, field: str) -> date | None:
    """The day itself.

    Raises:
        BadInput: it lies so close to the ends of the calendar that it has no beginning or end.
    """
    if day is not None and not DAY_MIN <= day <= DAY_MAX:
        raise BadInput(f"{field} must lie between {DAY_MIN} and {DAY_MAX}.", field=field)
    return day


@strawberry.type(description="One account at one provider. Needs the scope balances:read.")
class BankAccount(Node):
    """One account at one provider."""

    account: strawberry.Private[Account]
    name: str = strawberry.field(description="What people call the account.")
    currency: CurrencyCode = strawberry.field(description="The account's currency.")
    provider: ProviderKind = strawberry.field(description="The provider that keeps the account.")
    opening_balance: OpeningBalance | None = strawberry.field(
        resolver=_opening_balance,
        description="The balance its books start with; null: none is set.",
    )
    normal_balance: BalanceSide = strawberry.field(
        resolver=_normal_balance,
        description="The side on which the account usually stands. Amounts are always from the "
        "holder's side, so a credit card that owes 500 stands at −500.",
    )
    balance: Balance | None = strawberry.field(
        resolver=_balance,
        description="The balance at the end of a day; null with an error when it cannot be had.",
    )
    balance_history: list[Balance] = strawberry.field(
        resolver=_balance_history,
        description="The balances of several days, oldest first, at most "
        f"{DEFAULT_LIMITS.history_points}. When one day cannot "
        "be had the whole account is null with that day's error.",
    )

    connector: Connector = strawberry.field(
        resolver=_connector, description="The credentials through which the account is reached."
    )


def build_bank_account(account: Account) -> BankAccount:
    """An account as it is answered."""
    return BankAccount(
        account=account,
        id=strawberry.ID(account.id),
        name=account.name,
        currency=CurrencyCode(account.currency),
        provider=ProviderKind(account.provider),
    )
