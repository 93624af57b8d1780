"""The GraphQL types of totals per currency, with the accounts that are missing from them."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import Enum
from functools import partial

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.bank_account import BankAccount, build_bank_account
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.list_sizes import TYPICAL_SIZE, list_size
from balance_gateway.api.schema.missing_reasons import MissingReason, build_missing_reason
from balance_gateway.api.schema.money import Money, build_money
from balance_gateway.api.schema.scalars import CurrencyCode
from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.ports.reads import Observed
from balance_gateway.service import balances as service


@strawberry.type(description="An account not included in the total.")
class MissingBalance:
    """An account not included in the total."""

    bank_account: BankAccount = strawberry.field(description="The account.")
    code: ErrorCode = strawberry.field(description="Why its balance is missing.")
    reason: MissingReason | None = strawberry.field(
        description="Why an account that was read has no balance at all for the day; null if it "
        "could not be read."
    )


@strawberry.enum(description="What the accounts of one total have in common.")
class TotalGroup(Enum):
    """What the accounts of one total have in common."""

    PROVIDER = strawberry.enum_value(service.TotalGroup.PROVIDER, description="The provider.")
    CONNECTOR = strawberry.enum_value(service.TotalGroup.CONNECTOR, description="The connector.")


def _count_missing(limits: Limits) -> int:
    """Return the size of ``missing``: all totals together may lack every account."""
    return max(1, limits.accounts // TYPICAL_SIZE)


def _oldest_sourced_at(self: "CurrencyTotal", info: Info) -> datetime | None:
    queries = [
        each
        for each in self.total.list_counted()
        if Capability.READ_BANK_FEED in each.account.capabilities
    ]
    accounts = [each.account for each in queries]
    return info.context.bank_feeds.load_all(accounts, partial(_find_oldest_sync, queries))


def _find_oldest_sync(
    queries: Sequence[BalanceQuery], results: Sequence[Observed[BankFeed | None] | Exception]
) -> datetime | None:
    synced = []
    for query, result in zip(queries, results, strict=True):
        if isinstance(result, Exception):
            # Without this account the oldest is not known.
            raise result
        if result.value is not None:
            synced.append(result.value.find_sync_for(query.account, query.as_of))
    return min((instant for instant in synced if instant is not None), default=None)


@strawberry.type(
    description="The total of the balances in one currency. Amounts are never converted or "
    "estimated."
)
class CurrencyTotal:
    """The total of the balances in one currency."""

    total: strawberry.Private[service.CurrencyTotal]
    currency: CurrencyCode = strawberry.field(description="The currency.")
    group: str | None = strawberry.field(
        description="What groupBy asks for: the provider or the name of the connector; null "
        "without groupBy."
    )
    bank: Money | None = strawberry.field(
        description="The sum of the known bank balances; null if none is known."
    )
    ledger: Money | None = strawberry.field(
        description="The sum of the known ledger balances; null if none is known."
    )
    complete: bool = strawberry.field(
        description="Whether every account is in the total, each money once. An account may "
        "still have only a bank or only a ledger balance: compare bankIncluded and "
        "ledgerIncluded with included."
    )
    included: int = strawberry.field(description="The number of accounts in the total.")
    bank_included: int = strawberry.field(
        description="The number of these accounts with a bank balance, included in bank."
    )
    ledger_included: int = strawberry.field(
        description="The number of these accounts with a ledger balance, included in ledger."
    )
    missing: list[MissingBalance] = strawberry.field(
        metadata=list_size(_count_missing),
        description="The accounts that could not be read, or have no balance for the day, sorted "
        "by id.",
    )
    overlapping: list[strawberry.ID] = strawberry.field(
        description="The ids of the accounts that are not added: another account of the total "
        "has the same money: the same account at the provider under another id, or one that a "
        "parent account includes. Sorted by id."
    )
    first_day: date = strawberry.field(
        description="The earliest day of a balance in the total: today differs by time zone."
    )
    last_day: date = strawberry.field(
        description="The latest day of a balance in the total; usually firstDay."
    )
    stale_included: int = strawberry.field(description="The number of STALE balances in the total.")
    oldest_observed_at: datetime | None = strawberry.field(
        description="When the oldest balance in the total was observed; null if it has none."
    )
    oldest_sourced_at: datetime | None = strawberry.field(
        resolver=_oldest_sourced_at,
        description="The earliest sourcedAt of the balances in the total; null if none has one. "
        "May need further calls to the providers; a failure is an error of this field only.",
    )


def build_currency_total(total: service.CurrencyTotal) -> CurrencyTotal:
    """Build the GraphQL object of a total."""
    return CurrencyTotal(
        currency=CurrencyCode(total.currency),
        group=total.group,
        bank=build_money(total.bank),
        ledger=build_money(total.ledger),
        complete=total.complete,
        included=total.included,
        bank_included=total.bank_included,
        ledger_included=total.ledger_included,
        missing=[
            MissingBalance(
                bank_account=build_bank_account(each.account),
                code=to_graphql_code(each.code),
                reason=build_missing_reason(each.reason),
            )
            for each in total.missing
        ],
        overlapping=[strawberry.ID(account.id) for account in total.overlapping],
        first_day=total.first_day,
        last_day=total.last_day,
        stale_included=total.stale_included,
        oldest_observed_at=total.oldest_observed_at,
        total=total,
    )
